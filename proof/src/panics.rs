//! Panics of a run, also those that a runtime catches.

use std::cell::RefCell;
use std::panic;
use std::sync::{Arc, Mutex, Once, PoisonError};

/// Panics of one run.
pub(crate) type Panics = Arc<Mutex<Vec<String>>>;

thread_local! {
    /// The run that this thread works for.
    static PANICS: RefCell<Option<Panics>> = const { RefCell::new(None) };
}

/// From here on, panics of this thread are kept, and not printed.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| match of_this_thread() {
            Some(panics) => panics.lock().unwrap_or_else(PoisonError::into_inner).push(info.to_string()),
            None => usual(info),
        }));
    });
    PANICS.set(Some(Panics::default()));
}

/// The run that this thread works for, if any.
pub(crate) fn of_this_thread() -> Option<Panics> {
    PANICS.with_borrow(Clone::clone)
}

/// Lets this thread work for a run.
pub(crate) fn work_for(run: Option<Panics>) {
    PANICS.set(run);
}

/// The panics since [`watch`]. Later ones are printed again.
pub(crate) fn take() -> Vec<String> {
    PANICS.take().map(|panics| std::mem::take(&mut *panics.lock().unwrap_or_else(PoisonError::into_inner))).unwrap_or_default()
}
