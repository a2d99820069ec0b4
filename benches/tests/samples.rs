//! The committed samples are what the code writes, and hold what the README says they hold.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may stop at the first surprise")]

use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use freshet_bench::sample;

fn committed(name: &str) -> Vec<u8> {
    std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples").join(name)).unwrap()
}

const STALE: &str = "the sample is stale: run `cargo run --package freshet-bench --bin sample` and look at the difference";

#[test]
fn the_committed_samples_are_what_the_code_writes() {
    assert!(committed("shop.log") == sample::shop_log(), "{STALE}");
    assert!(committed("shop.frames") == sample::shop_frames(), "{STALE}");
    let mut lines = Vec::new();
    GzDecoder::new(committed("archive.jsonl.gz").as_slice()).read_to_end(&mut lines).unwrap();
    assert!(lines == sample::archive_lines(), "{STALE}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn the_log_has_every_kind_of_line() {
    let log = String::from_utf8(sample::shop_log()).unwrap();
    let lines = log.lines().count();
    assert!((600..=900).contains(&lines), "{lines} lines");
    for mark in [
        "heroku[router]: at=info",
        "code=H12",
        "code=H27",
        "code=H10",
        "code=H13",
        "code=H14",
        "code=H80",
        "sock=client at=warning",
        "sock=backend",
        "dyno= connect= service=",
        "connect=0 service",
        "path=\"/api/Table No 7/books",
        "path=/before-quotes",
        "example.com\" request_id",
        ",198.51",
        ", 2001:db8::1",
        "region=eu",
        "queue=0 wait=3ms",
        "protocol=http2.0",
        "tls_version=tls1.3",
        "protocol=https",
        "\\\"blue lamp\\\"",
        "fwd=\"2001:db8::",
        "sample#load_avg_1m",
        "sample#memory_total",
        "app[heroku-postgres]: source=DATABASE",
        "follower-lag-commits",
        "app[heroku-pgbouncer]",
        "app[heroku-redis]",
        "measure#",
        "count#",
        "unique#",
        "sql_error_code = 00000",
        "-3]\n",
        "STATEMENT:",
        "Error R14",
        "Error R15",
        "Error R16",
        "Error L10",
        "Process running mem=",
        "State changed from up to crashed",
        "Process exited with status 137",
        "Stopping all processes with SIGTERM",
        "SIGKILL",
        "Restarting",
        "Cycling",
        "Idling",
        "Awaiting client",
        "Client connection closed",
        "Release v42 created",
        "Rollback to v41",
        "Build failed",
        "Build succeeded",
        "Scaled to web@4",
        "Set CACHE_URL, LOG_LEVEL",
        "Remove OLD_CACHE_URL",
        "Attach ",
        "Detach ",
        "Running release v42",
        "Stack changed",
        "Deploy 199002c5",
        "X-Amz-Signature",
        "hunter2",
        "{\"level\":",
        "controller=ShopController",
        "msg=\"receipt sent\"",
        "Started GET",
        "Completed 200 OK",
        "\u{1b}[33m2026",
        "\u{1b}[36m",
        "ActiveRecord::LockWaitTimeout",
        "\n\n",
        "\n-- reconnected",
    ] {
        assert!(log.contains(mark), "no line with {mark:?}");
    }
}

#[test]
fn the_story_can_be_found_in_the_service_times() {
    let log = String::from_utf8(sample::shop_log()).unwrap();
    let p95 = |from: &str, to: &str| {
        let mut times: Vec<u64> = log
            .lines()
            .filter(|line| line[..].get(11..16).is_some_and(|clock| (from..to).contains(&clock)) && line.contains("path=\"/checkout"))
            .filter_map(|line| line.split_once("service=")?.1.split_once("ms")?.0.parse().ok())
            .collect();
        times.sort_unstable();
        times[times.len() * 95 / 100]
    };
    let (before, during, after) = (p95("09:00", "10:00"), p95("10:06", "11:12"), p95("11:15", "12:00"));
    assert!(before < 2_000 && after < 2_000 && during > 20_000, "{before} ms, {during} ms, {after} ms");
}
