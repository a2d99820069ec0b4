//! Panics of a run, also those that a runtime catches.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;

thread_local! {
    /// Panics on this thread; a run has one thread to itself.
    static PANICS: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// From here on, panics of this thread are kept, and not printed.
pub(crate) fn watch() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let is_kept = PANICS.with(|panics| panics.borrow_mut().as_mut().map(|kept| kept.push(info.to_string())).is_some());
            if !is_kept {
                usual(info);
            }
        }));
    });
    PANICS.set(Some(Vec::new()));
}

/// The panics since [`watch`]. Later ones are printed again.
pub(crate) fn take() -> Vec<String> {
    PANICS.take().unwrap_or_default()
}
