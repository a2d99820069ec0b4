//! One entry of the log that takes files away, or puts files in the place of others, and is no load.
//!
//! What is to change is decided by looking at one version of the table, without a lock, so that loading goes on meanwhile. The entry
//! is then only written onto a version of which the decision still holds. No `txn` is among its actions: checkpoints stay where they
//! are, and what was loaded once is not loaded again.

use std::collections::HashSet;
use std::time::Duration;

use deltalake_core::kernel::transaction::CommitBuilder;
use deltalake_core::kernel::{Action, Add, Remove};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::DestinationError;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::failure::{failure, is_conflict};
use super::lake::{Lake, OpenTable};
use super::log::{self, FACTS_KEY};
use super::prepare::{check_writable, quiet};

/// Attempts to write one entry while others commit to the same table.
const ATTEMPTS: u32 = 16;

/// The wait after the first attempt that others got ahead of; it grows by as much each time.
const WAIT: Duration = Duration::from_millis(10);

/// What one entry is to say.
pub(super) struct Change {
    /// Files that go.
    pub(super) removes: Vec<Remove>,
    /// Files that come. They are stored already.
    pub(super) adds: Vec<Add>,
    /// What the table's own history says of it.
    pub(super) operation: DeltaOperation,
    /// What Freshet says of it beside that.
    pub(super) facts: Map<String, Value>,
}

impl Lake {
    /// Writes `change` to table `name`, if all files that go are active and `holds` says of the newest version that what was decided
    /// is still right. Returns the version it made, or nothing when it has to be decided anew.
    ///
    /// # Errors
    /// The log cannot be read or written.
    pub(super) async fn write_change(
        &self,
        name: &str,
        change: &Change,
        holds: impl Fn(&DeltaTable, &HashSet<String>) -> bool,
    ) -> Result<Option<u64>, DestinationError> {
        let slot = self.slot(name);
        let id = Uuid::new_v4();
        let mut first_seen = None;
        let mut last_error = None;
        for tries in 1..=ATTEMPTS {
            let mut slot = slot.lock().await;
            let Some(open) = self.refresh(name, &mut slot).await? else { return Ok(None) };
            let failed = |error: DeltaTableError| failure(format!("read the log of table {name}"), error);
            if let Some(before) = first_seen
                && let Some(version) =
                    log::version_of(open.table.object_store().as_ref(), id, before + 1, open.version()).await.map_err(failed)?
            {
                // An attempt that looked like a failure had landed.
                self.settle(name).await?;
                return Ok(Some(version));
            }
            let active = paths_of(&open.table).map_err(failed)?;
            if !change.removes.iter().all(|remove| active.contains(&remove.path)) || !holds(&open.table, &active) {
                return Ok(None);
            }
            first_seen.get_or_insert(open.version());
            let error = match attempt(open, change, id).await {
                Ok(version) => return Ok(Some(version)),
                Err(error) => error,
            };
            // The entry may be there all the same: nothing we know about the table counts any more.
            *slot = None;
            drop(slot);
            tracing::debug!(table = name, attempt = tries, %error, "changing files did not get through");
            let conflict = is_conflict(&error);
            last_error = Some(error);
            if !conflict && tries > 2 {
                break;
            }
            tokio::time::sleep(WAIT * tries).await;
        }
        match last_error {
            Some(error) => Err(failure(format!("change table {name}"), error)),
            None => Ok(None),
        }
    }
}

async fn attempt(open: &mut OpenTable, change: &Change, id: Uuid) -> DeltaResult<u64> {
    let mut facts = change.facts.clone();
    facts.insert("attempt".to_owned(), json!(id.to_string()));
    // No retries: what goes was seen active in this version, and no check of delta-rs's would say so of a later one.
    let properties =
        quiet().with_max_retries(0).with_metadata([("isBlindAppend".to_owned(), json!(false)), (FACTS_KEY.to_owned(), Value::from(facts))]);
    let removes = change.removes.iter().cloned().map(Action::Remove);
    let finished = CommitBuilder::from(properties)
        .with_actions(removes.chain(change.adds.iter().cloned().map(Action::Add)).collect())
        .build(Some(open.table.snapshot()?), open.table.log_store(), change.operation.clone())
        .await?;
    open.table.state = Some(finished.snapshot);
    open.positions.advance(open.table.object_store().as_ref(), finished.version).await?;
    Ok(finished.version)
}

/// The active files of the version that `table` holds.
pub(super) fn paths_of(table: &DeltaTable) -> DeltaResult<HashSet<String>> {
    Ok(table.snapshot()?.log_data().iter().map(|file| file.path().into_owned()).collect())
}

/// The newest version of table `name`, of which rows may be taken away.
///
/// # Errors
/// There is no such table, it cannot be read, or it has rules that this would break.
pub(super) async fn changeable(lake: &Lake, name: &str) -> Result<DeltaTable, DestinationError> {
    let Some(table) = lake.load(name).await? else {
        return Err(DestinationError::Refused { problem: format!("there is no table {name} in {}", lake.place()) });
    };
    let state = table.snapshot().map_err(|error| failure(format!("read table {name}"), error))?;
    check_writable(name, state)?;
    if state.metadata().configuration().get("delta.appendOnly").is_some_and(|only| only == "true") {
        let problem = format!(
            "rows of table {name} may not be taken away: it is append-only (ALTER TABLE {name} SET TBLPROPERTIES ('delta.appendOnly' = 'false'))"
        );
        return Err(DestinationError::Refused { problem });
    }
    Ok(table)
}
