//! Rows that are added to the ledger.

use freshet_core::{Committed, DestinationError, Micros, TableDef};
use serde_json::json;

use super::Managed;
use super::ledger::{Entry, Known, Reach};
use super::sql::{date, literal, moment, optional};

/// The type of a row's spans, as `from_json` wants it.
const SPANS: &str = "array<struct<shard:string,from_position:bigint,to_position:bigint>>";

impl Managed {
    /// Adds `entry` to the ledger, if its version is not taken and its time has not run out; whether it was added. When the answer of one
    /// that was added is lost, it looks as if it was not: the ledger then says whose it is.
    pub(super) async fn claim(&self, table: &TableDef, entry: &Entry, until: Option<Micros>) -> Result<bool, DestinationError> {
        let Committed { load_id, rows, files, bytes, ts_range, committed_at, version } = &entry.committed;
        let edge = |at: Option<Micros>| at.map_or_else(|| "NULL".to_owned(), moment);
        let name = literal(table.name);
        let in_time = until.map(|until| format!(" AND current_timestamp() < {}", moment(until))).unwrap_or_default();
        let values = [
            ("table_name", name.clone()),
            ("table_id", literal(&entry.table_id)),
            ("version", version.to_string()),
            ("kind", literal(entry.kind.as_str())),
            ("load_id", literal(load_id)),
            ("writer", literal(&entry.writer)),
            ("settled", entry.settled.to_string()),
            ("rows", rows.to_string()),
            ("files", files.to_string()),
            ("bytes", bytes.to_string()),
            ("ts_min", edge(ts_range.map(|range| range.0))),
            ("ts_max", edge(ts_range.map(|range| range.1))),
            ("date_min", date(entry.dates.as_ref().map(|dates| &dates.0))),
            ("date_max", date(entry.dates.as_ref().map(|dates| &dates.1))),
            ("committed_at", moment(*committed_at)),
            ("folder", optional(entry.folder.as_deref())),
            ("columns", literal(&entry.columns.join(","))),
            ("spans", spans(&entry.spans)),
        ];
        let (columns, values): (Vec<String>, Vec<String>) = values.into_iter().map(|(name, value)| (format!("`{name}`"), value)).unzip();
        let text = format!(
            "MERGE INTO {} AS l USING (SELECT 1 AS `one`) AS s ON l.`table_name` = {name} AND l.`version` = {version} \
             WHEN NOT MATCHED{in_time} THEN INSERT ({}) VALUES ({})",
            self.ledger(),
            columns.join(", "),
            values.join(", ")
        );
        Ok(self.run(text, table.name).await?.value("num_inserted_rows") == Some("1"))
    }

    /// Notes that the objects of the merge `entry` are in the table, with what it has now; whether they are. They are not when another
    /// merge was claimed after it.
    pub(super) async fn settle_merge(&self, table: &TableDef, entry: &Entry) -> Result<bool, DestinationError> {
        let (ledger, name, version) = (self.ledger(), literal(table.name), entry.version());
        let text = format!(
            "UPDATE {ledger} SET `settled` = true, `spans` = {} WHERE `table_name` = {name} AND `version` = {version} AND `writer` = {} \
             AND NOT EXISTS (SELECT 1 FROM {ledger} AS n WHERE n.`table_name` = {name} AND n.`kind` = 'merge' AND n.`version` > {version})",
            spans(&entry.spans),
            literal(&entry.writer)
        );
        Ok(self.run(text, table.name).await?.value("num_affected_rows") == Some("1"))
    }

    /// After a claim that seems not to have been added: whether it was, by what the ledger says now.
    pub(super) async fn is_ours(&self, table: &TableDef, known: &mut Known, entry: &Entry) -> Result<bool, DestinationError> {
        self.refresh(table, known).await?;
        if known.version < entry.version() {
            let problem = format!(
                "table {} takes no load: the clock of this machine is more than half a day behind that of the SQL warehouse, or the load \
                 was held up for so long. Set the clock, and try again",
                table.name
            );
            return Err(DestinationError::Refused { problem });
        }
        let condition = format!("`version` = {} AND `writer` = {}", entry.version(), literal(&entry.writer));
        Ok(!self.entries(table, &condition).await?.is_empty())
    }
}

fn spans(spans: &[Reach]) -> String {
    let spans: Vec<_> =
        spans.iter().map(|reach| json!({ "shard": reach.shard, "from_position": reach.from, "to_position": reach.to })).collect();
    format!("from_json({}, '{SPANS}')", literal(&serde_json::Value::Array(spans).to_string()))
}
