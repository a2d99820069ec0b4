//! `freshet run` when its lake, its disk or its neighbours misbehave: senders are acknowledged or kept waiting, never lied
//! to, and once all is well again everything acknowledged is there once.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, SECRET};
use crate::freshet::{Ended, Place, sample};
use crate::http::{self, Frame, message};
use crate::import_kills::strace_works;
use crate::keys::{assert_each_once, assert_once};
use crate::senders::{Habits, Senders};
use crate::small_disk::{BreakableLake, SmallDisk};

const SOON: &str = "[load]\nmax_age = \"200ms\"\n";

const STEADY: Habits =
    Habits { seed: 3, senders: 3, messages: 10, pause_max: Duration::from_millis(15), patience: Duration::from_secs(60) };

/// Sends one message with this key and wants it acknowledged.
fn deliver(daemon: &Daemon, key: u64) {
    Frame::of(&format!("{key:032X}"), &message(format!("paid seq={key:012}").as_bytes())).deliver(daemon.address);
}

fn commits(daemon: &Daemon) -> f64 {
    daemon.metric("freshet_loader_packages_total").unwrap_or_default()
}

fn failures(daemon: &Daemon) -> f64 {
    daemon.metric("freshet_loader_failures_total").unwrap_or_default()
}

#[test]
fn frames_are_acknowledged_while_the_lake_is_down() {
    let place = Place::new();
    place.file("freshet.toml", SOON);
    let Some(lake) = BreakableLake::new(&place.lake()) else { return };
    let daemon = Daemon::start(&place);
    let senders = Senders::start(daemon.address, STEADY);
    daemon.wait("commits", || commits(&daemon) > 0.0);
    for _ in 0..2 {
        lake.break_down();
        let (before, failed) = (senders.acknowledged(), failures(&daemon));
        daemon.wait("fails to commit and goes on receiving", || failures(&daemon) > failed + 15.0 && senders.acknowledged() > before + 500);
        let ready = http::get(daemon.address, "/readyz").unwrap();
        assert_eq!(ready.status, 200, "a balancer must not turn senders away: {ready:?}");
        assert!(ready.body.contains("data waits in the spool"), "{ready:?}");
        lake.repair();
        let committed = commits(&daemon);
        daemon.wait("commits again", || commits(&daemon) > committed);
    }
    let sent = senders.stop();
    daemon.stop();
    assert_each_once(&place, sent.acknowledged);
}

#[test]
fn a_full_lake_goes_on_when_there_is_room() {
    let place = Place::new();
    place.file("freshet.toml", SOON);
    let Some(disk) = SmallDisk::mount(&place.lake(), "3m") else { return };
    let daemon = Daemon::start(&place);
    let senders = Senders::start(daemon.address, Habits { messages: 60, ..STEADY });
    daemon.wait("says that the disk is full", || daemon.log().contains("no space left"));
    let acknowledged = senders.acknowledged();
    daemon.wait("goes on receiving", || senders.acknowledged() > acknowledged + 500);
    // What is there can be read.
    assert!(crate::keys::keys_in_lake(&place).values().all(|times| *times == 1));
    disk.resize("200m");
    let committed = commits(&daemon);
    daemon.wait("commits again", || commits(&daemon) > committed);
    let sent = senders.stop();
    daemon.stop();
    assert_each_once(&place, sent.acknowledged);
}

#[test]
fn a_full_spool_refuses_connections_until_there_is_room() {
    let place = Place::new();
    place.file("freshet.toml", format!("{SOON}[spool]\nmax_bytes = \"1MiB\"\nsegment_bytes = \"128KiB\"\n"));
    let Some(lake) = BreakableLake::new(&place.lake()) else { return };
    let daemon = Daemon::start(&place);
    lake.break_down();
    let senders = Senders::start(daemon.address, Habits { messages: 100, ..STEADY });
    let refused = || http::get(daemon.address, "/healthz").is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused);
    daemon.wait("refuses connections", refused);
    // Requests that had begun are still answered: room is kept for them.
    std::thread::sleep(Duration::from_millis(300));
    let acknowledged = senders.acknowledged();
    std::thread::sleep(Duration::from_millis(700));
    assert!(refused(), "it opened although there is no room:\n{}", daemon.log());
    assert_eq!(senders.acknowledged(), acknowledged, "what cannot be kept is not acknowledged");
    lake.repair();
    daemon.wait("opens by itself", || senders.acknowledged() > acknowledged + 1_000);
    let sent = senders.stop();
    assert!(sent.troubles.refused > 0 && sent.troubles.rejected == 0, "{:?}", sent.troubles);
    daemon.stop();
    assert_once(&place, &sent.acknowledged, &sent.all);
    assert!(place.number("SELECT count(*) FROM _loss WHERE kind = 'intake_closed'") > 0, "nobody told of the closure");
}

/// No answer leaves for a frame that the disk did not take. `injection` is what happens to `fdatasync`, by which the spool
/// and nothing else makes its payloads durable.
fn spool_syncs_fail(injection: &str, recovers: bool) {
    if !strace_works() {
        eprintln!("skipped: strace is not there or may not trace");
        return;
    }
    let place = Place::new();
    place.file("freshet.toml", SOON);
    let injection = format!("inject=fdatasync:{injection}");
    let traced = place.traced(&["-e", "trace=fdatasync", "-e", &injection], "run --listen 127.0.0.1:0", &[]);
    let daemon = Daemon::begin(traced);
    let address = daemon.address;
    let senders = Senders::start(address, STEADY);
    daemon.wait("meets the errors", || daemon.log().contains("listener closed"));
    if recovers {
        let acknowledged = senders.acknowledged();
        daemon.wait("recovers by itself", || senders.acknowledged() > acknowledged + 300);
        let sent = senders.stop();
        daemon.stop();
        assert_once(&place, &sent.acknowledged, &sent.all);
        return;
    }
    std::thread::sleep(Duration::from_millis(300));
    let acknowledged = senders.acknowledged();
    std::thread::sleep(Duration::from_millis(1_500));
    assert_eq!(senders.acknowledged(), acknowledged, "acknowledged without a sync");
    daemon.kill();
    let daemon = Daemon::start_at(&place, address);
    daemon.wait("receives again", || senders.acknowledged() > acknowledged);
    let sent = senders.stop();
    daemon.stop();
    assert_once(&place, &sent.acknowledged, &sent.all);
}

#[test]
fn a_spool_disk_that_fails_for_a_while() {
    spool_syncs_fail("error=EIO:when=20..24", true);
}

#[test]
fn a_spool_disk_that_fails_for_good() {
    spool_syncs_fail("error=EIO:when=20+", false);
}

#[test]
fn a_spool_disk_that_is_full() {
    spool_syncs_fail("error=ENOSPC:when=20+", false);
}

#[test]
fn a_second_daemon_on_the_same_data_is_refused() {
    let place = Place::new();
    let daemon = Daemon::start(&place);
    let other = Ended::from(place.command("run --listen 127.0.0.1:0", &[]).env("FRESHET_DRAIN_SECRET", SECRET).output().unwrap());
    assert_eq!(other.code, Some(75), "{other:#?}");
    assert!(other.stderr.contains("data/spool"), "{other:#?}");
    deliver(&daemon, 1);
    daemon.stop();
    assert_each_once(&place, [1]);
}

#[test]
fn what_it_cannot_start_with_is_said() {
    let place = Place::new();
    let run = |line: &str, secret: Option<&str>| {
        let mut command = place.command(line, &[]);
        command.envs(secret.map(|secret| ("FRESHET_DRAIN_SECRET", secret)));
        Ended::from(command.output().unwrap())
    };
    let check = |ended: Ended, code: i32, word: &str| {
        assert_eq!(ended.code, Some(code), "{ended:#?}");
        assert!(ended.stderr.contains(word), "{word}: {ended:#?}");
    };
    check(run("run", None), 78, "there is no drain secret");
    check(run("run", Some("with:colon")), 78, "letters, digits");
    check(run("run --listen nowhere", Some(SECRET)), 78, "--listen wants an address");
    let daemon = Daemon::start(&place);
    check(run(&format!("run --data-dir other --listen {}", daemon.address), Some(SECRET)), 1, "cannot listen on");
    place.file("freshet.toml", "[recieve]\nlisten = \"x\"\n");
    check(run("run", Some(SECRET)), 78, "did you mean `receive`?");
}

#[test]
fn sigterm_drains_to_the_last_message() {
    let place = Place::new();
    // Nothing would be committed for an hour.
    place.file("freshet.toml", "[load]\nmax_age = \"1h\"\n");
    let daemon = Daemon::start(&place);
    let address = daemon.address;
    for key in 0..50 {
        deliver(&daemon, key);
    }
    assert!(place.data_rows().is_empty(), "committed already");
    let begun = Instant::now();
    daemon.stop();
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert_each_once(&place, 0..50);
    // The frames are still known, and a start with nothing to do ends as well.
    let daemon = Daemon::start_at(&place, address);
    for key in 40..60 {
        deliver(&daemon, key);
    }
    daemon.stop();
    assert_each_once(&place, 0..60);
}

#[test]
fn the_deadline_and_a_second_signal_end_it_and_nothing_is_lost() {
    let place = Place::new();
    let Some(lake) = BreakableLake::new(&place.lake()) else { return };
    let begin = |stop_within: &str| {
        place.file("freshet.toml", format!("{SOON}[run]\nstop_within = \"{stop_within}\"\n"));
        lake.repair();
        let daemon = Daemon::start(&place);
        lake.break_down();
        daemon
    };
    let end = |daemon: Daemon, says: &str| {
        let begun = Instant::now();
        let ended = daemon.ended();
        assert_eq!(ended.code, Some(0), "{ended:#?}");
        assert!(ended.stderr.contains(says), "{ended:#?}");
        assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    };
    let daemon = begin("1s");
    deliver(&daemon, 1);
    daemon.signal("TERM");
    end(daemon, "stopped at the deadline");

    let daemon = begin("60s");
    deliver(&daemon, 2);
    daemon.signal("TERM");
    std::thread::sleep(Duration::from_millis(300));
    daemon.signal("INT");
    end(daemon, "stopped at once");

    lake.repair();
    place.file("freshet.toml", SOON);
    Daemon::start(&place).stop();
    assert_each_once(&place, [1, 2]);
}

#[test]
fn an_import_into_a_full_disk_says_so_and_completes_later() {
    let place = Place::new();
    place.file("freshet.toml", "[load]\nmax_rows = 5000\n");
    let Some(disk) = SmallDisk::mount(&place.lake(), "2m") else { return };
    let texts: Vec<_> = (0..8).map(|file| crate::keys::keyed_lines(300 + file, file * 1_000_000, 5_000)).collect();
    let files: Vec<_> = texts.iter().zip(0..).map(|(text, number)| place.file(&format!("{number}.log"), text)).collect();
    let files: Vec<&Path> = files.iter().map(AsRef::as_ref).collect();
    let ended = place.run("import -q", &files);
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(ended.stderr.contains("no space left") && ended.stderr.contains("running the import again adds the rest"), "{ended:#?}");
    let found = crate::keys::keys_in_lake(&place);
    assert!(found.values().all(|times| *times == 1), "what was committed is whole: {found:?}");
    assert!(place.data_rows().contains_key("logs"), "the disk was too small for anything");
    disk.resize("200m");
    place.import(&files);
    place.import(&[&sample("shop.log")]);
    assert_each_once(&place, crate::keys::keys_in(&texts.concat()));
}
