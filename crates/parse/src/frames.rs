//! `LEN SP MSG` repeated: the body of an HTTPS drain, or the stream of a syslog drain.
//!
//! A frame is what its length says, whatever its text holds, as long as another frame (or the end, or white space before
//! either) follows. Only where that is not so the length is in doubt, and the next frame is looked for.

use std::ops::Range;

use memchr::memmem;

use crate::header;
use crate::piece::{Message, Piece, Reject, RejectReason, blank_bytes};

/// The longest message a length may announce. Logplex cuts lines at 10,000 bytes; a length above this is taken for a wrong one.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// More digits than this are not a length. There is room for leading zeros.
const LENGTH_DIGITS_MAX: usize = 20;
/// White space between a frame and what follows it, up to which the frame's length is still trusted.
const BLANKS_BETWEEN_FRAMES_MAX: usize = 64;
/// The longest `LEN <PRI>1 TIME `.
const START_BYTES_MAX: usize = LENGTH_DIGITS_MAX + " <191>1 ".len() + "2010-09-16T15:13:46.123456789+00:00 ".len();

/// The message or reject that begins at `at`, which is in the body.
pub(crate) fn piece_at(body: &[u8], at: usize) -> Piece<'_> {
    let Some(start) = Start::at(body, at) else {
        return Piece::Reject(reject_at(body, at));
    };
    let end = start.true_end(body);
    match message(body, at, start, end) {
        Ok(message) => Piece::Message(message),
        Err(reason) => Piece::Reject(Reject { range: at..end, reason }),
    }
}

/// The longest prefix of `bytes` that ends where a frame begins, and is followed by enough to be sure of that.
pub(crate) fn cut(bytes: &[u8]) -> usize {
    let (mut at, mut cut) = (0, 0);
    while at < bytes.len() {
        at = match Start::at(bytes, at) {
            Some(start) => {
                cut = at;
                if !start.is_decided(bytes) {
                    break;
                }
                start.true_end(bytes)
            }
            None => reject_at(bytes, at).range.end,
        };
    }
    cut
}

/// The length of the first frame as it says itself, else of the first piece.
pub(crate) fn first(bytes: &[u8]) -> usize {
    match Start::at(bytes, 0) {
        Some(start) if start.is_believable() && start.end > bytes.len() => bytes.len(),
        _ if bytes.is_empty() => 0,
        _ => piece_at(bytes, 0).range().end,
    }
}

fn message(body: &[u8], at: usize, start: Start, end: usize) -> Result<Message<'_>, RejectReason> {
    header::read(&body[start.message..end], at..end, end < start.end)
}

/// What stands where a frame should begin: white space, a frame with an unknown kind of message, or anything else up to
/// the next frame.
fn reject_at(body: &[u8], at: usize) -> Reject {
    if let Some(start) = Start::of_any_message(body, at)
        && is_boundary(body, start.end)
    {
        return Reject { range: at..start.end_before_digits(body), reason: RejectReason::Header };
    }
    let end = find_start(body, at..body.len(), |_| true).unwrap_or(body.len());
    let is_blank = blank_bytes(&body[at..end]) == end - at;
    Reject { range: at..end, reason: if is_blank { RejectReason::Blank } else { RejectReason::Framing } }
}

/// The beginning of a frame.
#[derive(Clone, Copy)]
struct Start {
    /// Where its message begins.
    message: usize,
    /// Where its message ends according to its length; `usize::MAX` for a length that cannot be.
    end: usize,
}

impl Start {
    /// Reads `LEN SP <PRI>1 SP`.
    fn at(body: &[u8], at: usize) -> Option<Self> {
        Self::of_any_message(body, at).filter(|start| header::priority(&body[start.message..]).is_some())
    }

    /// Reads `LEN SP`.
    fn of_any_message(body: &[u8], at: usize) -> Option<Self> {
        let rest = body.get(at..)?;
        let digits = rest.iter().take(LENGTH_DIGITS_MAX).take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || rest.get(digits) != Some(&b' ') {
            return None;
        }
        let length =
            rest[..digits].iter().fold(0, |length: usize, digit| length.saturating_mul(10).saturating_add(usize::from(digit - b'0')));
        let message = at + digits + 1;
        Some(Self { message, end: if length <= FRAME_BYTES_MAX { message + length } else { usize::MAX } })
    }

    fn is_believable(self) -> bool {
        self.end != usize::MAX
    }

    /// Whether bytes that may still follow `body` have no part in where the frame ends.
    fn is_decided(self, body: &[u8]) -> bool {
        /// How far behind a frame's end its surroundings are looked at.
        const LOOK_AHEAD_BYTES: usize = BLANKS_BETWEEN_FRAMES_MAX + START_BYTES_MAX;
        let is_surrounded = |start: Self| !start.is_believable() || start.end + LOOK_AHEAD_BYTES <= body.len();
        // Where digits stand before the end, the next frame's end is looked at too.
        is_surrounded(self) && (self.end_digits(body).is_empty() || Self::at(body, self.end).is_none_or(is_surrounded))
    }

    /// Where the frame ends: where its length says, unless its surroundings speak against that.
    fn true_end(self, body: &[u8]) -> usize {
        if is_boundary(body, self.end) {
            return self.end_before_digits(body);
        }
        // A text may quote a frame; one with a time in it is rather the next frame than a quotation.
        let end = self.end.min(body.len());
        find_start(body, self.message..end, |at| header::is_readable(&body[at..])).unwrap_or(end)
    }

    /// A length one too long swallows the first digit of the next frame's length, and the rest of it is a length too. Where
    /// digits stand before the end, the frame ends where the next one's length comes out.
    fn end_before_digits(self, body: &[u8]) -> usize {
        let digits = self.end_digits(body);
        if digits.is_empty() {
            return self.end;
        }
        let next = |at: &usize| Self::at(body, *at);
        let mut ends = (digits.start..=digits.end).rev();
        ends.clone()
            .find(|end| next(end).is_some_and(|next| is_boundary(body, next.end)))
            .or_else(|| ends.find(|end| next(end).is_some_and(|next| next.end > body.len())))
            .unwrap_or(self.end)
    }

    /// The digits before the end.
    fn end_digits(self, body: &[u8]) -> Range<usize> {
        let end = self.end.min(body.len());
        digits_before(body, self.message..end, LENGTH_DIGITS_MAX)..end
    }
}

/// Whether a frame may end at `end`: another one or the end of the body follows, perhaps after some white space.
fn is_boundary(body: &[u8], end: usize) -> bool {
    let Some(rest) = body.get(end..) else {
        return false;
    };
    let next = end + blank_bytes(&rest[..rest.len().min(BLANKS_BETWEEN_FRAMES_MAX)]);
    next == body.len() || Start::at(body, next).is_some()
}

/// The first place in `within` where a frame begins whose message `accept`s (given where the message begins).
fn find_start(body: &[u8], within: Range<usize>, accept: impl Fn(usize) -> bool) -> Option<usize> {
    let searched = &body[within.start..body.len().min(within.end.saturating_add(START_BYTES_MAX))];
    memmem::find_iter(searched, b">1 ")
        .filter_map(|bracket| start_before(body, within.start..within.start + bracket))
        .take_while(|(at, _)| *at < within.end)
        .find_map(|(at, message)| accept(message).then_some(at))
}

/// Where the frame and its message begin whose `>1 ` stands at the end of `within`.
fn start_before(body: &[u8], within: Range<usize>) -> Option<(usize, usize)> {
    let pri = digits_before(body, within.clone(), 3);
    let message = pri.checked_sub(1).filter(|message| pri < within.end && *message >= within.start && body[*message] == b'<')?;
    let space = message.checked_sub(1).filter(|space| *space >= within.start && body[*space] == b' ')?;
    let at = digits_before(body, within.start..space, LENGTH_DIGITS_MAX);
    (at < space).then_some((at, message))
}

/// Where the (up to `count_max`) digits begin that stand at the end of `within`.
fn digits_before(body: &[u8], within: Range<usize>, count_max: usize) -> usize {
    within.end - body[within.clone()].iter().rev().take(count_max).take_while(|byte| byte.is_ascii_digit()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "<190>1 2026-01-02T03:04:05Z host app web.1 - ";

    /// `text` in a frame whose length is wrong by `error`.
    fn frame(text: &str, error: isize) -> String {
        format!("{} {HEAD}{text}", (HEAD.len() + text.len()).checked_add_signed(error).unwrap())
    }

    /// Texts (with `!` for short) and reasons with their bytes, in `|`.
    fn read(body: &str) -> String {
        crate::pieces(crate::BodyFormat::Frames, body.as_bytes())
            .map(|piece| match piece {
                Piece::Message(message) => format!("{}{}", String::from_utf8_lossy(&message.text), if message.short { "!" } else { "" }),
                Piece::Reject(reject) => format!("{}={}", reject.reason.as_str(), &body[reject.range]),
            })
            .collect::<Vec<_>>()
            .join("|")
    }

    #[test]
    fn frames_end_where_their_length_says() {
        let check = |parts: &[String], expected: &str| assert_eq!(read(&parts.concat()), expected, "{parts:?}");
        check(&[], "");
        check(&[frame("a\n", 0), frame("b\n", 0)], "a|b");
        check(&[frame("a", 0), frame("b", 0)], "a|b");
        check(&[frame("", 0), frame("\n", 0), frame("x", 0)], "||x");
        check(&[frame("seq=1", 0), frame("seq=2", 0), frame("seq=3", 0)], "seq=1|seq=2|seq=3");
        check(&[format!("000{}", frame("a", 0)), frame("b", 0)], "a|b");
        check(&[frame("12 <190>1 x\n", 0)], "12 <190>1 x");
        check(&[frame(&frame("a", 0), 0), frame("b", 0)], &format!("{}|b", frame("a", 0)));
        check(&[frame("a\0\x1b[31m\n\n", 0), frame("b\n", 0)], "a\0\x1b[31m\n|b");
    }

    #[test]
    fn wrong_lengths_spoil_only_their_own_frame() {
        let check = |parts: &[String], expected: &str| assert_eq!(read(&parts.concat()), expected, "{parts:?}");
        // At the end of the body.
        check(&[frame("a", 1)], "a!");
        check(&[frame("a", 5000)], "a!");
        check(&[frame("a", 5_000_000)], "a!");
        check(&[frame("a", -1)], "|framing=a");
        check(&[frame("a\n", -1)], "a|blank=\n");
        // Before another frame.
        check(&[frame("a", 1), frame("b", 0)], "a!|b");
        check(&[frame("7", 1), frame("b", 0)], "7!|b");
        check(&[frame("a", 1), frame("b", 1), frame("c", 1)], "a!|b!|c!");
        check(&[frame("a", 2), frame("b", 0)], "a!|b");
        check(&[frame("a", 8), frame("b", 0)], "a!|b");
        check(&[frame("a", 500), frame("b", 0), frame("c", 0)], "a!|b|c");
        check(&[frame("a", 5_000_000), frame("b", 0)], "a!|b");
        check(&[frame("abc", -2), frame("b", 0)], "a|framing=bc|b");
        check(&[frame("a\n", -1), frame("b\n", -1), frame("c", 0)], "a|blank=\n|b|blank=\n|c");
        check(&[frame("a", -40), frame("b", 0)], "header=6 <190>1|framing= 2026-01-02T03:04:05Z host app web.1 - a|b");
    }

    #[test]
    fn bytes_between_frames_are_rejected() {
        let check = |parts: &[String], expected: &str| assert_eq!(read(&parts.concat()), expected, "{parts:?}");
        check(&["junk".into()], "framing=junk");
        check(&["\0 \n".into()], "blank=\0 \n");
        check(&["12".into()], "framing=12");
        check(&["junk".into(), frame("a", 0), "\njunk ".into(), frame("b", 0), "3".into()], "framing=junk|a|framing=\njunk |b|framing=3");
        check(&[frame("a", 0), "\r\n".into(), frame("b", 0), "\0".into()], "a|blank=\r\n|b|blank=\0");
        check(
            &["GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n".into(), frame("a", 0)],
            "framing=GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\n|a",
        );
        check(&["5 hello".into(), frame("a", 0)], "header=5 hello|a");
        check(&["10 <190>1 foo".into(), frame("a", 0)], "header=10 <190>1 foo|a");
        check(
            &["42 <190>1 someday host app web.1 - some thing".into(), frame("a", 0)],
            "no_time=42 <190>1 someday host app web.1 - some thing|a",
        );
        check(&["6 hello".into(), frame("a", 0)], "header=6 hello|a");
        check(&["7 hello".into(), frame("a", 0)], "framing=7 hello|a");
    }

    #[test]
    fn a_body_of_false_starts_takes_linear_time() {
        // Each frame claims all that follows, and each place is a candidate: a search per frame would be quadratic.
        for part in ["1000000 <190>1 x", "1000000 ", "9 <1>1 ", "\n\n\n1", "999999 <190>1 2026-01-02T03:04:05Z "] {
            let body = part.repeat((4 << 20) / part.len());
            assert!(crate::pieces(crate::BodyFormat::Frames, body.as_bytes()).count() > 0);
        }
    }
}
