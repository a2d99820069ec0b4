//! Objects with a key: staged, compared, and only if something is otherwise, claimed and merged.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{ArrayRef, BooleanArray, RecordBatch, new_null_array};
use arrow_row::{RowConverter, SortField};
use arrow_schema::ArrowError;
use arrow_select::filter::filter_record_batch;
use freshet_core::{Committed, DestinationError, Merge, Merged, Position, ShardId, TableDef};
use uuid::Uuid;

use super::super::{Rows, WorkspaceError};
use super::Managed;
use super::changes::Changes;
use super::ledger::{Entry, Kind, Known, Reach};
use super::sql::literal;
use super::stage::{Staged, paths};

/// Claims of one call that others may win or supersede.
const CLAIMS_MAX: u32 = 12;

/// The wait before another look at a merge of somebody else; it doubles each time.
const FIRST_LOOK: Duration = Duration::from_millis(50);

/// The longest such wait.
const LOOK_MAX: Duration = Duration::from_secs(5);

impl Managed {
    pub(super) async fn merge_objects(&self, merge: &Merge) -> Result<Merged, DestinationError> {
        let slot = self.slot(merge.table);
        let mut guard = slot.lock().await;
        self.opened(merge.table, &mut guard).await?;
        let batches = last_of_each(merge).map_err(|error| DestinationError::Refused {
            problem: format!("objects for table {} cannot be told apart: {error}", merge.table.name),
        })?;
        let objects = batches.iter().map(RecordBatch::num_rows).sum::<usize>() as u64;
        let staged = self.stage(merge.table, merge.load_id, &batches).await?;
        let Some(known) = guard.as_mut() else { return Err(crowded(merge.table)) };
        let merged = self.merge_staged(merge, &staged, objects, known).await;
        if merged.is_err() {
            // A claim may be there all the same: nothing we know about the table counts any more.
            *guard = None;
        }
        // Gone files only keep a statement that is still on its way from doing anything.
        self.discard(merge.table, &staged).await;
        merged
    }

    async fn merge_staged(&self, merge: &Merge, staged: &Staged, objects: u64, known: &mut Known) -> Result<Merged, DestinationError> {
        let (table, name) = (merge.table, self.name(merge.table.name).quoted());
        let files = staged.folder.as_deref().map(|folder| paths(folder, usize::try_from(staged.files).unwrap_or_default()));
        let files = files.unwrap_or_default();
        let writer = format!("{}/{}", self.instance.simple(), Uuid::new_v4().simple());
        let mut patience = Patience::new(self.options.merge_patience);
        let mut applied: Option<Merged> = None;
        let mut claims = 0;
        while claims < CLAIMS_MAX {
            let columns = known.columns.clone();
            let changes = Changes { merge, columns: &columns, table: &name, files: &files };
            let found = counted(&self.run(changes.count(), table.name).await?, objects)?;
            let moved = moved(&merge.bookmarks, known);
            let is_same = found.inserted + found.updated + found.deleted == 0;
            if is_same && moved.is_empty() && applied.is_none() {
                return Ok(found);
            }
            // What an attempt before may have merged is counted as it was then.
            let counts = &applied.clone().unwrap_or(found);
            if !is_same && let Some(open) = known.open_merge.clone() {
                let is_alive = !open.writer.starts_with(&self.instance.simple().to_string());
                if is_alive && patience.wait().await {
                    self.refresh(table, known).await?;
                    continue;
                }
            }
            claims += 1;
            // Bookmarks move with the objects: a claim alone moves none, since those who read it cannot know that the objects will come.
            let claimed = if is_same { moved.clone() } else { Vec::new() };
            let claim = self.merge_claim(merge, staged, counts, known, (writer.clone(), is_same, claimed));
            if !self.claim(table, &claim, Some(staged.until)).await? && !self.is_ours(table, known, &claim).await? {
                continue;
            }
            known.take(&claim);
            if !is_same {
                let fence = format!(
                    "NOT EXISTS (SELECT 1 FROM {} AS f WHERE f.`table_name` = {} AND f.`kind` = 'merge' AND f.`version` > {})",
                    self.ledger(),
                    literal(table.name),
                    claim.version()
                );
                applied = Some(counts.clone());
                self.run(changes.apply(&fence), table.name).await?;
                let settled = Entry { settled: true, spans: moved, ..claim.clone() };
                if !self.settle_merge(table, &settled).await? {
                    tracing::debug!(table = table.name, version = claim.version(), "another merge has superseded this one");
                    self.refresh(table, known).await?;
                    continue;
                }
                known.take(&settled);
            }
            return Ok(Merged { committed: Some(claim.committed), ..counts.clone() });
        }
        Err(crowded(table))
    }

    fn merge_claim(
        &self,
        merge: &Merge,
        staged: &Staged,
        counts: &Merged,
        known: &Known,
        (writer, settled, moved): (String, bool, Vec<Reach>),
    ) -> Entry {
        Entry {
            kind: Kind::Merge,
            table_id: known.table_id.clone(),
            writer,
            settled,
            folder: staged.folder.clone(),
            dates: None,
            columns: merge.table.columns.iter().map(|column| column.name.to_owned()).collect(),
            spans: moved,
            committed: Committed {
                load_id: merge.load_id.to_string(),
                rows: i64::try_from(counts.inserted + counts.updated + counts.deleted).unwrap_or(i64::MAX),
                files: staged.files,
                bytes: staged.bytes,
                ts_range: None,
                committed_at: self.options.clock.now(),
                version: known.version + 1,
            },
        }
    }

    /// Sets bookmarks to what is wanted, also backwards.
    pub(super) async fn move_bookmarks(&self, table: &'static TableDef, bookmarks: &[(ShardId, Position)]) -> Result<(), DestinationError> {
        let slot = self.slot(table);
        let mut slot = slot.lock().await;
        let Some(known) = self.settled(table, &mut slot).await? else {
            return Err(DestinationError::Refused {
                problem: format!("there is no table {}, and so nothing to remember; sync it first", table.name),
            });
        };
        for _ in 0..CLAIMS_MAX {
            let entry = Entry {
                kind: Kind::Bookmarks,
                table_id: known.table_id.clone(),
                writer: format!("{}/{}", self.instance.simple(), Uuid::new_v4().simple()),
                settled: true,
                folder: None,
                dates: None,
                columns: Vec::new(),
                spans: reaches(bookmarks, known),
                committed: Committed {
                    load_id: "bookmarks".to_owned(),
                    rows: 0,
                    files: 0,
                    bytes: 0,
                    ts_range: None,
                    committed_at: self.options.clock.now(),
                    version: known.version + 1,
                },
            };
            if self.claim(table, &entry, None).await? || self.is_ours(table, known, &entry).await? {
                known.take(&entry);
                return Ok(());
            }
        }
        Err(crowded(table))
    }
}

/// How long somebody else is waited for.
struct Patience {
    begun: Instant,
    within: Duration,
    next: Duration,
}

impl Patience {
    fn new(within: Duration) -> Self {
        Self { begun: Instant::now(), within, next: FIRST_LOOK }
    }

    /// Waits a little; `false` when it has waited for long enough.
    async fn wait(&mut self) -> bool {
        if self.begun.elapsed() >= self.within {
            return false;
        }
        tokio::time::sleep(self.next).await;
        self.next = (self.next * 2).min(LOOK_MAX);
        true
    }
}

/// What the table has of `objects` objects, by the rows that [`Changes::count`] returns.
fn counted(rows: &Rows, objects: u64) -> Result<Merged, WorkspaceError> {
    let mut merged = Merged::default();
    let (changes, counts) = (rows.column("change").unwrap_or_default(), rows.column("objects").unwrap_or_default());
    for (change, count) in changes.iter().zip(counts) {
        let count = count.and_then(|text| text.parse().ok());
        let place = match change {
            Some("new") => &mut merged.inserted,
            Some("changed") => &mut merged.updated,
            Some("gone") => &mut merged.deleted,
            _ => return Err(WorkspaceError::Settings("a comparison of objects came back with odd words".to_owned())),
        };
        *place = count.ok_or_else(|| WorkspaceError::Settings("a comparison of objects came back without numbers".to_owned()))?;
    }
    merged.unchanged = objects.saturating_sub(merged.inserted + merged.updated);
    Ok(merged)
}

/// The objects in the shape of their table, which may have columns that they do not; of those with one key the last.
fn last_of_each(merge: &Merge) -> Result<Vec<RecordBatch>, ArrowError> {
    let schema = merge.table.arrow_schema();
    let fit = |batch: &RecordBatch| {
        let column = |field: &arrow_schema::FieldRef| match batch.column_by_name(field.name()) {
            Some(column) => Arc::clone(column),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        RecordBatch::try_new(Arc::clone(&schema), schema.fields().iter().map(column).collect())
    };
    let batches: Vec<RecordBatch> = merge.batches.iter().map(fit).collect::<Result<_, _>>()?;
    let places: Vec<usize> = merge.key.iter().map(|name| schema.index_of(name)).collect::<Result<_, _>>()?;
    let fields = places.iter().map(|place| SortField::new(schema.field(*place).data_type().clone())).collect();
    let converter = RowConverter::new(fields)?;
    let mut seen: HashSet<Box<[u8]>> = HashSet::new();
    let mut kept = Vec::with_capacity(batches.len());
    for batch in batches.iter().rev() {
        let columns: Vec<ArrayRef> = places.iter().map(|place| Arc::clone(batch.column(*place))).collect();
        let keys = converter.convert_columns(&columns)?;
        let mut is_last: Vec<bool> = (0..batch.num_rows()).rev().map(|row| seen.insert(keys.row(row).data().into())).collect();
        is_last.reverse();
        kept.push(filter_record_batch(batch, &BooleanArray::from(is_last))?);
    }
    kept.reverse();
    kept.retain(|batch| batch.num_rows() > 0);
    Ok(kept)
}

/// The bookmarks that go forward.
fn moved(bookmarks: &[(ShardId, Position)], known: &Known) -> Vec<Reach> {
    let forward: Vec<(ShardId, Position)> = bookmarks
        .iter()
        .filter(|(shard, position)| known.position(shard.as_str()).is_none_or(|known| known < *position))
        .cloned()
        .collect();
    reaches(&forward, known)
}

fn reaches(bookmarks: &[(ShardId, Position)], known: &Known) -> Vec<Reach> {
    let signed = |position: Position| i64::try_from(position).unwrap_or(i64::MAX);
    let reach = |(shard, position): &(ShardId, Position)| Reach {
        shard: shard.as_str().to_owned(),
        from: signed(known.position(shard.as_str()).unwrap_or_default()),
        to: signed(*position),
    };
    bookmarks.iter().map(reach).collect()
}

fn crowded(table: &TableDef) -> DestinationError {
    DestinationError::Transient {
        doing: format!("merge objects into table {}", table.name),
        cause: format!("other processes were faster {CLAIMS_MAX} times").into(),
    }
}
