//! One package, one entry of the log, once.

use std::sync::Arc;
use std::time::Duration;

use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Transaction};
use deltalake_core::protocol::{DeltaOperation, OutputMode};
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::{CommitOutcome, Committed, DestinationError, Package};
use futures::{StreamExt, TryStreamExt};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use serde_json::json;
use uuid::Uuid;

use super::encode::{EncodedFile, Encoder};
use super::failure::{failure, is_conflict};
use super::lake::{Lake, OpenTable};
use super::log::{self, FACTS_KEY};
use super::prepare::quiet;
use crate::spans::{Spans, Standing};

/// Attempts of one call against others that commit to the same table. Each lets delta-rs retry fifteen times itself.
const ATTEMPTS: u32 = 8;

/// The wait before the second attempt; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// Files written at once: a package has one per partition it touches.
const WRITES_AT_ONCE: usize = 4;

impl Lake {
    pub(super) async fn commit_package(&self, package: &Package) -> Result<CommitOutcome, DestinationError> {
        let name = package.table.name;
        let spans = Spans::of(package)?;
        let slot = self.slot(name);
        let mut attempt = Attempt { package, spans: &spans, id: Uuid::new_v4(), stored: false, first_seen: None };
        let mut encoded: Option<Vec<EncodedFile>> = None;
        let mut tries = 0;
        loop {
            let mut slot = slot.lock().await;
            let open = match self.refresh(name, &mut slot).await? {
                Some(open) => open,
                None => {
                    self.prepare_table(package.table, &mut slot).await?;
                    continue;
                }
            };
            match spans.judge(|shard| open.positions.of(shard)) {
                Standing::Beyond => {
                    self.settle(name).await?;
                    return attempt.found_there(open).await.map_err(|error| failure(format!("read the log of table {name}"), error));
                }
                Standing::Within => return Ok(CommitOutcome::Overtaken),
                Standing::Before => {}
            }
            let Some(files) = &encoded else {
                // Most of the work, and none that others who want to know the table's positions should wait for.
                drop(slot);
                encoded = Some(self.encode(package).await.map_err(|error| failure(format!("write to table {name}"), error))?);
                continue;
            };
            tries += 1;
            let error = match self.attempt(&mut attempt, files, open).await {
                Ok(committed) => return Ok(CommitOutcome::Committed(committed)),
                Err(error) => error,
            };
            // The entry may be there all the same: nothing we know about the table counts any more.
            *slot = None;
            let conflict = is_conflict(&error);
            if !conflict || tries == ATTEMPTS {
                return self.after_error(&attempt, &mut slot, error).await;
            }
            drop(slot);
            tracing::debug!(table = name, attempt = tries, %error, "commit conflicted");
            tokio::time::sleep(wait(package, tries)).await;
        }
    }

    /// After an error that another attempt would not mend: is the package there all the same?
    async fn after_error(
        &self,
        attempt: &Attempt<'_>,
        slot: &mut Option<OpenTable>,
        error: DeltaTableError,
    ) -> Result<CommitOutcome, DestinationError> {
        let name = attempt.package.table.name;
        if let Ok(Some(open)) = self.refresh(name, slot).await
            && attempt.spans.judge(|shard| open.positions.of(shard)) == Standing::Beyond
            && let Ok(outcome) = attempt.found_there(open).await
        {
            self.settle(name).await?;
            tracing::warn!(table = name, %error, "commit failed after it had landed");
            return Ok(outcome);
        }
        Err(failure(format!("write to table {name}"), error))
    }

    /// Stores the files, unless an earlier attempt has, and one entry that names them and the positions. Nobody sees the
    /// files until the entry names them.
    async fn attempt(&self, attempt: &mut Attempt<'_>, files: &[EncodedFile], open: &mut OpenTable) -> DeltaResult<Committed> {
        let package = attempt.package;
        if !attempt.stored {
            put_files(&open.table, files).await?;
            attempt.stored = true;
        }
        attempt.first_seen.get_or_insert(open.version());
        let now = self.options.clock.now();
        let mut committed = Committed {
            load_id: package.load_id.to_string(),
            rows: i64::try_from(package.rows()).unwrap_or(i64::MAX),
            files: i64::try_from(files.len()).unwrap_or(i64::MAX),
            bytes: files.iter().map(|file| file.add.size).sum(),
            ts_range: package.ts_range,
            committed_at: now,
            version: 0,
        };
        let operation = DeltaOperation::StreamingUpdate {
            output_mode: OutputMode::Append,
            query_id: committed.load_id.clone(),
            epoch_id: attempt.spans.0.values().map(|ends| ends.to).max().unwrap_or_default(),
        };
        let properties = quiet()
            .with_application_transactions(transactions(attempt.spans, now.0 / 1000))
            // Without `isBlindAppend`, Spark's own MERGE and DELETE would give way to every append.
            .with_metadata([("isBlindAppend".to_owned(), json!(true)), (FACTS_KEY.to_owned(), log::facts(&committed, attempt.id))]);
        let finished = CommitBuilder::from(properties)
            .with_actions(files.iter().map(|file| Action::Add(file.add.clone())).collect())
            .build(Some(open.table.snapshot()?), open.table.log_store(), operation)
            .await?;
        committed.version = i64::try_from(finished.version).unwrap_or(i64::MAX);
        open.table.state = Some(finished.snapshot);
        open.positions.advance(open.table.object_store().as_ref(), finished.version).await?;
        Ok(committed)
    }

    async fn encode(&self, package: &Package) -> DeltaResult<Vec<EncodedFile>> {
        let partitions = package.table.partition_column().map(str::to_owned).into_iter().collect();
        let encoder = Encoder::new(&package.table.arrow_schema(), partitions, &self.options.created_by);
        let _turn = self.encoders.acquire().await;
        encoder.encode(package.batches.clone()).await
    }
}

/// Stores encoded files below the table's root.
pub(super) async fn put_files(table: &DeltaTable, files: &[EncodedFile]) -> DeltaResult<()> {
    let store = table.object_store();
    let mut writes = Vec::with_capacity(files.len());
    for file in files {
        let (store, path, bytes) = (Arc::clone(&store), Path::parse(&file.add.path)?, file.bytes.clone());
        writes.push(async move { store.put(&path, bytes.into()).await });
    }
    futures::stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).try_for_each(|_| async { Ok(()) }).await?;
    Ok(())
}

/// What one call to commit carries from attempt to attempt.
struct Attempt<'call> {
    package: &'call Package,
    spans: &'call Spans<'call>,
    /// Tells our entry from that of another process with the same package.
    id: Uuid,
    /// Whether the files are below the table's root.
    stored: bool,
    /// The version before the first entry that we tried to write.
    first_seen: Option<u64>,
}

impl Attempt<'_> {
    /// The package is in the table: by an attempt of this call that looked like a failure, or from before.
    async fn found_there(&self, open: &OpenTable) -> DeltaResult<CommitOutcome> {
        let Some(first_seen) = self.first_seen else { return Ok(CommitOutcome::AlreadyThere) };
        let ours = log::commit_of(open.table.object_store().as_ref(), self.id, first_seen + 1, open.version()).await?;
        Ok(ours.map_or(CommitOutcome::AlreadyThere, CommitOutcome::Committed))
    }
}

/// The spans as actions of the log.
fn transactions(spans: &Spans<'_>, now_ms: i64) -> Vec<Transaction> {
    spans.0.iter().map(|(shard, ends)| Transaction::new_with_last_update(shard, ends.to, Some(now_ms))).collect()
}

/// The wait after failed attempt `tries`: doubling, with up to as much again, so that those who collided part.
fn wait(package: &Package, tries: u32) -> Duration {
    let base = FIRST_WAIT * 2_u32.saturating_pow(tries.saturating_sub(1).min(6));
    // The load id is a hash: as good as chance, and the same on a replay.
    let share = (package.load_id.0 >> (tries.min(15) * 8)) & 0xff;
    base + base.mul_f64(share as f64 / 256.0)
}
