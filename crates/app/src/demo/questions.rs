//! What the demo asks its lake while it runs, and what it hands to the person in the end.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use arrow_array::{Array as _, RecordBatch};
use freshet_query::Engine;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::view::{CodeRow, ReadyQuery};
use crate::lake::{self, LakeAddress};
use crate::output::shell_word;

/// How often the lake is asked, unless its answers take long.
const ASK_EVERY: Duration = Duration::from_secs(2);

/// A lake that answers slowly is left alone for this many times as long.
const REST_FACTOR: u32 = 5;

const CODES: &str = "SELECT code, arrow_cast(date_trunc('minute', ts), 'Timestamp(Microsecond, None)') AS minute, max(title) AS title, \
                     count(*) AS times FROM platform_errors GROUP BY 1, 2 ORDER BY 1, 2";
const LATEST: &str = "SELECT moment FROM (
  SELECT ts, date_format(ts, '%H:%M:%S') || '  ' || app || '  ' || text AS moment FROM api_events
  UNION ALL
  SELECT ts, date_format(ts, '%H:%M:%S') || '  ' || app || '  ' || dyno || ' crashed' FROM dyno_events WHERE to_state = 'crashed'
) AS both ORDER BY ts DESC LIMIT 12";

/// What the lake said last.
#[derive(Clone, Debug, Default)]
pub(super) struct LakeSeen {
    /// Error codes, with their counts by minute.
    pub(super) codes: Vec<CodeRow>,
    /// Notable events, the oldest first.
    pub(super) latest: Vec<String>,
}

/// A task that asks the lake now and then. It ends with this.
pub(super) struct LakeWatch {
    lake: String,
    seen: watch::Receiver<LakeSeen>,
    asking: JoinHandle<()>,
}

/// Asks the lake at `place` now and then.
pub(super) fn watch_lake(place: String) -> LakeWatch {
    let (sender, seen) = watch::channel(LakeSeen::default());
    let lake = place.clone();
    let asking = tokio::spawn(async move {
        loop {
            let asked = Instant::now();
            if let Some(answer) = ask(&place).await {
                sender.send_replace(answer);
            }
            tokio::time::sleep(ASK_EVERY.max(asked.elapsed() * REST_FACTOR)).await;
        }
    });
    LakeWatch { lake, seen, asking }
}

impl LakeWatch {
    /// What it said last.
    pub(super) fn latest(&self) -> LakeSeen {
        self.seen.borrow().clone()
    }

    /// Asks a last time and waits for the answer.
    pub(super) async fn look_once_more(&mut self) {
        self.asking.abort();
        if let Some(answer) = ask(&self.lake).await {
            self.seen = watch::channel(answer).1;
        }
    }
}

impl Drop for LakeWatch {
    fn drop(&mut self) {
        self.asking.abort();
    }
}

/// `None` while the tables are being made.
async fn ask(place: &str) -> Option<LakeSeen> {
    if !Path::new(place).is_dir() {
        return None;
    }
    let engine = Engine::new(lake::open_lake(&LakeAddress::folder(place)).ok()?).await.ok()?;
    let codes = codes(&rows(&engine, CODES).await?);
    let mut latest: Vec<String> = rows(&engine, LATEST).await?.iter().flat_map(texts).collect();
    latest.reverse();
    Some(LakeSeen { codes, latest })
}

async fn rows(engine: &Engine, sql: &str) -> Option<Vec<RecordBatch>> {
    let mut answer = engine.query(sql).await.ok()?;
    let mut batches = Vec::new();
    while let Some(batch) = answer.next().await.ok()? {
        batches.push(batch);
    }
    Some(batches)
}

fn texts(batch: &RecordBatch) -> Vec<String> {
    (0..batch.num_rows()).map(|row| text(batch, 0, row)).collect()
}

/// Whatever form of string the engine chose.
fn text(batch: &RecordBatch, column: usize, row: usize) -> String {
    let array = batch.column(column);
    if array.is_null(row) {
        return String::new();
    }
    arrow_cast::display::array_value_to_string(array, row).unwrap_or_default()
}

fn codes(batches: &[RecordBatch]) -> Vec<CodeRow> {
    let mut by_code: BTreeMap<String, (String, BTreeMap<i64, u64>)> = BTreeMap::new();
    for batch in batches {
        let (Some(minutes), Some(times)) =
            (batch.column(1).as_primitive_opt::<TimestampMicrosecondType>(), batch.column(3).as_primitive_opt::<Int64Type>())
        else {
            continue;
        };
        for row in 0..batch.num_rows() {
            let (title, counts) = by_code.entry(text(batch, 0, row)).or_default();
            *title = text(batch, 2, row);
            *counts.entry(minutes.value(row) / 60_000_000).or_default() += times.value(row).unsigned_abs();
        }
    }
    let minutes = || by_code.values().flat_map(|(_, counts)| counts.keys().copied());
    let (Some(first), Some(last)) = (minutes().min(), minutes().max()) else { return Vec::new() };
    // A line with a wrong clock must not make a chart of a million minutes.
    let first = first.max(last - 24 * 60);
    by_code
        .iter()
        .map(|(code, (title, counts))| CodeRow {
            code: code.clone(),
            title: title.clone(),
            count: counts.values().sum(),
            per_minute: (first..=last).map(|minute| counts.get(&minute).copied().unwrap_or_default()).collect(),
        })
        .collect()
}

/// Three questions whose answers are worth a look.
pub(super) fn ready_queries(lake: &str) -> Vec<ReadyQuery> {
    [
        ("Which release made which app slow?", SLOW_RELEASES),
        ("When did requests time out, minute by minute?", TIMEOUTS),
        ("How did memory grow in the ten minutes before a dyno's first R14?", MEMORY),
    ]
    .map(|(question, sql)| ReadyQuery {
        question: question.to_owned(),
        command: format!("freshet query --lake {} \"\n{sql}\"", shell_word(lake)),
    })
    .into()
}

const SLOW_RELEASES: &str = "SELECT request.app, coalesce('v' || release_version, 'before') AS release, count(*) AS requests,
       round(approx_percentile_cont(service_ms, 0.95)) AS p95_ms,
       count(*) FILTER (WHERE code = 'H12') AS timeouts
FROM router_requests AS request
LEFT JOIN (SELECT app, release_version, ts AS starts, lead(ts) OVER (PARTITION BY app ORDER BY ts) AS ends
           FROM api_events WHERE action = 'release') AS release
  ON request.app = release.app AND request.ts >= starts AND (ends IS NULL OR request.ts < ends)
GROUP BY request.app, release_version
ORDER BY p95_ms DESC LIMIT 12";

const TIMEOUTS: &str =
    "SELECT date_trunc('minute', ts) AS minute, app, count(*) AS h12, repeat('#', cast(least(count(*), 60) AS int)) AS bar
FROM platform_errors WHERE code = 'H12'
GROUP BY 1, 2 ORDER BY 1, 2 LIMIT 40";

const MEMORY: &str = "SELECT error.app, error.dyno, error.first_r14, count(*) AS readings,
       min(memory_total_mb) AS lowest_mb, max(memory_total_mb) AS highest_mb, max(memory_quota_mb) AS quota_mb
FROM (SELECT app, dyno, min(ts) AS first_r14 FROM platform_errors WHERE code = 'R14' GROUP BY app, dyno) AS error
JOIN dyno_metrics AS reading
  ON reading.app = error.app AND reading.dyno = error.dyno
 AND reading.ts BETWEEN error.first_r14 - INTERVAL '10 minutes' AND error.first_r14
WHERE memory_total_mb IS NOT NULL
GROUP BY error.app, error.dyno, error.first_r14
ORDER BY first_r14 LIMIT 12";
