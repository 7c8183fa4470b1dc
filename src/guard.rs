//! Other crates on foreign bytes: where one of them panics, a person gets an error.
//!
//! Two that read files are not written for hostile ones: `parquet` and `tokenizers` index and unwrap on what a file says. A browser's
//! WebAssembly does not unwind: there a panic ends the worker, and the page says so.

/// Runs `work`. A panic in it is neither printed nor passed on, but given back as what it said.
///
/// # Errors
/// Where `work` panics.
#[cfg(not(target_arch = "wasm32"))]
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
    use std::sync::Once;

    thread_local! { static GUARDED: Cell<bool> = const { Cell::new(false) } }
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |info| {
            if !GUARDED.get() {
                others(info);
            }
        }));
    });
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    done.map_err(|panic| {
        let said = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no reason was given".into())
    })
}

/// Runs `work`.
///
/// # Errors
/// Never.
#[cfg(target_arch = "wasm32")]
pub fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    Ok(work())
}

/// The stack of [`deep`]. It is taken as it is used.
#[cfg(not(target_arch = "wasm32"))]
const DEEP: usize = 256 << 20;

/// Runs `work` on a thread with room for recursion as deep as foreign data may make it: who drops a list in a list in a list recurses as
/// often.
///
/// # Errors
/// Where the system has no thread to give.
#[cfg(not(target_arch = "wasm32"))]
pub fn deep<T: Send>(work: impl FnOnce() -> T + Send) -> std::io::Result<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(DEEP).spawn_scoped(scope, work)?;
        thread.join().or_else(|panic| std::panic::resume_unwind(panic))
    })
}

/// Runs `work`. A browser's stack is what it is: where it ends the worker does, and the page says so.
///
/// # Errors
/// Never.
#[cfg(target_arch = "wasm32")]
pub fn deep<T>(work: impl FnOnce() -> T) -> std::io::Result<T> {
    Ok(work())
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;

    #[test]
    fn panics_are_told() {
        assert_eq!(caught(|| 3), Ok(3));
        assert_eq!(caught(|| panic!("x {}", 1 + 1)), Err::<(), _>("x 2".into()));
        let inner = caught(|| (caught(|| panic!("inner")), 4));
        assert_eq!(inner, Ok((Err::<(), _>("inner".into()), 4)));
    }
}
