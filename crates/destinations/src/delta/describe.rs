//! What a table holds, from its log alone.

use arrow_cast::parse::string_to_timestamp_nanos;
use deltalake_core::kernel::StructField;
use deltalake_core::table::state::DeltaTableState;
use freshet_core::{DestinationError, Micros};
use serde_json::Value;

use super::failure::failure;
use super::lake::Lake;
use super::prepare::sql_type;

/// A table as its log describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableInfo {
    /// Its name, which is also its folder.
    pub name: String,
    /// What one row is, in the words of the table's metadata.
    pub comment: Option<String>,
    /// The newest version.
    pub version: i64,
    /// When that was committed, by the clock of the file system.
    pub committed_at: Option<Micros>,
    /// Rows, when every file says how many it has.
    pub rows: Option<i64>,
    /// Files.
    pub files: i64,
    /// Bytes in those files.
    pub bytes: i64,
    /// Bounds of the column `ts`, to the millisecond and outwards, when files have statistics for it.
    pub ts_range: Option<(Micros, Micros)>,
    /// The columns that split the table into folders.
    pub partition_columns: Vec<String>,
    /// The columns in order.
    pub columns: Vec<ColumnInfo>,
}

/// What a table is, whatever is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// What one row is.
    pub comment: Option<String>,
    /// The columns that split the table into folders.
    pub partition_columns: Vec<String>,
    /// The columns in order.
    pub columns: Vec<ColumnInfo>,
}

/// A column as the table's metadata describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnInfo {
    /// Its name.
    pub name: String,
    /// Its type in Spark SQL.
    pub sql_type: String,
    /// What it means.
    pub comment: Option<String>,
}

impl Lake {
    /// Describes table `name` from its log, without opening a data file; nothing when there is no such table.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub async fn describe(&self, name: &str) -> Result<Option<TableInfo>, DestinationError> {
        let Some(table) = self.load(name).await? else { return Ok(None) };
        let state = table.snapshot().map_err(|error| failure(format!("describe table {name}"), error))?;
        let mut info = TableInfo {
            name: name.to_owned(),
            comment: state.metadata().description().map(ToString::to_string),
            version: i64::try_from(state.version()).unwrap_or(i64::MAX),
            committed_at: state.version_timestamp(state.version()).map(|millis| Micros(millis.saturating_mul(1000))),
            rows: Some(0),
            files: 0,
            bytes: 0,
            ts_range: None,
            partition_columns: state.metadata().partition_columns().to_vec(),
            columns: Vec::new(),
        };
        for file in state.log_data().iter() {
            info.files += 1;
            info.bytes += file.size();
            info.rows = info.rows.zip(file.num_records()).and_then(|(sum, rows)| Some(sum + i64::try_from(rows).ok()?));
            info.ts_range = widest(info.ts_range, file.stats().and_then(|stats| ts_range(&stats)));
        }
        info.columns = shape_of(state).columns;
        Ok(Some(info))
    }
}

/// What the table's metadata says of it.
pub(super) fn shape_of(state: &DeltaTableState) -> Shape {
    let column = |field: &StructField| ColumnInfo {
        name: field.name().clone(),
        sql_type: sql_type(field.data_type()),
        comment: field.metadata().get("comment").map(ToString::to_string),
    };
    Shape {
        comment: state.metadata().description().map(ToString::to_string),
        partition_columns: state.metadata().partition_columns().to_vec(),
        columns: state.schema().fields().map(column).collect(),
    }
}

fn widest(left: Option<(Micros, Micros)>, right: Option<(Micros, Micros)>) -> Option<(Micros, Micros)> {
    match (left, right) {
        (Some(left), Some(right)) => Some((left.0.min(right.0), left.1.max(right.1))),
        (left, right) => left.or(right),
    }
}

fn ts_range(statistics: &str) -> Option<(Micros, Micros)> {
    let statistics: Value = serde_json::from_str(statistics).ok()?;
    let bound = |key: &str| string_to_timestamp_nanos(statistics[key]["ts"].as_str()?).ok().map(|nanos| nanos / 1000);
    // Statistics are cut to the millisecond, the maximum too.
    Some((Micros(bound("minValues")?), Micros(bound("maxValues")? + 999)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_of_ts_go_outwards() {
        let statistics = r#"{"numRecords":2,"minValues":{"ts":"1970-01-01T00:00:01Z"},"maxValues":{"ts":"1970-01-01T00:00:02.345Z"}}"#;
        assert_eq!(ts_range(statistics), Some((Micros(1_000_000), Micros(2_345_999))));
        assert_eq!(ts_range("{}"), None);
        assert_eq!(ts_range("nonsense"), None);
        let one = Some((Micros(5), Micros(6)));
        assert_eq!(widest(None, one), one);
        assert_eq!(widest(Some((Micros(1), Micros(2))), one), Some((Micros(1), Micros(6))));
    }
}
