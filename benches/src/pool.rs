//! Bodies rendered before the clock starts, so that sending them costs the client next to nothing.

use crate::generate::{Generator, Options};
use crate::text::KEY_DIGITS;

/// The body of one request of an HTTPS drain.
#[derive(Clone, Debug)]
pub struct Body {
    bytes: Vec<u8>,
    messages: u64,
    key_places: Vec<usize>,
}

impl Body {
    /// The octet-counted messages.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many messages it holds.
    #[must_use]
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// How many of them carry a key.
    #[must_use]
    pub fn keys(&self) -> u64 {
        self.key_places.len() as u64
    }

    /// Gives the messages that carry keys the keys from `first` up.
    pub fn set_keys(&mut self, first: u64) {
        for (key, place) in (first..).zip(&self.key_places) {
            let mut rest = key;
            for digit in self.bytes[*place..*place + KEY_DIGITS].iter_mut().rev() {
                *digit = b'0' + (rest % 10) as u8;
                rest /= 10;
            }
        }
    }
}

/// Renders `count` bodies of at least `messages` messages each.
#[must_use]
pub fn bodies(options: &Options, count: usize, messages: u64) -> Vec<Body> {
    let mut generator = Generator::new(options);
    let mut before = 0;
    (0..count)
        .map(|_| {
            generator.writer().clear();
            while generator.writer().messages() - before < messages.max(1) {
                generator.event();
            }
            let writer = generator.writer();
            let body =
                Body { bytes: writer.bytes().to_vec(), messages: writer.messages() - before, key_places: writer.key_places().to_vec() };
            before = writer.messages();
            body
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::bodies;
    use crate::generate::Options;
    use crate::writer::Form;

    #[test]
    fn keys_are_set_in_place() {
        let options = Options { seed: 4, form: Form::Frames, from_us: 0, step_us: 10, first_key: Some(0) };
        for mut body in bodies(&options, 5, 50) {
            assert!(body.messages() >= 50 && body.keys() > 30);
            let length = body.bytes().len();
            body.set_keys(7_000_000);
            let text = String::from_utf8_lossy(body.bytes()).into_owned();
            let keys: Vec<u64> = text.match_indices("seq=").map(|(at, _)| text[at + 4..at + 16].parse().unwrap()).collect();
            assert_eq!(keys, (7_000_000..7_000_000 + body.keys()).collect::<Vec<_>>());
            assert_eq!(body.bytes().len(), length);
        }
    }
}
