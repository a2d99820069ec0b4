//! Merging small files, so that a day of commits does not leave thousands.
//!
//! Bin packing of our own: delta-rs lets two compactions of the same files both succeed, which doubles their rows, and may
//! rewrite middling files for ever. Here an entry that replaces files is only ever written onto the version in which they
//! were seen active, and what comes out of a merge counts as small only while it is worth merging again.

mod merge;
mod plan;

use std::collections::HashSet;

use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::{DestinationError, Micros};
use serde_json::json;

pub(super) use self::merge::{columns_of, rows_of};
use self::plan::plan;
pub(super) use self::plan::{Group, Partition, SmallFile, arrow_schema};
use super::encode::Encoder;
use super::failure::failure;
use super::lake::{Lake, OpenTable};
use super::lease::{Lease, Leased};
use super::log::FACTS_KEY;
use super::prepare::quiet;

/// Attempts to write the entry of one merge while others commit to the same table.
const ATTEMPTS: u32 = 16;

/// When and how far to merge.
#[derive(Clone, Debug)]
pub struct CompactionOptions {
    /// The size that merged files are packed up to, in bytes. 128 MiB by default. One such file is held in memory.
    pub target_bytes: u64,
    /// Files below this size are small, in bytes. Half the target by default.
    pub small_bytes: u64,
    /// Small files from which on a closed partition is merged: one whose date is past. 4 by default.
    pub closed_files_min: usize,
    /// Small files from which on a partition is merged that still grows, or a table without partitions. 50 by default.
    pub open_files_min: usize,
    /// The target in a partition that still grows, in bytes; what is half as large is left for when it is closed. 32 MiB by default.
    pub open_target_bytes: u64,
    /// Whether to treat every partition as closed and merge from two small files on.
    pub all: bool,
    /// Whether to only say what would be merged.
    pub dry_run: bool,
}

impl Default for CompactionOptions {
    fn default() -> Self {
        Self {
            target_bytes: 128 << 20,
            small_bytes: 64 << 20,
            closed_files_min: 4,
            open_files_min: 50,
            open_target_bytes: 32 << 20,
            all: false,
            dry_run: false,
        }
    }
}

/// What was merged, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compaction {
    /// Partitions with something to merge.
    pub partitions: u64,
    /// Files that were replaced.
    pub files_before: u64,
    /// Files that replaced them.
    pub files_after: u64,
    /// Bytes in the replaced files.
    pub bytes_before: u64,
    /// Bytes in the new files; in a dry run, as many as before.
    pub bytes_after: u64,
    /// Rows in both.
    pub rows: u64,
    /// Merges that were given up because somebody else had replaced the files.
    pub given_up: u64,
}

impl Lake {
    /// Merges small files of table `name`. Rows and checkpoints stay as they are; readers see either all old files of a
    /// merge or the new one.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when there is no such table, or when rows were about to change in number, in which
    /// case nothing was committed; else when files cannot be read or written.
    pub async fn compact(&self, name: &str, options: &CompactionOptions) -> Result<Leased<Compaction>, DestinationError> {
        let Some(_lease) = Lease::acquire(self.place(), name)? else { return Ok(Leased::Held) };
        self.compact_unleased(name, options).await.map(Leased::Done)
    }

    /// As [`Self::compact`], without asking whether another process is at it. Two at once are safe: at most one merge of
    /// the same files lands, and the other is given up.
    ///
    /// # Errors
    /// As for [`Self::compact`].
    pub async fn compact_unleased(&self, name: &str, options: &CompactionOptions) -> Result<Compaction, DestinationError> {
        let failed = |error: DeltaTableError| failure(format!("merge files of table {name}"), error);
        let Some(table) = self.load(name).await? else {
            return Err(DestinationError::Refused { problem: format!("there is no table {name} in {}", self.place()) });
        };
        let groups = plan(name, &table, options, self.options.clock.now())?;
        let mut report = Compaction {
            partitions: u64::try_from(groups.iter().map(|group| &group.partition).collect::<HashSet<_>>().len()).unwrap_or(u64::MAX),
            ..Compaction::default()
        };
        for group in groups {
            if options.dry_run {
                report.add(&group, group.bytes());
                continue;
            }
            let adds = self.rewrite(&table, &group).await.map_err(failed)?;
            let (rows, bytes) = (rows_in(&adds), adds.iter().map(|add| u64::try_from(add.size).unwrap_or_default()).sum());
            if rows != Some(group.rows()) {
                let problem = format!("merging files of table {name} made {rows:?} rows of {}; nothing was committed", group.rows());
                return Err(DestinationError::Refused { problem });
            }
            if self.replace(name, &group, adds, options).await? {
                tracing::info!(table = name, files = group.files.len(), bytes, "merged small files");
                report.add(&group, bytes);
            } else {
                tracing::warn!(table = name, files = group.files.len(), "merge given up, somebody else replaced the files");
                report.given_up += 1;
            }
        }
        Ok(report)
    }

    /// Writes the file that is to replace `group`.
    async fn rewrite(&self, table: &DeltaTable, group: &Group) -> DeltaResult<Vec<Add>> {
        let partitions = table.snapshot()?.metadata().partition_columns().to_vec();
        let encoder = Encoder::new(&arrow_schema(table)?, partitions, &self.options.created_by);
        let rows = rows_of(table.object_store(), group, encoder.schema());
        let adds = encoder.encode_to(table.object_store(), rows).await?;
        Ok(adds.into_iter().map(|add| Add { data_change: false, ..add }).collect())
    }

    /// Replaces the files of `group` by `adds` in one entry of the log; false when they were replaced by others.
    async fn replace(&self, name: &str, group: &Group, adds: Vec<Add>, options: &CompactionOptions) -> Result<bool, DestinationError> {
        let slot = self.slot(name);
        let mut last_error = None;
        for _ in 0..ATTEMPTS {
            let mut slot = slot.lock().await;
            let Some(open) = self.refresh(name, &mut slot).await? else { return Ok(false) };
            let active: HashSet<String> = match open.table.snapshot() {
                Ok(state) => state.log_data().iter().map(|file| file.path().into_owned()).collect(),
                Err(error) => return Err(failure(format!("read table {name}"), error)),
            };
            if adds.iter().all(|add| active.contains(&add.path)) {
                // An attempt that looked like a failure had landed.
                return Ok(true);
            }
            if !group.files.iter().all(|file| active.contains(&file.path)) {
                return Ok(false);
            }
            match write_replacement(open, group, &adds, options, self.options.clock.now()).await {
                Ok(()) => return Ok(true),
                Err(error) => {
                    tracing::debug!(table = name, %error, "replacing files did not get through");
                    *slot = None;
                    last_error = Some(error);
                }
            }
        }
        match last_error {
            Some(error) => Err(failure(format!("merge files of table {name}"), error)),
            None => Ok(false),
        }
    }
}

async fn write_replacement(open: &mut OpenTable, group: &Group, adds: &[Add], options: &CompactionOptions, now: Micros) -> DeltaResult<()> {
    let facts = json!({ "compacted_files": group.files.len(), "compacted_rows": group.rows(), "committed_at": now.0 });
    // No retries: the files were seen active in this version, and no check of delta-rs's would say so of a later one.
    let properties = quiet().with_max_retries(0).with_metadata([("isBlindAppend".to_owned(), json!(false)), (FACTS_KEY.to_owned(), facts)]);
    let removes = group.files.iter().map(|file| Action::Remove(file.remove.clone()));
    let target_size = i64::try_from(options.target_bytes).unwrap_or(i64::MAX);
    let finished = CommitBuilder::from(properties)
        .with_actions(removes.chain(adds.iter().cloned().map(Action::Add)).collect())
        .build(Some(open.table.snapshot()?), open.table.log_store(), DeltaOperation::Optimize { predicate: None, target_size })
        .await?;
    open.table.state = Some(finished.snapshot);
    open.positions.advance(open.table.object_store().as_ref(), finished.version).await
}

impl Compaction {
    fn add(&mut self, group: &Group, bytes_after: u64) {
        self.files_before += u64::try_from(group.files.len()).unwrap_or(u64::MAX);
        self.files_after += 1;
        self.bytes_before += group.bytes();
        self.bytes_after += bytes_after;
        self.rows += group.rows();
    }
}

/// Rows that the statistics of `adds` count, if all of them do.
fn rows_in(adds: &[Add]) -> Option<u64> {
    let rows = |add: &Add| serde_json::from_str::<serde_json::Value>(add.stats.as_ref()?).ok()?.get("numRecords")?.as_u64();
    adds.iter().map(rows).sum()
}
