//! Objects with a key: what has changed takes the place of what was, in one entry of the log.
//!
//! Only files that hold a row which changes are written anew, and nothing is written when nothing has changed. The table is read
//! for each merge: it is the only thing that knows what it holds after a crash or another writer's commit. Where objects only ever come
//! and never change, its keys are enough, and one batch of them at a time.

mod compare;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::Schema;
use async_trait::async_trait;
use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::protocol::{DeltaOperation, MergePredicate, OutputMode};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::{Committed, DestinationError, Merge, MergeMode, Merged, Micros, Mirror, Position, ShardId, TableDef, VALID_TO};
use futures::TryStreamExt as _;
use serde_json::{Value, json};
use uuid::Uuid;

use self::compare::{Compared, Unknown, compare};
use super::commit::put_files;
use super::compact::{Group, Partition, SmallFile, arrow_schema, columns_of, rows_of};
use super::encode::{EncodedFile, Encoder};
use super::failure::{failure, is_conflict};
use super::lake::{Lake, OpenTable};
use super::log::{self, FACTS_KEY};
use super::prepare::quiet;

/// Attempts of one merge against others that commit to the same table.
const ATTEMPTS: u32 = 8;

/// Bytes of a table's files, as compressed, that a merge of objects which change reads into memory. Ten million objects or so; beyond
/// that another engine has to keep the table.
pub const MERGE_BYTES_MAX: u64 = 1 << 30;

impl Lake {
    /// Brings the objects of `merge` into their table. Safe to repeat: what is there already is left as it is.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when the table is too large or is partitioned, which matters to rows that change, or has rows that
    /// only an engine with deletion vectors can tell from deleted ones; else when files cannot be read or written.
    pub async fn merge(&self, merge: &Merge) -> Result<Merged, DestinationError> {
        let name = merge.table.name;
        let slot = self.slot(name);
        let mut tried: Option<Try> = None;
        let mut tries = 0;
        loop {
            tries += 1;
            let mut slot = slot.lock().await;
            if self.refresh(name, &mut slot).await?.is_none() {
                self.prepare_table(merge.table, &mut slot).await?;
            }
            let Some(open) = self.refresh(name, &mut slot).await? else {
                return Err(DestinationError::Refused { problem: format!("table {name} was removed while objects were merged into it") });
            };
            if let Some(tried) = &tried
                && let Some(merged) = tried.found_in(open).await.map_err(|error| failure(format!("read the log of table {name}"), error))?
            {
                self.settle(name).await?;
                return Ok(merged);
            }
            let only_adds = merge.mode == MergeMode::IfNew;
            let files = if only_adds { all_files_of(merge.table, &open.table)? } else { files_of(merge.table, &open.table)? };
            let prepared = self.prepare_merge(merge, &open.table, &files).await;
            let (compared, encoded) = prepared.map_err(|error| failure(format!("merge objects into table {name}"), error))?;
            let moved = moved(&merge.bookmarks, open);
            if compared.touched.is_empty() && compared.rows.is_empty() && moved.is_empty() {
                return Ok(compared.counts);
            }
            let this = tried.insert(Try { id: Uuid::new_v4(), version: open.version(), counts: compared.counts.clone() });
            let error = match self
                .replace_objects(merge, open, Replacement { files: &files, compared: &compared, encoded: &encoded, moved }, this.id)
                .await
            {
                Ok(committed) => return Ok(Merged { committed: Some(committed), ..compared.counts }),
                Err(error) => error,
            };
            // The entry may be there all the same: nothing we know about the table counts any more.
            *slot = None;
            if tries == ATTEMPTS || !(is_conflict(&error) || tries == 1) {
                return Err(failure(format!("merge objects into table {name}"), error));
            }
            tracing::debug!(table = name, attempt = tries, %error, "merge did not get through");
        }
    }

    /// Reads the table, compares, and writes what is to come into files that nobody sees yet.
    async fn prepare_merge(&self, merge: &Merge, table: &DeltaTable, files: &[Group]) -> DeltaResult<(Compared, Vec<EncodedFile>)> {
        let partitions = table.snapshot()?.metadata().partition_columns().to_vec();
        let encoder = Encoder::new(&arrow_schema(table)?, partitions, &self.options.created_by);
        let schema = Arc::clone(encoder.schema());
        let fitted: DeltaResult<Vec<RecordBatch>> = merge.batches.iter().map(|batch| fit(batch, &encoder)).collect();
        let merge = Merge { batches: fitted?, ..merge.clone() };
        let compared = if merge.mode == MergeMode::IfNew {
            let mut unknown = Unknown::new(merge, &schema)?;
            let key = unknown.key_schema(&schema)?;
            for file in files {
                let mut keys = columns_of(table.object_store(), file, &key);
                while let Some(keys) = keys.try_next().await? {
                    unknown.known(&keys)?;
                }
            }
            unknown.finish()?
        } else {
            let mut current: Vec<Vec<RecordBatch>> = Vec::with_capacity(files.len());
            for file in files {
                current.push(rows_of(table.object_store(), file, &schema).try_collect().await?);
            }
            tokio::task::spawn_blocking(move || compare(&current, &merge, &schema))
                .await
                .map_err(|error| DeltaTableError::Generic(format!("comparing objects stopped: {error}")))??
        };
        let _turn = self.encoders.acquire().await;
        let mut encoded = encoder.encode(compared.rows.clone()).await?;
        encoded.extend(encoder.encode(compared.past.clone()).await?);
        Ok((compared, encoded))
    }

    /// Those of `columns` that `table` has, of all its rows; nothing when the table does not exist.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub async fn objects(&self, table: &'static TableDef, columns: &[&str]) -> Result<Vec<RecordBatch>, DestinationError> {
        let slot = self.slot(table.name);
        let mut slot = slot.lock().await;
        let Some(open) = self.refresh(table.name, &mut slot).await? else { return Ok(Vec::new()) };
        let files = files_of(table, &open.table)?;
        rows_in(&open.table, &files, columns).await.map_err(|error| failure(format!("read table {}", table.name), error))
    }

    /// Id and newest version of the table `name`: as long as both are the same, so are its rows. Nothing when there is no such table.
    ///
    /// # Errors
    /// The table's log cannot be read.
    pub async fn standing(&self, name: &str) -> Result<Option<(String, u64)>, DestinationError> {
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        let Some(open) = self.refresh(name, &mut slot).await? else { return Ok(None) };
        let state = open.table.snapshot().map_err(|error| failure(format!("read table {name}"), error))?;
        Ok(Some((state.metadata().id().to_owned(), open.version())))
    }

    /// The bookmarks of `table` that begin with `prefix`: how far each source was read, by the table's own word.
    ///
    /// # Errors
    /// The table's log cannot be read.
    pub async fn bookmarks(&self, table: &'static TableDef, prefix: &str) -> Result<BTreeMap<String, Position>, DestinationError> {
        let slot = self.slot(table.name);
        let mut slot = slot.lock().await;
        Ok(self.refresh(table.name, &mut slot).await?.map(|open| open.positions.below(prefix)).unwrap_or_default())
    }

    /// Sets bookmarks to what is wanted, also backwards.
    ///
    /// # Errors
    /// The table does not exist, or its log cannot be written.
    pub async fn set_bookmarks(&self, table: &'static TableDef, bookmarks: &[(ShardId, Position)]) -> Result<(), DestinationError> {
        let name = table.name;
        let slot = self.slot(name);
        let mut slot = slot.lock().await;
        let Some(open) = self.refresh(name, &mut slot).await? else {
            return Err(DestinationError::Refused {
                problem: format!("there is no table {name}, and so nothing to remember; sync it first"),
            });
        };
        let properties = quiet().with_application_transactions(transactions(bookmarks, self.options.clock.now()));
        let operation = DeltaOperation::StreamingUpdate { output_mode: OutputMode::Update, query_id: "bookmarks".to_owned(), epoch_id: 0 };
        let set = async {
            let snapshot = open.table.snapshot()?;
            CommitBuilder::from(properties).build(Some(snapshot), open.table.log_store(), operation).await
        };
        let ended = set.await;
        // The next look at the table reads what there is.
        *slot = None;
        ended.map(|_| ()).map_err(|error| failure(format!("set bookmarks of table {name}"), error))
    }

    async fn replace_objects(&self, merge: &Merge, open: &mut OpenTable, with: Replacement<'_>, id: Uuid) -> DeltaResult<Committed> {
        let Replacement { files, compared, encoded, moved } = with;
        put_files(&open.table, encoded).await?;
        let mut committed = Committed {
            load_id: merge.load_id.to_string(),
            rows: i64::try_from(compared.counts.inserted + compared.counts.updated + compared.counts.deleted).unwrap_or(i64::MAX),
            files: i64::try_from(encoded.len()).unwrap_or(i64::MAX),
            bytes: encoded.iter().map(|file| file.add.size).sum(),
            ts_range: None,
            committed_at: self.options.clock.now(),
            version: 0,
        };
        let removes = compared.touched.iter().flat_map(|index| &files[*index].files).map(|file| Action::Remove(file.remove.clone()));
        let adds = encoded.iter().map(|file| Action::Add(file.add.clone()));
        // No retries: the rows were compared with this version, and no check of delta-rs's would say so of a later one.
        let properties = quiet()
            .with_max_retries(0)
            .with_application_transactions(transactions(&moved, committed.committed_at))
            .with_metadata([("isBlindAppend".to_owned(), json!(false)), (FACTS_KEY.to_owned(), log::facts(&committed, id))]);
        let finished = CommitBuilder::from(properties)
            .with_actions(removes.chain(adds).collect())
            .build(Some(open.table.snapshot()?), open.table.log_store(), operation(merge))
            .await?;
        committed.version = i64::try_from(finished.version).unwrap_or(i64::MAX);
        open.table.state = Some(finished.snapshot);
        open.positions.advance(open.table.object_store().as_ref(), finished.version).await?;
        Ok(committed)
    }
}

#[async_trait]
impl Mirror for Lake {
    async fn objects(&self, table: &'static TableDef, columns: &[&str]) -> Result<Vec<RecordBatch>, DestinationError> {
        self.objects(table, columns).await
    }

    async fn standing(&self, table: &str) -> Result<Option<(String, u64)>, DestinationError> {
        self.standing(table).await
    }

    async fn bookmarks(&self, table: &'static TableDef, prefix: &str) -> Result<BTreeMap<String, Position>, DestinationError> {
        self.bookmarks(table, prefix).await
    }

    async fn set_bookmarks(&self, table: &'static TableDef, bookmarks: &[(ShardId, Position)]) -> Result<(), DestinationError> {
        self.set_bookmarks(table, bookmarks).await
    }
}

async fn rows_in(table: &DeltaTable, files: &[Group], columns: &[&str]) -> DeltaResult<Vec<RecordBatch>> {
    let schema = arrow_schema(table)?;
    let wanted = schema.fields().iter().filter(|field| columns.contains(&field.name().as_str())).cloned();
    let schema = Arc::new(Schema::new(wanted.collect::<Vec<_>>()));
    let mut batches = Vec::new();
    for file in files {
        batches.extend(columns_of(table.object_store(), file, &schema).try_collect::<Vec<_>>().await?);
    }
    Ok(batches)
}

/// What takes the place of what, in one entry.
struct Replacement<'a> {
    files: &'a [Group],
    compared: &'a Compared,
    encoded: &'a [EncodedFile],
    moved: Vec<(ShardId, Position)>,
}

/// The bookmarks that go forward.
fn moved(bookmarks: &[(ShardId, Position)], open: &OpenTable) -> Vec<(ShardId, Position)> {
    bookmarks.iter().filter(|(shard, position)| open.positions.of(shard).is_none_or(|known| known < *position)).cloned().collect()
}

fn transactions(bookmarks: &[(ShardId, Position)], now: Micros) -> Vec<Transaction> {
    let transaction = |(shard, position): &(ShardId, Position)| {
        Transaction::new_with_last_update(shard.as_str(), i64::try_from(*position).unwrap_or(i64::MAX), Some(now.0 / 1000))
    };
    bookmarks.iter().map(transaction).collect()
}

/// An attempt whose end is not known.
struct Try {
    id: Uuid,
    /// The version before it.
    version: u64,
    counts: Merged,
}

impl Try {
    async fn found_in(&self, open: &OpenTable) -> DeltaResult<Option<Merged>> {
        let found = log::commit_of(open.table.object_store().as_ref(), self.id, self.version + 1, open.version()).await?;
        Ok(found.map(|committed| Merged { committed: Some(committed), ..self.counts.clone() }))
    }
}

/// Each active file of a table that is small enough and has no partitions. Files that hold nothing but versions that have ended are
/// left out.
fn files_of(def: &TableDef, table: &DeltaTable) -> Result<Vec<Group>, DestinationError> {
    let name = def.name;
    let refused = |problem: String| Err(DestinationError::Refused { problem });
    let state = table.snapshot().map_err(|error| failure(format!("read table {name}"), error))?;
    if !state.metadata().partition_columns().is_empty() {
        return refused(format!("table {name} is partitioned, which tables of objects are not; move it away, and it is made anew"));
    }
    let files = all_files_of(def, table)?;
    let bytes: u64 = files.iter().map(Group::bytes).sum();
    if bytes > MERGE_BYTES_MAX {
        return refused(format!(
            "table {name} has {bytes} bytes, and a merge reads {MERGE_BYTES_MAX} at most. Move it away, and it is made anew"
        ));
    }
    Ok(files)
}

/// Each active file of a table, however many there are.
fn all_files_of(def: &TableDef, table: &DeltaTable) -> Result<Vec<Group>, DestinationError> {
    let name = def.name;
    let keeps_versions = def.columns.iter().any(|column| column.name == VALID_TO);
    let state = table.snapshot().map_err(|error| failure(format!("read table {name}"), error))?;
    let mut files = Vec::new();
    for file in state.log_data().iter() {
        let (None, Some(rows)) = (file.deletion_vector_descriptor(), file.num_records()) else {
            let problem =
                format!("table {name} has deletion vectors or files without statistics. Rewrite it with the engine that wrote them");
            return Err(DestinationError::Refused { problem });
        };
        if keeps_versions && file.stats().is_some_and(|stats| all_have(VALID_TO, &stats)) {
            continue;
        }
        files.push(Group { partition: Partition::Whole, files: vec![SmallFile::of(&file, rows, true)] });
    }
    Ok(files)
}

/// Whether every row has a value in `column`, by a file's statistics.
fn all_have(column: &str, stats: &str) -> bool {
    let stats: Value = serde_json::from_str(stats).unwrap_or_default();
    stats["nullCount"][column].as_u64() == Some(0)
}

/// The columns in the table's order; those that the objects do not have are NULL.
fn fit(batch: &RecordBatch, encoder: &Encoder) -> DeltaResult<RecordBatch> {
    let column = |field: &arrow_schema::FieldRef| match batch.column_by_name(field.name()) {
        Some(column) => Arc::clone(column),
        None => arrow_array::new_null_array(field.data_type(), batch.num_rows()),
    };
    Ok(RecordBatch::try_new(Arc::clone(encoder.schema()), encoder.schema().fields().iter().map(column).collect())?)
}

/// What the table's own history says of it.
fn operation(merge: &Merge) -> DeltaOperation {
    let on: Vec<String> = merge.key.iter().map(|column| format!("target.{column} = source.{column}")).collect();
    let then = |action: &str| vec![MergePredicate { action_type: action.to_owned(), predicate: None }];
    DeltaOperation::Merge {
        predicate: None,
        merge_predicate: Some(on.join(" AND ")),
        matched_predicates: then("update"),
        not_matched_predicates: then("insert"),
        not_matched_by_source_predicates: then("update"),
    }
}
