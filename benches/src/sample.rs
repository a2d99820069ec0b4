//! The sample log that the repository carries: three hours of a small shop, with a story to find in it.
//!
//! 09:00 a normal morning · 10:02 release v42 holds a lock too long, so that `/checkout` takes seconds and then times out ·
//! 10:45 `web.2` outgrows its memory · 11:12 back to v41 · and all is well again until noon.

use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::lines::router::{FAILURES, Failure, ODD_SHAPES, Request};
use crate::lines::words::{Page, WEB, WORKERS};
use crate::lines::{addons, app, platform, router};
use crate::random::Random;
use crate::writer::{Form, Process, Writer};

/// 2026-11-20 09:00 UTC, in microseconds since 1970.
const NINE_US: i64 = 1_795_165_200_000_000;
const MINUTE_US: i64 = 60_000_000;
const MINUTES: i64 = 180;
/// Minutes since nine.
const RELEASE_AT: i64 = 62;
const ROLLBACK_AT: i64 = 132;
const QUOTA_MB: u64 = 512;
const CHECKOUT: Page = Page::Named("/checkout");

/// `samples/shop.log`: the whole story as `heroku logs` prints it.
#[must_use]
pub fn shop_log() -> Vec<u8> {
    let mut day = Day { random: Random::new(20_261_120), writer: Writer::new(Form::Cli, None) };
    for minute in 0..MINUTES {
        day.traffic(minute);
        day.measurements(minute);
        day.app_lines(minute);
        day.dyno_life(minute);
        day.platform_events(minute);
    }
    day.odd_requests();
    day.failures_of_all_kinds();
    let mut lines: Vec<&[u8]> = day.writer.bytes().split_inclusive(|byte| *byte == b'\n').collect();
    lines.sort_by_key(|line| line[..32].to_vec());
    let mut log = Vec::with_capacity(day.writer.bytes().len() + 256);
    for (index, line) in lines.iter().enumerate() {
        append_as_seen(&mut log, index, line);
    }
    log
}

/// What a terminal and a copying hand add: colour around a header, a blank line, a note, a line that was cut.
fn append_as_seen(log: &mut Vec<u8>, index: usize, line: &[u8]) {
    match index {
        200 => log.extend_from_slice(b"\n"),
        300 => log.extend_from_slice(b"-- reconnected, 10:31 --\n"),
        500 => log.extend_from_slice(b"2026-11-20T10:5\n"),
        _ => {}
    }
    let text_at = line.windows(3).position(|three| three == b"]: ");
    match text_at {
        Some(place) if index % 120 == 7 => {
            log.extend_from_slice(b"\x1b[33m");
            log.extend_from_slice(&line[..place + 2]);
            log.extend_from_slice(b"\x1b[0m");
            log.extend_from_slice(&line[place + 2..]);
        }
        _ => log.extend_from_slice(line),
    }
}

struct Day {
    random: Random,
    writer: Writer,
}

impl Day {
    /// Some microsecond of `minute`.
    fn within(&mut self, minute: i64) -> i64 {
        NINE_US + minute * MINUTE_US + self.random.below(MINUTE_US.unsigned_abs()).cast_signed()
    }

    fn traffic(&mut self, minute: i64) {
        let slow = (RELEASE_AT + 4..ROLLBACK_AT).contains(&minute);
        let busiest = if minute < MINUTES / 2 { 4 } else { 3 };
        for _ in 0..self.random.between(1, busiest) {
            let time_us = self.within(minute);
            let page = if self.random.chance(150) { CHECKOUT } else { Page::any(&mut self.random) };
            let mut request = Request::of(&mut self.random, page);
            request.dyno = self.random.pick(&WEB);
            // Outside the story nothing is slow for long.
            request.service_ms = request.service_ms.min(1_900);
            if slow && page == CHECKOUT {
                self.slow_checkout(time_us, request);
            } else {
                router::request(&mut self.writer, time_us, &mut self.random, &request);
            }
        }
    }

    fn slow_checkout(&mut self, time_us: i64, mut request: Request) {
        let milliseconds = self.random.between(3_500, 29_000);
        match self.random.below(10) {
            0..=3 => {
                self.fail(time_us, "H12", &request);
                if self.random.chance(450) {
                    app::stack_trace(&mut self.writer, time_us - 210_000, &mut self.random);
                }
            }
            4 => self.fail(time_us, "H27", &request),
            _ => {
                request.service_ms = milliseconds;
                request.status = 200;
                router::request(&mut self.writer, time_us, &mut self.random, &request);
            }
        }
        if self.random.chance(400) {
            addons::slow_statement(&mut self.writer, time_us - 40_000, &mut self.random, milliseconds);
        }
    }

    fn fail(&mut self, time_us: i64, code: &str, request: &Request) {
        if let Some(failure) = FAILURES.iter().find(|failure| failure.code == code) {
            router::failed(&mut self.writer, time_us, &mut self.random, failure, request);
        }
    }

    fn measurements(&mut self, minute: i64) {
        let time_us = NINE_US + minute * MINUTE_US + 8_140_000;
        if minute % 15 == 0 {
            for (spread, name) in (0..).zip(WEB.iter().chain(&WORKERS[..1])) {
                let memory_mb = if *name == "web.2" { memory_of_web_2(minute) } else { self.random.between(205, 225) };
                platform::dyno_metrics(&mut self.writer, time_us + spread * 512_000, &mut self.random, name, memory_mb, QUOTA_MB);
            }
        }
        match minute % 20 {
            3 => addons::postgres(&mut self.writer, time_us, &mut self.random, true),
            5 => addons::postgres(&mut self.writer, time_us, &mut self.random, false),
            8 => addons::redis(&mut self.writer, time_us, &mut self.random),
            11 => addons::pgbouncer(&mut self.writer, time_us, &mut self.random),
            13 => app::l2met(&mut self.writer, time_us, &mut self.random),
            _ => {}
        }
    }

    fn app_lines(&mut self, minute: i64) {
        let time_us = self.within(minute);
        let (writer, random) = (&mut self.writer, &mut self.random);
        match minute % 12 {
            0 => app::plain(writer, time_us, random),
            1 | 6 => app::json(writer, time_us, random),
            2 => app::lograge(writer, time_us, random),
            3 => app::logfmt(writer, time_us, random),
            4 if minute % 24 == 4 => app::rails(writer, time_us, random),
            7 if minute % 36 == 7 => app::coloured(writer, time_us, random),
            8 if minute % 36 == 8 => app::awkward(writer, time_us, random),
            9 => addons::any_server_line(writer, time_us, random),
            _ => {}
        }
    }

    fn dyno_life(&mut self, minute: i64) {
        let time_us = NINE_US + minute * MINUTE_US + 31_000_000;
        match minute {
            17 => platform::dyno(&mut self.writer, time_us, "worker.2", &["Idling"]),
            24 => self.scheduled_job(time_us),
            RELEASE_AT | ROLLBACK_AT => {
                for name in WEB.iter().chain(&WORKERS) {
                    self.restart(time_us, name);
                }
            }
            125 => platform::memory_error(&mut self.writer, time_us, "worker.1", 1_126, QUOTA_MB),
            128 => self.crash(time_us),
            130 => self.writer.overflow(time_us, 212),
            131 => platform::any_loss(&mut self.writer, time_us, &mut Random::new(1)),
            150 => self.console(time_us),
            _ => {}
        }
        let memory_mb = memory_of_web_2(minute);
        if memory_mb > QUOTA_MB && minute % 4 == 0 {
            platform::memory_error(&mut self.writer, time_us, "web.2", memory_mb, QUOTA_MB);
        }
    }

    fn restart(&mut self, time_us: i64, name: &str) {
        let command = if name.starts_with("web") { "bundle exec puma -C config/puma.rb" } else { "bundle exec sidekiq -q receipts" };
        let writer = &mut self.writer;
        platform::dyno(writer, time_us, name, &["Restarting"]);
        platform::state(writer, time_us + 6_911, name, "up", "starting");
        platform::dyno(writer, time_us + 1_042_118, name, &["Stopping all processes with SIGTERM"]);
        platform::dyno(writer, time_us + 2_330_902, name, &["Process exited with status 143"]);
        platform::dyno(writer, time_us + 5_120_441, name, &["Starting process with command `", command, "`"]);
        platform::state(writer, time_us + 11_730_006, name, "starting", "up");
    }

    fn crash(&mut self, time_us: i64) {
        let request = Request { dyno: "web.2", ..Request::of(&mut self.random, CHECKOUT) };
        self.fail(time_us - 900_000, "H13", &request);
        platform::dyno(&mut self.writer, time_us, "web.2", &["Stopping process with SIGKILL"]);
        platform::dyno(&mut self.writer, time_us + 350_000, "web.2", &["Process exited with status 137"]);
        platform::state(&mut self.writer, time_us + 361_200, "web.2", "up", "crashed");
        self.fail(time_us + 4_000_000, "H10", &request);
    }

    fn scheduled_job(&mut self, time_us: i64) {
        let name = "scheduler.7312";
        platform::api(
            &mut self.writer,
            time_us - 900_000,
            &["Starting process with command `bin/stock` by user scheduler@addons.heroku.com"],
        );
        platform::state(&mut self.writer, time_us, name, "created", "provisioning");
        platform::dyno(&mut self.writer, time_us + 400_000, name, &[platform::ONE_OFF_LINES[1]]);
        self.writer.message(time_us + 1_400_000, Process::app(name), |text| _ = text.str("412 products, 3 out of stock"));
        platform::dyno(&mut self.writer, time_us + 2_000_000, name, &["Process exited with status 0"]);
        platform::state(&mut self.writer, time_us + 2_040_000, name, "up", "complete");
    }

    fn console(&mut self, time_us: i64) {
        let name = "run.4821";
        let lines = ["Awaiting client", "Starting process with command `rails console`", "State changed from starting to up"];
        let endings = [
            "Client connection closed. Sending SIGHUP to all processes",
            platform::ONE_OFF_LINES[7],
            "Process exited with status 129",
            "Cycling",
        ];
        for (second, words) in (0..).zip(lines.iter().chain(&endings)) {
            platform::dyno(&mut self.writer, time_us + second * 3_000_000, name, &[words]);
        }
    }

    fn platform_events(&mut self, minute: i64) {
        let ada = "ada@example.com";
        let lines: &[&str] = match minute {
            1 => &["Set CACHE_URL, LOG_LEVEL config vars by user ", "Release v40 created by user "],
            2 => &[
                "Remove OLD_CACHE_URL config vars by user ",
                "Release v41 created by user ",
                "Detach CACHE (@ref:redis-round-27182) by user ",
            ],
            12 => &["Attach HEROKU_POSTGRESQL_TEAL (@ref:postgresql-calm-16180) by user "],
            52 => &["Build started by user "],
            53 => &["Build failed -- check your build output: https://dashboard.heroku.com/apps/shop/activity/builds/0001"],
            60 => &["Build started by user "],
            61 => return self.deploy(NINE_US + 61 * MINUTE_US + 20_000_000, ada),
            127 => &["Scaled to web@4:Standard-1X worker@2:Standard-2X by user "],
            ROLLBACK_AT => &["Rollback to v41 by user ", "Release v43 created by user "],
            165 => &["Stack changed from heroku-22 to heroku-24 by user ", "Enable Logplex by user "],
            _ => return,
        };
        for (second, line) in (12..).zip(lines) {
            let actor = if line.ends_with(' ') { ada } else { "" };
            platform::api(&mut self.writer, NINE_US + minute * MINUTE_US + second * 1_000_000 + 4_411, &[line, actor]);
        }
    }

    fn deploy(&mut self, time_us: i64, actor: &str) {
        let writer = &mut self.writer;
        platform::api(writer, time_us, &["Running release v42 commands by user ", actor]);
        // One message that Logplex gives out as three lines of one time.
        let phase_us = time_us + 1_200_000;
        for words in
            ["Starting process with command `/bin/sh -c 'if test -x bin/release; then", "bin/release", "fi'` by user ada@example.com"]
        {
            platform::api(writer, phase_us, &[words]);
        }
        let signed = "https://builds.example.com/v42.tgz?X-Amz-Credential=EXAMPLE&X-Amz-Signature=5f3a0000c0ffee";
        let name = "release.1204";
        platform::dyno(
            writer,
            time_us + 2_000_000,
            name,
            &["Starting process with command `curl -sSf \"", signed, "\" | tar xz && bin/release`"],
        );
        platform::state(writer, time_us + 2_900_000, name, "starting", "up");
        platform::dyno(writer, time_us + 8_000_000, name, &["Process exited with status 0"]);
        platform::state(writer, time_us + 8_040_000, name, "up", "complete");
        platform::api(writer, time_us + 30_000_000, &["Build succeeded"]);
        platform::api(writer, time_us + 34_000_000, &["Deploy 199002c5 by user ", actor]);
        platform::api(writer, time_us + 34_000_000, &["Release v42 created by user ", actor]);
    }

    fn odd_requests(&mut self) {
        for shape in 0..ODD_SHAPES {
            let time_us = self.within(5 + 14 * shape.cast_signed());
            let request = Request { dyno: "web.1", ..Request::of(&mut self.random, Page::Product(7)) };
            router::odd(&mut self.writer, time_us, &mut self.random, shape, &request);
        }
    }

    /// One of each error code during the ten minutes of the rollback, when nobody is surprised by one.
    fn failures_of_all_kinds(&mut self) {
        let elsewhere =
            |failure: &&Failure| matches!(failure.code, "H11" | "H14" | "H18" | "H19" | "H20" | "H21" | "H25" | "H26" | "H28" | "H80");
        for failure in FAILURES.iter().filter(elsewhere) {
            let minute = ROLLBACK_AT - 1 + self.random.below(4).cast_signed();
            let time_us = self.within(minute);
            let request = Request { dyno: "web.1", ..Request::of(&mut self.random, Page::Named("/cart")) };
            router::failed(&mut self.writer, time_us, &mut self.random, failure, &request);
        }
    }
}

/// The leak of release v42: seven megabytes a minute.
fn memory_of_web_2(minute: i64) -> u64 {
    let leaking = if (RELEASE_AT..ROLLBACK_AT).contains(&minute) { minute - RELEASE_AT } else { 0 };
    210 + 7 * leaking.unsigned_abs()
}

/// `samples/shop.frames`: an HTTPS drain's body as it was saved, Logplex's own oddities included.
#[must_use]
pub fn shop_frames() -> Vec<u8> {
    let mut random = Random::new(10_057);
    let mut writer = Writer::new(Form::Frames, None);
    let (writer_ref, random_ref) = (&mut writer, &mut random);
    // The overflow line has no newline: the next length is glued to it.
    writer_ref.overflow(NINE_US, 63);
    for second in 1..=6 {
        let time_us = NINE_US + second * 1_000_000;
        let request = Request::any(random_ref);
        router::request(writer_ref, time_us, random_ref, &request);
        app::plain(writer_ref, time_us + 1, random_ref);
        app::json(writer_ref, time_us + 2, random_ref);
        platform::dyno_metrics(writer_ref, time_us + 3, random_ref, "web.1", 212, QUOTA_MB);
    }
    for words in [&b"bytes that are no text: \xff\xfe"[..], b"two\nlines in one message", b"a NUL \0 in the middle", b""] {
        writer_ref.message(NINE_US + 7_000_000, Process::app("web.1"), |text| _ = text.raw(words));
    }
    app::stack_trace(writer_ref, NINE_US + 8_000_000, random_ref);
    addons::slow_statement(writer_ref, NINE_US + 9_000_000, random_ref, 2_405);
    app::json(writer_ref, NINE_US + 10_000_000, random_ref);
    let mut body = writer.bytes().to_vec();
    // Tools that trim the final newline leave a last length that promises one byte more than there is.
    body.pop();
    body
}

/// The lines of `samples/archive.jsonl.gz`: what an archiving add-on keeps, one JSON object a line.
#[must_use]
pub fn archive_lines() -> Vec<u8> {
    let log = shop_log();
    let mut lines = Vec::new();
    for line in log.split(|byte| *byte == b'\n') {
        let Some((time, process, message)) = parts(line) else { continue };
        let object = serde_json::json!({
            "time": time,
            "hostname": "shop",
            "program": process.replace('[', "/").trim_end_matches(']'),
            "message": message,
        });
        lines.extend_from_slice(object.to_string().as_bytes());
        lines.push(b'\n');
        if lines.len() > 24 * 1024 {
            break;
        }
    }
    lines
}

fn parts(line: &[u8]) -> Option<(&str, &str, &str)> {
    let (head, message) = std::str::from_utf8(line).ok()?.split_once(": ")?;
    let (time, process) = head.split_once(' ')?;
    time.starts_with("2026-").then_some((time, process, message))
}

/// `samples/archive.jsonl.gz`.
///
/// # Errors
/// None that memory can give.
pub fn archive() -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&archive_lines())?;
    encoder.finish()
}
