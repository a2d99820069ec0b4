//! Merging small files, writing checkpoints, and taking away what nobody wants to keep, now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use freshet_core::{Clock, DestinationError, Micros};
use freshet_destinations::delta::{CompactionOptions, ExpireOptions, Lake, Leased, VacuumOptions};
use tracing::{debug, info, warn};

use crate::config::{RetentionSettings, Window};
use crate::retention::{Age, age_of};

/// How long a table rests between two expiries, and between two vacuums: a day, less what lets them wander to the beginning of the window.
const DAILY: Duration = Duration::from_secs(20 * 3600);

/// The day of the week on which a vacuum also looks for files that no log names, counted from Thursday, 1 January 1970: Sunday.
const FULL_VACUUM_DAY: i32 = 3;

/// How tables are looked after.
#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    /// Which files are merged.
    pub(crate) compaction: CompactionOptions,
    /// How often tables are looked at.
    pub(crate) every: Duration,
    /// When work may be heavy; always without one.
    pub(crate) window: Option<Window>,
    /// How long rows are kept.
    pub(crate) retention: RetentionSettings,
}

/// Looks after every table until dropped.
pub(crate) async fn maintain(lake: Arc<Lake>, upkeep: Upkeep, clock: Arc<dyn Clock>) {
    let mut cleaned: HashMap<String, Instant> = HashMap::new();
    loop {
        tokio::time::sleep(upkeep.every).await;
        let tables = match lake.tables().await {
            Ok(tables) => tables,
            Err(cause) => {
                warn!(cause = cause.with_cause(), "tables could not be listed for maintenance");
                continue;
            }
        };
        for table in tables {
            // Asked for each table: a round over large ones may last longer than the window.
            let now = clock.now();
            let may_be_heavy = upkeep.window.as_ref().is_none_or(|window| window.contains(now));
            let is_due = may_be_heavy && cleaned.get(&table).is_none_or(|last| last.elapsed() >= DAILY);
            if is_due {
                match clean(&lake, &table, &upkeep.retention, now).await {
                    Ok(true) => drop(cleaned.insert(table.clone(), Instant::now())),
                    Ok(false) => debug!(table, "another process maintains the table"),
                    Err(cause) => warn!(table, cause = cause.with_cause(), "old rows or files could not be taken away, trying again later"),
                }
            }
            if let Err(cause) = look_after(&lake, &table, &upkeep.compaction, may_be_heavy).await {
                warn!(table, cause = cause.with_cause(), "maintenance failed, trying again later");
            }
        }
    }
}

/// Takes away rows that are older than the retention, and files that no version within a week needs; false when somebody else is at it.
async fn clean(lake: &Lake, table: &str, retention: &RetentionSettings, now: Micros) -> Result<bool, DestinationError> {
    let time_column = match age_of(table) {
        Age::Folders => Some(None),
        Age::Column(column) => Some(Some(column.to_owned())),
        Age::None(_) => None,
    };
    if let (Some(older_than), Some(time_column)) = (retention.of(table), time_column) {
        match lake.expire(table, &ExpireOptions { older_than, time_column, dry_run: false }).await? {
            Leased::Held => return Ok(false),
            Leased::Done(report) if report.files > 0 => {
                info!(table, files = report.files, rows = report.rows, bytes = report.bytes, "old rows expired");
            }
            Leased::Done(_) => {}
        }
    }
    let full = now.days().rem_euclid(7) == FULL_VACUUM_DAY;
    match lake.vacuum(table, &VacuumOptions { full, ..VacuumOptions::default() }).await? {
        Leased::Held => return Ok(false),
        Leased::Done(report) if report.files + report.unfinished_files > 0 => {
            info!(table, files = report.files, bytes = report.bytes, unfinished_files = report.unfinished_files, "unneeded files deleted");
        }
        Leased::Done(_) => {}
    }
    Ok(true)
}

async fn look_after(lake: &Lake, table: &str, options: &CompactionOptions, may_be_heavy: bool) -> Result<(), DestinationError> {
    // Files of a day that still grows are merged at any time: there are few bytes in them, and without that there would be thousands.
    let light = CompactionOptions { closed_files_min: usize::MAX, ..options.clone() };
    match lake.compact(table, if may_be_heavy { options } else { &light }).await? {
        Leased::Held => {
            debug!(table, "another process maintains the table");
            return Ok(());
        }
        Leased::Done(report) if report.files_before > report.files_after => {
            info!(table, files_before = report.files_before, files_after = report.files_after, rows = report.rows, "small files merged");
        }
        Leased::Done(_) => {}
    }
    if let Leased::Done(upkeep) = lake.maintain_log(table).await?
        && let Some(version) = upkeep.checkpoint
    {
        info!(table, version, log_files_removed = upkeep.log_files_removed, "checkpoint written");
    }
    Ok(())
}
