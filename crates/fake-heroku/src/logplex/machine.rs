//! What Logplex does for one drain, without the network: a buffer, one frame in flight, and exact counts.
//!
//! The rules are those of Heroku's own code (`logplex_http_drain.erl`, `logplex_drain_buffer.erl`, `logplex_msg_buffer.erl`) as it was
//! observed. There is no clock, no task and no socket in here: whoever drives it says how late it is and how each request ended.
//!
//! ```text
//! offer ─▶ buffer (1,024, the oldest goes) ─▶ next ─▶ a request ─▶ answered ─▶ delivered · again · dropped
//! ```

use std::collections::VecDeque;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use super::frame::{Form, Message};
use crate::world::Chance;

/// Messages that wait for a drain; one more, and the oldest goes (`http_drain_buffer_size`).
pub const BUFFER_MESSAGES_MAX: usize = 1024;
/// What the buffer shrinks to when a drain has been out of reach for five minutes (`SHRINK_BUF_SIZE`).
pub const SHRUNK_BUFFER_MESSAGES_MAX: usize = 10;
/// A frame's messages stay below this, unless one message alone does not (`http_drain_target_bytes`).
const HTTPS_FRAME_BYTES: usize = 102_400;
/// The same for what a syslog drain writes at once (`TARGET_SEND_SIZE`).
const SYSLOG_FRAME_BYTES: usize = 4096;
/// How often an HTTPS frame is tried.
const HTTPS_TRIES: u32 = 3;

/// One drain.
pub struct Machine {
    form: Form,
    chance: Chance,
    buffer: VecDeque<Message>,
    buffer_messages_max: usize,
    /// What the buffer has lost since the last frame was made of it.
    lost: Loss,
    /// What was lost in frames, and before frames that were lost, and no delivered frame has told of.
    untold: Loss,
    current: Option<Made>,
    held: Option<Made>,
    counts: MachineCounts,
    record: Option<Vec<Acknowledged>>,
}

/// What became of a drain's messages. `sent` = `acknowledged` + `dropped` + `waiting`, at every moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MachineCounts {
    /// Messages offered.
    pub sent: u64,
    /// Messages in frames that were delivered.
    pub acknowledged: u64,
    /// Messages given up.
    pub dropped: u64,
    /// Those of `dropped` that the receiver may have got all the same: a request with them was sent whole and never answered.
    pub maybe: u64,
    /// Messages in the buffer, in flight or held back.
    pub waiting: u64,
    /// Frames that went out with an L10 message in front.
    pub l10_sent: u64,
    /// Those of `l10_sent` that were delivered.
    pub l10_acknowledged: u64,
    /// Requests made.
    pub requests: u64,
    /// Frames made.
    pub frames: u64,
}

/// One request's content. The same frame tried again has the same id and messages; only the L10's time is another.
#[derive(Clone, Debug)]
pub struct Frame {
    /// 32 upper-case hexadecimal digits.
    pub id: String,
    /// The L10 message in front, where messages were lost. It counts as one of the frame's messages.
    pub l10: Option<Message>,
    /// The messages.
    pub messages: Vec<Message>,
    /// 1 for the first try.
    pub attempt: u32,
}

impl Frame {
    /// How many messages it has, the L10 included: what `Logplex-Msg-Count` says.
    #[must_use]
    pub fn count(&self) -> usize {
        self.parts().count()
    }

    /// All messages in order, each with its length before it.
    pub fn parts(&self) -> impl Iterator<Item = &Bytes> {
        self.l10.iter().chain(&self.messages).map(|message| &message.framed)
    }

    /// The body of the request.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        self.parts().flatten().copied().collect()
    }
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// With this HTTP status. It is believed: what was answered with an error was not stored.
    Answered(u16),
    /// Without an answer that could be read: time-out, reset, garbage.
    Unanswered {
        /// Whether the whole request had been written, so that the receiver may have it.
        sent_whole: bool,
    },
}

/// What that means for the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has arrived.
    Delivered,
    /// It is to be sent again.
    Again,
    /// It is gone for good.
    Dropped,
}

/// A message that was delivered, for tests that compare with what a receiver has stored.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acknowledged {
    /// The frame's id.
    pub frame_id: String,
    /// Its place in the frame, from 0. An L10 message takes a place.
    pub index: u32,
    /// [`text_hash`] of its text.
    pub text_hash: u64,
}

/// FNV-1a of a message's text without the newline that ends it.
#[must_use]
pub fn text_hash(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Messages that were lost, and when that began.
#[derive(Clone, Copy, Default)]
struct Loss {
    messages: u64,
    since: Option<Timestamp>,
}

impl Loss {
    fn add(&mut self, messages: u64, now: Timestamp) {
        if messages > 0 {
            self.messages += messages;
            self.since.get_or_insert(now);
        }
    }
}

/// A frame on its way.
struct Made {
    id: String,
    messages: Vec<Message>,
    /// What the buffer had lost before the first message.
    lost: Loss,
    tries: u32,
    has_l10: bool,
    /// The driver has it: an answer is due.
    is_out: bool,
    /// A request with it was sent whole and not answered.
    may_have_arrived: bool,
}

impl Machine {
    /// A drain without messages. Frame ids come from `chance`. With `record`, what is delivered is kept for [`Machine::acknowledged`].
    #[must_use]
    pub fn new(form: Form, chance: Chance, record: bool) -> Self {
        Self {
            form,
            chance,
            buffer: VecDeque::new(),
            buffer_messages_max: BUFFER_MESSAGES_MAX,
            lost: Loss::default(),
            untold: Loss::default(),
            current: None,
            held: None,
            counts: MachineCounts::default(),
            record: record.then(Vec::new),
        }
    }

    /// How its messages are to be written.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Takes a message into the buffer. When it is full, the oldest message is lost.
    pub fn offer(&mut self, message: Message, now: Timestamp) {
        self.counts.sent += 1;
        self.make_room(self.buffer_messages_max - 1, now);
        self.buffer.push_back(message);
    }

    /// Lets the buffer hold this many messages, at least 1; the oldest of those too many are lost. Logplex shrinks it to
    /// [`SHRUNK_BUFFER_MESSAGES_MAX`] when nothing was delivered for five minutes, and gives it back with the next success.
    pub fn resize(&mut self, messages_max: usize, now: Timestamp) {
        self.buffer_messages_max = messages_max.max(1);
        self.make_room(self.buffer_messages_max, now);
    }

    /// Whether [`Machine::next`] has a frame.
    #[must_use]
    pub fn has_next(&self) -> bool {
        self.current.is_some() || !self.buffer.is_empty()
    }

    /// Whether [`Machine::hold_back`] could hold a frame back.
    #[must_use]
    pub fn can_hold_back(&self) -> bool {
        self.current.is_none() && self.held.is_none() && !self.buffer.is_empty()
    }

    /// Whether a frame is held back.
    #[must_use]
    pub fn is_holding_back(&self) -> bool {
        self.held.is_some()
    }

    /// Makes the next frame and puts it aside: it is sent when the one after it is done with, or after [`Machine::release`]. Logplex never does that;
    /// it is a fault to try a receiver with.
    pub fn hold_back(&mut self) {
        if self.can_hold_back() {
            self.held = self.make();
        }
    }

    /// Gives back a frame that is held back, if no other is on its way.
    pub fn release(&mut self) {
        if self.current.is_none() {
            self.current = self.held.take();
        }
    }

    /// The frame to send now: the one in flight (also when nothing was answered about it yet), else a new one from the buffer. To be
    /// called when there is a connection, as in Logplex: until then, messages wait in the buffer, where the newest displace the oldest.
    pub fn next(&mut self, now: Timestamp) -> Option<Frame> {
        if self.current.is_none() {
            self.current = self.make();
        }
        let current = self.current.as_mut()?;
        let l10 = l10(&self.form, self.untold, current.lost, now);
        if l10.is_some() && !current.has_l10 {
            current.has_l10 = true;
            self.counts.l10_sent += 1;
        }
        current.is_out = true;
        self.counts.requests += 1;
        Some(Frame { id: current.id.clone(), l10, messages: current.messages.clone(), attempt: current.tries + 1 })
    }

    /// Says how the request of the last [`Machine::next`] ended.
    pub fn answered(&mut self, outcome: Outcome, now: Timestamp) -> Verdict {
        let tries_max = if self.form == Form::Https { HTTPS_TRIES } else { 1 };
        let Some(mut frame) = self.current.take() else { return Verdict::Dropped };
        frame.tries += 1;
        frame.is_out = false;
        frame.may_have_arrived |= outcome == Outcome::Unanswered { sent_whole: true };
        let verdict = match outcome {
            Outcome::Answered(200..=299) => Verdict::Delivered,
            Outcome::Answered(400..=428 | 430..=499) => Verdict::Dropped,
            Outcome::Answered(_) | Outcome::Unanswered { .. } if frame.tries < tries_max => Verdict::Again,
            Outcome::Answered(_) | Outcome::Unanswered { .. } => Verdict::Dropped,
        };
        match verdict {
            Verdict::Delivered => self.delivered(&frame),
            Verdict::Dropped => self.dropped(&frame, now),
            Verdict::Again => {
                self.current = Some(frame);
                return verdict;
            }
        }
        self.current = self.held.take();
        verdict
    }

    /// Counts a request beside those of [`Machine::next`]: a frame that was delivered and is sent once more.
    pub fn sent_once_more(&mut self) {
        self.counts.requests += 1;
    }

    /// Gives up all that waits.
    pub fn close(&mut self, now: Timestamp) {
        for mut frame in [self.current.take(), self.held.take()].into_iter().flatten() {
            frame.may_have_arrived |= frame.is_out;
            self.dropped(&frame, now);
        }
        self.make_room(0, now);
    }

    /// What became of the messages so far.
    #[must_use]
    pub fn counts(&self) -> MachineCounts {
        let frames = self.current.iter().chain(&self.held).map(|frame| frame.messages.len());
        let waiting = self.buffer.len() + frames.sum::<usize>();
        MachineCounts { waiting: waiting as u64, ..self.counts }
    }

    /// What was delivered, in order; nothing unless it records.
    #[must_use]
    pub fn acknowledged(&self) -> &[Acknowledged] {
        self.record.as_deref().unwrap_or_default()
    }

    /// Loses the oldest messages until `messages_max` are left.
    fn make_room(&mut self, messages_max: usize, now: Timestamp) {
        let lost = self.buffer.len().saturating_sub(messages_max);
        self.buffer.drain(..lost);
        self.counts.dropped += lost as u64;
        self.lost.add(lost as u64, now);
    }

    /// A frame of what is in the buffer: messages up to a size, and beyond it only one that is too large for any frame.
    fn make(&mut self) -> Option<Made> {
        let frame_bytes = if self.form == Form::Https { HTTPS_FRAME_BYTES } else { SYSLOG_FRAME_BYTES };
        let (mut messages, mut room) = (Vec::new(), frame_bytes);
        while let Some(message) = self.buffer.pop_front() {
            let bytes = message.framed.len();
            if bytes < room {
                room -= bytes;
                messages.push(message);
            } else if bytes >= frame_bytes {
                messages.push(message);
                break;
            } else {
                self.buffer.push_front(message);
                break;
            }
        }
        if messages.is_empty() {
            return None;
        }
        self.counts.frames += 1;
        let id = self.chance.hex(32).to_ascii_uppercase();
        let lost = std::mem::take(&mut self.lost);
        Some(Made { id, messages, lost, tries: 0, has_l10: false, is_out: false, may_have_arrived: false })
    }

    fn delivered(&mut self, frame: &Made) {
        self.counts.acknowledged += frame.messages.len() as u64;
        self.untold = Loss::default();
        if frame.has_l10 {
            self.counts.l10_acknowledged += 1;
        }
        if let Some(record) = &mut self.record {
            let places = u32::from(frame.has_l10)..;
            record.extend(places.zip(&frame.messages).map(|(index, message)| Acknowledged {
                frame_id: frame.id.clone(),
                index,
                text_hash: text_hash(&message.text),
            }));
        }
    }

    fn dropped(&mut self, frame: &Made, now: Timestamp) {
        let messages = frame.messages.len() as u64;
        self.counts.dropped += messages;
        if frame.may_have_arrived {
            self.counts.maybe += messages;
        }
        // A syslog drain knows nothing of what a broken connection took along, and forgets what it would have told.
        if self.form == Form::Https {
            self.untold.add(messages + frame.lost.messages, now);
        }
    }
}

/// The L10 message that a frame begins with. Where nothing but the buffer's losses is to be told, an HTTPS drain's "since" is the
/// time of sending.
fn l10(form: &Form, untold: Loss, lost: Loss, now: Timestamp) -> Option<Message> {
    let messages = untold.messages + lost.messages;
    let since = match form {
        Form::Https => untold.since,
        Form::Syslog { .. } => lost.since,
    };
    (messages > 0).then(|| Message::l10(form, messages, since.unwrap_or(now), now))
}

#[cfg(test)]
mod tests;
