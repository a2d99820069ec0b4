//! What goes on by itself: traffic, people at work, and now and then an incident.

use jiff::Timestamp;

use super::{World, WorldOptions};

/// The story of a company, somewhere in its middle.
pub(super) struct Story;

impl Story {
    /// Founds the company: its people, apps and their history up to `options.begins_at`.
    pub(super) fn begin(world: &mut World, options: &WorldOptions) -> Self {
        let _ = (world, options);
        Self
    }

    /// Lets everything happen that happens until `to`.
    pub(super) fn advance(&mut self, world: &mut World, to: Timestamp) {
        let _ = (&self, world, to);
    }
}
