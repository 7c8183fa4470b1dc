//! A value that a driver's callback brings, waited for without a thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// One value on its way; clones share it. Whoever waits is the only one who waits.
#[derive(Debug)]
pub(super) struct Arrival<T>(Arc<Mutex<State<T>>>);

#[derive(Debug)]
struct State<T> {
    value: Option<T>,
    waiting: Option<Waker>,
}

impl<T> Default for Arrival<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { value: None, waiting: None })))
    }
}

impl<T> Clone for Arrival<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Arrival<T> {
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Brings the value and wakes who waits for it.
    pub fn set(&self, value: T) {
        let mut state = self.state();
        state.value = Some(value);
        if let Some(waker) = state.waiting.take() {
            drop(state);
            waker.wake();
        }
    }

    /// The value, if it is here and was not taken yet.
    pub fn take(&self) -> Option<T> {
        self.state().value.take()
    }

    /// Waits for the value.
    pub async fn wait(&self) -> T {
        std::future::poll_fn(|context| {
            let mut state = self.state();
            match state.value.take() {
                Some(value) => Poll::Ready(value),
                None => {
                    state.waiting = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_wakes_who_waits() {
        let (arrival, other) = (Arrival::default(), Arrival::<u32>::default());
        let from = arrival.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            from.set(7);
        });
        assert_eq!((pollster::block_on(arrival.wait()), arrival.take(), other.take()), (7, None, None));
        thread.join().expect("ends");
    }
}
