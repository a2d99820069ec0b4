//! Reading a table's log ourselves, for the two things that the snapshot does not hold: where every shard stands, and
//! what each of our commits said about itself.

use std::collections::{BTreeMap, HashMap};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, StructArray};
use deltalake_core::logstore::commit_uri_from_version;
use deltalake_core::{DeltaResult, DeltaTableError};
use freshet_core::{Committed, Micros, Position, ShardId};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Value, json};
use uuid::Uuid;

/// The key of our facts in a commit's `commitInfo`.
pub(super) const FACTS_KEY: &str = "freshet";

/// Log entries read at once.
pub(super) const READS_AHEAD: usize = 16;

/// The last `txn` version of every application id, as of one version of a table.
///
/// The kernel answers for one id by replaying the log; a table that files were imported into has thousands of them.
/// This reads the checkpoint's `txn` column once, and then each entry once.
#[derive(Debug)]
pub(super) struct Positions {
    version: u64,
    of_shard: HashMap<String, i64>,
}

impl Positions {
    /// All positions as of `version` of the table whose root `store` is.
    pub(super) async fn load(store: &dyn ObjectStore, version: u64) -> DeltaResult<Self> {
        let (mut positions, next) = match last_checkpoint(store, version).await? {
            Some(checkpoint) => {
                let mut of_shard = HashMap::new();
                for part in &checkpoint.parts {
                    of_shard.extend(checkpointed_positions(store, part).await?);
                }
                (Self { version: checkpoint.version, of_shard }, checkpoint.version + 1)
            }
            None => (Self { version: 0, of_shard: HashMap::new() }, 0),
        };
        positions.replay(store, next, version).await?;
        Ok(positions)
    }

    /// Goes on to `version`, reading only the entries since.
    pub(super) async fn advance(&mut self, store: &dyn ObjectStore, version: u64) -> DeltaResult<()> {
        if version < self.version {
            *self = Self::load(store, version).await?;
            return Ok(());
        }
        match self.replay(store, self.version + 1, version).await {
            // Somebody else wrote a checkpoint and cleaned up behind it.
            Err(DeltaTableError::ObjectStore { source: object_store::Error::NotFound { .. } }) => {
                *self = Self::load(store, version).await?;
                Ok(())
            }
            other => other,
        }
    }

    /// Where `shard` stands, if the table knows it.
    pub(super) fn of(&self, shard: &ShardId) -> Option<Position> {
        self.of_shard.get(shard.as_str()).and_then(|&version| Position::try_from(version).ok())
    }

    /// Every shard that begins with `prefix`, and where it stands.
    pub(super) fn below(&self, prefix: &str) -> BTreeMap<String, Position> {
        let known = self.of_shard.iter().filter(|(shard, _)| shard.starts_with(prefix));
        known.filter_map(|(shard, &version)| Some((shard.clone(), Position::try_from(version).ok()?))).collect()
    }

    async fn replay(&mut self, store: &dyn ObjectStore, first: u64, last: u64) -> DeltaResult<()> {
        let mut entries = stream::iter(first..=last).map(|version| read_entry(store, version)).buffered(READS_AHEAD);
        while let Some(entry) = entries.try_next().await? {
            for txn in actions(&entry, "txn") {
                let txn = txn?;
                if let (Some(shard), Some(version)) = (txn["appId"].as_str(), txn["version"].as_i64()) {
                    self.of_shard.insert(shard.to_owned(), version);
                }
            }
        }
        self.version = last;
        Ok(())
    }
}

/// The text of the log entry that made `version`.
pub(super) async fn read_entry(store: &dyn ObjectStore, version: u64) -> DeltaResult<String> {
    let bytes = store.get(&commit_uri_from_version(Some(version))).await?.bytes().await?;
    String::from_utf8(bytes.into()).map_err(|error| DeltaTableError::Generic(format!("version {version} of the log is not UTF-8: {error}")))
}

/// The bodies of the actions called `name` in a log entry.
pub(super) fn actions<'a>(entry: &'a str, name: &'a str) -> impl Iterator<Item = DeltaResult<Value>> + 'a {
    let quoted = format!("\"{name}\"");
    // Most lines are long `add`s: look before parsing.
    entry.lines().filter(move |line| line.contains(&quoted)).filter_map(move |line| match serde_json::from_str::<Value>(line) {
        Ok(mut action) => action.get_mut(name).map(|body| Ok(body.take())),
        Err(error) => Some(Err(DeltaTableError::from(error))),
    })
}

/// What Freshet says about a commit in the commit itself. `attempt` tells it from other attempts to commit the same package.
pub(super) fn facts(committed: &Committed, attempt: Uuid) -> Value {
    json!({
        "load_id": committed.load_id,
        "attempt": attempt.to_string(),
        "rows": committed.rows,
        "files": committed.files,
        "bytes": committed.bytes,
        "first_ts": committed.ts_range.map(|range| range.0.0),
        "last_ts": committed.ts_range.map(|range| range.1.0),
        "committed_at": committed.committed_at.0,
    })
}

/// The inverse of [`facts`]; nothing for entries that are not commits of a package.
fn committed(entry: &str, version: u64) -> Option<Committed> {
    let info = actions(entry, "commitInfo").next()?.ok()?;
    let facts = info.get(FACTS_KEY)?;
    let number = |key: &str| facts.get(key).and_then(Value::as_i64);
    Some(Committed {
        load_id: facts.get("load_id")?.as_str()?.to_owned(),
        rows: number("rows")?,
        files: number("files")?,
        bytes: number("bytes")?,
        ts_range: number("first_ts").zip(number("last_ts")).map(|(first, last)| (Micros(first), Micros(last))),
        committed_at: Micros(number("committed_at")?),
        version: i64::try_from(version).ok()?,
    })
}

/// Our commits with versions from `first` to `last`, oldest first. Entries that log clean-up removed are left out.
pub(super) async fn commits(store: &dyn ObjectStore, first: u64, last: u64) -> DeltaResult<Vec<Committed>> {
    let Some(oldest) = oldest_entry(store, first).await? else { return Ok(Vec::new()) };
    stream::iter(oldest..=last)
        .map(|version| async move {
            match read_entry(store, version).await {
                Ok(entry) => Ok(committed(&entry, version)),
                Err(DeltaTableError::ObjectStore { source: object_store::Error::NotFound { .. } }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffered(READS_AHEAD)
        .try_filter_map(|found| std::future::ready(Ok(found)))
        .try_collect()
        .await
}

/// The commit that `attempt` made, if it is among the versions from `first` to `last`.
pub(super) async fn commit_of(store: &dyn ObjectStore, attempt: Uuid, first: u64, last: u64) -> DeltaResult<Option<Committed>> {
    let attempt = attempt.to_string();
    for version in first..=last {
        let entry = read_entry(store, version).await?;
        if entry.contains(&attempt) {
            return Ok(committed(&entry, version));
        }
    }
    Ok(None)
}

/// Whether the entry of `version` is there.
pub(super) async fn has_entry(store: &dyn ObjectStore, version: u64) -> DeltaResult<bool> {
    match store.head(&commit_uri_from_version(Some(version))).await {
        Ok(_) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The version that `attempt` made, if it is among those from `first` to `last`.
pub(super) async fn version_of(store: &dyn ObjectStore, attempt: Uuid, first: u64, last: u64) -> DeltaResult<Option<u64>> {
    let attempt = attempt.to_string();
    for version in first..=last {
        if read_entry(store, version).await?.contains(&attempt) {
            return Ok(Some(version));
        }
    }
    Ok(None)
}

/// The first version at or after `first` whose entry is still there.
pub(super) async fn oldest_entry(store: &dyn ObjectStore, first: u64) -> DeltaResult<Option<u64>> {
    // An entry that is there answers without a listing, which is the case on every call but the first.
    if first > 0 && has_entry(store, first).await.unwrap_or_default() {
        return Ok(Some(first));
    }
    let versions = log_files(store, 0).await?;
    Ok(versions.into_iter().filter(|file| file.kind == LogFileKind::Entry && file.version >= first).map(|file| file.version).min())
}

/// A checkpoint all of whose parts are there.
#[derive(Debug)]
pub(super) struct Checkpoint {
    pub(super) version: u64,
    parts: Vec<Path>,
}

/// The newest complete checkpoint at or below `version`.
pub(super) async fn last_checkpoint(store: &dyn ObjectStore, version: u64) -> DeltaResult<Option<Checkpoint>> {
    let hint = match store.get(&Path::from("_delta_log/_last_checkpoint")).await {
        Ok(found) => serde_json::from_slice::<Value>(&found.bytes().await?).ok().and_then(|hint| hint["version"].as_u64()),
        Err(object_store::Error::NotFound { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(hint) = hint.filter(|&hint| hint <= version)
        && let Some(found) = newest_complete(log_files(store, hint).await?, version)
    {
        return Ok(Some(found));
    }
    Ok(newest_complete(log_files(store, 0).await?, version))
}

fn newest_complete(files: Vec<LogFile>, version: u64) -> Option<Checkpoint> {
    let mut parts: HashMap<(u64, u64), Vec<Path>> = HashMap::new();
    for file in files {
        if let LogFileKind::CheckpointPart { of } = file.kind
            && file.version <= version
        {
            parts.entry((file.version, of)).or_default().push(file.path);
        }
    }
    let complete = parts.into_iter().filter(|((_, of), parts)| u64::try_from(parts.len()) == Ok(*of));
    complete.max_by_key(|(key, _)| *key).map(|((version, _), parts)| Checkpoint { version, parts })
}

#[derive(Debug, PartialEq, Eq)]
enum LogFileKind {
    Entry,
    CheckpointPart { of: u64 },
}

#[derive(Debug)]
struct LogFile {
    version: u64,
    kind: LogFileKind,
    path: Path,
}

/// The entries and classic checkpoints from version `first` on.
async fn log_files(store: &dyn ObjectStore, first: u64) -> DeltaResult<Vec<LogFile>> {
    let directory = Path::from("_delta_log");
    // The bare number sorts before every file of that version.
    let offset = Path::from(format!("_delta_log/{first:020}"));
    let listed = store.list_with_offset(Some(&directory), &offset);
    Ok(listed.try_filter_map(|file| std::future::ready(Ok(log_file(file.location)))).try_collect().await?)
}

fn log_file(path: Path) -> Option<LogFile> {
    let name = path.filename()?.to_owned();
    let parts: Vec<&str> = name.split('.').collect();
    let kind = match parts.as_slice() {
        [_, "json"] => LogFileKind::Entry,
        [_, "checkpoint", "parquet"] => LogFileKind::CheckpointPart { of: 1 },
        [_, "checkpoint", _, of, "parquet"] => LogFileKind::CheckpointPart { of: of.parse().ok()? },
        _ => return None,
    };
    let version = parts.first().filter(|version| version.len() == 20)?.parse().ok()?;
    Some(LogFile { version, kind, path })
}

/// The `txn` actions of one part of a checkpoint.
async fn checkpointed_positions(store: &dyn ObjectStore, part: &Path) -> DeltaResult<Vec<(String, i64)>> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(store.get(part).await?.bytes().await?)?;
    let mask = ProjectionMask::columns(reader.parquet_schema(), ["txn"]);
    let mut found = Vec::new();
    for batch in reader.with_projection(mask).build()? {
        let batch = batch?;
        if let Some(txns) = batch.column_by_name("txn").and_then(|column| column.as_struct_opt()) {
            positions_in(txns, &mut found);
        }
    }
    Ok(found)
}

fn positions_in(txns: &StructArray, found: &mut Vec<(String, i64)>) {
    let (Some(ids), Some(versions)) = (
        txns.column_by_name("appId").and_then(|column| column.as_string_opt::<i32>()),
        txns.column_by_name("version").and_then(|column| column.as_primitive_opt::<Int64Type>()),
    ) else {
        return;
    };
    let valid = (0..txns.len()).filter(|&row| txns.is_valid(row) && ids.is_valid(row) && versions.is_valid(row));
    found.extend(valid.map(|row| (ids.value(row).to_owned(), versions.value(row))));
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    async fn write_entry(store: &InMemory, version: u64, entry: &str) {
        store.put(&commit_uri_from_version(Some(version)), entry.to_owned().into()).await.unwrap();
    }

    #[test]
    fn facts_survive_the_log() {
        for ts_range in [None, Some((Micros(-1), Micros(i64::MAX)))] {
            let said =
                Committed { load_id: "00ff".to_owned(), rows: 3, files: 1, bytes: 99, ts_range, committed_at: Micros(7), version: 12 };
            let entry =
                format!("{{\"commitInfo\":{{\"operation\":\"X\",\"{FACTS_KEY}\":{}}}}}\n{{\"txn\":{{}}}}", facts(&said, Uuid::nil()));
            assert_eq!(committed(&entry, 12), Some(said));
        }
        assert_eq!(committed("{\"commitInfo\":{\"freshet\":{\"compacted_rows\":3}}}", 1), None);
        assert_eq!(committed("{\"add\":{\"path\":\"commitInfo\"}}", 1), None);
    }

    #[tokio::test]
    async fn positions_follow_the_entries() {
        let store = InMemory::new();
        write_entry(&store, 0, "{\"protocol\":{}}").await;
        write_entry(&store, 1, "{\"add\":{\"path\":\"the \\\"txn\\\" of x\"}}\n{\"txn\":{\"appId\":\"a\",\"version\":5}}").await;
        let mut positions = Positions::load(&store, 1).await.unwrap();
        assert_eq!(positions.of(&ShardId::new("a")), Some(5));
        assert_eq!(positions.of(&ShardId::new("b")), None);
        write_entry(&store, 2, "{\"txn\":{\"appId\":\"b\",\"version\":1}}\n{\"txn\":{\"appId\":\"a\",\"version\":9}}").await;
        positions.advance(&store, 2).await.unwrap();
        assert_eq!(positions.of(&ShardId::new("a")), Some(9));
        assert_eq!(positions.of(&ShardId::new("b")), Some(1));
        assert!(positions.advance(&store, 4).await.is_err(), "a gap in the log went unnoticed");
    }

    #[test]
    fn log_file_names() {
        let check = |name: &str, expected: Option<(u64, LogFileKind)>| {
            let found = log_file(Path::from(format!("_delta_log/{name}"))).map(|file| (file.version, file.kind));
            assert_eq!(found, expected, "{name}");
        };
        check("00000000000000000010.json", Some((10, LogFileKind::Entry)));
        check("00000000000000000010.checkpoint.parquet", Some((10, LogFileKind::CheckpointPart { of: 1 })));
        check("00000000000000000010.checkpoint.0000000001.0000000003.parquet", Some((10, LogFileKind::CheckpointPart { of: 3 })));
        check("00000000000000000010.crc", None);
        check("10.json", None);
        check("_last_checkpoint", None);
        check("00000000000000000001.00000000000000000009.compacted.json", None);
    }
}
