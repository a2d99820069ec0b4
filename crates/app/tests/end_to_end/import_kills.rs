//! `freshet import` interrupted: by kill -9 at any moment and at chosen system calls, by signals, by others at the same
//! lake. Afterwards each key is in its tables once, and the tables are those of an import that nobody disturbed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use freshet_bench::random::Random;

use crate::chance;
use crate::daemon::Daemon;
use crate::freshet::{Ended, Place};
use crate::http::{Frame, message};
use crate::keys::{assert_each_once, keyed_lines, keys_in};

/// Makes an import commit many packages.
const SMALL_PACKAGES: &str = "[load]\nmax_rows = 10000\n";

/// Files that are imported over and over.
struct Files {
    paths: Vec<PathBuf>,
    keys: Vec<u64>,
    /// Rows of each table after an import that nobody disturbed.
    rows: BTreeMap<String, i64>,
    /// How long that took.
    takes: Duration,
}

impl Files {
    /// `count` files of `lines` lines each.
    fn new(place: &Place, count: u64, lines: u64) -> Self {
        let mut keys = Vec::new();
        let paths = (0..count).map(|file| {
            let text = keyed_lines(100 + file, file * 10_000_000, lines);
            keys.extend(keys_in(&text));
            place.file(&format!("in/{file}.log"), text)
        });
        let paths: Vec<_> = paths.collect();
        let undisturbed = Place::new();
        undisturbed.file("freshet.toml", SMALL_PACKAGES);
        let begun = Instant::now();
        let files = Self { keys, rows: BTreeMap::new(), takes: Duration::ZERO, paths };
        undisturbed.import(&files.paths());
        Self { takes: begun.elapsed(), rows: undisturbed.data_rows(), ..files }
    }

    fn paths(&self) -> Vec<&Path> {
        self.paths.iter().map(AsRef::as_ref).collect()
    }

    /// Everything is there as if nothing had happened, and `_loads` knows every commit.
    fn assert_whole(&self, place: &Place) {
        assert_each_once(place, self.keys.iter().copied());
        assert_eq!(place.data_rows(), self.rows);
        assert_loads_complete(place);
    }
}

/// The rows that `_loads` counts are the rows there are.
fn assert_loads_complete(place: &Place) {
    let mut rows = place.data_rows();
    for row in
        place.query("SELECT table_name, sum(rows) AS row_count, count(*) AS loads, count(DISTINCT load_id) AS ids FROM _loads GROUP BY 1")
    {
        assert_eq!(row["loads"], row["ids"], "{row}");
        assert_eq!(rows.remove(row["table_name"].as_str().unwrap()), row["row_count"].as_i64(), "{row}");
    }
    assert!(rows.is_empty(), "commits that _loads does not know of: {rows:?}");
}

#[test]
fn kill_9_at_random_moments() {
    let mut random = chance::random("import, kill -9");
    let place = Place::new();
    place.file("freshet.toml", SMALL_PACKAGES);
    let files = Files::new(&place, 6, if chance::full() { 25_000 } else { 15_000 });
    let kills = if chance::full() { 80 } else { 6 };
    let mut killed = 0;
    // A kill that comes too late ends a round: the next begins in an empty lake.
    while killed < kills {
        let mut child = place.command("import", &files.paths()).spawn().unwrap();
        std::thread::sleep(files.takes.mul_f64(random.below(700) as f64 / 1000.0));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        if status.code().is_some() {
            files.assert_whole(&place);
            std::fs::remove_dir_all(place.lake()).unwrap();
        } else {
            killed += 1;
        }
    }
    place.import(&files.paths());
    files.assert_whole(&place);
}

#[test]
fn kill_9_at_chosen_system_calls() {
    if !strace_works() {
        eprintln!("skipped: strace is not there or may not trace");
        return;
    }
    let mut random = chance::random("import, kill -9 at system calls");
    let place = Place::new();
    place.file("freshet.toml", SMALL_PACKAGES);
    let files = Files::new(&place, 2, 8_000);
    let kills = if chance::full() { 40 } else { 5 };
    let mut killed = 0;
    for _ in 0..kills {
        // Syncs, hard links and renames are where a commit becomes visible. Counted per thread, hence the small numbers.
        let call = random.pick(&["fsync", "link,linkat", "rename,renameat,renameat2", "unlink,unlinkat"]);
        let inject = format!("inject={call}:signal=SIGKILL:when={}", 1 + random.below(6));
        let trace = format!("trace={call}");
        let ended = Ended::from(place.traced(&["-e", &trace, "-e", &inject], "import -q", &files.paths()).output().unwrap());
        if ended.code == Some(0) {
            files.assert_whole(&place);
            std::fs::remove_dir_all(place.lake()).unwrap();
        } else {
            killed += 1;
        }
    }
    eprintln!("{killed} of {kills} imports were killed");
    place.import(&files.paths());
    files.assert_whole(&place);
}

/// Whether `strace` is there and may do its work.
pub(crate) fn strace_works() -> bool {
    Command::new("strace").args(["-q", "-o", "/dev/null", "true"]).status().is_ok_and(|status| status.success())
}

/// Gives up loudly when `happened` takes too long to be true.
fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !happened() {
        assert!(begun.elapsed() < Duration::from_secs(60), "after a minute it is not true that {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whenever it comes: standard input is held open, so the import cannot end by itself.
#[test]
fn a_signal_commits_what_was_read_and_says_so() {
    let mut random = chance::random("import, signals");
    let place = Place::new();
    place.file("freshet.toml", SMALL_PACKAGES);
    let files = Files::new(&place, 2, 12_000);
    let with_input: Vec<_> = files.paths().into_iter().chain([Path::new("-")]).collect();
    for name in ["-INT", "-TERM"] {
        let mut child = place.command("import", &with_input).stdin(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        // The lake is made after the signals are listened to.
        wait_until("there is a lake", || place.lake().exists());
        std::thread::sleep(files.takes.mul_f64(random.below(1_500) as f64 / 1_000.0));
        assert!(Command::new("kill").arg(name).arg(child.id().to_string()).status().unwrap().success());
        wait_until("the import has ended", || child.try_wait().unwrap().is_some());
        drop(input);
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(75), "{ended:#?}");
        assert!(ended.stdout.contains("interrupted: what was read is committed"), "{ended:#?}");
    }
    place.import(&files.paths());
    files.assert_whole(&place);
}

/// Two imports of the same files at once: each ends well, or says that it should be run again.
#[test]
fn two_imports_of_the_same_files_at_once() {
    let mut random = chance::random("two imports at once");
    let place = Place::new();
    place.file("freshet.toml", SMALL_PACKAGES);
    let files = Files::new(&place, 3, 6_000);
    let mut refused = 0;
    for _ in 0..if chance::full() { 20 } else { 2 } {
        let one = place.command("import -q", &files.paths()).spawn().unwrap();
        std::thread::sleep(files.takes.mul_f64(random.below(500) as f64 / 1000.0));
        let other = place.command("import -q", &files.paths()).spawn().unwrap();
        for child in [one, other] {
            let ended = Ended::from(child.wait_with_output().unwrap());
            match ended.code {
                Some(0) => {}
                Some(75) => {
                    refused += 1;
                    assert!(ended.stderr.contains("run this import again; nothing is added twice"), "{ended:#?}");
                }
                _ => panic!("{ended:#?}"),
            }
        }
        place.import(&files.paths());
        files.assert_whole(&place);
        std::fs::remove_dir_all(place.lake()).unwrap();
    }
    eprintln!("{refused} imports were told to try again");
}

#[test]
fn imports_of_different_files_and_a_daemon_share_a_lake() {
    let place = Place::new();
    place.file("freshet.toml", "[load]\nmax_rows = 25000\nmax_age = \"200ms\"\n");
    let daemon = Daemon::start(&place);
    let texts: Vec<_> = (0..3).map(|file| keyed_lines(200 + file, (1 + file) * 10_000_000, 10_000)).collect();
    let imports: Vec<_> =
        (0..3).map(|file| place.command("import -q", &[&place.file(&format!("{file}.log"), &texts[file])]).spawn().unwrap()).collect();
    let mut keys = keys_in(&texts.concat());
    let mut random = Random::new(1);
    for key in 0..100_u64 {
        let id = format!("{:032X}", random.bits());
        Frame::of(&id, &message(format!("paid seq={key:012}").as_bytes())).deliver(daemon.address);
        keys.push(key);
    }
    for child in imports {
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(ended.code, Some(0), "{ended:#?}");
    }
    daemon.stop();
    assert_each_once(&place, keys);
    assert_loads_complete(&place);
}
