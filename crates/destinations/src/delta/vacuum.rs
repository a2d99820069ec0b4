//! Removing files that no version within the retention needs.

use std::fs;
use std::path::Path as FsPath;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::{DateTime, TimeDelta};
use deltalake_core::operations::vacuum::{Clock as DeltaClock, VacuumMode};
use deltalake_core::{DeltaResult, DeltaTable};
use freshet_core::{Clock, DestinationError};
use futures::TryStreamExt;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};

use super::durable::is_staging_name;
use super::failure::failure;
use super::lake::Lake;
use super::lease::{Lease, Leased};
use super::prepare::quiet;

/// The shortest retention that is taken without force: well above the longest that a write takes from its first file to
/// its entry in the log. Below it, files that are about to be added could go.
pub const RETENTION_MIN: Duration = Duration::from_secs(3600);

/// Directories of a table deeper than this are not searched for leftovers; ours has `<date>/` and `_delta_log/`.
const DEPTH_MAX: u32 = 4;

/// How to vacuum.
#[derive(Clone, Debug)]
pub struct VacuumOptions {
    /// How long a file stays after the table ceased to need it. Seven days by default.
    pub retention: Duration,
    /// Whether to look for files that the log does not know, too: those of commits that never landed, and beginnings of files. Otherwise
    /// only files go that left the table by an entry of its log, for which nothing has to be listed.
    pub full: bool,
    /// Whether to take a retention below [`RETENTION_MIN`]. Only when nothing else uses the table.
    pub force: bool,
    /// Whether to only say what would go.
    pub dry_run: bool,
}

impl Default for VacuumOptions {
    fn default() -> Self {
        Self { retention: Duration::from_secs(7 * 24 * 3600), full: true, force: false, dry_run: false }
    }
}

/// What was removed, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacuum {
    /// Data files.
    pub files: u64,
    /// Bytes in those files.
    pub bytes: u64,
    /// Files that a write had begun and never finished.
    pub unfinished_files: u64,
}

impl Lake {
    /// Removes from table `name` what no version within the retention needs: replaced files, files of commits that never
    /// landed, and beginnings of files.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] for a retention that could remove what is being written; else when files cannot be
    /// listed or removed, and calling again is harmless.
    pub async fn vacuum(&self, name: &str, options: &VacuumOptions) -> Result<Leased<Vacuum>, DestinationError> {
        if options.full && options.retention < RETENTION_MIN && !options.force {
            return Err(DestinationError::Refused {
                problem: format!(
                    "a retention of {} s could remove files that are being written; take at least {} s, or force it when nothing else uses table {name}",
                    options.retention.as_secs(),
                    RETENTION_MIN.as_secs()
                ),
            });
        }
        let Some(_lease) = Lease::acquire(self.place(), name)? else { return Ok(Leased::Held) };
        let Some(table) = self.load(name).await? else { return Ok(Leased::Done(Vacuum::default())) };
        let mut vacuum = self.vacuum_files(table, options).await.map_err(|error| failure(format!("vacuum table {name}"), error))?;
        // A beginning on an object store is no file: its own rules remove it.
        if let Some(root) = self.place().local().filter(|_| options.full) {
            let (root, now, options) = (root.join(name), self.options.clock.now().0, options.clone());
            let cutoff_us = now.saturating_sub(i64::try_from(options.retention.as_micros()).unwrap_or(i64::MAX));
            let swept = tokio::task::spawn_blocking(move || sweep(&root, cutoff_us, options.dry_run, DEPTH_MAX)).await;
            vacuum.unfinished_files = swept.unwrap_or_default();
        } else if options.full && self.place().has_unfinished_files() {
            let swept = self.sweep_store(name, options).await;
            vacuum.unfinished_files = swept.map_err(|error| failure(format!("vacuum table {name}"), error))?;
        }
        Ok(Leased::Done(vacuum))
    }

    /// As [`sweep`], on a store that has folders.
    async fn sweep_store(&self, name: &str, options: &VacuumOptions) -> object_store::Result<u64> {
        let (store, folder) = (self.place().store(), self.place().folder().clone().join(name));
        let retention = TimeDelta::from_std(options.retention).unwrap_or(TimeDelta::MAX);
        let files: Vec<ObjectMeta> = store.list(Some(&folder)).try_collect().await?;
        let now = DateTime::from_timestamp_micros(self.options.clock.now().0).unwrap_or_default();
        let mut removed = 0;
        for file in files {
            if file.location.filename().is_some_and(is_temporary_name) && now - file.last_modified > retention {
                if !options.dry_run {
                    store.delete(&file.location).await?;
                }
                removed += 1;
            }
        }
        Ok(removed)
    }

    async fn vacuum_files(&self, table: DeltaTable, options: &VacuumOptions) -> DeltaResult<Vacuum> {
        let retention = TimeDelta::from_std(options.retention).unwrap_or(TimeDelta::MAX);
        let clock: Arc<dyn DeltaClock> = Arc::new(Millis(Arc::clone(&self.options.clock)));
        let mode = || if options.full { VacuumMode::Full } else { VacuumMode::Lite };
        let vacuum = |table: DeltaTable, dry_run: bool| {
            table
                .vacuum()
                .with_mode(mode())
                .with_retention_period(retention)
                .with_enforce_retention_duration(false)
                .with_clock(Arc::clone(&clock))
                .with_commit_properties(quiet())
                .with_dry_run(dry_run)
        };
        let store = table.object_store();
        let (table, planned) = vacuum(table, true).await?;
        let mut report = Vacuum::default();
        for path in &planned.files_deleted {
            report.files += 1;
            // A tombstone may name a file that an earlier vacuum has removed.
            report.bytes += store.head(&Path::parse(path)?).await.map_or(0, |file| file.size);
        }
        if !options.dry_run && report.files > 0 {
            vacuum(table, false).await?;
        }
        Ok(report)
    }
}

/// Our clock for delta-rs.
struct Millis(Arc<dyn Clock>);

impl std::fmt::Debug for Millis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Millis")
    }
}

impl DeltaClock for Millis {
    fn current_timestamp_millis(&self) -> i64 {
        self.0.now().0 / 1000
    }
}

/// Whether `name` is that of a file on its way to HDFS, or left behind: `.NAME.tmp.NUMBER`.
fn is_temporary_name(name: &str) -> bool {
    let parts = name.strip_prefix('.').and_then(|name| name.rsplit_once(".tmp."));
    parts.is_some_and(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Removes beginnings of files that were last touched before `cutoff_us`. What cannot be removed stays for the next time.
fn sweep(directory: &FsPath, cutoff_us: i64, dry_run: bool, depth: u32) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let mut removed = 0;
    for entry in entries.flatten() {
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_dir() && depth > 1 {
            removed += sweep(&entry.path(), cutoff_us, dry_run, depth - 1);
        } else if metadata.is_file() && entry.file_name().to_str().is_some_and(is_staging_name) {
            let touched = metadata.modified().unwrap_or_else(|_| SystemTime::now());
            let touched_us = touched.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
            if touched_us < cutoff_us && (dry_run || fs::remove_file(entry.path()).is_ok()) {
                removed += 1;
            }
        }
    }
    removed
}
