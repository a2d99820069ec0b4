//! Files on their way: encoded, put into a folder of the volume that nobody else writes to, and taken away.

use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::Date32Type;
use arrow_array::{Date32Array, RecordBatch};
use arrow_cast::display::array_value_to_string;
use bytes::Bytes;
use deltalake_core::DeltaTableError;
use freshet_core::{DestinationError, LoadId, Micros, TableDef};
use futures::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::super::WorkspaceError;
use super::Managed;
use super::ledger::{Entry, Known};
use crate::delta::encode::{EncodedFile, Encoder};

/// The file that says that the rows of a folder are in their table.
const MARK: &str = "landed";

/// How long after its files were begun a load can be claimed, in microseconds: half of the time for which they stay at least.
const CLAIM_WITHIN_US: i64 = 12 * 3600 * 1_000_000;

/// How old files have to be before they are swept, in milliseconds: a day.
const SWEEP_AFTER_MS: i64 = 24 * 3600 * 1_000;

/// Time between two looks for what can be swept.
const SWEEP_EVERY: Duration = Duration::from_secs(6 * 3600);

/// Folders that are looked into at one time, so that no load waits for long.
const SWEPT_MAX: usize = 50;

/// Files that are uploaded at once.
const UPLOADS_AT_ONCE: usize = 4;

/// Files in a folder of their own.
#[derive(Clone, Debug, Default)]
pub(super) struct Staged {
    /// The folder; none when there are no rows.
    pub(super) folder: Option<String>,
    pub(super) files: i64,
    pub(super) bytes: i64,
    /// The earliest and the latest `date` of the rows, where each has one.
    pub(super) dates: Option<(String, String)>,
    /// When they may be claimed no more.
    pub(super) until: Micros,
}

impl Managed {
    /// Encodes and uploads rows of `table`.
    pub(super) async fn stage(&self, table: &TableDef, load_id: LoadId, batches: &[RecordBatch]) -> Result<Staged, DestinationError> {
        let until = Micros(self.options.clock.now().0.saturating_add(CLAIM_WITHIN_US));
        let encoder = Encoder::new(&table.arrow_schema(), Vec::new(), &self.options.created_by);
        let encoded = {
            let _turn = self.encoders.acquire().await;
            encoder.encode(batches.to_vec()).await.map_err(|error| unreadable(table, &error))?
        };
        if encoded.is_empty() {
            return Ok(Staged { until, ..Staged::default() });
        }
        let folder = format!("{}/{load_id}-{}", self.staging(table), Uuid::new_v4().simple());
        let (files, bytes) = (encoded.len(), encoded.iter().map(|file| file.bytes.len()).sum::<usize>());
        let uploads = encoded
            .into_iter()
            .zip(paths(&folder, files))
            .map(|(EncodedFile { bytes, .. }, path)| async move { self.workspace.put_file(&path, bytes).await });
        // Collected first: a lazy iterator in the stream would borrow for longer than the compiler can follow.
        let uploads: Vec<_> = uploads.collect();
        futures::stream::iter(uploads).buffer_unordered(UPLOADS_AT_ONCE).try_collect::<Vec<()>>().await?;
        let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        Ok(Staged { folder: Some(folder), files: signed(files), bytes: signed(bytes), dates: dates(table, batches), until })
    }

    /// Where the folders of `table` are.
    fn staging(&self, table: &TableDef) -> String {
        let options = &self.options;
        format!("/Volumes/{}/{}/{}/{}", options.catalog, options.schema, options.volume, table.name)
    }

    /// Whether the rows of a folder were seen to be in their table.
    pub(super) async fn has_mark(&self, folder: &str) -> Result<bool, WorkspaceError> {
        self.workspace.has_file(&format!("{folder}/{MARK}")).await
    }

    /// Whether all files of a load are still there.
    pub(super) async fn has_files(&self, entry: &Entry) -> Result<bool, WorkspaceError> {
        for path in files_of(entry) {
            if !self.workspace.has_file(&path).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The rows of `entry` are in the table: says so in its folder, takes its files away, and what is left of the load before. Nothing
    /// depends on it but the room it takes and the speed of the next start.
    pub(super) async fn tidy(&self, table: &TableDef, entry: &Entry, before: Option<String>) {
        let Some(folder) = &entry.folder else { return };
        let tidied = async {
            self.workspace.put_file(&format!("{folder}/{MARK}"), Bytes::new()).await?;
            let (mine, theirs) = futures::join!(
                async {
                    for path in files_of(entry) {
                        self.workspace.delete_file(&path).await?;
                    }
                    Ok::<(), WorkspaceError>(())
                },
                async {
                    match before.filter(|before| before != folder) {
                        Some(before) => self.workspace.delete_folder(&before).await,
                        None => Ok(()),
                    }
                }
            );
            mine.and(theirs)
        };
        if let Err(error) = tidied.await {
            tracing::debug!(table = table.name, %error, "files of a load were left behind, they are swept later");
        }
    }

    /// Deletes a folder that no row of the ledger can ever name.
    pub(super) async fn discard(&self, table: &TableDef, staged: &Staged) {
        let Some(folder) = &staged.folder else { return };
        if let Err(error) = self.workspace.delete_folder(folder).await {
            tracing::debug!(table = table.name, %error, "files of a load were left behind, they are swept later");
        }
    }

    /// Now and then deletes folders that are older than a day and are not that of the newest load.
    pub(super) async fn sweep(&self, table: &TableDef, known: &mut Known) {
        if known.swept_at.is_some_and(|at| at.elapsed() < SWEEP_EVERY) {
            return;
        }
        known.swept_at = Some(Instant::now());
        let merging = known.open_merge.as_ref().and_then(|entry| entry.folder.as_deref());
        let named: Vec<&str> = known.last_folder.as_deref().into_iter().chain(merging).collect();
        if let Err(error) = self.sweep_but(table, &named).await {
            tracing::debug!(table = table.name, %error, "old files of loads were not swept");
        }
    }

    async fn sweep_but(&self, table: &TableDef, named: &[&str]) -> Result<(), WorkspaceError> {
        // By the clock of those who keep the files: that of one machine may be days ahead, and others stage at this moment.
        let mut newest = None;
        for folder in named {
            let files = self.workspace.list_folder(folder).await?.unwrap_or_default();
            newest = newest.max(files.iter().filter_map(|file| file.modified_ms).max());
        }
        let Some(old) = newest.map(|newest| newest - SWEEP_AFTER_MS) else { return Ok(()) };
        let folders = self.workspace.list_folder(&self.staging(table)).await?.unwrap_or_default();
        let others = folders.into_iter().filter(|folder| folder.is_folder && !named.contains(&folder.path.as_str()));
        for folder in others.take(SWEPT_MAX) {
            let files = self.workspace.list_folder(&folder.path).await?.unwrap_or_default();
            // Of an empty folder nobody can say how old it is; it holds nothing either.
            if !files.is_empty() && files.iter().all(|file| file.modified_ms.is_some_and(|at| at < old)) {
                tracing::info!(table = table.name, folder = folder.path, "swept files of a load that never was");
                self.workspace.delete_folder(&folder.path).await?;
            }
        }
        Ok(())
    }
}

/// The files of a load.
pub(super) fn files_of(entry: &Entry) -> Vec<String> {
    let count = usize::try_from(entry.committed.files).unwrap_or_default();
    entry.folder.as_deref().map(|folder| paths(folder, count)).unwrap_or_default()
}

/// The files in a folder. Names with an underscore or a dot in front would be passed over.
pub(super) fn paths(folder: &str, count: usize) -> Vec<String> {
    (0..count).map(|at| format!("{folder}/part-{at:05}.parquet")).collect()
}

/// The earliest and the latest date of the rows; nothing when the table is not by date, or one row has none.
fn dates(table: &TableDef, batches: &[RecordBatch]) -> Option<(String, String)> {
    let name = table.partition_column()?;
    let (mut first, mut last) = (i32::MAX, i32::MIN);
    for batch in batches {
        for day in batch.column_by_name(name)?.as_primitive_opt::<Date32Type>()? {
            let day = day?;
            (first, last) = (first.min(day), last.max(day));
        }
    }
    let text = |day: i32| array_value_to_string(&Date32Array::from_value(day, 1), 0).ok();
    text(first).zip(text(last))
}

fn unreadable(table: &TableDef, error: &DeltaTableError) -> DestinationError {
    DestinationError::Refused { problem: format!("rows for table {} cannot be written as Parquet: {error}", table.name) }
}
