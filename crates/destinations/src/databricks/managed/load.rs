//! One package: staged, claimed, brought in. See the module's own words for why that is once.

use std::time::Duration;

use arrow_array::RecordBatch;
use freshet_core::{CommitOutcome, Committed, DestinationError, LoadId, Package, TableDef};
use uuid::Uuid;

use super::super::{CatalogColumn, Rows, WorkspaceError, quoted};
use super::ledger::{Entry, Kind, Known, Reach};
use super::sql::{date, literal, parquet};
use super::stage::{Staged, files_of, paths};
use super::{LOAD_ID, Managed};
use crate::spans::{Spans, Standing};

/// Claims of one call that others may win.
const CLAIMS_MAX: u32 = 12;

/// The wait after the first lost claim; it doubles each time.
const FIRST_WAIT: Duration = Duration::from_millis(10);

/// What one call to commit carries from claim to claim.
struct Attempt<'call> {
    package: &'call Package,
    spans: &'call Spans<'call>,
    writer: String,
    staged: Option<Staged>,
    /// Claims that others have won.
    lost: u32,
}

/// What comes next.
enum Step {
    Ended(CommitOutcome),
    /// The files have to be there first.
    Stage,
    /// Somebody else was faster.
    Wait,
    /// It is another table now.
    Anew,
}

impl Managed {
    pub(super) async fn commit_package(&self, package: &Package) -> Result<CommitOutcome, DestinationError> {
        let table = package.table;
        let spans = Spans::of(package)?;
        let slot = self.slot(table);
        let writer = format!("{}/{}", self.instance.simple(), Uuid::new_v4().simple());
        let mut attempt = Attempt { package, spans: &spans, writer, staged: None, lost: 0 };
        loop {
            let mut guard = slot.lock().await;
            let is_fresh = guard.is_none();
            let known = self.opened(table, &mut guard).await?;
            let step = match self.step(&mut attempt, known, is_fresh).await {
                Ok(step) => step,
                Err(error) => {
                    // A claim may be there all the same: nothing we know about the table counts any more.
                    *guard = None;
                    return Err(error);
                }
            };
            if matches!(step, Step::Anew) {
                *guard = None;
            }
            drop(guard);
            match step {
                Step::Ended(outcome) => return Ok(outcome),
                // Most of the work, and none that others who want to know the table's positions should wait for.
                Step::Stage => attempt.staged = Some(self.stage(table, package.load_id, &package.batches).await?),
                Step::Wait | Step::Anew if attempt.lost == CLAIMS_MAX => return Err(crowded(table)),
                Step::Wait | Step::Anew => tokio::time::sleep(wait(package, attempt.lost)).await,
            }
        }
    }

    async fn step(&self, attempt: &mut Attempt<'_>, known: &mut Known, is_fresh: bool) -> Result<Step, DestinationError> {
        let (package, table) = (attempt.package, attempt.package.table);
        let mut standing = attempt.spans.judge(|shard| known.position(shard.as_str()));
        if standing != Standing::Before && !is_fresh {
            self.refresh(table, known).await?;
            standing = attempt.spans.judge(|shard| known.position(shard.as_str()));
        }
        // Whatever is decided, it is decided on rows that are in the table.
        self.carry_forward(table, known).await?;
        if standing != Standing::Before {
            if let Some(staged) = &attempt.staged {
                // Each of our claims was for a version that others have now.
                self.discard(table, staged).await;
            }
            let outcome = if standing == Standing::Beyond { CommitOutcome::AlreadyThere } else { CommitOutcome::Overtaken };
            return Ok(Step::Ended(outcome));
        }
        let Some(staged) = &attempt.staged else { return Ok(Step::Stage) };
        // Rows go by the table's name, and the ledger counts them by its id: one request, which wakes no warehouse.
        let found = self.workspace.table(&self.name(table.name)).await?;
        if found.is_none_or(|found| found.table_id != known.table_id) {
            attempt.lost += 1;
            return Ok(Step::Anew);
        }
        let entry = entry(attempt, staged, known, self.options.clock.now());
        if !self.claim(table, &entry, Some(staged.until)).await? && !self.is_ours(table, known, &entry).await? {
            attempt.lost += 1;
            tracing::debug!(table = table.name, lost = attempt.lost, "another process loads into the table");
            return Ok(Step::Wait);
        }
        let before = known.last_folder.clone();
        known.take(&entry);
        // When there is a load after it, somebody has carried it to its end.
        if known.open_load.as_ref().is_some_and(|open| open.version() == entry.version()) {
            self.bring_in(table, known, &entry, false).await?;
            known.open_load = None;
            self.tidy(table, &entry, before).await;
            self.sweep(table, known).await;
        }
        tracing::debug!(table = table.name, load = %package.load_id, version = entry.version(), "package is in its table");
        Ok(Step::Ended(CommitOutcome::Committed(entry.committed)))
    }

    /// Makes sure that the newest load is in the table, whoever has claimed it.
    pub(super) async fn carry_forward(&self, table: &TableDef, known: &mut Known) -> Result<(), DestinationError> {
        let Some(entry) = known.open_load.clone() else { return Ok(()) };
        // Mostly it has ended, and nothing is left to do.
        if let Some(folder) = &entry.folder
            && self.has_mark(folder).await?
        {
            known.open_load = None;
            return Ok(());
        }
        if !self.has_landed(table, &entry).await? {
            self.bring_in(table, known, &entry, true).await?;
            tracing::info!(
                table = table.name,
                version = entry.version(),
                "a load that another process has left open was carried to its end"
            );
        }
        self.tidy(table, &entry, None).await;
        known.open_load = None;
        Ok(())
    }

    /// Whether the rows of a load that somebody else may have begun are in the table. They come all at once.
    async fn has_landed(&self, table: &TableDef, entry: &Entry) -> Result<bool, DestinationError> {
        let Some(folder) = &entry.folder else { return Ok(true) };
        if self.count(table, entry).await? > 0 {
            return Ok(true);
        }
        if self.has_files(entry).await? {
            return Ok(false);
        }
        // It may have ended while we looked.
        if self.has_mark(folder).await? || self.count(table, entry).await? > 0 {
            return Ok(true);
        }
        let problem = format!(
            "load {} of table {} has neither rows in the table nor files in {folder}, though {} promises {} rows. Somebody has deleted \
             both. Restore either of them; or put an empty file called `landed` into that folder, which gives these rows up",
            entry.committed.load_id,
            table.name,
            self.ledger(),
            entry.committed.rows
        );
        Err(DestinationError::Refused { problem })
    }

    async fn count(&self, table: &TableDef, entry: &Entry) -> Result<i64, WorkspaceError> {
        let text = format!("SELECT count(*) AS `rows` FROM {} WHERE {}", self.name(table.name).quoted(), rows_of(table, entry));
        let rows = self.run(text, table.name).await?;
        let count = rows.value("rows").and_then(|text| text.parse().ok());
        count.ok_or_else(|| WorkspaceError::Settings(format!("table {} does not say how many rows it has", table.name)))
    }

    /// Brings the rows of a claimed load into the table. They are counted there when somebody else may be at the same.
    async fn bring_in(&self, table: &TableDef, known: &mut Known, entry: &Entry, is_doubtful: bool) -> Result<(), DestinationError> {
        let inserted = match self.insert(table, known, entry).await {
            Err(error) if !error.is_transient() => {
                let marked = match &entry.folder {
                    Some(folder) => self.has_mark(folder).await?,
                    None => true,
                };
                // Another process has carried it forward, and its files are gone.
                if marked || self.count(table, entry).await? > 0 {
                    return Ok(());
                }
                // Or the table has other columns than a moment ago.
                let found = self.workspace.table(&self.name(table.name)).await?;
                match found.filter(|found| found.table_id == known.table_id && found.columns != known.columns) {
                    Some(found) => known.columns = found.columns,
                    None => return Err(error.into()),
                }
                self.insert(table, known, entry).await?
            }
            ended => ended?,
        };
        let wanted = entry.committed.rows;
        let said: Option<i64> = inserted.value("num_inserted_rows").and_then(|text| text.parse().ok());
        if said == Some(wanted) && !is_doubtful {
            return Ok(());
        }
        let mut count = self.count(table, entry).await?;
        if count > wanted {
            // Two of the same came together. A third takes the place of both.
            self.insert(table, known, entry).await?;
            count = self.count(table, entry).await?;
        }
        match count {
            count if count == wanted => Ok(()),
            count => {
                let problem = format!("table {} has {count} rows of load {}, which has {wanted}", table.name, entry.committed.load_id);
                Err(DestinationError::Refused { problem })
            }
        }
    }

    /// Adds rows to `table` with `load_id`, beside the ledger: once or more often. It collides with nobody.
    pub(in crate::databricks) async fn append(
        &self,
        table: &'static TableDef,
        load_id: &str,
        package: LoadId,
        batches: &[RecordBatch],
    ) -> Result<(), DestinationError> {
        if batches.is_empty() {
            return Ok(());
        }
        let (_, columns) = self.prepare_table(table).await?;
        let staged = self.stage(table, package, batches).await?;
        let paths = staged.folder.iter().flat_map(|folder| paths(folder, usize::try_from(staged.files).unwrap_or_default()));
        let staged_columns: Vec<String> = table.columns.iter().map(|column| column.name.to_owned()).collect();
        let text = format!("INSERT INTO {} {}", self.name(table.name).quoted(), selected(&columns, &staged_columns, load_id, paths));
        let inserted = self.run(text, table.name).await;
        self.discard(table, &staged).await;
        Ok(inserted.map(drop)?)
    }

    async fn insert(&self, table: &TableDef, known: &Known, entry: &Entry) -> Result<Rows, WorkspaceError> {
        let rows = selected(&known.columns, &entry.columns, &entry.committed.load_id, files_of(entry));
        let text = format!("INSERT INTO {} REPLACE WHERE {} {rows}", self.name(table.name).quoted(), rows_of(table, entry));
        self.run(text, table.name).await
    }
}

/// The rows of files that have the columns `staged`, as a table with `columns` takes them: by position.
fn selected(columns: &[CatalogColumn], staged: &[String], load_id: &str, paths: impl IntoIterator<Item = String>) -> String {
    let load_id = literal(load_id);
    let column = |column: &CatalogColumn| {
        let name = quoted(&column.name);
        if column.name.eq_ignore_ascii_case(LOAD_ID) {
            format!("{load_id} AS {name}")
        } else if staged.iter().any(|staged| staged.eq_ignore_ascii_case(&column.name)) {
            name
        } else {
            format!("CAST(NULL AS {}) AS {name}", column.type_text)
        }
    };
    let columns = columns.iter().map(column).collect::<Vec<_>>().join(", ");
    paths.into_iter().map(|path| format!("SELECT {columns} FROM {}", parquet(&path))).collect::<Vec<_>>().join(" UNION ALL ")
}

/// What is true for the rows of a load and no others. Their dates add nothing but speed: of most files it is known without a look that
/// they have none of them.
fn rows_of(table: &TableDef, entry: &Entry) -> String {
    let by_id = format!("{} = {}", quoted(LOAD_ID), literal(&entry.committed.load_id));
    match (table.partition_column(), &entry.dates) {
        (Some(column), Some((first, last))) => {
            let (column, first, last) = (quoted(column), date(Some(first)), date(Some(last)));
            format!("{by_id} AND {column} >= {first} AND {column} <= {last}")
        }
        _ => by_id,
    }
}

fn entry(attempt: &Attempt<'_>, staged: &Staged, known: &Known, now: freshet_core::Micros) -> Entry {
    let package = attempt.package;
    let spans = attempt.spans.0.iter();
    Entry {
        kind: Kind::Load,
        table_id: known.table_id.clone(),
        writer: attempt.writer.clone(),
        settled: true,
        folder: staged.folder.clone(),
        dates: staged.dates.clone(),
        columns: package.table.columns.iter().map(|column| column.name.to_owned()).collect(),
        spans: spans.map(|(shard, ends)| Reach { shard: shard.as_str().to_owned(), from: ends.from, to: ends.to }).collect(),
        committed: Committed {
            load_id: package.load_id.to_string(),
            rows: i64::try_from(package.rows()).unwrap_or(i64::MAX),
            files: staged.files,
            bytes: staged.bytes,
            ts_range: package.ts_range,
            committed_at: now,
            version: known.version + 1,
        },
    }
}

/// The wait after `lost` claims: doubling, with up to as much again, so that those who collided part.
fn wait(package: &Package, lost: u32) -> Duration {
    let base = FIRST_WAIT * 2_u32.saturating_pow(lost.saturating_sub(1).min(8));
    // The load id is a hash: as good as chance, and the same on a replay.
    let share = (package.load_id.0 >> (lost.min(15) * 8)) & 0xff;
    base + base.mul_f64(share as f64 / 256.0)
}

fn crowded(table: &TableDef) -> DestinationError {
    DestinationError::Transient {
        doing: format!("load into table {}", table.name),
        cause: format!("other processes were faster {CLAIMS_MAX} times").into(),
    }
}
