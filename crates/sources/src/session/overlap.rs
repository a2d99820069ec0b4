//! What two connections both say, said once.

use std::collections::{HashMap, VecDeque};

/// Lines that are remembered. Heroku keeps the last 1,500 of an app, so more than that cannot come again.
const LINES_REMEMBERED: usize = 8_192;

/// Remembers lines, and how often each connection has said them.
///
/// A line is known by its content, its time included. The same line may be said twice in truth: messages of one group share a
/// microsecond. So a line is new when one connection has said it more often than any connection before.
#[derive(Debug, Default)]
pub(super) struct Overlap {
    /// How often a line was new.
    told: HashMap<u128, u32>,
    /// The same lines, oldest first.
    order: VecDeque<u128>,
    /// How often each connection has said a line.
    said: HashMap<(u64, u128), u32>,
}

impl Overlap {
    /// `connection` says `line`: its number among lines of the same content, beginning with 0, when it is new.
    pub(super) fn hear(&mut self, connection: u64, line: u128) -> Option<u32> {
        let said = self.said.entry((connection, line)).or_default();
        let number = *said;
        *said += 1;
        let told = self.told.entry(line).or_default();
        if number < *told {
            return None;
        }
        *told += 1;
        self.order.push_back(line);
        if self.order.len() > LINES_REMEMBERED {
            self.forget_oldest();
        }
        Some(number)
    }

    /// `connection` has ended.
    pub(super) fn end(&mut self, connection: u64) {
        self.said.retain(|(other, _), _| *other != connection);
    }

    fn forget_oldest(&mut self) {
        let Some(line) = self.order.pop_front() else { return };
        // All at once: a part of a count would make the next one new that is not.
        if self.told.remove(&line).is_some() {
            self.said.retain(|(_, other), _| *other != line);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is told of `(connection, line)`s.
    fn told(heard: &[(u64, u128)]) -> Vec<(u128, u32)> {
        let mut overlap = Overlap::default();
        heard.iter().filter_map(|(connection, line)| Some((*line, overlap.hear(*connection, *line)?))).collect()
    }

    #[test]
    fn a_line_is_told_as_often_as_one_connection_says_it() {
        assert_eq!(told(&[(1, 7), (1, 7), (1, 8)]), [(7, 0), (7, 1), (8, 0)]);
        assert_eq!(told(&[(1, 7), (1, 7), (2, 7), (2, 7), (2, 7)]), [(7, 0), (7, 1), (7, 2)]);
        assert_eq!(told(&[(1, 7), (2, 8), (2, 7), (1, 8)]), [(7, 0), (8, 0)]);
    }

    #[test]
    fn what_is_remembered_has_a_limit() {
        let mut overlap = Overlap::default();
        for line in 0..3 * LINES_REMEMBERED as u128 {
            assert_eq!(overlap.hear(1, line), Some(0));
        }
        assert_eq!((overlap.told.len(), overlap.order.len(), overlap.said.len()), (LINES_REMEMBERED, LINES_REMEMBERED, LINES_REMEMBERED));
        overlap.end(1);
        assert_eq!(overlap.said.len(), 0);
        assert_eq!(overlap.hear(2, 3 * LINES_REMEMBERED as u128 - 1), None);
    }

    proptest! {
        /// A log is read by connections that each begin somewhere in what was read before, and end further on.
        #[test]
        fn a_log_is_told_once_whatever_is_repeated(
            log in prop::collection::vec(0u128..5, 1..200),
            cuts in prop::collection::vec((0usize..60, 1usize..60), 1..12),
        ) {
            // Lines of one time stand side by side, and a history never begins within them.
            let mut log = log;
            log.sort_unstable();
            let (mut overlap, mut told, mut read) = (Overlap::default(), Vec::<u128>::new(), 0);
            for (connection, (back, on)) in (1..).zip(cuts.into_iter().chain([(0, log.len())])) {
                let mut from = read - back.min(read);
                while from > 0 && from < log.len() && log[from] == log[from - 1] {
                    from -= 1;
                }
                let to = (read + on).min(log.len());
                told.extend(log[from..to].iter().copied().filter(|line| overlap.hear(connection, *line).is_some()));
                overlap.end(connection);
                read = to;
            }
            prop_assert_eq!(told, log);
        }
    }
}
