//! Faults of a drain's requests: in what they say, and in how they are sent.

use std::time::Duration;

use bytes::Bytes;

use super::machine::Frame;
use crate::faults::{Fault, Faults};
use crate::world::Chance;

/// How a request is sent.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Manner {
    /// At once.
    Plain,
    /// In pieces with pauses, all within a fraction of the time-out.
    Slow { pieces: usize, pause: Duration },
    /// Up to a fraction of it; then the connection is reset.
    Reset { after: f64 },
    /// At once, and whatever is answered is not heard: not at all, or when it has come.
    Deaf { waits: bool },
}

/// What is sent in place of a frame: the frame itself, unless a fault struck.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tampered {
    /// `Logplex-Msg-Count`.
    pub(super) count: usize,
    pub(super) body: Vec<u8>,
}

/// What lies between two messages when it should not: text, half a frame, binary, and digits that are no length.
const GARBAGE: [&[u8]; 5] = [b"???", b"\r\n\r\n", b"64 <190>1 2026-", b"\x00\xff\xfe\x80", b"99999999999999999999 "];

/// How the next request is sent. Where nobody answers, there is nothing not to be heard.
pub(super) fn manner(faults: &Faults, chance: &mut Chance, is_answered: bool, time_out: Duration) -> Manner {
    if faults.strikes(Fault::DrainReset) {
        return Manner::Reset { after: chance.fraction() };
    }
    if is_answered && faults.strikes(Fault::DrainTimeout) {
        return Manner::Deaf { waits: chance.happens(0.5) };
    }
    if faults.strikes(Fault::DrainSlow) {
        let pieces = chance.between(2, 8);
        return Manner::Slow { pieces: pieces as usize, pause: time_out.mul_f64(0.25) / pieces as u32 };
    }
    Manner::Plain
}

/// The content of a request for `frame`; without headers it has no count that could be wrong.
pub(super) fn tampered(frame: &Frame, faults: &Faults, chance: &mut Chance, has_headers: bool) -> Tampered {
    let mut parts: Vec<Bytes> = frame.parts().cloned().collect();
    let mut count = parts.len();
    if has_headers && faults.strikes(Fault::DrainWrongCount) {
        count = if chance.happens(0.5) { count + 1 } else { count - 1 };
    }
    if faults.strikes(Fault::DrainBadLength) {
        let struck = chance.between(0, parts.len() as u64 - 1) as usize;
        parts[struck] = with_wrong_length(&parts[struck], chance.happens(0.5));
    }
    if faults.strikes(Fault::DrainGarbage) {
        let place = chance.between(0, parts.len() as u64) as usize;
        let garbage: &[u8] = chance.one_of::<&[u8]>(&GARBAGE);
        parts.insert(place, Bytes::copy_from_slice(garbage));
    }
    Tampered { count, body: parts.concat() }
}

fn with_wrong_length(part: &Bytes, is_too_long: bool) -> Bytes {
    let digits = part.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = part.len() - digits - 1;
    let wrong = if is_too_long { length + 1 } else { length - 1 };
    [wrong.to_string().as_bytes(), &part[digits..]].concat().into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::faults::Strike;
    use crate::logplex::frame::Message;

    fn check(fault: Fault, expected: impl Fn(&Tampered) -> bool) {
        let message = |framed: &'static [u8]| Message { framed: framed.into(), text: Bytes::new() };
        let messages = vec![message(b"9 one-and-a"), message(b"10 two-and-a\n")];
        let frame = Frame { id: "F".into(), l10: None, messages, attempt: 1 };
        let faults = Faults::new(1);
        let mut chance = Chance::new(1);
        let sound = Tampered { count: 2, body: b"9 one-and-a10 two-and-a\n".to_vec() };
        assert_eq!(tampered(&frame, &faults, &mut chance, true), sound);
        faults.set(BTreeMap::from([(fault, Strike { probability: 1.0, times: Some(50) })]));
        for _ in 0..50 {
            let struck = tampered(&frame, &faults, &mut chance, true);
            assert!(expected(&struck) && struck != sound, "{fault:?} {struck:?}");
        }
        assert_eq!(tampered(&frame, &faults, &mut chance, true), sound);
    }

    #[test]
    fn each_fault_changes_what_it_is_named_for() {
        let body: &[u8] = b"9 one-and-a10 two-and-a\n";
        check(Fault::DrainWrongCount, |struck| struck.body == body && [1, 3].contains(&struck.count));
        let wrong: [&[u8]; 4] =
            [b"8 one-and-a10 two-and-a\n", b"10 one-and-a10 two-and-a\n", b"9 one-and-a9 two-and-a\n", b"9 one-and-a11 two-and-a\n"];
        check(Fault::DrainBadLength, |struck| struck.count == 2 && wrong.contains(&struck.body.as_slice()));
        check(Fault::DrainGarbage, |struck| struck.count == 2 && struck.body.len() > body.len());
    }
}
