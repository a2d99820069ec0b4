//! Adding, rotating and removing the drain of one app.

use std::time::Duration;

use freshet_sources::platform::Api;

use super::found::{Drain, Ours, Standing};
use super::heroku::{self, Target};
use super::report::AppReport;

/// What is to be done.
pub(super) enum Change {
    /// A drain where there is none.
    Add(Target),
    /// Drains with another secret, name or twice: one that is right in their place.
    Rotate(Rotation),
    /// No drain to us.
    Remove,
}

/// How drains are replaced.
pub(super) struct Rotation {
    /// Where the new ones lead.
    pub(super) target: Target,
    /// How long an app has both; none removes the old one first.
    pub(super) overlap: Option<Duration>,
}

impl Change {
    /// Does it for `app`, or says what would be done.
    pub(super) async fn of(&self, api: &Api, ours: &Ours, app: &str, dry_run: bool) -> AppReport {
        let mut report = AppReport::of(app, heroku::drains(api, ours, app).await);
        if !report.problems.is_empty() {
            return report;
        }
        let here: Vec<Drain> = report.drains.iter().filter(|drain| drain.standing.is_here()).cloned().collect();
        let mut work = Work { api, ours, dry_run, report: &mut report };
        match self {
            Self::Add(target) if here.is_empty() => {
                work.add(target).await;
            }
            Self::Add(_) => work.not_added(&here),
            Self::Rotate(rotation) => work.rotate(rotation, &here).await,
            Self::Remove => work.remove(here.iter()).await,
        }
        report
    }
}

struct Work<'a> {
    api: &'a Api,
    ours: &'a Ours,
    dry_run: bool,
    report: &'a mut AppReport,
}

impl Work<'_> {
    /// A second drain to us would bring each line twice.
    fn not_added(&mut self, here: &[Drain]) {
        if !here.iter().any(|drain| drain.standing == Standing::Right) {
            let words = here.first().map_or("", |drain| drain.standing.words());
            let app = &self.report.app;
            self.report.problems.push(format!("it has a drain to here already, but: {words}. Replace it:  freshet drains rotate {app}"));
        }
    }

    async fn rotate(&mut self, rotation: &Rotation, here: &[Drain]) {
        if here.is_empty() {
            let app = &self.report.app;
            return self.report.problems.push(format!("it has no drain to here. Make one:  freshet drains add {app}"));
        }
        let right = here.iter().position(|drain| drain.standing == Standing::Right);
        let wrong = || here.iter().enumerate().filter(move |(index, _)| Some(*index) != right).map(|(_, drain)| drain);
        match (right, rotation.overlap) {
            // Also after a rotation that was interrupted: what is left is to remove the old one.
            (Some(_), _) => self.remove(wrong()).await,
            (None, Some(overlap)) => {
                if self.add(&rotation.target).await {
                    if !self.dry_run {
                        tokio::time::sleep(overlap).await;
                    }
                    self.remove(wrong()).await;
                }
            }
            (None, None) => {
                self.remove(wrong()).await;
                if self.report.problems.is_empty() {
                    self.add(&rotation.target).await;
                }
            }
        }
    }

    async fn add(&mut self, target: &Target) -> bool {
        if self.dry_run {
            self.report.added.push("a drain".to_owned());
            return true;
        }
        match heroku::add(self.api, self.ours, &self.report.app, target).await {
            Ok(drain) => {
                self.report.added.push(drain.token);
                true
            }
            Err(problem) => {
                let state = if self.report.removed.is_empty() { "no drain was made" } else { "it has no drain now; add one" };
                self.report.problems.push(format!("{state}: {problem}"));
                false
            }
        }
    }

    async fn remove(&mut self, drains: impl Iterator<Item = &Drain>) {
        for drain in drains {
            let removed = if self.dry_run { Ok(()) } else { heroku::remove(self.api, &self.report.app, drain).await };
            match removed {
                Ok(()) => self.report.removed.push(drain.token.clone()),
                Err(error) => self.report.problems.push(format!("{} is still there: {error}", drain.token)),
            }
        }
    }
}
