//! How the process ends.

use std::process::ExitCode;

use freshet_core::DestinationError;

/// The exit codes of every verb; part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All done.
    Ok = 0,
    /// Something failed.
    Failed = 1,
    /// The command line asks for something that makes no sense.
    Usage = 2,
    /// Some of it failed, or more was rejected than the threshold allows.
    Partly = 3,
    /// Nothing is wrong, but it could not be done now.
    TryAgain = 75,
    /// A file or folder may not be read or written.
    NotPermitted = 77,
    /// The configuration is wrong.
    BadConfig = 78,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// An error that knows its exit code. Anything else exits with [`Exit::Failed`].
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) exit: Exit,
    /// What went wrong and what to do.
    pub(crate) message: String,
}

impl Failure {
    /// An error with an exit code of its own.
    pub(crate) fn error(exit: Exit, message: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self { exit, message: message.into() })
    }
}

/// The exit code that an error asks for: its own, or that of a permission error somewhere beneath it.
#[must_use]
pub(crate) fn code_of(error: &anyhow::Error) -> Exit {
    for cause in error.chain() {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return failure.exit;
        }
        if let Some(DestinationError::NotPermitted { .. }) = cause.downcast_ref() {
            return Exit::NotPermitted;
        }
        if cause.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return Exit::NotPermitted;
        }
    }
    Exit::Failed
}
