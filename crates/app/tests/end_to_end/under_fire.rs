//! `freshet run` against the fake Heroku, with faults on both sides: kills, stops, a tampered spool and maintenance here,
//! resets, time-outs, repeats, wrong counts and garbage there. Heroku's own account must agree with the lake's: each
//! acknowledged message is there once, and nothing is there that was not sent.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use freshet_bench::random::Random;
use freshet_fake_heroku::{FakeHeroku, FakeOptions, Fault, Strike};
use jiff::{SignedDuration, Timestamp};

use crate::chance;
use crate::daemon::{Daemon, SECRET};
use crate::freshet::Place;
use crate::keys::assert_tables_agree;

/// Commits, segments and merges all the time, so that kills meet each of them.
const BUSY: &str = "[load]\nmax_age = \"400ms\"\n[spool]\nmax_bytes = \"16MiB\"\nsegment_bytes = \"256KiB\"\n\
                    [maintenance]\nevery = \"1s\"\nmin_files = 2\n";

/// Faults that leave each frame and its messages as they are: every message can be found again by frame, index and text.
const HONEST: [Fault; 5] = [Fault::DrainSlow, Fault::DrainReset, Fault::DrainTimeout, Fault::DrainDuplicate, Fault::DrainReorder];

/// Faults that change what is said: counted by frame, because an index may mean another message here than there.
const GARBLED: [Fault; 3] = [Fault::DrainWrongCount, Fault::DrainBadLength, Fault::DrainGarbage];

#[test]
fn heroku_and_the_lake_agree_whatever_fails() {
    let rounds = if chance::full() { 40 } else { 3 };
    let mut random = chance::random("under fire");
    for round in 0..rounds {
        let seed = random.bits();
        let garbled = round % 3 == 2;
        eprintln!("round {round}, seed {seed}, {}", if garbled { "frames garbled too" } else { "frames as they are" });
        one_round(seed, garbled);
    }
}

fn one_round(seed: u64, garbled: bool) {
    let mut random = Random::new(seed);
    let place = Place::new();
    place.file("freshet.toml", BUSY);
    let mut daemon = Daemon::start(&place);
    let address = daemon.address;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let heroku = runtime.block_on(FakeHeroku::start(options(seed, garbled, &mut random))).unwrap();
    let drains = runtime.block_on(async { add_drains(&heroku, address) });
    for _ in 0..random.below(5) + 4 {
        std::thread::sleep(Duration::from_millis(random.below(1_500)));
        daemon = trouble(&place, daemon, address, &mut random);
    }
    heroku.faults().set(BTreeMap::new());
    heroku.pause();
    let settled = runtime.block_on(heroku.settled(Duration::from_secs(60)));
    assert!(settled, "Heroku could not get rid of its messages: {:?}\n{}", heroku.drains(), daemon.log());
    daemon.stop();
    for (name, drain) in &drains {
        account(&place, &heroku, name, drain, garbled);
    }
    if !garbled {
        assert_tables_agree(&place);
    }
    runtime.shutdown_background();
}

fn options(seed: u64, garbled: bool, random: &mut Random) -> FakeOptions {
    let mut faults = BTreeMap::new();
    for fault in HONEST.iter().chain(if garbled { &GARBLED[..] } else { &[] }) {
        if random.below(3) > 0 {
            faults.insert(*fault, Strike { probability: 0.02 + random.below(8) as f64 / 100.0, times: None });
        }
    }
    FakeOptions {
        seed,
        speed: 120.0,
        apps: 3,
        lines_per_second: 400.0,
        begins_at: Timestamp::now() - SignedDuration::from_hours(2),
        faults,
        record: true,
        ..FakeOptions::default()
    }
}

fn add_drains(heroku: &FakeHeroku, address: SocketAddr) -> Vec<(String, String)> {
    let url = |name: &str| format!("http://freshet:{SECRET}@{address}/drain/{name}");
    heroku.apps().iter().map(|(id, name)| (name.clone(), heroku.add_drain(id, &url(name)).unwrap())).collect()
}

/// Something bad happens to the daemon, or around it.
fn trouble(place: &Place, daemon: Daemon, address: SocketAddr, random: &mut Random) -> Daemon {
    let begin_again = || Daemon::begin(place.command(&format!("run --listen {address}"), &[]));
    match random.below(6) {
        0..=2 => {
            daemon.kill();
            // Heroku meets a closed port meanwhile, and waits.
            std::thread::sleep(Duration::from_millis(random.below(400)));
            begin_again()
        }
        3 => {
            daemon.signal("STOP");
            std::thread::sleep(Duration::from_millis(random.below(700)));
            daemon.signal("CONT");
            daemon
        }
        4 => {
            for verb in ["tables optimize", "tables vacuum --retention 1h"] {
                // The daemon may hold the lease, which is no fault.
                let ended = place.run(verb, &[]);
                assert!(matches!(ended.code, Some(0 | 75)), "{verb}: {ended:?}");
            }
            daemon
        }
        _ => {
            daemon.stop();
            begin_again()
        }
    }
}

/// Compares one drain's account with the lake.
fn account(place: &Place, heroku: &FakeHeroku, app: &str, drain: &str, garbled: bool) {
    let counts = heroku.drains().into_iter().find(|counts| counts.id == drain).unwrap();
    assert_eq!(counts.account.sent, counts.account.acknowledged + counts.account.dropped + counts.account.waiting, "{counts:?}");
    assert!(counts.account.acknowledged > 0, "a drain that delivered nothing proves nothing: {counts:?}");
    let acknowledged: BTreeSet<String> =
        heroku.logplex().acknowledged(drain).into_iter().map(|message| key(&message.frame_id, message.index)).collect();
    let sql = format!(
        "SELECT frame_id, frame_index, count(*) AS times FROM logs WHERE app = '{app}' AND drain_token = '{}' GROUP BY 1, 2",
        counts.token
    );
    let mut stored = BTreeSet::new();
    for row in place.query(&sql) {
        let key = key(row["frame_id"].as_str().unwrap(), row["frame_index"].as_u64().unwrap() as u32);
        assert_eq!(row["times"], 1, "{app}: {key} is there more than once");
        stored.insert(key);
    }
    if garbled {
        // What a wrong length tears apart is in `_rejects`, under the same frame.
        let frames = |keys: &BTreeSet<String>| keys.iter().map(|key| key.split('/').next().unwrap().to_owned()).collect::<BTreeSet<_>>();
        let rejected = place.query(&format!("SELECT DISTINCT frame_id FROM _rejects WHERE app = '{app}'"));
        let mut found = frames(&stored);
        found.extend(rejected.iter().filter_map(|row| row["frame_id"].as_str().map(str::to_owned)));
        let lost: Vec<_> = frames(&acknowledged).difference(&found).cloned().collect();
        assert!(lost.is_empty(), "{app}: {} acknowledged frames are in no table: {:?}", lost.len(), lost.first());
        return;
    }
    let lost: Vec<_> = acknowledged.difference(&stored).collect();
    assert!(lost.is_empty(), "{app}: {} of {} acknowledged messages are lost, such as {:?}", lost.len(), acknowledged.len(), lost.first());
    // What Heroku took for failed may have been stored: no more than that.
    let more = (stored.len() - acknowledged.len()) as u64;
    let explained = counts.account.maybe + counts.account.l10_sent;
    assert!(more <= explained, "{app}: {more} messages more than Heroku sent can explain: {counts:?}");
}

fn key(frame_id: &str, index: u32) -> String {
    format!("{frame_id}/{index}")
}
