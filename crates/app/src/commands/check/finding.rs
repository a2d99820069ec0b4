//! What one probe found.

use serde_json::{Value, json};

use crate::exit::Exit;

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The probe.
    pub(super) name: &'static str,
    /// How it went.
    pub(super) state: State,
    /// What was found.
    pub(super) found: String,
    /// What to do about it; may have several lines.
    pub(super) fix: Option<String>,
}

/// How a probe went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Good,
    /// It works, and will be regretted.
    Warning,
    /// It does not work. The exit code says whose fault it is.
    Failed(Exit),
    /// Nobody asked for it, or it could not be tried.
    Skipped,
}

impl Finding {
    /// As it should be.
    pub(super) fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Good, found: found.into(), fix: None }
    }

    /// It works, and will be regretted unless `fix` is done.
    pub(super) fn warning(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Warning, found: found.into(), fix: Some(fix.into()) }
    }

    /// It does not work until `fix` is done.
    pub(super) fn failed(name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::failed_with(Exit::Failed, name, found, fix)
    }

    /// As [`Finding::failed`], with an exit code that says more.
    pub(super) fn failed_with(exit: Exit, name: &'static str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, state: State::Failed(exit), found: found.into(), fix: Some(fix.into()) }
    }

    /// Not tried, because of `why`.
    pub(super) fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self { name, state: State::Skipped, found: why.into(), fix: None }
    }

    /// For programs.
    pub(super) fn as_json(&self, section: &str) -> Value {
        json!({ "section": section, "probe": self.name, "state": self.state.as_str(), "found": self.found, "fix": self.fix })
    }
}

impl State {
    /// Its name, for programs.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Failed(_) => "failed",
            Self::Skipped => "skipped",
        }
    }
}
