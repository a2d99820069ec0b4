//! The terminal as we found it, and back to that: at the end, on an error and on a panic of any thread.

use std::io;
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};

/// Holds the terminal's second screen, with keys that arrive one by one.
pub(super) struct Screen {
    /// Set once the terminal was given back.
    left: Arc<AtomicBool>,
}

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    /// There is none, or it refuses.
    pub(super) fn enter() -> io::Result<Self> {
        enable_raw_mode()?;
        // From here on the drop gives back what was taken, also when the next step fails.
        let screen = Self { left: Arc::new(AtomicBool::new(false)) };
        execute!(io::stderr(), EnterAlternateScreen, Hide)?;
        let left = Arc::clone(&screen.left);
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            // The second screen would swallow the report.
            leave(&left);
            report(info);
        }));
        Ok(screen)
    }

    /// Whether a panic took the terminal away.
    pub(super) fn is_lost(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        leave(&self.left);
    }
}

/// Gives the terminal back, once.
fn leave(left: &AtomicBool) {
    if !left.swap(true, Ordering::AcqRel) {
        // A terminal that is gone needs no restoring.
        let _ = execute!(io::stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}
