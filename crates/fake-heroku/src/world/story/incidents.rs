//! What goes wrong in the company now and then, and how it is put right.

use super::Story;
use super::agenda::{MINUTE, SECOND, Task, seconds};
use super::app::{App, Troubles};
use super::people::{on_call, version_before};
use crate::world::World;

/// The first incidents follow one another quickly, so that a short demonstration shows each kind.
const FIRST: [(i64, Trouble); 3] = [(20 * SECOND, Trouble::Leak), (90 * SECOND, Trouble::BadRelease), (12 * MINUTE, Trouble::Database)];

/// Between later ones so much time passes on average, in seconds.
const SECONDS_BETWEEN: f64 = 3.0 * 3_600.0;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// A deploy makes the checkout slow and lets requests hang, until somebody takes it back.
    BadRelease,
    /// A process never gives memory back: R14, then R15 and a restart, until a release mends it.
    Leak,
    /// The database has more clients than it serves.
    Database,
}

impl Story {
    /// Puts down the first incidents of a story that begins at `at`.
    pub(super) fn begin_incidents(&mut self, at: i64) {
        for (after, _) in FIRST {
            self.agenda.add(at + after, Task::Incident);
        }
    }

    /// Something goes wrong.
    pub(super) fn incident(&mut self, world: &mut World, at: i64) {
        let kinds = [Trouble::BadRelease, Trouble::Leak, Trouble::Database];
        let trouble = FIRST.get(self.incidents).map_or_else(|| *self.chance.one_of(&kinds), |(_, trouble)| *trouble);
        self.incidents += 1;
        if self.incidents >= FIRST.len() {
            self.agenda.add(at + 40 * MINUTE + seconds(self.chance.waiting(SECONDS_BETWEEN - 2_400.0)), Task::Incident);
        }
        let Some(place) = self.victim(trouble) else { return };
        let app = &mut self.apps[place];
        match trouble {
            Trouble::BadRelease => {
                let Some(by) = on_call(world) else { return };
                app.troubles.bad_release_comes = true;
                let commit = self.chance.hex(40);
                // A build that is refused leaves the trouble to the next deploy.
                _ = world.build(&by, &app.id, &commit, true);
            }
            Trouble::Leak => {
                app.troubles.leak = true;
                self.agenda.add(at + self.chance.between(35, 60).cast_signed() * MINUTE, Task::Relief(place));
            }
            Trouble::Database => {
                app.troubles.database = true;
                self.agenda.add(at + self.chance.between(8, 14).cast_signed() * MINUTE, Task::Relief(place));
            }
        }
    }

    /// Somebody has noticed the bad release.
    pub(super) fn roll_back(&mut self, world: &mut World, place: usize) {
        let app = &self.apps[place];
        if !app.troubles.bad_release {
            return;
        }
        if let (Some(by), Some(version)) = (on_call(world), version_before(world, &app.id, app.bad_version)) {
            _ = world.rollback(&by, &app.id, version);
        }
    }

    /// A trouble is over; a leak ends with a release.
    pub(super) fn relieve(&mut self, world: &mut World, place: usize) {
        let app = &mut self.apps[place];
        app.troubles.database = false;
        if std::mem::take(&mut app.troubles.leak)
            && let Some(by) = on_call(world)
        {
            _ = world.build(&by, &app.id, &self.chance.hex(40), true);
        }
    }

    /// The app that it happens to: a large one, in which it shows, and one that has no trouble yet. The first of each kind come to
    /// a company of one or two apps as well: there an app may have two troubles.
    fn victim(&mut self, trouble: Trouble) -> Option<usize> {
        let is_first = self.incidents <= FIRST.len();
        let can_have = |app: &App| match trouble {
            Trouble::BadRelease => true,
            Trouble::Leak => app.profile.has_runtime_metrics,
            Trouble::Database => app.stores.iter().any(|store| store.is_postgres),
        };
        let fits = |place: &usize| !self.apps[*place].is_gone && can_have(&self.apps[*place]);
        let is_well = |place: &usize| self.apps[*place].troubles == Troubles::default();
        let mut fitting: Vec<usize> = (0..self.apps.len()).filter(fits).filter(is_well).take(4).collect();
        if is_first && fitting.is_empty() {
            fitting.extend((0..self.apps.len()).find(fits));
        }
        // The shop is kept for its checkout, where there is another.
        if trouble != Trouble::BadRelease && fitting.len() > 1 {
            fitting.retain(|place| *place != 0);
        }
        if is_first { fitting.first().copied() } else { (!fitting.is_empty()).then(|| *self.chance.one_of(&fitting)) }
    }
}
