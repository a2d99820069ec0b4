//! What a person at a terminal sees and types.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::freshet::Place;

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// The binary in a terminal of 120 columns and 40 rows. util-linux's `script` makes the terminal.
struct Terminal {
    child: Child,
    input: ChildStdin,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    fn start(place: &Place, line: &str, variables: &[(&str, &str)]) -> Self {
        let mut command: Command =
            place.wrapped("script", &["-qec", &format!("stty cols 120 rows 40; exec \"$FRESHET\" {line}"), "/dev/null"]);
        command.env("FRESHET", env!("CARGO_BIN_EXE_freshet")).env("TERM", "xterm-256color").envs(variables.iter().copied());
        let mut child = command.stdin(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let (input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut piece) {
                sink.lock().unwrap().extend_from_slice(&piece[..length]);
            }
        });
        Self { child, input, seen }
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    fn wait_for(&self, text: &str) {
        let begun = Instant::now();
        while !self.screen().contains(text) {
            assert!(begun.elapsed() < PATIENCE, "{text:?} does not appear:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn type_in(&mut self, keys: &str) {
        self.input.write_all(keys.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// Waits for the end, and returns the exit code and all that was shown.
    fn end(mut self) -> (Option<i32>, String) {
        let begun = Instant::now();
        while self.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.screen());
            std::thread::sleep(Duration::from_millis(20));
        }
        (self.child.wait().unwrap().code(), self.screen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_demo_is_a_picture_until_q() {
    let place = Place::new();
    let mut terminal = Terminal::start(&place, "demo --apps 2 --rate 100", &[]);
    // It draws on a screen of its own, and only what has changed.
    terminal.wait_for("\u{1b}[?1049h");
    for part in ["lines/s", "acknowledged in", "every line accounted for", "router_requests"] {
        terminal.wait_for(part);
    }
    terminal.type_in("q");
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(0), "{shown}");
    let (_, after) = shown.rsplit_once("\u{1b}[?1049l").expect("the screen is given back");
    assert!(after.contains("freshet query --lake ./freshet-demo/lake") && after.contains("\u{1b}["), "{after}");
}

#[test]
fn init_asks_and_lists_the_apps_of_an_account() {
    let place = Place::new();
    let mut heroku = place.command("fake-heroku --port 0 --apps 3 --output json", &[]).spawn().unwrap();
    let mut documents = serde_json::Deserializer::from_reader(heroku.stdout.take().unwrap()).into_iter::<Value>();
    let begun = documents.next().unwrap().unwrap();
    let url = begun["url"].as_str().unwrap().to_owned();
    let mut terminal = Terminal::start(&place, &format!("init --api-url {url}"), &[("HEROKU_API_KEY", "any")]);
    terminal.wait_for("Apps that your token can see");
    terminal.wait_for("patterns such as shop-*");
    terminal.type_in("no-such-app\n");
    terminal.wait_for("No app of yours matches no-such-app.");
    terminal.type_in("*\n127.0.0.1:8123\nhttps://logs.example.com\n");
    let (code, shown) = terminal.end();
    heroku.kill().unwrap();
    heroku.wait().unwrap();
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("https://freshet:$FRESHET_DRAIN_SECRET@logs.example.com/drain/APP"), "{shown}");
    let text = std::fs::read_to_string(place.path("freshet.toml")).unwrap();
    assert!(text.contains("\napps = [\"*\"]") && text.contains("\"127.0.0.1:8123\"") && text.contains(&url), "{text}");
}

#[test]
fn a_token_goes_to_no_address_without_tls() {
    let place = Place::new();
    let terminal = Terminal::start(&place, "init --api-url http://api.example.com", &[("HEROKU_API_KEY", "any")]);
    let (code, shown) = terminal.end();
    assert_eq!(code, Some(78), "{shown}");
    assert!(shown.contains("--api-url") && shown.contains("https"), "{shown}");
    assert!(!place.path("freshet.toml").exists());
}

#[test]
fn check_has_colours_on_a_terminal() {
    let place = Place::new();
    place.file("freshet.toml", "[receive]\nlistn = \"0.0.0.0:80\"\n");
    let (code, shown) = Terminal::start(&place, "check --offline", &[]).end();
    assert_eq!(code, Some(78), "{shown}");
    assert!(shown.contains("\u{1b}[31m✗") && shown.contains("listen"), "{shown}");
}
