//! One maintenance leader per table.

use std::fs::{self, File, OpenOptions};

use deltalake_core::DeltaTableError;
use freshet_core::DestinationError;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::failure::failure;
use super::lake::check_name;
use super::place::Place;

/// The directory of the lake that holds Freshet's own files; it is not a table.
const OWN_DIRECTORY: &str = "_freshet";

/// How work that only one process at a time may do on a table ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leased<T> {
    /// It was done.
    Done(T),
    /// Another process, or another task of this one, is at it. Nothing was done.
    Held,
}

/// The right to maintain one table, until dropped or until the process ends, however it ends.
///
/// It saves work, and no promise rests on it: a merge lands only if the files it replaces are all still there, a checkpoint of one
/// version is the same whoever writes it, and a vacuum removes what nobody needs. So on an object store, where a lock that a dead
/// process leaves behind would need somebody's clock, everybody has it.
#[derive(Debug)]
pub(super) struct Lease(#[expect(dead_code, reason = "the open file is the lock")] Option<File>);

impl Lease {
    /// The lease on `table` of the lake at `place`, or nothing when somebody has it.
    pub(super) fn acquire(place: &Place, table: &str) -> Result<Option<Self>, DestinationError> {
        check_name(table)?;
        let Some(root) = place.local() else { return Ok(Some(Self(None))) };
        let failed = |error: std::io::Error| failure(format!("take the maintenance lease of table {table}"), DeltaTableError::from(error));
        let directory = root.join(OWN_DIRECTORY);
        fs::create_dir_all(&directory).map_err(failed)?;
        let path = directory.join(format!("maintenance-{table}.lock"));
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(failed)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self(Some(file)))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(failed(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_leader_per_table() {
        let folder = tempfile::tempdir().unwrap();
        let root = Place::new(folder.path().to_str().unwrap(), &[]).unwrap();
        let first = Lease::acquire(&root, "logs").unwrap();
        assert!(first.is_some());
        assert!(Lease::acquire(&root, "logs").unwrap().is_none(), "two leaders");
        assert!(Lease::acquire(&root, "router_requests").unwrap().is_some(), "tables are independent");
        drop(first);
        assert!(Lease::acquire(&root, "logs").unwrap().is_some(), "free again");
    }
}
