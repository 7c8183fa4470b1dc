//! An output that does not hold up whoever writes: a thread of its own does the writing.
//!
//! A pipe takes some 64 KiB that nobody reads, and then no more. A run that wrote to it itself would stand there, and would not see that it was
//! asked to end; `mpirun` reads nothing between an interrupt and the end of its ranks.

use std::io::{self, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How many writes wait before the next one waits for the reader: minutes of a fast run, and some tens of MB at most.
const ROOM: usize = 1 << 16;
/// How long the end waits for a reader once the program was asked to end.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often a writer that waits looks whether it still should.
const GLANCE: Duration = Duration::from_millis(10);

/// The writing end. What is written in one call stays together and in order, and is flushed; dropping waits until all of it is written.
/// Where the program was asked to end, neither waits for a reader that does not read: what it did not take is lost.
pub struct Queue {
    lines: Option<SyncSender<Vec<u8>>>,
    written: Receiver<()>,
    refused: Refused,
    stop: fn() -> bool,
}

/// Why a queue's output took no more, if it did not. That its reader is gone, as with `| head`, is no fault.
#[derive(Clone, Debug, Default)]
pub struct Refused(Arc<Mutex<Option<io::Error>>>);

impl Refused {
    /// The error, once.
    pub fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn note(&self, error: io::Error) {
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }
    }
}

impl Queue {
    /// What will be known of a refusal once the queue is dropped.
    pub fn refused(&self) -> Refused {
        self.refused.clone()
    }

    /// Writes to `out`. `stop` says whether the program was asked to end.
    pub fn new(out: impl Write + Send + 'static, stop: fn() -> bool) -> Self {
        Self::with_room(out, stop, ROOM)
    }

    fn with_room(mut out: impl Write + Send + 'static, stop: fn() -> bool, room: usize) -> Self {
        let (lines, waiting) = sync_channel::<Vec<u8>>(room);
        let (end, written) = channel();
        let refused = Refused::default();
        let noted = refused.clone();
        std::thread::spawn(move || {
            // What cannot be written is dropped; the run goes on.
            for line in waiting {
                if let Err(error) = out.write_all(&line).and_then(|()| out.flush()) {
                    noted.note(error);
                }
            }
            drop(end);
        });
        Self { lines: Some(lines), written, refused, stop }
    }
}

impl Write for Queue {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut line = bytes.to_vec();
        while let Some(lines) = &self.lines {
            match lines.try_send(line) {
                Err(TrySendError::Full(back)) if !(self.stop)() => line = back,
                _ => break,
            }
            std::thread::sleep(GLANCE);
        }
        Ok(bytes.len())
    }

    /// Each write is flushed as it is written.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.lines = None;
        let since = Instant::now();
        while self.written.recv_timeout(GLANCE) == Err(RecvTimeoutError::Timeout) {
            if (self.stop)() && since.elapsed() > PATIENCE {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Condvar;
    use std::sync::atomic::{AtomicBool, Ordering};

    /// A reader that reads nothing until it is let.
    #[derive(Clone, Default)]
    struct Gate(Arc<(Mutex<Read>, Condvar)>);

    #[derive(Default)]
    struct Read {
        may: bool,
        bytes: Vec<u8>,
    }

    impl Gate {
        fn open(&self) {
            self.0.0.lock().unwrap().may = true;
            self.0.1.notify_all();
        }

        fn read(&self) -> String {
            String::from_utf8(self.0.0.lock().unwrap().bytes.clone()).unwrap()
        }
    }

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut state = self.0.1.wait_while(self.0.0.lock().unwrap(), |s| !s.may).unwrap();
            state.bytes.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn whoever_writes_goes_on_and_all_of_it_arrives() {
        let gate = Gate::default();
        let mut queue = Queue::with_room(gate.clone(), || false, 1000);
        (0..1000).for_each(|i| queue.write_all(format!("{i}\n").as_bytes()).unwrap());
        assert_eq!(gate.read(), "");
        gate.open();
        drop(queue);
        assert_eq!(gate.read(), (0..1000).map(|i| format!("{i}\n")).collect::<String>());
    }

    #[test]
    fn a_refusal_is_kept_and_a_reader_that_left_is_none() {
        struct Broken(io::ErrorKind);
        impl Write for Broken {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(self.0.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        for (kind, told) in [(io::ErrorKind::StorageFull, true), (io::ErrorKind::BrokenPipe, false)] {
            let mut queue = Queue::new(Broken(kind), || false);
            let refused = queue.refused();
            queue.write_all(b"a line\n").unwrap();
            drop(queue);
            assert_eq!(refused.take().is_some(), told, "{kind}");
        }
    }

    #[test]
    fn a_full_queue_waits_for_its_reader() {
        let gate = Gate::default();
        let mut queue = Queue::with_room(gate.clone(), || false, 2);
        let opener = gate.clone();
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            opener.open();
        });
        (0..100).for_each(|i| queue.write_all(format!("{i}\n").as_bytes()).unwrap());
        drop(queue);
        assert_eq!(gate.read().lines().count(), 100);
    }

    #[test]
    fn asked_to_end_it_waits_for_nobody() {
        static ASKED: AtomicBool = AtomicBool::new(false);
        let mut queue = Queue::with_room(Gate::default(), || ASKED.load(Ordering::SeqCst), 2);
        std::thread::spawn(|| {
            std::thread::sleep(Duration::from_millis(50));
            ASKED.store(true, Ordering::SeqCst);
        });
        (0..100).for_each(|i| queue.write_all(format!("{i}\n").as_bytes()).unwrap());
        drop(queue);
        assert!(ASKED.load(Ordering::SeqCst), "it did not wait while it might");
    }
}
