//! What takes its time: dynos boot, one-off dynos end, builds finish.

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::World;
use super::actions::fields;
use super::event::Actor;

/// The least and most milliseconds from the start of a dyno's process until it is up.
pub(super) const BOOT_MS: (u64, u64) = (1_500, 9_000);

/// Something that will happen.
#[derive(Clone, Debug)]
pub(super) enum Later {
    /// Heroku says something about a process of an app, if there still is such an app.
    Say {
        /// The id of the app.
        app: String,
        /// `web.1`
        process: String,
        /// The text.
        text: String,
    },
    /// A dyno's process is started; soon it will be up.
    Start {
        /// The id of the dyno.
        dyno: String,
    },
    /// A dyno is up.
    Up {
        /// The id of the dyno.
        dyno: String,
    },
    /// A crashed dyno is tried again.
    Retry {
        /// The id of the dyno.
        dyno: String,
    },
    /// The command of a one-off dyno is done.
    End {
        /// The id of the dyno.
        dyno: String,
        /// What its process exits with.
        status: u8,
    },
    /// A build is done.
    Built {
        /// The id of the build.
        build: String,
        /// Who started it.
        by: Actor,
        /// Whether it yields a slug and a release.
        succeeds: bool,
    },
}

impl World {
    /// Lets everything happen that is due by `to`, each at its own time.
    pub(crate) fn do_due(&mut self, to: Timestamp) {
        let before = self.now;
        while let Some(entry) = self.later.first_entry()
            && entry.key().0 <= to
        {
            let ((at, _), later) = entry.remove_entry();
            // History is written with the clock set back: what it began ends there, too.
            self.now = at;
            self.happen(later);
        }
        self.now = before.max(to);
    }

    /// Has something happen `after_ms` milliseconds from now.
    pub(super) fn defer(&mut self, after_ms: u64, later: Later) {
        let after = SignedDuration::from_millis(i64::try_from(after_ms).unwrap_or(i64::MAX));
        let at = self.now.saturating_add(after).unwrap_or(self.now);
        self.later_number += 1;
        self.later.insert((at, self.later_number), later);
    }

    fn happen(&mut self, later: Later) {
        match later {
            Later::Say { app, process, text } => {
                if self.objects.get("app", &app).is_some() {
                    self.say_of_dyno(&app, &process, &text);
                }
            }
            Later::Start { dyno } => self.start_process(&dyno),
            Later::Up { dyno } => self.come_up(&dyno),
            Later::Retry { dyno } => self.retry(&dyno),
            Later::End { dyno, status } => self.end_run(&dyno, status),
            Later::Built { build, by, succeeds } => {
                // Its app may be gone by now; then so is the build.
                if let Some(app) = self.objects.get("build", &build).and_then(|build| build["app"]["id"].as_str()).map(str::to_owned) {
                    self.finish_build(&by, &app, &build, succeeds);
                }
            }
        }
    }

    fn start_process(&mut self, dyno: &str) {
        let Some((app, name, command)) = self.dyno_of(dyno) else { return };
        let port = self.chance.between(3_000, 59_999).to_string();
        self.say_of_dyno(&app, &name, &format!("Starting process with command `{}`", command.replace("${PORT:-3000}", &port)));
        let boot_ms = self.chance.between(BOOT_MS.0, BOOT_MS.1);
        self.defer(boot_ms, Later::Up { dyno: dyno.to_owned() });
    }

    fn come_up(&mut self, dyno: &str) {
        let Some((app, name, _)) = self.dyno_of(dyno) else { return };
        let by = self.platform();
        self.set(&by, "dyno", dyno, fields(json!({ "state": "up" })));
        self.say_of_dyno(&app, &name, "State changed from starting to up");
    }

    fn retry(&mut self, dyno: &str) {
        let Some((app, name, _)) = self.dyno_of(dyno) else { return };
        let by = self.platform();
        self.set(&by, "dyno", dyno, fields(json!({ "state": "starting" })));
        self.say_of_dyno(&app, &name, "State changed from crashed to starting");
        self.start_process(dyno);
    }

    /// App, name and command of a dyno.
    pub(super) fn dyno_of(&self, dyno: &str) -> Option<(String, String, String)> {
        let dyno = self.objects.get("dyno", dyno)?;
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        Some((text(&dyno["app"]["id"]), text(&dyno["name"]), text(&dyno["command"])))
    }
}
