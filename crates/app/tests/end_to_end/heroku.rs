//! `freshet fake-heroku` as a child process: asked and told through its doors.

use std::io;
use std::net::SocketAddr;
use std::process::Child;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::freshet::Place;
use crate::http;

/// Longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long an answer may take: a company of a thousand apps has a long journal.
const ANSWER: Duration = Duration::from_secs(300);

/// A fake Heroku; killed when dropped.
pub(crate) struct Heroku {
    child: Child,
    address: SocketAddr,
    /// Where its API is.
    pub(crate) url: String,
    /// The names of its apps.
    pub(crate) apps: Vec<String>,
}

impl Heroku {
    /// Starts it; what it tells begins at once.
    pub(crate) fn start(place: &Place, flags: &str) -> Self {
        let mut child = place.command(&format!("fake-heroku --port 0 --output json {flags}"), &[]).spawn().unwrap();
        let mut documents = serde_json::Deserializer::from_reader(child.stdout.take().unwrap()).into_iter::<Value>();
        let said = documents.next().unwrap().unwrap();
        let url = said["url"].as_str().unwrap().to_owned();
        let address = url.trim_start_matches("http://").parse().unwrap();
        let apps = said["apps"].as_array().unwrap().iter().map(|app| app.as_str().unwrap().to_owned()).collect();
        Self { child, address, url, apps }
    }

    /// One that stands still, and a configuration that points there.
    pub(crate) fn still(place: &Place, flags: &str) -> Self {
        let heroku = Self::start(place, &format!("--apps 3 --rate 1 {flags}"));
        heroku.pause();
        place.file("freshet.toml", format!("[heroku]\napi_url = \"{}\"\n", heroku.url));
        heroku
    }

    /// Asks its API or its control endpoint, and wants an answer of 2xx.
    pub(crate) fn ask(&self, method: &str, path: &str, body: &str) -> Value {
        let answer = self.exchange(method, path, body).unwrap();
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
    }

    /// The same for a question that may be refused, or fail.
    pub(crate) fn attempt(&self, method: &str, path: &str, body: &str) -> Option<Value> {
        let answer = self.exchange(method, path, body).ok().filter(|answer| (200..300).contains(&answer.status))?;
        serde_json::from_str(&answer.body).ok()
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<http::Answer> {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: heroku\r\nAuthorization: Bearer any\r\nAccept: application/vnd.heroku+json; version=3\r\nConnection: close\r\nContent-Length: {}\r\n",
            body.len()
        );
        http::exchange_within(ANSWER, self.address, format!("{head}\r\n{body}").as_bytes())
    }

    /// All objects of `resource`, whoever may see them.
    pub(crate) fn objects(&self, resource: &str) -> Vec<Value> {
        self.ask("GET", &format!("/_control/objects/{resource}"), "").as_array().unwrap().clone()
    }

    /// The story stops here.
    pub(crate) fn pause(&self) {
        self.ask("POST", "/_control/pause", "");
    }

    /// Lets `fault` strike so often, each time with this probability.
    pub(crate) fn fault(&self, fault: &str, probability: f64, times: u32) {
        self.strike(&format!("{{\"{fault}\": {{\"probability\": {probability}, \"times\": {times}}}}}"));
    }

    /// Puts these faults in force, in place of all others.
    pub(crate) fn strike(&self, faults: &str) {
        self.ask("PUT", "/_control/faults", faults);
    }

    /// What the control endpoint says of it.
    pub(crate) fn status(&self) -> Value {
        self.ask("GET", "/_control/status", "")
    }

    /// Lines that were told so far.
    pub(crate) fn lines(&self) -> u64 {
        self.status()["lines"].as_u64().unwrap()
    }

    /// How often a fault has struck.
    pub(crate) fn struck(&self, fault: &str) -> u64 {
        self.status()["faults_struck"][fault].as_u64().unwrap_or_default()
    }

    /// Waits until `happened`, and gives up loudly.
    pub(crate) fn wait(&self, what: &str, happened: impl Fn(&Self) -> bool) {
        let begun = Instant::now();
        while !happened(self) {
            assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} it is not true that {what}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Heroku {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
