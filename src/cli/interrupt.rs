//! Ctrl-C: while a run trains, once to finish the step and save, twice to stop at once; in a talk, to stop an answer.

use crate::error::{Error, Result};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of a program ended by an interrupt.
pub const EXIT_CODE: i32 = 130;

static REQUESTED: AtomicBool = AtomicBool::new(false);
static INSTALLED: OnceLock<bool> = OnceLock::new();

/// Whether the program was asked to end.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Proof that interrupts are caught. A process has one handler, so every copy is the same.
#[derive(Debug, Clone, Copy)]
pub struct Interrupt(());

impl Interrupt {
    /// Catches interrupts (and requests to terminate) from here on. Says what happens then, if `says`: of several ranks one is enough.
    pub fn install(says: bool) -> Result<Self> {
        let installed = *INSTALLED.get_or_init(|| {
            let caught = ctrlc::set_handler(move || {
                if REQUESTED.swap(true, Ordering::SeqCst) {
                    // A run folder is whole at every moment, so nothing needs to be cleared up.
                    std::process::exit(EXIT_CODE);
                }
                if says {
                    super::output::complain("\nfinishing the step, then saving; once more to stop at once");
                }
            });
            caught.is_ok()
        });
        if installed { Ok(Self(())) } else { Err(Error::usage("interrupts cannot be caught: another handler is installed", "")) }
    }

    /// Whether the run was asked to end.
    pub fn requested(&self) -> bool {
        requested()
    }
}

static ANSWERS: AtomicBool = AtomicBool::new(false);

/// Has an interrupt stop the answer that is being written. Where none is, or one that goes on all the same, it ends the program.
///
/// # Errors
/// Where interrupts cannot be caught.
pub fn stops_answers() -> Result<()> {
    let caught = ctrlc::set_handler(|| {
        if !ANSWERS.load(Ordering::SeqCst) || REQUESTED.swap(true, Ordering::SeqCst) {
            std::process::exit(EXIT_CODE);
        }
    });
    caught.map_err(|_| Error::usage("interrupts cannot be caught: another handler is installed", ""))
}

/// An answer that is being written, until it is dropped.
pub struct Answer(());

impl Answer {
    /// It begins.
    pub fn begin() -> Self {
        REQUESTED.store(false, Ordering::SeqCst);
        ANSWERS.store(true, Ordering::SeqCst);
        Self(())
    }

    /// Whether it was asked to end.
    pub fn stopped(&self) -> bool {
        requested()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        ANSWERS.store(false, Ordering::SeqCst);
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// Not a test of its own: the process that the next test interrupts.
    #[test]
    fn interrupted() {
        if std::env::var_os("DIABLO_TEST_INTERRUPT").is_none() {
            return;
        }
        let interrupt = Interrupt::install(true).expect("installs");
        Interrupt::install(true).expect("twice is the same");
        println!("\nready");
        while !interrupt.requested() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        println!("\nrequested");
        std::thread::sleep(std::time::Duration::from_secs(60));
    }

    /// Nor is this one.
    #[test]
    fn answering() {
        if std::env::var_os("DIABLO_TEST_ANSWER").is_none() {
            return;
        }
        stops_answers().expect("installs");
        for _ in 0..2 {
            let answer = Answer::begin();
            println!("\nready");
            while !answer.stopped() {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        }
        println!("\nrequested");
        std::thread::sleep(std::time::Duration::from_secs(60));
    }

    /// Interrupts one of the processes above where it says so, and once more where it then says `requested`.
    fn interrupted_when(name: &str, variable: &str, ready: usize) {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([&format!("cli::interrupt::tests::{name}"), "--exact", "--nocapture", "--test-threads=1"])
            .env(variable, "1")
            .stdout(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines().map_while(|l| l.ok());
        let interrupt = |id: u32| assert!(Command::new("kill").args(["-INT", &id.to_string()]).status().is_ok_and(|s| s.success()));
        for _ in 0..ready {
            assert!(lines.any(|l| l == "ready"));
            interrupt(child.id());
        }
        assert!(lines.any(|l| l == "requested"), "the first one only asks");
        interrupt(child.id());
        assert_eq!(child.wait().expect("ends").code(), Some(EXIT_CODE));
    }

    #[test]
    fn first_asks_second_ends() {
        interrupted_when("interrupted", "DIABLO_TEST_INTERRUPT", 1);
    }

    #[test]
    fn answers_are_stopped_one_by_one_and_between_them_the_program_is() {
        interrupted_when("answering", "DIABLO_TEST_ANSWER", 2);
    }
}
