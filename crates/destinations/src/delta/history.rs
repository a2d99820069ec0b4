//! What happened to a table: who did what when, as its log tells; and the table as it was at some version.

use std::collections::HashMap;

use deltalake_core::{DeltaResult, DeltaTable, DeltaTableError};
use freshet_core::{DestinationError, Micros};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use serde_json::Value;

use super::failure::failure;
use super::lake::Lake;
use super::log::{self, FACTS_KEY, READS_AHEAD};

/// One version of a table and how it came about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// Its number.
    pub version: u64,
    /// When it was made, by the clock of whoever made it.
    pub at: Option<Micros>,
    /// What was done: `STREAMING UPDATE` is a load, `OPTIMIZE` a merge of small files, `DELETE` an erasure or an expiry.
    pub operation: String,
    /// The operation's parameters, as JSON.
    pub parameters: Option<String>,
    /// The engine that did it.
    pub engine: Option<String>,
    /// The user, where the engine says so.
    pub user: Option<String>,
    /// Rows that were added, removed or rewritten, where the entry says so.
    pub rows: Option<u64>,
    /// Files that came.
    pub files_added: u64,
    /// Files that went.
    pub files_removed: u64,
    /// Bytes in the files that came.
    pub bytes_added: u64,
    /// Bytes in the files that went, as far as the entry has them.
    pub bytes_removed: u64,
    /// The id of the load, if it is one.
    pub load_id: Option<String>,
}

impl Lake {
    /// The newest `limit` versions of table `name`, the newest first; nothing when there is no such table. Versions whose entries
    /// were removed from the log are left out.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn versions(&self, name: &str, limit: usize) -> Result<Option<Vec<Version>>, DestinationError> {
        let Some(table) = self.load(name).await? else { return Ok(None) };
        let store = table.object_store();
        let last = table.version().unwrap_or_default();
        let first = last.saturating_sub(u64::try_from(limit).unwrap_or(u64::MAX).saturating_sub(1));
        let newest: DeltaResult<Vec<Option<Version>>> =
            stream::iter((first..=last).rev()).map(|version| version_of(store.as_ref(), version)).buffered(READS_AHEAD).try_collect().await;
        let mut versions: Vec<Version> =
            newest.map_err(|error| failure(format!("read the history of table {name}"), error))?.into_iter().flatten().collect();
        versions.truncate(limit);
        Ok(Some(versions))
    }

    /// The newest version of table `name` that there was at `moment`, by the times in [`Self::versions`].
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when there is no such table or its log does not go back that far; else when it cannot be read.
    pub async fn version_at(&self, name: &str, moment: Micros) -> Result<u64, DestinationError> {
        let Some(table) = self.load(name).await? else { return Err(no_table(self, name)) };
        let store = table.object_store();
        let found = search(store.as_ref(), table.version().unwrap_or_default(), moment).await;
        found.map_err(|error| failure(format!("read the history of table {name}"), error))?.ok_or_else(|| DestinationError::Refused {
            problem: format!("the log of table {name} does not go back that far; freshet tables history {name} shows how far"),
        })
    }

    /// Table `name` as it was at `version`.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when there is no such table or version, or it can no longer be read; else when the log cannot be
    /// read.
    pub async fn load_at(&self, name: &str, version: u64) -> Result<DeltaTable, DestinationError> {
        let Some(newest) = self.load(name).await? else { return Err(no_table(self, name)) };
        let last = newest.version().unwrap_or_default();
        if version > last {
            return Err(DestinationError::Refused { problem: format!("table {name} has no version {version}; the newest is {last}") });
        }
        let failed = |error: DeltaTableError| failure(format!("open version {version} of table {name}"), error);
        let mut table = self.place().table(name).map_err(failed)?;
        let Err(error) = table.load_version(version).await else { return Ok(table) };
        // Entries are removed from the oldest on, and a version needs those since the checkpoint before it.
        let store = newest.object_store();
        let is_gone = match log::oldest_entry(store.as_ref(), 0).await.map_err(failed)? {
            Some(0) => false,
            _ => log::last_checkpoint(store.as_ref(), version).await.map_err(failed)?.is_none(),
        };
        if is_gone {
            let problem = format!("version {version} of table {name} cannot be read any more: its entries were removed from the log");
            return Err(DestinationError::Refused { problem });
        }
        Err(failed(error))
    }
}

pub(super) fn no_table(lake: &Lake, name: &str) -> DestinationError {
    DestinationError::Refused { problem: format!("there is no table {name} in {}", lake.place()) }
}

/// The newest version up to `last` that was made at `moment` or before.
async fn search(store: &dyn ObjectStore, last: u64, moment: Micros) -> DeltaResult<Option<u64>> {
    let Some(oldest) = log::oldest_entry(store, 0).await? else { return Ok(None) };
    // Versions below `low` were made in time, those from `high` on later.
    let (mut low, mut high) = (oldest, last + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let in_time = version_of(store, middle).await?.and_then(|version| version.at).is_none_or(|at| at <= moment);
        if in_time {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok((low > oldest).then(|| low - 1))
}

/// What the entry of `version` says; nothing when it is gone.
pub(super) async fn version_of(store: &dyn ObjectStore, version: u64) -> DeltaResult<Option<Version>> {
    match log::read_entry(store, version).await {
        Ok(entry) => told(&entry, version).map(Some),
        Err(DeltaTableError::ObjectStore { source: object_store::Error::NotFound { .. } }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn told(entry: &str, version: u64) -> DeltaResult<Version> {
    let mut found = Version { version, operation: "?".to_owned(), ..Version::default() };
    let mut rows_added = Some(0);
    for add in log::actions(entry, "add") {
        let add = add?;
        found.files_added += 1;
        found.bytes_added += add["size"].as_u64().unwrap_or_default();
        let rows = add["stats"].as_str().and_then(|stats| serde_json::from_str::<Value>(stats).ok()?["numRecords"].as_u64());
        rows_added = rows_added.zip(rows).map(|(sum, rows): (u64, u64)| sum + rows);
    }
    for remove in log::actions(entry, "remove") {
        found.files_removed += 1;
        found.bytes_removed += remove?["size"].as_u64().unwrap_or_default();
    }
    let Some(info) = log::actions(entry, "commitInfo").next().transpose()? else { return Ok(found) };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let facts = &info[FACTS_KEY];
    found.at = info["timestamp"].as_i64().map(|millis| Micros(millis.saturating_mul(1000)));
    found.operation = text(&info["operation"]).unwrap_or(found.operation);
    found.parameters =
        info["operationParameters"].as_object().filter(|keys| !keys.is_empty()).and_then(|keys| serde_json::to_string(keys).ok());
    found.engine =
        if facts.is_object() { Some("freshet".to_owned()) } else { text(&info["engineInfo"]).or_else(|| text(&info["clientVersion"])) };
    found.user = text(&info["userName"]).or_else(|| text(&info["userId"]));
    found.load_id = text(&facts["load_id"]);
    let fact = ["rows", "compacted_rows", "erased_rows", "expired_rows"].iter().find_map(|key| facts[*key].as_u64());
    // Spark's metrics are texts.
    let metrics = &info["operationMetrics"];
    let metric = ["numDeletedRows", "numUpdatedRows", "numOutputRows"]
        .iter()
        .find_map(|key| metrics[*key].as_u64().or_else(|| metrics[*key].as_str()?.parse().ok()));
    found.rows = fact.or(metric).or(rows_added.filter(|_| found.files_added > 0));
    Ok(found)
}

/// The versions from `first` to `last` in which rows were erased. An entry that is gone is an error.
pub(super) async fn erasures(store: &dyn ObjectStore, first: u64, last: u64) -> DeltaResult<Vec<u64>> {
    let looked = stream::iter(first..=last).map(|version| async move {
        let entry = log::read_entry(store, version).await?;
        let info = log::actions(&entry, "commitInfo").next().transpose()?;
        let rows = info.and_then(|info| info[FACTS_KEY]["erased_rows"].as_u64());
        Ok::<_, DeltaTableError>((version, rows.unwrap_or_default()))
    });
    let looked: HashMap<u64, u64> = looked.buffered(READS_AHEAD).try_collect().await?;
    let mut versions: Vec<u64> = looked.into_iter().filter(|(_, rows)| *rows > 0).map(|(version, _)| version).collect();
    versions.sort_unstable();
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_of_other_engines_tell_what_they_can() {
        let spark = concat!(
            "{\"commitInfo\":{\"timestamp\":5,\"userName\":\"ann\",\"operation\":\"WRITE\",\"operationParameters\":{\"mode\":\"Append\"},",
            "\"operationMetrics\":{\"numOutputRows\":\"12\"},\"engineInfo\":\"Apache-Spark/4.0\"}}\n",
            "{\"add\":{\"path\":\"a\",\"size\":7}}\n{\"remove\":{\"path\":\"b\"}}"
        );
        let expected = Version {
            version: 3,
            at: Some(Micros(5000)),
            operation: "WRITE".to_owned(),
            parameters: Some("{\"mode\":\"Append\"}".to_owned()),
            engine: Some("Apache-Spark/4.0".to_owned()),
            user: Some("ann".to_owned()),
            rows: Some(12),
            files_added: 1,
            files_removed: 1,
            bytes_added: 7,
            ..Version::default()
        };
        assert_eq!(told(spark, 3).unwrap(), expected);
        assert_eq!(told("{\"protocol\":{}}", 0).unwrap(), Version { operation: "?".to_owned(), ..Version::default() });
        assert!(told("{\"add\": nonsense", 1).is_err());
    }
}
