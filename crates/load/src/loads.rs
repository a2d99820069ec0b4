//! Keeping `_loads`: a row for every commit, written after it, exactly once.

use freshet_core::{Committed, Package, ShardId, Span, TableDef};
use freshet_tables::{LOADS, load_rows};

use crate::commit::{CommitError, Committer};
use crate::cut::load_id;

/// How often two writers may take turns at overtaking each other here before one of them says so.
const TRIES_MAX: usize = 20;

/// Adds what `tables` committed since `_loads` last heard of them.
///
/// A table's own history is the source, and how far `_loads` has read it is a checkpoint like any other. So rows that a
/// crash kept from being written are written by whoever comes next.
pub(crate) async fn record(committer: &Committer, tables: &[&'static TableDef]) -> Result<(), CommitError> {
    for _ in 0..TRIES_MAX {
        match try_record(committer, tables).await {
            Err(CommitError::Overtaken { .. }) => {}
            ended => return ended,
        }
    }
    Err(CommitError::Overtaken { table: LOADS.name })
}

async fn try_record(committer: &Committer, tables: &[&'static TableDef]) -> Result<(), CommitError> {
    let shards: Vec<_> = tables.iter().map(|table| ShardId::new(&format!("freshet/loads/{}", table.name))).collect();
    let known = committer.checkpoints(LOADS, &shards).await?;
    let mut commits: Vec<(&str, Committed)> = Vec::new();
    let mut spans = Vec::new();
    for ((table, shard), known) in tables.iter().zip(shards).zip(known) {
        let after = known.map(|version| i64::try_from(version).unwrap_or(i64::MAX));
        let new = committer.history(table, after).await?;
        let Some(last) = new.last() else { continue };
        spans.push(Span { shard, from: known.unwrap_or(0), to: last.version.unsigned_abs() });
        commits.extend(new.into_iter().map(|commit| (table.name, commit)));
    }
    let Some(batch) = load_rows(commits.iter().map(|(table, commit)| (*table, commit))) else { return Ok(()) };
    let package = Package { table: LOADS, load_id: load_id(LOADS, &spans), spans, batches: vec![batch], ts_range: None };
    committer.commit_package(&package).await.map(|_| ())
}
