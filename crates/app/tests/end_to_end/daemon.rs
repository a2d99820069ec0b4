//! `freshet run` as a child process: started, listened to, signalled, killed.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::freshet::{Ended, Place};
use crate::http;

/// The drains' password in all tests.
pub(crate) const SECRET: &str = "s3cret";

/// Longer than any start or stop takes.
const PATIENCE: Duration = Duration::from_secs(40);

/// A running daemon; killed when dropped.
pub(crate) struct Daemon {
    child: Child,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    log: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
}

impl Daemon {
    /// Starts it in `place`, with the `freshet.toml` that lies there, on a port of its own.
    pub(crate) fn start(place: &Place) -> Self {
        Self::start_at(place, "127.0.0.1:0")
    }

    /// Starts it where it, or another, has been listening.
    pub(crate) fn start_at(place: &Place, address: impl ToString) -> Self {
        let daemon = Self::begin(place.command(&format!("run --listen {}", address.to_string()), &[]));
        daemon.wait_until_ready();
        daemon
    }

    /// Starts `command` and returns when it has said where it will listen.
    pub(crate) fn begin(mut command: Command) -> Self {
        let mut child = command.env("FRESHET_DRAIN_SECRET", SECRET).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (tell, told) = mpsc::channel();
        let listener = std::thread::spawn({
            let log = Arc::clone(&log);
            move || {
                for line in lines.map_while(Result::ok) {
                    if let Some((_, address)) = line.split_once("listening  http://") {
                        // The test may have had enough.
                        let _ = tell.send(address.split_whitespace().next().unwrap().parse().unwrap());
                    }
                    log.lock().unwrap().push_str(&(line + "\n"));
                }
            }
        });
        let Ok(address) = told.recv_timeout(PATIENCE) else {
            // Busy, or waiting for something that never comes: its state and its CPU time tell.
            let stat = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
            let _ = child.kill();
            panic!("the daemon said nothing of an address; {stat}{}", log.lock().unwrap());
        };
        Self { child, address, log, listener: Some(listener) }
    }

    fn wait_until_ready(&self) {
        let ready = || http::get(self.address, "/readyz").is_ok_and(|answer| answer.status == 200);
        self.wait("is ready", ready);
    }

    /// Waits until `happened`, and gives up loudly.
    pub(crate) fn wait(&self, what: &str, happened: impl Fn() -> bool) {
        let begun = Instant::now();
        while !happened() {
            assert!(begun.elapsed() < PATIENCE, "after {PATIENCE:?} it is not true that the daemon {what}:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has written to standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// The value of a metric with its labels as written, such as `freshet_spool_state{state="open"}`.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let page = http::get(self.address, "/metrics").ok()?.body;
        page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
    }

    /// The process itself, also below `strace`.
    fn pid(&self) -> u32 {
        let own = self.child.id();
        let name = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        if name(own).trim() != "strace" {
            return own;
        }
        let children = std::fs::read_to_string(format!("/proc/{own}/task/{own}/children")).unwrap_or_default();
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(own)
    }

    /// Sends a signal by its name: `TERM`, `KILL`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.pid().to_string()).status().unwrap();
        assert!(sent.success(), "SIG{name} could not be sent");
    }

    /// SIGKILL, and its end.
    pub(crate) fn kill(mut self) {
        self.signal("KILL");
        self.child.wait().unwrap();
    }

    /// SIGTERM, and a good end within its deadline.
    pub(crate) fn stop(self) -> Ended {
        self.signal("TERM");
        let ended = self.ended();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stderr.contains("stopped, everything received is in its tables"), "{}", ended.stderr);
        ended
    }

    /// Waits for its end.
    pub(crate) fn ended(mut self) -> Ended {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        };
        if let Some(listener) = self.listener.take() {
            listener.join().unwrap();
        }
        Ended { code: status.code(), stdout: String::new(), stderr: self.log() }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.try_wait().ok().flatten().is_none() {
            let _ = Command::new("kill").args(["-KILL", &self.pid().to_string()]).status();
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
