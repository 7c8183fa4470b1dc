//! What waits to be taken by somebody who may wait for it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::task::{Poll, Waker};

/// Things in the order in which they came.
pub(super) struct Line<T> {
    things: RefCell<VecDeque<T>>,
    waiting: RefCell<Option<Waker>>,
    /// No more will come.
    closed: Cell<bool>,
}

impl<T> Default for Line<T> {
    fn default() -> Self {
        Self { things: RefCell::default(), waiting: RefCell::default(), closed: Cell::new(false) }
    }
}

impl<T> Line<T> {
    pub(super) fn put(&self, thing: T) {
        self.things.borrow_mut().push_back(thing);
        self.wake();
    }

    pub(super) fn close(&self) {
        self.closed.set(true);
        self.wake();
    }

    /// The next thing, if one is there.
    pub(super) fn take(&self) -> Option<T> {
        self.things.borrow_mut().pop_front()
    }

    /// The next thing; `None` where no more will come.
    pub(super) async fn wait(&self) -> Option<T> {
        std::future::poll_fn(|context| match self.take() {
            None if !self.closed.get() => {
                self.waiting.replace(Some(context.waker().clone()));
                Poll::Pending
            }
            thing => Poll::Ready(thing),
        })
        .await
    }

    fn wake(&self) {
        if let Some(waker) = self.waiting.take() {
            waker.wake();
        }
    }
}
