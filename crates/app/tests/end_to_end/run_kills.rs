//! `freshet run` under kill -9, while drains send frames, repeat some and give some up: what was acknowledged is there
//! once, and what was not at most once.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::time::Duration;

use freshet_bench::random::Random;

use crate::chance;
use crate::daemon::Daemon;
use crate::freshet::Place;
use crate::keys::assert_once;
use crate::senders::{Habits, Senders};

/// Commits, segments and merges all the time, so that kills meet each of them.
const BUSY: &str = "[load]\nmax_age = \"400ms\"\n[spool]\nmax_bytes = \"16MiB\"\nsegment_bytes = \"256KiB\"\n\
                    [maintenance]\nevery = \"1s\"\nmin_files = 2\n";

#[test]
fn what_was_acknowledged_survives_kill_9() {
    // Each round has a lake of its own: in one that is never left alone long enough to be looked after, starts get slow.
    let (rounds, kills) = if chance::full() { (10, 20) } else { (1, 12) };
    let mut random = chance::random("run, kill -9");
    for round in 0..rounds {
        kill_again_and_again(&mut random, round, kills);
    }
}

fn kill_again_and_again(random: &mut Random, round: usize, kills: usize) {
    let place = Place::new();
    place.file("freshet.toml", BUSY);
    let mut daemon = Daemon::start(&place);
    let address = daemon.address;
    let habits =
        Habits { seed: random.bits(), senders: 4, messages: 8, pause_max: Duration::from_millis(25), patience: Duration::from_millis(300) };
    let senders = Senders::start(address, habits);
    for kill in 0..kills {
        // Most kills come soon after the start, when recovery, first commits and repeats meet.
        let life = random.below(3_000).min(random.below(3_000));
        std::thread::sleep(Duration::from_millis(life));
        daemon.kill();
        let damage = random.pick(&DAMAGES);
        damage_spool(&place, damage, random);
        eprintln!("round {round}, kill {kill} after {life} ms, {damage:?}, {} keys acknowledged", senders.acknowledged());
        daemon = begin_again(&place, address);
    }
    let sent = senders.stop();
    daemon.stop();
    let (all, acknowledged) = (sent.all.len(), sent.acknowledged.len());
    eprintln!("{all} keys sent, {acknowledged} acknowledged; {} frames repeated; {:?}", sent.repeats, sent.troubles);
    assert!(sent.repeats > 0 && sent.troubles.refused + sent.troubles.broken > 0, "the senders had too easy a time");
    assert_once(&place, &sent.acknowledged, &sent.all);
    let losses = place.query("SELECT * FROM _loss WHERE kind NOT IN ('l10', 'l11', 'l12', 'l13')");
    assert!(losses.is_empty(), "nothing acknowledged was damaged: {losses:?}");
}

/// Starts again without waiting: the next kill may well come before it is ready.
fn begin_again(place: &Place, address: std::net::SocketAddr) -> Daemon {
    Daemon::begin(place.command(&format!("run --listen {address}"), &[]))
}

/// What a crash of the machine may leave behind the last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    None,
    Zeros,
    Noise,
    /// The file's own beginning: bytes that were whole records in their own place.
    OldRecords,
}

const DAMAGES: [Damage; 6] = [Damage::None, Damage::None, Damage::None, Damage::Zeros, Damage::Noise, Damage::OldRecords];

/// Appends to the newest segment; what stands before is acknowledged, and is left alone.
fn damage_spool(place: &Place, damage: Damage, random: &mut Random) {
    let length = 1 + random.below(5_000) as usize;
    let Some(newest) = newest_segment(place) else { return };
    let tail = match damage {
        Damage::None => return,
        Damage::Zeros => vec![0; length],
        Damage::Noise => (0..length).map(|_| random.bits() as u8).collect(),
        Damage::OldRecords => std::fs::read(&newest).unwrap().into_iter().take(length).collect(),
    };
    OpenOptions::new().append(true).open(newest).unwrap().write_all(&tail).unwrap();
}

fn newest_segment(place: &Place) -> Option<std::path::PathBuf> {
    let segments = std::fs::read_dir(place.path("data/spool")).ok()?.map(|entry| entry.unwrap().path());
    segments.filter(|path| path.extension().is_some_and(|extension| extension == "seg")).max()
}

#[test]
fn the_end_of_a_segment_that_is_cut_off_is_told_of() {
    use crate::http::{Frame, message};
    let place = Place::new();
    // The loader waits, so that what is cut off is nowhere else.
    place.file("freshet.toml", "[load]\nmax_age = \"1h\"\n");
    let daemon = Daemon::start(&place);
    let address = daemon.address;
    for key in 0..20 {
        Frame::of(&format!("{key:032X}"), &message(format!("paid seq={key:012}").as_bytes())).deliver(address);
    }
    daemon.kill();
    let newest = newest_segment(&place).unwrap();
    let file = OpenOptions::new().write(true).open(&newest).unwrap();
    // Into the last record: acknowledged, so this is a disk that lied. All before it must come through.
    file.set_len(std::fs::metadata(&newest).unwrap().len() - 10).unwrap();
    let daemon = Daemon::start_at(&place, address);
    assert!(daemon.log().contains("spool recovered"), "{}", daemon.log());
    daemon.stop();
    let found = crate::keys::keys_in_lake(&place);
    assert_eq!(found, (0..19).map(|key| (key, 1)).collect());
}
