//! What the platform says: dyno states and metrics, R and L errors, the Platform API's events.

use crate::lines::words::{APP_ID, ONE_OFF, USERS, WEB, WORKERS};
use crate::random::Random;
use crate::writer::{Process, Writer};

/// Writes both lines of log-runtime-metrics for a dyno. `memory_mb` of a `quota_mb` quota are in use.
pub fn dyno_metrics(writer: &mut Writer, time_us: i64, random: &mut Random, name: &str, memory_mb: u64, quota_mb: u64) {
    let dyno = Random::new(name.bytes().map(u64::from).sum()).bits();
    let load = random.below(180);
    writer.message(time_us, Process::dyno(name), |text| {
        text.str("source=").str(name).str(" dyno=heroku.").number(APP_ID).str(".").uuid(&mut Random::new(dyno));
        text.str(" sample#load_avg_1m=").hundredths(load).str(" sample#load_avg_5m=").hundredths(load / 2);
        text.str(" sample#load_avg_15m=").hundredths(load / 3);
    });
    writer.message(time_us + 312, Process::dyno(name), |text| {
        let swap = memory_mb.saturating_sub(quota_mb) * 100;
        let total = memory_mb * 100 + random.below(100);
        let cache = random.below(900);
        text.str("source=").str(name).str(" dyno=heroku.").number(APP_ID).str(".").uuid(&mut Random::new(dyno));
        text.str(" sample#memory_total=").hundredths(total).str("MB sample#memory_rss=");
        text.hundredths(total.saturating_sub(cache).saturating_sub(swap)).str("MB sample#memory_cache=").hundredths(cache);
        text.str("MB sample#memory_swap=").hundredths(swap).str("MB sample#memory_pgpgin=").number(random.between(80_000, 90_000));
        text.str("pages sample#memory_pgpgout=").number(random.between(30_000, 50_000));
        text.str("pages sample#memory_quota=").hundredths(quota_mb * 100).str("MB");
    });
}

/// Writes `State changed from … to …`.
pub fn state(writer: &mut Writer, time_us: i64, name: &str, from: &str, to: &str) {
    dyno(writer, time_us, name, &["State changed from ", from, " to ", to]);
}

/// Writes what the dyno manager says of `name`.
pub fn dyno(writer: &mut Writer, time_us: i64, name: &str, words: &[&str]) {
    writer.message(time_us, Process::dyno(name), |text| {
        for word in words {
            text.str(word);
        }
    });
}

/// Writes what the Platform API says.
pub fn api(writer: &mut Writer, time_us: i64, words: &[&str]) {
    writer.message(time_us, Process::API, |text| {
        for word in words {
            text.str(word);
        }
    });
}

/// Writes the pair of lines that tells of a dyno over its memory quota: R14, or R15 from twice the quota.
pub fn memory_error(writer: &mut Writer, time_us: i64, name: &str, memory_mb: u64, quota_mb: u64) {
    writer.message(time_us, Process::dyno(name), |text| {
        let per_mille = memory_mb * 1000 / quota_mb.max(1);
        text.str("Process running mem=").number(memory_mb).str("M(").number(per_mille / 10).str(".").number(per_mille % 10).str("%)");
    });
    let vast = memory_mb >= 2 * quota_mb;
    dyno(
        writer,
        time_us + 2_145,
        name,
        &[if vast { "Error R15 (Memory quota vastly exceeded)" } else { "Error R14 (Memory quota exceeded)" }],
    );
}

/// What a dyno goes through, and the errors of its life.
pub const DYNO_LINES: [&str; 16] = [
    "State changed from starting to up",
    "State changed from up to starting",
    "State changed from down to starting",
    "State changed from up to crashed",
    "State changed from created to provisioning",
    "State changed from up to complete",
    "Starting process with command `bundle exec puma -C config/puma.rb`",
    "Process exited with status 0",
    "Process exited with status 143",
    "Stopping all processes with SIGTERM",
    "Stopping process with SIGKILL",
    "Restarting",
    "Cycling",
    "Idling",
    "Error R12 (Exit timeout) -> At least one process failed to exit within 30 seconds of SIGTERM",
    "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within 60 seconds of launch",
];

/// The lines of one-off dynos, secrets on their command line included.
pub const ONE_OFF_LINES: [&str; 8] = [
    "Starting process with command `bundle exec rake db:migrate`",
    "Starting process with command `IMPORT_TOKEN=not-a-real-token-5f3a bin/import https://ada:hunter2@files.example.com/stock.csv`",
    "Awaiting client",
    "Client connection closed. Sending SIGHUP to all processes",
    "State changed from starting to up",
    "Process exited with status 1",
    "Error R13 (Attach error) -> Failed to attach to process",
    "Error R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed.",
];

/// Events of the Platform API; the actor's e-mail address follows those that end in `by user `.
pub const API_LINES: [&str; 22] = [
    "Release v41 created by user ",
    "Deploy 199002c5 by user ",
    "Build started by user ",
    "Build succeeded",
    "Build failed -- check your build output: https://dashboard.heroku.com/apps/00000000-0000-4000-a000-000000000000/activity/builds/1",
    "Scaled to web@4:Standard-2X worker@2:Standard-1X by user ",
    "Scale to web=2 by ",
    "Set CACHE_URL, LOG_LEVEL config vars by user ",
    "Remove OLD_CACHE_URL config vars by user ",
    "Attach DATABASE (@ref:postgresql-flat-31415) by user ",
    "Detach CACHE (@ref:redis-round-27182) by user ",
    "Running release v41 commands by user ",
    "Starting process with command `bundle exec rake stock:refresh` by user ",
    "Enable Logplex by user ",
    "Initial release by user ",
    "Stack changed from heroku-22 to heroku-24 by user ",
    "Rollback to v40 by user ",
    "Update DATABASE by user ",
    "Upgrade stack to heroku-24 by user ",
    "Release v40 created by ",
    "Add ada@example.com as collaborator by user ",
    "Enable maintenance mode by user ",
];

/// Writes one of [`API_LINES`].
pub fn any_api(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let line = random.pick(&API_LINES);
    let user = if line.ends_with("by user ") || line.ends_with("by ") { random.pick(&USERS) } else { "" };
    api(writer, time_us, &[line, user]);
}

/// Writes a line of some dyno's life.
pub fn any_dyno(writer: &mut Writer, time_us: i64, random: &mut Random) {
    match random.below(10) {
        0 => dyno(writer, time_us, random.pick(&ONE_OFF), &[random.pick(&ONE_OFF_LINES)]),
        1..=3 => memory_error(writer, time_us, random.pick(&WORKERS), random.between(520, 1_400), 512),
        _ => dyno(writer, time_us, random.pick(&WEB), &[random.pick(&DYNO_LINES)]),
    }
}

/// Writes a line of Logplex's about messages that were lost on the way.
pub fn any_loss(writer: &mut Writer, time_us: i64, random: &mut Random) {
    let shuttle = Process::app("log-shuttle");
    let count = random.between(1, 2_000);
    let (name, before, after) = match random.below(5) {
        0 => (Process::LOGPLEX, "L11 (Tail buffer overflow) -> This tail session dropped ", " messages since "),
        1 => (shuttle, "Error L12: ", " messages dropped since "),
        2 => (shuttle, "Error L13: ", " messages lost since "),
        _ => return writer.overflow(time_us, count),
    };
    writer.message(time_us, name, |text| {
        text.str(before).number(count).str(after).moment(time_us - 60_000_000, "T").str("+00:00");
    });
}
