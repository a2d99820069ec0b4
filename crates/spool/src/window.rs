//! Which frames were stored lately, so that a repeated one is not stored again.

use std::collections::{HashSet, VecDeque};

use freshet_core::{Micros, Payload, SourceKind};
use xxhash_rust::xxh3::Xxh3;

/// Frames remembered at most, some 28 bytes each: more than an hour's worth at 1,000 frames a second, which is
/// 100,000 lines a second, and weeks at the rate of most installations.
pub(crate) const ENTRIES_MAX: usize = 4_000_000;

/// The key of a payload without a frame id: it never counts as repeated.
pub(crate) const NO_KEY: u128 = 0;

/// Frames remembered at least, however old they are by the clock: a sender whose connections were refused for hours repeats the
/// very frame that it was at, and a clock may be set forward. A thousand drains with their last frames fit many times.
pub(crate) const ENTRIES_MIN: usize = 65_536;

/// Into how many parts the frames are cut that are remembered at least: as many and no more are looked through where frames are rare.
const GENERATIONS_MIN: usize = 32;

/// Into how many parts the window is cut. Frames are forgotten a part at a time.
const GENERATIONS: usize = 8;

/// What a repeated frame is known by.
///
/// Logplex makes a frame id once per frame and sends it again on each retry; the body is no key, because a frame with an
/// `L10` line is rendered anew on each try (observed). Private-Space and Shield drains send no id. A webhook's event has its id in
/// each delivery, to whichever subscription, and all of them tell the same.
pub(crate) fn key(payload: &Payload) -> u128 {
    let Some(frame_id) = &payload.frame_id else { return NO_KEY };
    let mut hasher = Xxh3::new();
    if payload.source == SourceKind::Webhook {
        // No drain's key begins so: a token or a frame id would have to hold a zero byte.
        hasher.update(b"\0\0webhook\0");
    }
    hasher.update(payload.drain_token.as_deref().unwrap_or_default().as_bytes());
    // Neither part can hold a zero byte: they were HTTP header values.
    hasher.update(&[0]);
    hasher.update(frame_id.as_bytes());
    hasher.digest128().max(NO_KEY + 1)
}

/// The keys of the last while.
pub(crate) struct Window {
    span_micros: i64,
    entries_max: usize,
    entries_min: usize,
    /// Oldest first.
    generations: VecDeque<Generation>,
    forgotten_total: u64,
}

struct Generation {
    keys: HashSet<u128>,
    oldest: Micros,
    newest: Micros,
}

impl Window {
    /// A window that covers at least `span_micros`, unless that is more than `entries_max` keys, and at least the last
    /// `entries_min` keys, whatever the time.
    pub(crate) fn new(span_micros: i64, entries_max: usize, entries_min: usize) -> Self {
        Self {
            span_micros,
            entries_max,
            entries_min: entries_min.min(entries_max / GENERATIONS),
            generations: VecDeque::new(),
            forgotten_total: 0,
        }
    }

    /// Whether something that arrived at `at` is too old to be remembered at `now`.
    pub(crate) fn is_over(&self, at: Micros, now: Micros) -> bool {
        at.0 < now.0.saturating_sub(self.span_micros)
    }

    pub(crate) fn contains(&self, key: u128) -> bool {
        key != NO_KEY && self.generations.iter().rev().any(|generation| generation.keys.contains(&key))
    }

    /// Remembers a key, and forgets what is too old or too much.
    pub(crate) fn insert(&mut self, key: u128, at: Micros) {
        if key == NO_KEY {
            return;
        }
        let part_micros = self.span_micros / GENERATIONS as i64;
        let part_entries = (self.entries_max / GENERATIONS).max(1);
        let small = self.entries_min / GENERATIONS_MIN;
        match self.generations.back_mut() {
            Some(last)
                if last.keys.len() < small || last.keys.len() < part_entries && at.0.saturating_sub(last.oldest.0) <= part_micros =>
            {
                last.keys.insert(key);
                last.oldest = last.oldest.min(at);
                last.newest = last.newest.max(at);
            }
            _ => {
                self.generations.push_back(Generation { keys: HashSet::from([key]), oldest: at, newest: at });
                self.forget(at);
            }
        }
    }

    /// Keys remembered.
    pub(crate) fn entries(&self) -> usize {
        self.generations.iter().map(|generation| generation.keys.len()).sum()
    }

    /// Keys that had to go before their time, because there were too many.
    pub(crate) fn forgotten_total(&self) -> u64 {
        self.forgotten_total
    }

    fn forget(&mut self, now: Micros) {
        let mut entries = self.entries();
        while let Some(oldest) = self.generations.front()
            && self.is_over(oldest.newest, now)
            && entries - oldest.keys.len() >= self.entries_min
        {
            entries -= oldest.keys.len();
            self.generations.pop_front();
        }
        // A new generation may fill up: there has to be room for all of it.
        let before_this = self.entries_max.saturating_sub(self.entries_max / GENERATIONS);
        while self.generations.len() > 1 && self.entries() > before_this {
            self.forgotten_total += self.generations.pop_front().map_or(0, |oldest| oldest.keys.len() as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use freshet_core::Format;

    use super::*;

    fn frame(token: Option<&str>, id: Option<&str>) -> Payload {
        Payload {
            source: SourceKind::Drain,
            format: Format::Frames,
            app: None,
            drain_token: token.map(str::to_owned),
            frame_id: id.map(str::to_owned),
            msg_count: None,
            received_at: Micros(0),
            body: bytes::Bytes::new(),
        }
    }

    #[test]
    fn keys_tell_frames_apart_and_nothing_else() {
        let same = frame(Some("d.1"), Some("A"));
        let mut retry = same.clone();
        retry.body = bytes::Bytes::from_static(b"rendered anew");
        retry.received_at = Micros(9);
        assert_eq!(key(&same), key(&retry));
        assert_ne!(key(&same), key(&frame(Some("d.2"), Some("A"))));
        assert_ne!(key(&same), key(&frame(Some("d.1"), Some("B"))));
        assert_ne!(key(&frame(Some("ab"), Some("c"))), key(&frame(Some("a"), Some("bc"))));
        assert_ne!(key(&frame(None, Some("A"))), NO_KEY);
        assert_eq!(key(&frame(Some("d.1"), None)), NO_KEY);
        let event = |id: Option<&str>| Payload { source: SourceKind::Webhook, format: Format::Webhook, ..frame(None, id) };
        assert_eq!(key(&event(Some("A"))), key(&event(Some("A"))));
        assert_ne!(key(&event(Some("A"))), key(&frame(None, Some("A"))));
        assert_eq!(key(&event(None)), NO_KEY);
    }

    #[test]
    fn the_span_is_always_covered_and_not_by_much_more() {
        let mut window = Window::new(800, 1_000_000, 0);
        for at in 1..5_000_i64 {
            window.insert(at as u128, Micros(at));
            let oldest_due = (at - 800).max(1);
            assert!(window.contains(oldest_due as u128), "at {at}");
        }
        assert!(!window.contains(4_999 - 1_100));
        assert!(window.entries() < 1_100);
        assert_eq!(window.forgotten_total(), 0);
    }

    #[test]
    fn too_many_keys_push_out_the_oldest_and_are_counted() {
        let mut window = Window::new(i64::MAX, 800, 0);
        for key in 1..=10_000_u128 {
            window.insert(key, Micros(0));
            assert!(window.entries() <= 800, "at {key}");
            assert!(window.contains(key.saturating_sub(600).max(1)), "at {key}");
        }
        assert!(!window.contains(9_000));
        assert_eq!(window.forgotten_total() as usize + window.entries(), 10_000);
    }

    #[test]
    fn a_clock_that_steps_back_forgets_nothing() {
        let mut window = Window::new(800, 1_000, 0);
        window.insert(1, Micros(10_000));
        window.insert(2, Micros(5_000));
        window.insert(3, Micros(10_001));
        assert!((1..=3).all(|key| window.contains(key)));
    }

    #[test]
    fn the_last_keys_stay_however_far_the_clock_jumps() {
        let mut window = Window::new(800, 1_000_000, 100);
        for key in 1..=5_000_u128 {
            window.insert(key, Micros(key as i64 * 1_000_000));
            assert!((key.saturating_sub(99).max(1)..=key).all(|last| window.contains(last)), "at {key}");
            assert!(window.entries() <= 110 && window.generations.len() <= 40, "at {key}: {}", window.entries());
        }
        assert_eq!(window.forgotten_total(), 0);
    }
}
