//! Merging small files and writing checkpoints, now and then.

use std::sync::Arc;
use std::time::Duration;

use freshet_core::DestinationError;
use freshet_destinations::delta::{CompactionOptions, Lake, Leased};
use tracing::{debug, info, warn};

/// Looks after every table, `every` so often, until dropped.
pub(crate) async fn maintain(lake: Arc<Lake>, options: CompactionOptions, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let tables = match lake.tables().await {
            Ok(tables) => tables,
            Err(cause) => {
                warn!(%cause, "tables could not be listed for maintenance");
                continue;
            }
        };
        for table in tables {
            if let Err(cause) = look_after(&lake, &table, &options).await {
                warn!(table, %cause, "maintenance failed, trying again later");
            }
        }
    }
}

async fn look_after(lake: &Lake, table: &str, options: &CompactionOptions) -> Result<(), DestinationError> {
    match lake.compact(table, options).await? {
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
