//! What can go wrong with the spool, named for what the reader of the message can do about it.

use std::io;
use std::path::PathBuf;

use freshet_core::{EnvelopeError, Position};

/// Why the spool could not be opened, read or trimmed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// Two processes must never write one log. Retrying helps only once the other one has ended.
    #[error(
        "another process is using the spool in {}: stop it, or give this one its own directory with --data-dir",
        directory.display()
    )]
    Locked {
        /// The spool's directory.
        directory: PathBuf,
    },
    /// The disk refused. Retrying is sensible; nothing has been lost by the failure itself.
    #[error("cannot {action} {file} in the spool's directory: check the disk's room, health and permissions")]
    Disk {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file, relative to the spool's directory.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// The segment was copied here from another spool. Retrying does not help.
    #[error("{file} belongs to another installation's spool: move it out of the directory")]
    Foreign {
        /// The file, relative to the spool's directory.
        file: String,
    },
    /// The segment's layout is not this version's. Retrying does not help.
    #[error("{file} has the unknown segment format {version}: run the version of Freshet that wrote it")]
    UnknownFormat {
        /// The file, relative to the spool's directory.
        file: String,
        /// The format's number.
        version: u32,
    },
    /// The record is whole but its payload is not readable by this version. Retrying does not help.
    #[error("cannot read the payload at position {position} of the spool")]
    Envelope {
        /// Where the record ends.
        position: Position,
        /// What was found instead.
        source: EnvelopeError,
    },
    /// The spool was closed before it got to the request.
    #[error("the spool is closed")]
    Stopped,
}

impl SpoolError {
    /// For `map_err`: adds what was being done, to which file.
    pub(crate) fn disk(action: &'static str, file: &str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { action, file: file.to_owned(), source }
    }
}
