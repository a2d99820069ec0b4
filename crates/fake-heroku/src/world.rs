//! The company: its objects, what is done to them, and the story that goes on by itself.

mod actions;
mod chance;
mod event;
mod later;
mod objects;
mod story;

pub(crate) use actions::Scale;
pub use chance::Chance;
pub use event::{Action, Actor, Change, Event, Line, Measure, Measured, Refusal};
pub use objects::{Entry, Objects, Parents};

use std::collections::BTreeMap;

use jiff::Timestamp;

use actions::ConfigVars;
use later::Later;
use story::Story;

/// What a world is made from. The same options make the same world, to the byte.
#[derive(Clone, Debug)]
pub struct WorldOptions {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many apps the company has at the beginning.
    pub apps: usize,
    /// How many releases each of them has at the beginning, at least.
    pub releases: usize,
    /// When the story begins. The history of the company lies before that.
    pub begins_at: Timestamp,
    /// Log lines per second of the story, on an average day, of all apps together.
    pub lines_per_second: f64,
}

/// A company of apps.
///
/// It moves only when told to: [`World::advance`] lets the story go on to a moment, the methods of `actions` do what a
/// person does with the dashboard or the API. Both leave [`Event`]s behind, to be taken with [`World::take_events`].
pub struct World {
    /// Where all chance comes from.
    pub(crate) chance: Chance,
    /// How late it is in the story.
    pub(crate) now: Timestamp,
    /// What exists.
    pub(crate) objects: Objects,
    /// What has happened and was not taken yet, in order.
    pub(crate) events: Vec<Event>,
    people: Vec<Actor>,
    config: ConfigVars,
    /// What has begun and is not over: a build, a dyno's boot. Two at one moment go in the order in which they began.
    later: BTreeMap<(Timestamp, u64), Later>,
    later_number: u64,
    /// While the company gets its history nothing is told: that was before anybody listened.
    is_founding: bool,
    story: Option<Story>,
}

impl World {
    /// A company with a history, ready to go on living.
    #[must_use]
    pub fn new(options: &WorldOptions) -> Self {
        let mut world = Self::founded(options);
        let story = Story::begin(&mut world, options);
        world.do_due(options.begins_at);
        world.furnish_platform();
        world.is_founding = false;
        world.story = Some(story);
        world
    }

    /// A company without apps, in which nothing goes on by itself.
    #[cfg(test)]
    pub(crate) fn still(options: &WorldOptions) -> Self {
        Self { is_founding: false, ..Self::founded(options) }
    }

    fn founded(options: &WorldOptions) -> Self {
        let mut world = Self {
            chance: Chance::new(options.seed),
            now: options.begins_at,
            objects: Objects::default(),
            events: Vec::new(),
            people: Vec::new(),
            config: ConfigVars::default(),
            later: BTreeMap::new(),
            later_number: 0,
            is_founding: true,
            story: None,
        };
        world.found_platform();
        world
    }

    /// Lets the story go on until `to`. Earlier moments change nothing.
    pub fn advance(&mut self, to: Timestamp) {
        // Out of the world while it acts on it.
        if let Some(mut story) = self.story.take() {
            story.advance(self, to);
            self.story = Some(story);
        }
        self.do_due(to);
    }

    /// Takes what has happened since the last time, in order of time but for 100 ms: the story goes on in steps of that length, and what
    /// people do in a step comes before what is written in it.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// How late it is in the story.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Keeps an object from everybody, as Heroku does when a token may no longer see it. No webhook and no line tells of it.
    /// Says whether there was one.
    pub fn hide(&mut self, resource: &str, id: &str) -> bool {
        let by = self.platform();
        self.objects.hide(self.now, resource, id, &by)
    }

    /// Brings back what was hidden, as it was. Says whether there was such a thing.
    pub fn show(&mut self, resource: &str, id: &str) -> bool {
        let by = self.platform();
        self.objects.show(self.now, resource, id, &by)
    }

    /// What exists.
    #[must_use]
    pub fn objects(&self) -> &Objects {
        &self.objects
    }
}
