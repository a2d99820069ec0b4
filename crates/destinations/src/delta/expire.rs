//! Rows that are older than anybody wants to keep them.
//!
//! A table in folders by date loses whole folders, by one entry of its log: no file is read. Rows of an old date that arrive later are
//! taken away by the next pass. A table without folders loses files by the statistics of a column of times; a file with rows on both
//! sides is written anew.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow_array::BooleanArray;
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, TimestampMicrosecondType};
use arrow_array::{Array, RecordBatch};
use arrow_cast::parse::{Parser, string_to_timestamp_nanos};
use arrow_schema::{DataType, TimeUnit};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::{DeltaTable, DeltaTableError};
use freshet_core::{DestinationError, Micros};
use serde_json::{Value, json};

use super::change::{Change, changeable};
use super::erase::{Erasure, RowFilter};
use super::failure::failure;
use super::lake::Lake;
use super::lease::{Lease, Leased};

/// The shortest age that rows may be taken away at: a day's folder is only whole when the day is over.
pub const EXPIRE_AFTER_MIN: Duration = Duration::from_secs(24 * 3600);

/// How often it is decided anew because others changed the same files.
const ROUNDS: u32 = 8;

/// What is to go.
#[derive(Clone, Debug)]
pub struct ExpireOptions {
    /// Rows older than this go. At least [`EXPIRE_AFTER_MIN`].
    pub older_than: Duration,
    /// For tables without folders by date: the column with the time that counts.
    pub time_column: Option<String>,
    /// Whether to only say what would go.
    pub dry_run: bool,
}

/// What has gone, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Folders by date, in days since 1970-01-01.
    pub dates: BTreeSet<i32>,
    /// Files that left the table.
    pub files: u64,
    /// Rows, as far as files say how many they have.
    pub rows: u64,
    /// Bytes in the files that left.
    pub bytes: u64,
    /// Files that were written anew for the rows beside the old ones.
    pub rewritten_files: u64,
    /// The version that this made.
    pub version: Option<i64>,
}

impl Lake {
    /// Takes rows out of table `name` that are older than [`ExpireOptions::older_than`]. Checkpoints stay. The files stay for readers
    /// of older versions until they are vacuumed.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when the age is too short or the table's rows have none; else when the table cannot be read or
    /// written, and calling again is harmless.
    pub async fn expire(&self, name: &str, options: &ExpireOptions) -> Result<Leased<Expired>, DestinationError> {
        if options.older_than < EXPIRE_AFTER_MIN {
            return Err(DestinationError::Refused {
                problem: format!(
                    "rows of table {name} may go after {} s at the earliest, a day, not after {} s",
                    EXPIRE_AFTER_MIN.as_secs(),
                    options.older_than.as_secs()
                ),
            });
        }
        let Some(_lease) = Lease::acquire(self.place(), name)? else { return Ok(Leased::Held) };
        let age_us = i64::try_from(options.older_than.as_micros()).unwrap_or(i64::MAX);
        let cutoff = Micros(self.options.clock.now().0.saturating_sub(age_us));
        let table = changeable(self, name).await?;
        let state = table.snapshot().map_err(|error| failure(format!("read table {name}"), error))?;
        match (state.metadata().partition_columns(), &options.time_column) {
            ([date], _) if date == "date" => self.expire_folders(name, table, cutoff, options).await.map(Leased::Done),
            ([], Some(column)) => {
                let filter = OlderThan::new(name, &table, column, cutoff)?;
                let erased = self.erase_unleased(name, &filter, options.dry_run).await?;
                Ok(Leased::Done(erased.into()))
            }
            _ => Err(DestinationError::Refused {
                problem: format!("table {name} is neither in folders by date nor has it a column of times that says how old a row is"),
            }),
        }
    }

    async fn expire_folders(
        &self,
        name: &str,
        mut table: DeltaTable,
        cutoff: Micros,
        options: &ExpireOptions,
    ) -> Result<Expired, DestinationError> {
        for _ in 0..ROUNDS {
            let (mut expired, change) = old_folders(&table, cutoff).map_err(|error| failure(format!("read table {name}"), error))?;
            if options.dry_run || change.removes.is_empty() {
                return Ok(expired);
            }
            // Files that arrive meanwhile stay, also in these folders: the next pass finds them.
            if let Some(version) = self.write_change(name, &change, |_, _| true).await? {
                expired.version = i64::try_from(version).ok();
                return Ok(expired);
            }
            table = changeable(self, name).await?;
        }
        Err(overrun(name))
    }
}

/// Others changed the same files each time.
pub(super) fn overrun(name: &str) -> DestinationError {
    DestinationError::Transient {
        doing: format!("cannot change table {name}: others replaced the same files each time"),
        cause: "try again when they are done".into(),
    }
}

/// The files of folders whose day had ended by `cutoff`, and the entry that takes them away.
fn old_folders(table: &DeltaTable, cutoff: Micros) -> Result<(Expired, Change), DeltaTableError> {
    let mut expired = Expired::default();
    let mut removes = Vec::new();
    for file in table.snapshot()?.log_data().iter() {
        let Some(date) = file.partition_values_map().remove("date").flatten().and_then(|date| Date32Type::parse(&date)) else { continue };
        // The day's end, not its beginning: no row goes before its time. `cutoff` is in the first day that stays.
        if date < cutoff.days() {
            expired.dates.insert(date);
            expired.files += 1;
            expired.rows += file.num_records().and_then(|rows| u64::try_from(rows).ok()).unwrap_or_default();
            expired.bytes += u64::try_from(file.size()).unwrap_or_default();
            removes.push(file.remove_action(true));
        }
    }
    let predicate = format!("date < '{}'", date_text(cutoff.days()));
    let facts = json!({ "expired_files": expired.files, "expired_rows": expired.rows, "expired_before": cutoff.0 });
    let facts = if let Value::Object(facts) = facts { facts } else { serde_json::Map::new() };
    let operation = DeltaOperation::Delete { predicate: Some(predicate) };
    Ok((expired, Change { removes, adds: Vec::new(), operation, facts }))
}

fn date_text(days: i32) -> String {
    arrow_array::temporal_conversions::date32_to_datetime(days).map_or_else(|| days.to_string(), |date| date.format("%Y-%m-%d").to_string())
}

impl From<Erasure> for Expired {
    fn from(erased: Erasure) -> Self {
        Self {
            dates: BTreeSet::new(),
            files: erased.files,
            rows: erased.rows,
            bytes: erased.bytes,
            rewritten_files: erased.rewritten_files,
            version: erased.version,
        }
    }
}

/// Rows whose time in one column is before a moment.
struct OlderThan {
    column: String,
    cutoff: Micros,
    columns: Vec<String>,
}

impl OlderThan {
    fn new(name: &str, table: &DeltaTable, column: &str, cutoff: Micros) -> Result<Self, DestinationError> {
        let schema = super::compact::arrow_schema(table).map_err(|error| failure(format!("read table {name}"), error))?;
        match schema.field_with_name(column).map(|field| field.data_type().clone()) {
            Ok(DataType::Timestamp(TimeUnit::Microsecond, _)) => {
                Ok(Self { column: column.to_owned(), cutoff, columns: vec![column.to_owned()] })
            }
            _ => Err(DestinationError::Refused { problem: format!("table {name} has no column of times called {column}") }),
        }
    }
}

impl RowFilter for OlderThan {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn shape(&self) -> String {
        format!("{} < TIMESTAMP '{}'", self.column, moment_text(self.cutoff))
    }

    fn purpose(&self) -> &'static str {
        "expired"
    }

    fn may_match(&self, table: &DeltaTable) -> Result<Vec<bool>, String> {
        let state = table.snapshot().map_err(|error| error.to_string())?;
        let oldest = |stats: String| {
            let stats: Value = serde_json::from_str(&stats).ok()?;
            string_to_timestamp_nanos(stats["minValues"][&self.column].as_str()?).ok().map(|nanos| nanos / 1000)
        };
        Ok(state.log_data().iter().map(|file| file.stats().and_then(oldest).is_none_or(|oldest| oldest < self.cutoff.0)).collect())
    }

    fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray, String> {
        let column = batch.column_by_name(&self.column).ok_or_else(|| format!("a file has no column {}", self.column))?;
        let times = column.as_primitive_opt::<TimestampMicrosecondType>().ok_or_else(|| format!("{} is no time", self.column))?;
        Ok((0..times.len()).map(|row| Some(times.is_valid(row) && times.value(row) < self.cutoff.0)).collect())
    }
}

fn moment_text(at: Micros) -> String {
    arrow_array::temporal_conversions::timestamp_us_to_datetime(at.0)
        .map_or_else(|| at.0.to_string(), |at| at.format("%Y-%m-%d %H:%M:%S").to_string())
}
