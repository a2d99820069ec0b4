//! Heroku's own command line against the fake Heroku. Full tier only: `./scripts/setup --full` installs it.
//!
//! What it prints is compared with `tests/snapshots`, numbers and ids left out; `FRESHET_ACCEPT=1` writes them anew.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use freshet_fake_heroku::{FakeHeroku, FakeOptions};
use jiff::SignedDuration;

/// Long enough for a Node program on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

fn cli() -> Option<PathBuf> {
    if std::env::var_os("FRESHET_FULL").is_none_or(|value| value != "1") {
        eprintln!("skipped: the official CLI is tried in the full tier (FRESHET_FULL=1)");
        return None;
    }
    let cache = std::env::var_os("FRESHET_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/freshet")))?;
    let program = cache.join("heroku-cli/node_modules/.bin/heroku");
    assert!(program.exists(), "{} is not there; run ./scripts/setup --full, which installs it", program.display());
    Some(program)
}

struct Heroku {
    program: PathBuf,
    home: tempfile::TempDir,
    url: String,
}

impl Heroku {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.home.path());
        command.env("HEROKU_HOST", &self.url).env("HEROKU_API_KEY", "HRKU-a-key-of-the-test").env("TZ", "UTC").env("COLUMNS", "120");
        command.env("HEROKU_SKIP_NEW_VERSION_CHECK", "1").env("DISABLE_TELEMETRY", "true").env("NO_COLOR", "1");
        command
    }

    fn run(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{arguments:?}: {}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }
}

#[test]
fn herokus_own_commands_work() {
    let Some(program) = cli() else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let begins_at = "2026-11-02T09:00:00Z".parse().unwrap();
    let options = FakeOptions { seed: 11, apps: 3, lines_per_second: 2.0, begins_at, is_paused: true, ..FakeOptions::default() };
    let fake = runtime.block_on(FakeHeroku::start(options)).unwrap();
    // The story stands still, so that the same is printed every time; ten minutes of it are told at once.
    fake.world().advance(begins_at + SignedDuration::from_mins(10));
    assert!(runtime.block_on(fake.settled(PATIENCE)), "what was told has come in");
    let heroku = Heroku { program, home: tempfile::tempdir().unwrap(), url: fake.url() };
    let app = fake.apps()[0].1.clone();
    let with_app = |words: &[&str]| words.iter().copied().chain(["--app", app.as_str()]).map(str::to_owned).collect::<Vec<_>>();
    for (name, words) in [
        ("apps", vec!["apps".to_owned()]),
        ("apps-info", with_app(&["apps:info"])),
        ("ps", with_app(&["ps"])),
        ("releases", with_app(&["releases"])),
        ("logs", with_app(&["logs", "-n", "20"])),
        ("drains-add", with_app(&["drains:add", "https://freshet:secret@logs.example.com/drain/x"])),
        ("drains", with_app(&["drains"])),
        ("config", with_app(&["config"])),
        ("addons", with_app(&["addons"])),
        ("domains", with_app(&["domains"])),
        ("webhooks-add", with_app(&["webhooks:add", "--include", "api:release", "--level", "notify", "--url", "https://example.com/hook"])),
        ("webhooks", with_app(&["webhooks"])),
    ] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        compare(name, &normal(&heroku.run(&words)));
    }
    follow(&heroku, &fake, &app);
    runtime.shutdown_background();
}

/// `logs --tail` prints what comes after it began.
fn follow(heroku: &Heroku, fake: &FakeHeroku, app: &str) {
    let mut child = Tail(heroku.command(&["logs", "--tail", "-n", "1", "--app", app]).spawn().unwrap());
    let lines = BufReader::new(child.0.stdout.take().unwrap()).lines();
    // A thread reads, so that a tail that says nothing ends the test, too.
    let (sender, said) = mpsc::channel();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = || said.recv_timeout(PATIENCE).expect("the tail shows what happens");
    assert!(next().contains("]: "));
    let later = fake.world().now() + SignedDuration::from_mins(5);
    fake.world().advance(later);
    for _ in 0..5 {
        let line = next();
        assert!(line.contains("]: "), "{line}");
    }
}

struct Tail(Child);

impl Drop for Tail {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Ids and numbers become `#`, and how long ago something was is left out: both differ from run to run.
fn normal(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = line.split(" (~").next().unwrap_or(line);
        let mut was_number = false;
        for word in line.split_inclusive([' ', '/', ':', '.', '-', '@', '[', ']', '=']) {
            let hex = word.trim_end_matches(|letter: char| !letter.is_ascii_alphanumeric());
            let is_number = !hex.is_empty()
                && hex.bytes().any(|byte| byte.is_ascii_digit())
                && (hex.bytes().all(|byte| byte.is_ascii_digit()) || (hex.len() >= 4 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())));
            match (is_number, was_number) {
                (true, true) => out.push_str(&word[hex.len()..]),
                (true, false) => out.push_str(&format!("#{}", &word[hex.len()..])),
                (false, _) => out.push_str(word),
            }
            was_number = is_number;
        }
        while out.ends_with(' ') {
            out.pop();
        }
        out.push('\n');
    }
    out
}

fn compare(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/snapshots").join(format!("{name}.txt"));
    if std::env::var_os("FRESHET_ACCEPT").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{name} prints something else; FRESHET_ACCEPT=1 takes it as right");
}
