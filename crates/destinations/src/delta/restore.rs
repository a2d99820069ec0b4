//! A table as it was, as its newest version.
//!
//! Only rows go back. Checkpoints stay where they are: rows that were loaded since are taken away and do not come again by themselves,
//! and rows that come back were loaded once and are not loaded again. Columns that were added since stay, without values.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use deltalake_core::kernel::{Add, LogicalFileView};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::{DeltaResult, DeltaTable};
use freshet_core::DestinationError;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use serde_json::json;

use super::change::{Change, changeable};
use super::expire::overrun;
use super::failure::failure;
use super::history::erasures;
use super::lake::Lake;
use super::lease::{Lease, Leased};

/// How often it is decided anew because others wrote to the table.
const ROUNDS: u32 = 32;

/// Files whose existence is asked after at once.
const HEADS_AT_ONCE: usize = 16;

/// What to go back to.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// The version whose rows are wanted.
    pub version: u64,
    /// Whether rows may come back that were erased since.
    pub undo_erase: bool,
    /// Whether to only say what would happen.
    pub dry_run: bool,
}

/// What has changed, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// The newest version before.
    pub from: u64,
    /// Files that come back.
    pub files_added: u64,
    /// Bytes in them.
    pub bytes_added: u64,
    /// Rows in them, where all files say how many they have.
    pub rows_added: Option<u64>,
    /// Files that go.
    pub files_removed: u64,
    /// Bytes in them.
    pub bytes_removed: u64,
    /// Rows in them, where all files say how many they have.
    pub rows_removed: Option<u64>,
    /// Versions since in which rows were erased, which come back.
    pub undone_erasures: Vec<u64>,
    /// The version that this made, if there was anything to do.
    pub version: Option<u64>,
}

impl Lake {
    /// Makes the rows of an earlier version of table `name` those of a new one. Checkpoints stay.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when there is no such table or version, when files that it needs were vacuumed, when it would bring
    /// back what was erased, or when the table has rules that this would break; else when it cannot be read or written, and calling
    /// again is harmless.
    pub async fn restore(&self, name: &str, options: &RestoreOptions) -> Result<Leased<Restored>, DestinationError> {
        let Some(_lease) = Lease::acquire(self.place(), name)? else { return Ok(Leased::Held) };
        let target = self.load_at(name, options.version).await?;
        let mut present = HashSet::new();
        for _ in 0..ROUNDS {
            let current = changeable(self, name).await?;
            let (mut restored, change) = difference(name, &current, &target, options.version)?;
            restored.undone_erasures = self.erased_since(name, &current, options).await?;
            if change.removes.is_empty() && change.adds.is_empty() {
                return Ok(Leased::Done(restored));
            }
            all_present(name, current.object_store(), &change.adds, options.version, &mut present).await?;
            if options.dry_run {
                return Ok(Leased::Done(restored));
            }
            // What came since would stay beside what is restored.
            let decided_on = current.version();
            if let Some(version) = self.write_change(name, &change, |table, _| table.version() == decided_on).await? {
                restored.version = Some(version);
                return Ok(Leased::Done(restored));
            }
        }
        Err(overrun(name))
    }

    async fn erased_since(&self, name: &str, current: &DeltaTable, options: &RestoreOptions) -> Result<Vec<u64>, DestinationError> {
        let last = current.version().unwrap_or_default();
        let erased = erasures(current.object_store().as_ref(), options.version + 1, last).await;
        let erased = erased.map_err(|error| failure(format!("read the history of table {name}"), error))?;
        match erased.first() {
            Some(first) if !options.undo_erase => Err(DestinationError::Refused {
                problem: format!(
                    "rows of table {name} were erased in version {first}, and version {} still has them. Restore {first} or later, or say --undo-erase",
                    options.version
                ),
            }),
            _ => Ok(erased),
        }
    }
}

/// What has to go and to come for `current` to have the rows of `target`.
fn difference(name: &str, current: &DeltaTable, target: &DeltaTable, version: u64) -> Result<(Restored, Change), DestinationError> {
    let failed = |error| failure(format!("read table {name}"), error);
    let refused = |problem: String| Err(DestinationError::Refused { problem });
    let (now, then) = (current.snapshot().map_err(failed)?, target.snapshot().map_err(failed)?);
    let (metadata, before) = (now.metadata(), then.metadata());
    if metadata.id() != before.id() || metadata.partition_columns() != before.partition_columns() {
        return refused(format!("table {name} was made anew after version {version}, which is of another table"));
    }
    let schema = now.schema();
    if let Some(field) =
        then.schema().fields().find(|field| schema.field(field.name()).is_none_or(|now| now.data_type() != field.data_type()))
    {
        return refused(format!("column {} of version {version} of table {name} is another one now, or gone", field.name()));
    }
    let (active, wanted) = (files_of(current).map_err(failed)?, files_of(target).map_err(failed)?);
    let all = || active.values().chain(wanted.values());
    if all().any(|file| file.deletion_vector_descriptor().is_some()) {
        return refused(format!("table {name} has deletion vectors; restore it with the engine that wrote them"));
    }
    let mut restored = Restored { from: now.version(), rows_added: Some(0), rows_removed: Some(0), ..Restored::default() };
    let (mut removes, mut adds) = (Vec::new(), Vec::new());
    for (_, file) in active.iter().filter(|(path, _)| !wanted.contains_key(*path)) {
        restored.files_removed += 1;
        restored.bytes_removed += u64::try_from(file.size()).unwrap_or_default();
        restored.rows_removed = with_rows(restored.rows_removed, file);
        removes.push(file.remove_action(true));
    }
    for (_, file) in wanted.iter().filter(|(path, _)| !active.contains_key(*path)) {
        restored.files_added += 1;
        restored.bytes_added += u64::try_from(file.size()).unwrap_or_default();
        restored.rows_added = with_rows(restored.rows_added, file);
        adds.push(add_of(file));
    }
    let facts = serde_json::Map::from_iter([("restored_version".to_owned(), json!(version))]);
    let operation = DeltaOperation::Restore { version: Some(version), datetime: None };
    Ok((restored, Change { removes, adds, operation, facts }))
}

fn files_of(table: &DeltaTable) -> DeltaResult<HashMap<String, LogicalFileView>> {
    Ok(table.snapshot()?.log_data().into_iter().map(|file| (file.path().into_owned(), file)).collect())
}

fn with_rows(sum: Option<u64>, file: &LogicalFileView) -> Option<u64> {
    Some(sum? + u64::try_from(file.num_records()?).ok()?)
}

#[expect(deprecated, reason = "the log's own form is the one that a table is restored from")]
fn add_of(file: &LogicalFileView) -> Add {
    file.add_action()
}

/// Refuses when a file is no longer there. Those that are, are kept in `present`.
async fn all_present(
    name: &str,
    store: Arc<dyn ObjectStore>,
    adds: &[Add],
    version: u64,
    present: &mut HashSet<String>,
) -> Result<(), DestinationError> {
    let unknown: Vec<String> = adds.iter().map(|add| add.path.clone()).filter(|path| !present.contains(path)).collect();
    let asked = stream::iter(unknown).map(|path| {
        let store = Arc::clone(&store);
        async move {
            match store.head(&Path::parse(&path)?).await {
                Ok(_) => Ok((path, true)),
                Err(object_store::Error::NotFound { .. }) => Ok((path, false)),
                Err(error) => Err(error),
            }
        }
    });
    let asked: Vec<(String, bool)> = asked
        .buffer_unordered(HEADS_AT_ONCE)
        .try_collect()
        .await
        .map_err(|error| failure(format!("look for files of table {name}"), error))?;
    let missing = asked.iter().filter(|(_, is_there)| !is_there).count();
    if missing > 0 {
        let problem = format!(
            "version {version} of table {name} cannot be restored: {missing} of its files were deleted by vacuum. Nothing was changed"
        );
        return Err(DestinationError::Refused { problem });
    }
    present.extend(asked.into_iter().map(|(path, _)| path));
    Ok(())
}
