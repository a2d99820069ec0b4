//! The demo in numbers: Heroku's own counts, the daemon's, and what the lake answers.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use freshet_core::Micros;
use freshet_fake_heroku::FakeHeroku;
use freshet_sources::drain::{ACK_BUCKETS_SECONDS, DrainSnapshot};
use freshet_tables::Rows;

use super::questions::{LakeSeen, LakeWatch};
use super::view::{Drains, Frame, ReadyQuery, Spool, Summary, TableRow};
use crate::daemon::{Live, Snapshot};

/// Seconds that charts can show.
const HISTORY_SECONDS: usize = 600;

/// Seconds over which a table's rows per second are taken: commits come every few seconds.
const ROWS_SECONDS: usize = 10;

type AckCounts = [u64; ACK_BUCKETS_SECONDS.len() + 1];

/// Fills the frame.
pub(super) struct Numbers {
    began: Instant,
    frame: Frame,
    watch: LakeWatch,
    /// What the last full second ended with.
    second: u64,
    acknowledged: u64,
    acks: AckCounts,
    /// Rows of each table in the last seconds, the oldest first.
    rows: VecDeque<BTreeMap<&'static str, u64>>,
    fresh: BTreeMap<&'static str, (u64, Instant)>,
}

impl Numbers {
    pub(super) fn new(began: Instant, ends_after: Option<Duration>, speed: f64, lake: String, watch: LakeWatch) -> Self {
        let frame = Frame { ends_after, speed, lake, ..Frame::default() };
        let (rows, fresh) = (VecDeque::new(), BTreeMap::new());
        Self { began, frame, watch, second: 0, acknowledged: 0, acks: AckCounts::default(), rows, fresh }
    }

    /// The numbers now.
    pub(super) fn take(&mut self, fake: &FakeHeroku, live: &Live) -> &Frame {
        let (snapshot, now) = (live.snapshot(), live.clock.now());
        self.frame.elapsed = self.began.elapsed();
        self.frame.story_time = fake.story_time();
        self.frame.drains = drains(fake);
        self.frame.lines_total = self.frame.drains.acknowledged;
        self.frame.ack_p50 = percentile(&snapshot.drain.ack_counts, 0.50);
        self.frame.ack_p99 = percentile(&snapshot.drain.ack_counts, 0.99);
        self.frame.spool = Spool {
            waiting_bytes: snapshot.spool.durable_end.saturating_sub(snapshot.spool.consumed),
            max_bytes: live.spool_bytes_max,
            state: snapshot.spool.state.as_str(),
        };
        self.frame.freshness = freshness(&snapshot, now);
        if self.frame.elapsed.as_secs() > self.second {
            self.second_passed(&snapshot.drain, &snapshot.loader.rows);
        }
        self.frame.tables = self.tables(&snapshot.loader.rows);
        let LakeSeen { codes, latest } = self.watch.latest();
        (self.frame.codes, self.frame.latest) = (codes, latest);
        &self.frame
    }

    /// Asks the lake a last time, after the last commit.
    pub(super) async fn look_once_more(&mut self) {
        self.watch.look_once_more().await;
    }

    fn second_passed(&mut self, drain: &DrainSnapshot, rows: &BTreeMap<&'static str, u64>) {
        let seconds = self.frame.elapsed.as_secs() - self.second;
        self.second += seconds;
        let lines = self.frame.lines_total.saturating_sub(self.acknowledged) as f64 / seconds as f64;
        self.acknowledged = self.frame.lines_total;
        let acks = std::array::from_fn(|bucket| drain.ack_counts[bucket].saturating_sub(self.acks[bucket]));
        self.acks = drain.ack_counts;
        let slowest = percentile(&acks, 0.99).map_or(0.0, |time| time.as_secs_f64() * 1000.0);
        for (history, value) in [(&mut self.frame.lines_per_second, lines), (&mut self.frame.ack_history_ms, slowest)] {
            history.push(value);
            let old = history.len().saturating_sub(HISTORY_SECONDS);
            history.drain(..old);
        }
        self.rows.push_back(rows.clone());
        while self.rows.len() > ROWS_SECONDS {
            self.rows.pop_front();
        }
    }

    fn tables(&mut self, rows: &BTreeMap<&'static str, u64>) -> Vec<TableRow> {
        let mut tables = Vec::new();
        for table in Rows::tables() {
            let Some(count) = rows.get(table.name).copied() else { continue };
            let (before, at) = self.fresh.entry(table.name).or_insert((count, Instant::now()));
            if *before != count {
                (*before, *at) = (count, Instant::now());
            }
            let earlier = self.rows.front().map_or(0, |rows| rows.get(table.name).copied().unwrap_or_default());
            let rows_per_second = count.saturating_sub(earlier) as f64 / self.rows.len().max(1) as f64;
            tables.push(TableRow { name: table.name.to_owned(), rows: count, rows_per_second, fresh: Some(at.elapsed()) });
        }
        tables
    }
}

/// The whole demo, from its last frame.
pub(super) fn summary(frame: &Frame, elapsed: Duration, story: Duration, queries: Vec<ReadyQuery>) -> Summary {
    Summary {
        elapsed,
        story,
        lines_total: frame.lines_total,
        ack_p50: frame.ack_p50,
        ack_p99: frame.ack_p99,
        tables: frame.tables.clone(),
        codes: frame.codes.clone(),
        drains: frame.drains,
        lake: frame.lake.clone(),
        queries,
    }
}

/// Each drain's counts are of one moment, and in each of them the sum holds; so it does in the sum of all.
fn drains(fake: &FakeHeroku) -> Drains {
    let mut sum = Drains::default();
    for drain in fake.drains() {
        sum.sent += drain.account.sent;
        sum.acknowledged += drain.account.acknowledged;
        sum.waiting += drain.account.waiting;
        sum.dropped += drain.account.dropped;
        sum.apps += 1;
    }
    sum
}

fn freshness(snapshot: &Snapshot, now: Micros) -> Option<Duration> {
    let since = snapshot.spool.oldest_unconsumed_at.or(snapshot.loader.committed_at)?;
    Some(Duration::from_secs_f64(now.seconds_since(since).max(0.0)))
}

/// The time within which `part` of the acknowledgements came, as near as the buckets tell; `counts` are cumulative.
fn percentile(counts: &AckCounts, part: f64) -> Option<Duration> {
    let total = *counts.last()?;
    if total == 0 {
        return None;
    }
    let wanted = part * total as f64;
    let bucket = counts.iter().position(|count| *count as f64 >= wanted)?;
    let bound = |bucket: usize| ACK_BUCKETS_SECONDS.get(bucket).copied().unwrap_or(ACK_BUCKETS_SECONDS[ACK_BUCKETS_SECONDS.len() - 1]);
    let (low, below) = match bucket.checked_sub(1) {
        Some(previous) => (bound(previous), counts[previous]),
        None => (0.0, 0),
    };
    let inside = (counts[bucket] - below) as f64;
    let share = if inside > 0.0 { (wanted - below as f64) / inside } else { 1.0 };
    Some(Duration::from_secs_f64(low + share * (bound(bucket) - low)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: &[(usize, u64)], part: f64, milliseconds: Option<f64>) {
        let mut cumulative = AckCounts::default();
        for (bucket, count) in counts {
            for later in &mut cumulative[*bucket..] {
                *later += count;
            }
        }
        let found = percentile(&cumulative, part).map(|time| time.as_secs_f64() * 1000.0);
        assert_eq!(found.map(|time| (time * 10.0).round()), milliseconds.map(|time| time * 10.0), "{counts:?} {part}");
    }

    #[test]
    fn percentiles_come_from_the_buckets() {
        check(&[], 0.5, None);
        check(&[(0, 10)], 0.5, Some(0.5));
        check(&[(0, 50), (1, 50)], 0.5, Some(1.0));
        check(&[(0, 50), (1, 50)], 0.75, Some(1.5));
        check(&[(0, 98), (6, 2)], 0.99, Some(75.0));
        check(&[(ACK_BUCKETS_SECONDS.len(), 1)], 0.5, Some(5000.0));
    }
}
