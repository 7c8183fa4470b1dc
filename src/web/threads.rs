//! Threads in a browser: workers of the worker's own, over one shared memory, that become rayon's pool. Only in the program that is
//! built for it (`make web`), and only where the page is cross-origin isolated: elsewhere browsers share no memory.
//!
//! The script starts the workers first and waits until each has the program: a pool's threads have to be there when it is built, and
//! a worker that waits for them lets no other worker begin.

use super::worker;
use js_sys::Function;
use rayon::{ThreadBuilder, ThreadPoolBuilder};
use std::sync::{Condvar, Mutex, PoisonError};
use wasm_bindgen::prelude::*;

/// Threads that have no worker yet.
static WAITING: Mutex<Vec<ThreadBuilder>> = Mutex::new(Vec::new());
static CAME: Condvar = Condvar::new();

/// Makes the caller and `others` workers, which wait in [`run_thread`] or are about to, the threads of the pool.
///
/// # Errors
/// Where there is a pool already.
#[wasm_bindgen(js_name = startThreads)]
pub fn start_threads(others: usize) -> Result<(), JsValue> {
    let pool = ThreadPoolBuilder::new().num_threads(others + 1).use_current_thread().spawn_handler(|thread| {
        WAITING.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        CAME.notify_one();
        Ok(())
    });
    pool.build_global().map_err(|e| js_sys::Error::new(&e.to_string()).into())
}

/// Is a thread of the pool, for as long as the worker lives. `post` gets what the thread has to say: that it broke down.
#[wasm_bindgen(js_name = runThread)]
pub fn run_thread(post: Function) {
    worker::speak_through(post);
    let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
    let thread = loop {
        match waiting.pop() {
            Some(thread) => break thread,
            None => waiting = CAME.wait(waiting).unwrap_or_else(PoisonError::into_inner),
        }
    };
    drop(waiting);
    thread.run();
}
