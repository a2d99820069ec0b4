//! Every verb on a lake that is on an object store, and the promises of `run` there.

use std::time::Duration;

use crate::chance;
use crate::daemon::Daemon;
use crate::freshet::{Place, sample};
use crate::heroku::Heroku;
use crate::keys::assert_once;
use crate::rigs::Rig;
use crate::senders::{Habits, Senders};
use crate::sync::sync;

/// What each verb that reads or writes a lake says of this one, as of the same lake in a folder.
fn every_verb(rig: &Rig) {
    let (here, there) = (Place::new(), Place::on(rig));
    let nothing_yet = there.run("query SELECT", &[]);
    assert!(nothing_yet.code == Some(1) && nothing_yet.stderr.contains("there is no lake"), "{nothing_yet:#?}");
    for place in [&here, &there] {
        for name in ["shop.log", "shop.frames"] {
            place.import(&[&sample(name)]);
            place.import(&[&sample(name)]);
        }
    }
    assert_eq!(there.rows_by_table(), here.rows_by_table());
    let sql = "SELECT app, code, count(*) AS n FROM platform_errors GROUP BY app, code ORDER BY app, code";
    assert_eq!(there.query(sql), here.query(sql));
    for line in ["tables optimize", "tables vacuum", "tables describe logs", "loads", "rejects list", "status"] {
        there.ok(line, &[]);
    }
    assert_eq!(there.rows_by_table(), here.rows_by_table());
    let check = there.run("check --output json", &[]);
    assert!(check.stdout.contains("put of a taken name refused"), "{check:#?}");
    assert!(!there.lake().exists(), "something was written to a folder");
}

#[test]
fn every_verb_on_s3() {
    let Some(rig) = Rig::s3() else { return };
    every_verb(&rig);
}

#[test]
fn every_verb_on_google_cloud_storage() {
    let Some(rig) = Rig::gcs() else { return };
    every_verb(&rig);
}

#[test]
fn every_verb_on_azure() {
    let Some(rig) = Rig::azure() else { return };
    every_verb(&rig);
}

#[test]
fn a_lake_on_s3_is_synced() {
    let Some(rig) = Rig::s3() else { return };
    let place = Place::on(&rig);
    let _heroku = Heroku::still(&place, "--seed 7");
    for _ in 0..2 {
        let (ended, _) = sync(&place, "apps releases dynos");
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    assert!(place.number("SELECT count(*) FROM releases") > 0);
    assert_eq!(place.number("SELECT count(*) - count(DISTINCT id) FROM releases"), 0);
}

#[test]
fn what_was_acknowledged_survives_kill_9_and_lost_answers_on_s3() {
    let Some(rig) = Rig::s3() else { return };
    let kills = if chance::full() { 60 } else { 6 };
    let mut random = chance::random("run on S3, kill -9");
    let place = Place::on(&rig);
    place.file("freshet.toml", "[load]\nmax_age = \"400ms\"\n[maintenance]\nevery = \"1s\"\nmin_files = 2\n");
    let mut daemon = Daemon::start(&place);
    let address = daemon.address;
    let senders = Senders::start(address, Habits::beside_a_store(&mut random));
    rig.lose_answers(17);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(300 + random.below(3_000)));
        daemon.kill();
        daemon = Daemon::start_at(&place, address);
    }
    let sent = senders.stop();
    rig.lose_answers(0);
    daemon.stop();
    eprintln!("{} keys sent, {} acknowledged", sent.all.len(), sent.acknowledged.len());
    assert_once(&place, &sent.acknowledged, &sent.all);
}
