//! From the many errors of storage and log to the two that a caller can act on.

use std::error::Error;
use std::io;

use deltalake_core::DeltaTableError;
use freshet_core::DestinationError;

/// `error`, which stopped us when we wanted to do `what`, named for what to do about it.
pub(super) fn failure(what: impl Into<String>, error: impl Into<DeltaTableError>) -> DestinationError {
    let (what, error) = (what.into(), error.into());
    if let Some(ours) = ours(&error) {
        return with_words(&what, ours);
    }
    let cause = cause_of(&error);
    let why = bare(error);
    let problem = |advice: &str| format!("cannot {what}: {why}. {advice}");
    let refused = |advice: &str| DestinationError::Refused { problem: problem(advice) };
    match cause {
        Cause::NotPermitted => {
            DestinationError::NotPermitted { problem: problem("Give this user write access to the lake, or choose another place.") }
        }
        Cause::NoBucket => refused("Make the bucket or container, or correct its name: Freshet makes only what lies in it."),
        Cause::WrongPlace => refused("A lake needs a directory of its own, on a file system with hard links."),
        Cause::NotReadable => refused("The table uses a Delta feature that this version cannot read: ALTER TABLE … DROP FEATURE may help."),
        Cause::UnfitRows => refused("These rows cannot be in the table whoever writes them: please report it."),
        Cause::NoSpace => DestinationError::Transient {
            doing: format!("cannot {what}: no space left; nothing is lost, free some space and it goes on"),
            cause: why,
        },
        Cause::Other => DestinationError::Transient { doing: format!("cannot {what}"), cause: why },
    }
}

/// The failure of a catalog, which came through a store's own kind of error.
fn ours(error: &DeltaTableError) -> Option<&DestinationError> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(ours) = error.downcast_ref() {
            return Some(ours);
        }
        next = error.source();
    }
    None
}

fn with_words(what: &str, error: &DestinationError) -> DestinationError {
    match error {
        DestinationError::Transient { doing, cause } => {
            DestinationError::Transient { doing: format!("cannot {what}: {doing}"), cause: cause.to_string().into() }
        }
        DestinationError::Refused { problem } => DestinationError::Refused { problem: format!("cannot {what}: {problem}") },
        DestinationError::NotPermitted { problem } => DestinationError::NotPermitted { problem: format!("cannot {what}: {problem}") },
    }
}

/// Without delta-rs's words around it, which speak of reading the log whatever was done.
fn bare(error: DeltaTableError) -> Box<dyn Error + Send + Sync> {
    match error {
        DeltaTableError::ObjectStore { source } => source.into(),
        DeltaTableError::Io { source } => source.into(),
        other => other.into(),
    }
}

/// Whether somebody else's commit got in the way: the table is well, and trying again from a fresh view makes sense.
pub(super) fn is_conflict(error: &DeltaTableError) -> bool {
    use deltalake_core::kernel::transaction::TransactionError;
    match error {
        DeltaTableError::VersionAlreadyExists(_) => true,
        DeltaTableError::Transaction { source } => {
            matches!(source, TransactionError::CommitConflict(_) | TransactionError::MaxCommitAttempts(_))
        }
        _ => false,
    }
}

/// How S3, Google and Azure say that there is no such bucket.
const NO_BUCKET: [&str; 3] = ["NoSuchBucket", "The specified bucket does not exist", "ContainerNotFound"];

enum Cause {
    NoBucket,
    NotPermitted,
    WrongPlace,
    NoSpace,
    NotReadable,
    UnfitRows,
    Other,
}

fn cause_of(error: &DeltaTableError) -> Cause {
    // The kernel's own error type cannot be named from here.
    if matches!(error, DeltaTableError::KernelError(_)) && error.to_string().contains("nsupported") {
        return Cause::NotReadable;
    }
    if let DeltaTableError::InvalidData { .. } | DeltaTableError::SchemaMismatch { .. } | DeltaTableError::Arrow { .. } = error {
        return Cause::UnfitRows;
    }
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            match io.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => return Cause::NotPermitted,
                io::ErrorKind::NotADirectory | io::ErrorKind::Unsupported => return Cause::WrongPlace,
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => return Cause::NoSpace,
                _ => {}
            }
        }
        if let Some(deltalake_core::ObjectStoreError::PermissionDenied { .. } | deltalake_core::ObjectStoreError::Unauthenticated { .. }) =
            error.downcast_ref()
        {
            return Cause::NotPermitted;
        }
        // Only the answer's body says that it is not the object which is missing.
        if let Some(answer) = error.downcast_ref::<deltalake_core::ObjectStoreError>().map(ToString::to_string)
            && NO_BUCKET.iter().any(|code| answer.contains(code))
        {
            return Cause::NoBucket;
        }
        next = error.source();
    }
    Cause::Other
}

#[cfg(test)]
mod tests {
    use object_store::Error as StoreError;

    use super::*;

    #[test]
    fn errors_are_named_for_what_to_do() {
        let check = |kind: io::ErrorKind, transient: bool, says: &str| {
            let error = StoreError::Generic { store: "local lake", source: io::Error::from(kind).into() };
            let failure = failure("write to table logs", error);
            assert_eq!(failure.is_transient(), transient, "{kind:?}");
            assert!(failure.to_string().contains(says), "{kind:?}: {failure}");
            assert!(failure.to_string().contains("table logs"), "{kind:?}: {failure}");
        };
        check(io::ErrorKind::PermissionDenied, false, "write access");
        check(io::ErrorKind::ReadOnlyFilesystem, false, "write access");
        check(io::ErrorKind::NotADirectory, false, "directory");
        check(io::ErrorKind::StorageFull, true, "no space left");
        check(io::ErrorKind::QuotaExceeded, true, "no space left");
        check(io::ErrorKind::TimedOut, true, "cannot write");
    }
}
