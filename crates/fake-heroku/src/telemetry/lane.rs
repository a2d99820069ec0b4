//! The task of one signal of a drain: batches, one on its way at a time.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout_at};

use super::export::Outcome;
use super::message::{Record, encode};
use super::{Shared, Signal, TelemetryCounts, TelemetryPace, lock};
use crate::client::Client;
use crate::faults::{Fault, Faults};
use crate::world::World;

/// The most records in one batch.
const BATCH_MAX: usize = 512;

/// See the module.
pub(super) struct Lane {
    pub(super) signal: Signal,
    pub(super) exporter: Shared,
    pub(super) client: Arc<Client>,
    pub(super) faults: Faults,
    pub(super) world: Arc<Mutex<World>>,
    pub(super) pace: TelemetryPace,
    pub(super) counts: Arc<Mutex<TelemetryCounts>>,
}

impl Lane {
    /// Sends what comes through the queue, until it is closed.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Record>) {
        let mut batch = Vec::new();
        while let Some(first) = queue.recv().await {
            batch.push(first);
            let ends = Instant::now() + self.pace.batch_age;
            while batch.len() < BATCH_MAX {
                match timeout_at(ends, queue.recv()).await {
                    Ok(Some(record)) => batch.push(record),
                    Ok(None) | Err(_) => break,
                }
            }
            self.send(&batch).await;
            batch.clear();
        }
    }

    async fn send(&self, batch: &[Record]) {
        let message = encode(self.signal, batch, &lock(&self.world));
        let ends = Instant::now() + self.pace.gives_up_after;
        let mut pause = self.pace.first_pause;
        let rejected = loop {
            let (trouble, after) = match self.export(&message).await {
                Outcome::Taken { rejected, trouble } => {
                    if self.faults.strikes(Fault::TelemetryDuplicate) {
                        // Whatever comes of it: the batch was taken.
                        self.export(&message).await;
                    }
                    lock(&self.counts).trouble = trouble;
                    break rejected.min(batch.len() as u64);
                }
                Outcome::Refused(trouble) => (trouble, None),
                // As the Collector does: a receiver that asks for no pause at all is not tried without one.
                Outcome::Later { after, trouble } => (trouble, Some(after.map_or(pause, |after| after.max(pause)))),
            };
            lock(&self.counts).trouble = trouble;
            match after {
                Some(after) if Instant::now() + after < ends => sleep(after).await,
                _ => break batch.len() as u64,
            }
            pause = (pause * 2).min(self.pace.longest_pause);
        };
        let mut counts = lock(&self.counts);
        counts.waiting = counts.waiting.saturating_sub(batch.len() as u64);
        counts.dropped += rejected;
        counts.acknowledged += batch.len() as u64 - rejected;
    }

    async fn export(&self, message: &[u8]) -> Outcome {
        lock(&self.counts).requests += 1;
        let exporter = Arc::clone(&lock(&self.exporter));
        exporter.export(&self.client, self.signal, message, self.pace.answer_within).await
    }
}
