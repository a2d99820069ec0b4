//! What was found and done, app by app.

use std::collections::BTreeMap;

use freshet_core::Micros;
use freshet_sources::platform::ApiError;
use serde_json::{Value, json};

use super::found::{Drain, Standing};
use crate::exit::Exit;
use crate::output::{Paint, Printer, counted, left};
use crate::when;

/// One app.
pub(super) struct AppReport {
    pub(super) app: String,
    /// All its drains, as they were at first.
    pub(super) drains: Vec<Drain>,
    /// When each last delivered, by token, where the lake says.
    pub(super) delivered: BTreeMap<String, Micros>,
    /// Tokens of drains that were made; on a dry run words for them.
    pub(super) added: Vec<String>,
    /// Tokens of drains that were removed.
    pub(super) removed: Vec<String>,
    /// What is wrong, and what to do.
    pub(super) problems: Vec<String>,
}

/// All apps.
pub(super) struct Report {
    pub(super) apps: Vec<AppReport>,
    pub(super) dry_run: bool,
}

impl AppReport {
    /// An app and its drains, or why they cannot be had.
    pub(super) fn of(app: &str, drains: Result<Vec<Drain>, ApiError>) -> Self {
        let (drains, problems) = match drains {
            Ok(drains) => (drains, Vec::new()),
            Err(error) => (Vec::new(), vec![error.to_string()]),
        };
        Self { app: app.to_owned(), drains, delivered: BTreeMap::new(), added: Vec::new(), removed: Vec::new(), problems }
    }

    fn as_json(&self) -> Value {
        let drain = |drain: &Drain| {
            json!({ "id": drain.id, "token": drain.token, "url": drain.place, "standing": drain.standing.words(), "created_at": drain.created_at,
                "last_received_at": self.delivered.get(&drain.token).copied().map(when::rfc3339) })
        };
        json!({ "app": self.app, "drains": self.drains.iter().map(drain).collect::<Vec<_>>(), "added": self.added, "removed": self.removed,
            "problems": self.problems })
    }
}

impl Report {
    /// Prints drains and problems.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(super) fn print_drains(&self, printer: Printer) -> anyhow::Result<Exit> {
        if !printer.is_text() {
            return self.print_json(printer);
        }
        let columns = [left("app"), left("drain"), left("leads to"), left(""), left("last delivered")];
        let mut rows = Vec::new();
        for app in &self.apps {
            for drain in &app.drains {
                let paint = match drain.standing {
                    Standing::Right => Paint::Green,
                    Standing::OtherSecret | Standing::OtherApp => Paint::Red,
                    Standing::OldSecret | Standing::SomeSecret => Paint::Yellow,
                    Standing::Elsewhere | Standing::Foreign => Paint::Dim,
                };
                let delivered = app.delivered.get(&drain.token).copied().map(when::people).unwrap_or_default();
                let standing = printer.painted(paint, drain.standing.words());
                rows.push(vec![app.app.clone(), drain.token.clone(), drain.place.clone(), standing, delivered]);
            }
            if app.drains.is_empty() {
                rows.push(vec![app.app.clone(), "none".to_owned(), String::new(), String::new(), String::new()]);
            }
        }
        printer.table(&columns, rows)?;
        self.print_problems(printer)
    }

    /// Prints what was done, and problems.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(super) fn print_changes(&self, printer: Printer) -> anyhow::Result<Exit> {
        if !printer.is_text() {
            return self.print_json(printer);
        }
        let would = if self.dry_run { "would be " } else { "" };
        for app in &self.apps {
            for (tokens, what) in [(&app.added, "added"), (&app.removed, "removed")] {
                for token in tokens {
                    printer.line(&format!("{}: {token} {would}{what}", app.app))?;
                }
            }
        }
        let idle = self.apps.iter().filter(|app| app.added.is_empty() && app.removed.is_empty() && app.problems.is_empty()).count();
        if idle > 0 {
            printer.note(&format!("{} as it should be already", counted(idle as u64, "app")));
        }
        self.print_problems(printer)
    }

    fn print_problems(&self, printer: Printer) -> anyhow::Result<Exit> {
        for app in &self.apps {
            for problem in &app.problems {
                printer.line(&format!("{}: {problem}", printer.painted(Paint::Red, &app.app)))?;
            }
        }
        Ok(self.exit())
    }

    fn print_json(&self, printer: Printer) -> anyhow::Result<Exit> {
        let apps: Vec<Value> = self.apps.iter().map(AppReport::as_json).collect();
        printer.json(&json!({ "apps": apps, "dry_run": self.dry_run }))?;
        Ok(self.exit())
    }

    fn exit(&self) -> Exit {
        match self.apps.iter().filter(|app| !app.problems.is_empty()).count() {
            0 => Exit::Ok,
            bad if bad == self.apps.len() => Exit::Failed,
            _ => Exit::Partly,
        }
    }
}
