//! What the ledger says of one table, read whole once and then from where it ended.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use freshet_core::{Committed, DestinationError, Micros, Position, TableDef};
use serde_json::Value;

use super::super::{CatalogColumn, Rows, WorkspaceError};
use super::sql::literal;
use super::{LEDGER, Managed};

/// What [`Entry::of`] reads.
const COLUMNS: &str = "`version`, `kind`, `table_id`, `load_id`, `writer`, `settled`, `rows`, `files`, `bytes`, \
     unix_micros(`ts_min`) AS `ts_min`, unix_micros(`ts_max`) AS `ts_max`, unix_micros(`committed_at`) AS `committed_at`, `folder`, \
     `columns`, `date_min`, `date_max`, to_json(`spans`) AS `spans`";

/// What a row of the ledger is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Rows by their load id.
    Load,
    /// Objects by their key.
    Merge,
    /// Nothing but spans.
    Bookmarks,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Merge => "merge",
            Self::Bookmarks => "bookmarks",
        }
    }

    fn of(text: &str) -> Option<Self> {
        [Self::Load, Self::Merge, Self::Bookmarks].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// How far a shard is with one row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) shard: String,
    pub(super) from: i64,
    pub(super) to: i64,
}

/// A row of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) table_id: String,
    /// The process, a slash, and the attempt.
    pub(super) writer: String,
    /// Of a merge: whether its objects are in the table.
    pub(super) settled: bool,
    /// Where its files are, if it has any.
    pub(super) folder: Option<String>,
    /// The columns in those files, whatever a later version of the table has.
    pub(super) columns: Vec<String>,
    /// The earliest and the latest `date` of the rows, where each has one.
    pub(super) dates: Option<(String, String)>,
    pub(super) spans: Vec<Reach>,
    pub(super) committed: Committed,
}

impl Entry {
    /// The rows of a result with [`COLUMNS`].
    fn of(rows: &Rows) -> Option<Vec<Self>> {
        let place = |name: &str| rows.columns.iter().position(|column| column.eq_ignore_ascii_case(name));
        let names = [
            "version",
            "kind",
            "table_id",
            "load_id",
            "writer",
            "settled",
            "rows",
            "files",
            "bytes",
            "ts_min",
            "ts_max",
            "committed_at",
            "folder",
            "spans",
            "columns",
            "date_min",
            "date_max",
        ];
        let places: Vec<usize> = names.into_iter().map(place).collect::<Option<_>>()?;
        rows.rows.iter().map(|row| Self::of_row(&places.iter().map(|place| row.get(*place)?.as_deref()).collect::<Vec<_>>())).collect()
    }

    fn of_row(row: &[Option<&str>]) -> Option<Self> {
        let number = |at: usize| row[at]?.parse::<i64>().ok();
        let text = |at: usize| row[at].map(str::to_owned);
        Some(Self {
            kind: Kind::of(row[1]?)?,
            table_id: text(2)?,
            writer: text(4)?,
            settled: row[5] == Some("true"),
            folder: text(12),
            columns: row[14].unwrap_or_default().split(',').map(str::to_owned).collect(),
            dates: text(15).zip(text(16)),
            spans: reaches(row[13].unwrap_or("[]"))?,
            committed: Committed {
                version: number(0)?,
                load_id: text(3)?,
                rows: number(6)?,
                files: number(7)?,
                bytes: number(8)?,
                ts_range: number(9).zip(number(10)).map(|(first, last)| (Micros(first), Micros(last))),
                committed_at: Micros(number(11)?),
            },
        })
    }

    pub(super) fn version(&self) -> i64 {
        self.committed.version
    }

    /// Whether this row still has to be watched: its objects are not all in the table.
    fn is_open_merge(&self) -> bool {
        self.kind == Kind::Merge && !self.settled
    }
}

fn reaches(json: &str) -> Option<Vec<Reach>> {
    let Value::Array(spans) = serde_json::from_str(json).ok()? else { return None };
    let reach = |span: &Value| {
        Some(Reach { shard: span["shard"].as_str()?.to_owned(), from: span["from_position"].as_i64()?, to: span["to_position"].as_i64()? })
    };
    spans.iter().map(reach).collect()
}

/// What we know about a table.
pub(super) struct Known {
    pub(super) table_id: String,
    pub(super) columns: Vec<CatalogColumn>,
    /// The newest row of the ledger for the table, 0 when there is none.
    pub(super) version: i64,
    /// For each shard the row that set it, and to what.
    positions: HashMap<String, (i64, Position)>,
    /// The newest load, as long as it is not known to have landed.
    pub(super) open_load: Option<Entry>,
    /// The newest merge, as long as its objects are not known to be in.
    pub(super) open_merge: Option<Entry>,
    /// The folder of the newest load: nothing is left in it but the mark.
    pub(super) last_folder: Option<String>,
    /// When folders that nobody names were last looked for.
    pub(super) swept_at: Option<Instant>,
}

/// Rows of the ledger that are read in one answer.
const LOADS_AT_ONCE: i64 = 10_000;

/// How long a merge that is not finished holds back what comes after it from being told.
const MERGE_WITHIN: Duration = Duration::from_secs(3600);

impl Known {
    /// The last row of which everything before is told: a merge that still goes on has no place in the history yet, and what comes after
    /// it would take that place.
    pub(super) fn told_until(&self, now: Micros) -> i64 {
        let within = i64::try_from(MERGE_WITHIN.as_micros()).unwrap_or(i64::MAX);
        let open = self.open_merge.as_ref().filter(|open| open.committed.committed_at.0 > now.0.saturating_sub(within));
        open.map_or(self.version, |open| open.version() - 1)
    }

    pub(super) fn position(&self, shard: &str) -> Option<Position> {
        self.positions.get(shard).map(|(_, position)| *position)
    }

    pub(super) fn positions_below(&self, prefix: &str) -> BTreeMap<String, Position> {
        let below = self.positions.iter().filter(|(shard, _)| shard.starts_with(prefix));
        below.map(|(shard, (_, position))| (shard.clone(), *position)).collect()
    }

    /// Takes in a row of the ledger, which may be known already.
    pub(super) fn take(&mut self, entry: &Entry) {
        let version = entry.version();
        let is_new = version > self.version;
        self.version = self.version.max(version);
        if entry.table_id != self.table_id {
            return;
        }
        for reach in &entry.spans {
            let known = self.positions.entry(reach.shard.clone()).or_insert((version, 0));
            if known.0 <= version {
                *known = (version, u64::try_from(reach.to).unwrap_or_default());
            }
        }
        match entry.kind {
            Kind::Load if is_new => {
                // Whoever made it knew that the one before had landed.
                self.open_load = entry.folder.is_some().then(|| entry.clone());
                self.last_folder = entry.folder.clone();
            }
            Kind::Merge if is_new || self.open_merge.as_ref().is_some_and(|open| open.version() == version) => {
                self.open_merge = entry.is_open_merge().then(|| entry.clone());
            }
            Kind::Load | Kind::Merge | Kind::Bookmarks => {}
        }
    }
}

impl Managed {
    /// What is known of a table that can be written to; the table is made when it is not there.
    pub(super) async fn opened<'slot>(
        &self,
        table: &'static TableDef,
        slot: &'slot mut Option<Known>,
    ) -> Result<&'slot mut Known, DestinationError> {
        let known = match slot.take() {
            Some(known) => known,
            None => {
                let (table_id, columns) = self.prepare_table(table).await?;
                self.read_ledger(table, table_id, columns).await?
            }
        };
        Ok(slot.insert(known))
    }

    /// What the ledger says now of a table, its newest load carried to its end; nothing when there is no such table.
    pub(super) async fn settled<'slot>(
        &self,
        table: &'static TableDef,
        slot: &'slot mut Option<Known>,
    ) -> Result<Option<&'slot mut Known>, DestinationError> {
        let before = slot.take();
        let name = self.name(table.name);
        let Some(found) = self.workspace.table(&name).await? else { return Ok(None) };
        let mut known = match before.filter(|known| known.table_id == found.table_id) {
            Some(mut known) => {
                known.columns = found.columns;
                self.refresh(table, &mut known).await?;
                known
            }
            None if self.workspace.table(&self.name(LEDGER)).await?.is_none() => return Ok(None),
            None => self.read_ledger(table, found.table_id, found.columns).await?,
        };
        self.carry_forward(table, &mut known).await?;
        Ok(Some(slot.insert(known)))
    }

    /// Reads what is new in the ledger, and what may have changed.
    pub(super) async fn refresh(&self, table: &TableDef, known: &mut Known) -> Result<(), DestinationError> {
        let first = known.open_merge.as_ref().map_or(known.version + 1, Entry::version);
        for entry in self.entries(table, &format!("`version` >= {first} ORDER BY `version`")).await? {
            known.take(&entry);
        }
        Ok(())
    }

    /// The rows of the ledger for `table` that `condition` is true for.
    pub(super) async fn entries(&self, table: &TableDef, condition: &str) -> Result<Vec<Entry>, DestinationError> {
        let ledger = self.ledger();
        self.read_entries(table, format!("SELECT {COLUMNS} FROM {ledger} WHERE `table_name` = {} AND {condition}", literal(table.name)))
            .await
    }

    /// The newest row of the ledger for `table`, of each kind.
    async fn newest_entries(&self, table: &TableDef) -> Result<Vec<Entry>, DestinationError> {
        let ranked = format!(
            "SELECT *, row_number() OVER (PARTITION BY `kind`, `table_id` ORDER BY `version` DESC) AS `_rank` FROM {} WHERE `table_name` = {}",
            self.ledger(),
            literal(table.name)
        );
        self.read_entries(table, format!("SELECT {COLUMNS} FROM ({ranked}) AS r WHERE r.`_rank` = 1 ORDER BY `version`")).await
    }

    async fn read_entries(&self, table: &TableDef, text: String) -> Result<Vec<Entry>, DestinationError> {
        let rows = self.run(text, table.name).await?;
        Ok(Entry::of(&rows).ok_or_else(odd)?)
    }

    /// The ledger of a table from its beginning: its newest rows, and of all others what they come to.
    async fn read_ledger(&self, table: &TableDef, table_id: String, columns: Vec<CatalogColumn>) -> Result<Known, DestinationError> {
        let mut known = Known {
            table_id,
            columns,
            version: 0,
            positions: HashMap::new(),
            open_load: None,
            open_merge: None,
            last_folder: None,
            swept_at: None,
        };
        let newest = self.newest_entries(table).await?;
        if newest.is_empty() {
            return Ok(known);
        }
        for entry in &newest {
            known.take(entry);
        }
        let text = format!(
            "SELECT p.`shard` AS `shard`, max_by(p.`to_position`, l.`version`) AS `position`, max(l.`version`) AS `version` FROM {} AS l \
             LATERAL VIEW explode(l.`spans`) e AS p WHERE l.`table_name` = {} AND l.`table_id` = {} AND l.`version` <= {} GROUP BY p.`shard`",
            self.ledger(),
            literal(table.name),
            literal(&known.table_id),
            known.version
        );
        let rows = self.run(text, table.name).await?;
        let values = |name: &str| rows.column(name).ok_or_else(odd);
        let (shards, positions, versions) = (values("shard")?, values("position")?, values("version")?);
        for ((shard, position), version) in shards.iter().zip(positions).zip(versions) {
            let parsed = shard.zip(position.and_then(|text| text.parse().ok())).zip(version.and_then(|text| text.parse().ok()));
            let ((shard, position), version) = parsed.ok_or_else(odd)?;
            known.positions.insert(shard.to_owned(), (version, position));
        }
        Ok(known)
    }

    /// What `_loads` is made of, oldest first.
    pub(super) async fn loads_of(
        &self,
        table: &TableDef,
        table_id: &str,
        after: Option<i64>,
        last: i64,
    ) -> Result<Vec<Committed>, DestinationError> {
        let (mut loads, mut after) = (Vec::new(), after.unwrap_or(0));
        while after < last {
            // An answer has room for some thirty thousand.
            let until = last.min(after.saturating_add(LOADS_AT_ONCE));
            let condition = format!(
                "`table_id` = {} AND `kind` IN ('load', 'merge') AND `settled` AND `version` > {after} AND `version` <= {until} ORDER BY `version`",
                literal(table_id)
            );
            loads.extend(self.entries(table, &condition).await?.into_iter().map(|entry| entry.committed));
            after = until;
        }
        Ok(loads)
    }
}

/// A ledger that somebody else has written to.
fn odd() -> WorkspaceError {
    WorkspaceError::Settings(format!("the table {LEDGER} has rows that are none of Freshet's"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(version: i64, kind: Kind, settled: bool, reach: i64) -> Entry {
        Entry {
            kind,
            table_id: "here".to_owned(),
            writer: "process/attempt".to_owned(),
            settled,
            folder: Some(format!("/Volumes/{version}")),
            columns: vec!["a".to_owned()],
            dates: None,
            spans: vec![Reach { shard: "a".to_owned(), from: 0, to: reach }],
            committed: Committed { load_id: "x".to_owned(), rows: 1, files: 1, bytes: 1, ts_range: None, committed_at: Micros(1), version },
        }
    }

    fn nothing() -> Known {
        Known {
            table_id: "here".to_owned(),
            columns: Vec::new(),
            version: 0,
            positions: HashMap::new(),
            open_load: None,
            open_merge: None,
            last_folder: None,
            swept_at: None,
        }
    }

    #[test]
    fn the_newest_row_counts_and_rows_of_a_dropped_table_do_not() {
        let mut known = nothing();
        known.take(&entry(1, Kind::Load, true, 5));
        known.take(&entry(3, Kind::Bookmarks, true, 2));
        known.take(&entry(2, Kind::Load, true, 9));
        known.take(&Entry { table_id: "gone".to_owned(), ..entry(7, Kind::Load, true, 100) });
        assert_eq!((known.position("a"), known.version), (Some(2), 7), "bookmarks may be set back");
        assert_eq!(known.open_load.as_ref().map(Entry::version), Some(1), "row 2 was known to be older");
    }

    #[test]
    fn a_merge_is_watched_until_it_is_settled() {
        let mut known = nothing();
        known.take(&entry(1, Kind::Merge, false, 0));
        known.take(&entry(2, Kind::Load, true, 0));
        assert_eq!(known.open_merge.as_ref().map(Entry::version), Some(1));
        known.take(&entry(1, Kind::Merge, true, 4));
        assert!(known.open_merge.is_none() && known.open_load.is_some());
    }

    #[test]
    fn rows_are_read_by_the_names_of_their_columns() {
        let row = |name: &str| match name {
            "version" => Some("4"),
            "kind" => Some("merge"),
            "table_id" | "load_id" | "writer" => Some("x"),
            "rows" | "files" | "bytes" | "committed_at" => Some("1"),
            "spans" => Some(r#"[{"shard":"a","from_position":1,"to_position":2}]"#),
            _ => None,
        };
        let columns: Vec<String> = [
            "spans",
            "folder",
            "committed_at",
            "ts_max",
            "ts_min",
            "bytes",
            "files",
            "rows",
            "settled",
            "writer",
            "load_id",
            "table_id",
            "kind",
            "version",
            "columns",
            "date_min",
            "date_max",
        ]
        .map(str::to_owned)
        .into();
        let values = columns.iter().map(|name| row(name).map(str::to_owned)).collect();
        let entries = Entry::of(&Rows { columns: columns.clone(), rows: vec![values] }).unwrap();
        assert_eq!((entries[0].version(), entries[0].spans[0].to, entries[0].is_open_merge()), (4, 2, true));
        assert_eq!(Entry::of(&Rows { columns, rows: vec![vec![None; 17]] }), None);
    }
}
