//! Rows that must go because of what is in them.
//!
//! Only files that have such rows are written anew, and all of a table's are replaced by one entry. What arrives while files are
//! read and written is looked at before the entry is, so that a row that was in the table when the entry landed is gone. Checkpoints
//! stay: what was loaded once is not loaded again.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow_array::types::Date32Type;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_cast::parse::Parser;
use arrow_schema::Schema;
use arrow_select::filter::filter_record_batch;
use deltalake_core::kernel::{Add, LogicalFileView};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::{DestinationError, Micros};
use futures::{StreamExt, TryStreamExt};
use serde_json::json;

use super::change::{Change, changeable};
use super::compact::{Group, Partition, SmallFile, arrow_schema, columns_of, rows_of};
use super::encode::Encoder;
use super::expire::overrun;
use super::failure::failure;
use super::lake::Lake;
use super::lease::{Lease, Leased};

/// How often a table is looked at anew because others wrote to it. Only what they wrote is read.
const ROUNDS: u32 = 64;

/// Says which rows go. Whoever has an engine for SQL implements it.
pub trait RowFilter: Send + Sync {
    /// The columns that it looks at.
    fn columns(&self) -> &[String];
    /// It in SQL, as the table's history is to have it: without the values that are to be forgotten.
    fn shape(&self) -> String;
    /// What the facts in the table's history are called after: `erased` or `expired`.
    fn purpose(&self) -> &'static str;
    /// For each active file of the version that `table` holds, in the order of its log data, whether it may have such rows, by the
    /// log alone.
    ///
    /// # Errors
    /// In words, when that cannot be said.
    fn may_match(&self, table: &DeltaTable) -> Result<Vec<bool>, String>;
    /// Which rows of `batch` go; it has at least [`Self::columns`]. `NULL` is no.
    ///
    /// # Errors
    /// In words, when a value cannot be judged.
    fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray, String>;
}

/// What has gone, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erasure {
    /// Files that were read to find out.
    pub files_read: u64,
    /// Files that had such rows, and left the table.
    pub files: u64,
    /// Bytes in the files that left.
    pub bytes: u64,
    /// The rows.
    pub rows: u64,
    /// Files that were written anew for the rows beside them.
    pub rewritten_files: u64,
    /// Bytes in those files; in a dry run, 0.
    pub rewritten_bytes: u64,
    /// The version that this made, if there was anything to do.
    pub version: Option<i64>,
    /// When that was.
    pub committed_at: Option<Micros>,
}

impl Lake {
    /// Takes the rows that `filter` names out of table `name`. The files stay for readers of older versions until they are vacuumed.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when there is no such table, when it lacks a column, or has rules that this would break; else when
    /// it cannot be read or written, and calling again is harmless.
    pub async fn erase(&self, name: &str, filter: &dyn RowFilter, dry_run: bool) -> Result<Leased<Erasure>, DestinationError> {
        let Some(_lease) = Lease::acquire(self.place(), name)? else { return Ok(Leased::Held) };
        self.erase_unleased(name, filter, dry_run).await.map(Leased::Done)
    }

    /// As [`Self::erase`], without asking whether another process maintains the table. That is safe: an entry is only written when every
    /// active file was looked at.
    ///
    /// # Errors
    /// As for [`Self::erase`].
    pub async fn erase_unleased(&self, name: &str, filter: &dyn RowFilter, dry_run: bool) -> Result<Erasure, DestinationError> {
        let mut seen = Seen::default();
        for _ in 0..ROUNDS {
            let table = changeable(self, name).await?;
            self.look_at(name, &table, filter, dry_run, &mut seen).await?;
            let (mut erasure, change) = seen.entry(&table, filter, self.options.clock.now()).map_err(|error| reading(name, error))?;
            if dry_run || change.removes.is_empty() {
                return Ok(erasure);
            }
            let all_known = |_: &DeltaTable, active: &HashSet<String>| active.iter().all(|path| seen.verdicts.contains_key(path));
            if let Some(version) = self.write_change(name, &change, all_known).await? {
                erasure.version = i64::try_from(version).ok();
                erasure.committed_at = Some(self.options.clock.now());
                return Ok(erasure);
            }
        }
        Err(overrun(name))
    }

    /// Reads the files that are not known yet, and writes anew what has rows that go.
    async fn look_at(
        &self,
        name: &str,
        table: &DeltaTable,
        filter: &dyn RowFilter,
        dry_run: bool,
        seen: &mut Seen,
    ) -> Result<(), DestinationError> {
        let schema = arrow_schema(table).map_err(|error| reading(name, error))?;
        if let Some(missing) = filter.columns().iter().find(|column| schema.field_with_name(column).is_err()) {
            return Err(DestinationError::Refused { problem: format!("table {name} has no column {missing}") });
        }
        let may_match = filter.may_match(table).map_err(|why| unfit(name, &why))?;
        let state = table.snapshot().map_err(|error| reading(name, error))?;
        let partitions = state.metadata().partition_columns().to_vec();
        let encoder = Encoder::new(&schema, partitions.clone(), &self.options.created_by);
        let mut unknown: Vec<(String, Option<Group>)> = Vec::new();
        for (file, may_match) in state.log_data().iter().zip(may_match) {
            if !seen.verdicts.contains_key(file.path().as_ref()) {
                let group = if may_match { Some(group_of(name, &file, &partitions)?) } else { None };
                unknown.push((file.path().into_owned(), group));
            }
        }
        for (path, group) in unknown {
            let verdict = match group {
                None => Verdict::Clean,
                Some(group) => {
                    seen.files_read += 1;
                    self.judge(name, table, &group, filter, &encoder, dry_run).await?
                }
            };
            seen.verdicts.insert(path, verdict);
        }
        Ok(())
    }

    async fn judge(
        &self,
        name: &str,
        table: &DeltaTable,
        group: &Group,
        filter: &dyn RowFilter,
        encoder: &Encoder,
        dry_run: bool,
    ) -> Result<Verdict, DestinationError> {
        // Most files that may have such rows have none: only the columns that count are read first.
        let wanted = encoder.schema().fields().iter().filter(|field| filter.columns().contains(field.name())).cloned();
        let wanted = Arc::new(Schema::new(wanted.collect::<Vec<_>>()));
        let mut batches = columns_of(table.object_store(), group, &wanted);
        // Which rows go is kept, a bit each: the second reading must not come to another result.
        let mut goes: Vec<BooleanArray> = Vec::new();
        let (mut rows, mut all) = (0, 0);
        while let Some(batch) = batches.try_next().await.map_err(|error| reading(name, error))? {
            let these = filter.matches(&batch).map_err(|why| unfit(name, &why))?;
            rows += u64::try_from(these.true_count()).unwrap_or(u64::MAX);
            all += u64::try_from(batch.num_rows()).unwrap_or(u64::MAX);
            goes.push(these);
        }
        if all != group.rows() {
            return Err(unfit(name, &format!("{all} rows were read of {}", group.rows())));
        }
        if rows == 0 {
            return Ok(Verdict::Clean);
        }
        let mut adds = Vec::new();
        if rows < all && !dry_run {
            let _turn = self.encoders.acquire().await;
            adds = rest_of(table, group, goes, encoder).await.map_err(|error| failure(format!("rewrite a file of table {name}"), error))?;
            let kept: Option<u64> = adds.iter().map(rows_in).sum();
            if kept != Some(all - rows) {
                return Err(unfit(name, &format!("{kept:?} rows were kept of {all} less {rows}")));
            }
        }
        Ok(Verdict::Rows { rows, all: rows == all, adds })
    }
}

/// Writes the rows of `group` that do not go.
async fn rest_of(table: &DeltaTable, group: &Group, goes: Vec<BooleanArray>, encoder: &Encoder) -> DeltaResult<Vec<Add>> {
    let mut goes = Rows { of: goes, at: (0, 0) };
    let batches = rows_of(table.object_store(), group, encoder.schema()).map(move |batch| {
        let batch = batch?;
        let stays = goes.next_stay(batch.num_rows())?;
        Ok(filter_record_batch(&batch, &stays)?)
    });
    encoder.encode_to(table.object_store(), batches).await
}

/// Judgements of rows, handed out in pieces of any length.
struct Rows {
    of: Vec<BooleanArray>,
    at: (usize, usize),
}

impl Rows {
    /// Of the next `count` rows, which stay.
    fn next_stay(&mut self, count: usize) -> DeltaResult<BooleanArray> {
        let mut stays = Vec::with_capacity(count);
        while stays.len() < count {
            let Some(judged) = self.of.get(self.at.0) else {
                return Err(DeltaTableError::Generic("a file had more rows when it was read again".to_owned()));
            };
            if self.at.1 == judged.len() {
                self.at = (self.at.0 + 1, 0);
                continue;
            }
            stays.push(!is_true(judged, self.at.1));
            self.at.1 += 1;
        }
        Ok(BooleanArray::from(stays))
    }
}

fn is_true(values: &BooleanArray, row: usize) -> bool {
    use arrow_array::Array as _;
    values.is_valid(row) && values.value(row)
}

/// What is known of a file.
enum Verdict {
    /// None of its rows goes.
    Clean,
    /// So many go, which may be all, and what stays is in new files.
    Rows { rows: u64, all: bool, adds: Vec<Add> },
}

/// Every file that was looked at.
#[derive(Default)]
struct Seen {
    verdicts: HashMap<String, Verdict>,
    files_read: u64,
}

impl Seen {
    /// What one entry does to the files that are active in `table`.
    fn entry(&self, table: &DeltaTable, filter: &dyn RowFilter, now: Micros) -> DeltaResult<(Erasure, Change)> {
        let mut erasure = Erasure { files_read: self.files_read, ..Erasure::default() };
        let (mut removes, mut new) = (Vec::new(), Vec::new());
        for file in table.snapshot()?.log_data().iter() {
            let Some(Verdict::Rows { rows, all, adds }) = self.verdicts.get(file.path().as_ref()) else { continue };
            erasure.files += 1;
            erasure.bytes += u64::try_from(file.size()).unwrap_or_default();
            erasure.rows += rows;
            erasure.rewritten_files += if *all { 0 } else { u64::try_from(adds.len()).unwrap_or_default().max(1) };
            erasure.rewritten_bytes += adds.iter().map(|add| u64::try_from(add.size).unwrap_or_default()).sum::<u64>();
            removes.push(file.remove_action(true));
            new.extend(adds.iter().cloned());
        }
        let mut facts = serde_json::Map::new();
        facts.insert(format!("{}_rows", filter.purpose()), json!(erasure.rows));
        facts.insert(format!("{}_files", filter.purpose()), json!(erasure.files));
        facts.insert("committed_at".to_owned(), json!(now.0));
        let operation = DeltaOperation::Delete { predicate: Some(filter.shape()) };
        Ok((erasure, Change { removes, adds: new, operation, facts }))
    }
}

/// The file as a group of its own.
fn group_of(name: &str, file: &LogicalFileView, partitions: &[String]) -> Result<Group, DestinationError> {
    let (None, Some(rows)) = (file.deletion_vector_descriptor(), file.num_records()) else {
        let problem = format!("table {name} has deletion vectors or files without statistics. Rewrite it with the engine that wrote them");
        return Err(DestinationError::Refused { problem });
    };
    let partition = match partitions {
        [] => Partition::Whole,
        [column] if column == "date" => {
            Partition::Date(file.partition_values_map().remove("date").flatten().and_then(|date| Date32Type::parse(&date)))
        }
        others => {
            let problem = format!("table {name} is partitioned by {others:?}, which Freshet did not make; use the engine that did");
            return Err(DestinationError::Refused { problem });
        }
    };
    Ok(Group { partition, files: vec![SmallFile::of(file, rows, true)] })
}

fn rows_in(add: &Add) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(add.stats.as_ref()?).ok()?.get("numRecords")?.as_u64()
}

fn reading(name: &str, error: DeltaTableError) -> DestinationError {
    failure(format!("read table {name}"), error)
}

fn unfit(name: &str, why: &str) -> DestinationError {
    DestinationError::Refused { problem: format!("rows of table {name} cannot be told apart: {why}. Nothing was changed") }
}
