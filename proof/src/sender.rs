//! Logplex, as far as a receiver can tell: one frame in flight per drain, and rules for when it is gone.

use std::collections::VecDeque;

use freshet_core::Micros;

/// How often a frame is tried (observed: three times within some 20 ms).
const TRIES_MAX: u32 = 3;

/// Between two tries of a frame, microseconds.
const TRY_AGAIN_US: u64 = 7_000;

/// Between two attempts to connect where connections are refused, microseconds.
const CONNECT_AGAIN_US: u64 = 200_000;

/// A message as the sender knows it: its place in the list of all messages.
pub type Message = usize;

/// One side of the wire, without the wire: whoever drives it says what time it is and how each request ended.
pub trait Sender: Send {
    /// Takes in a message that an app wrote.
    fn take(&mut self, now: Micros, message: Message);

    /// What it wants to do now.
    fn next(&mut self, now: Micros, uptime_us: u64) -> Want;

    /// How the request that it wanted to make ended.
    fn ended(&mut self, uptime_us: u64, ending: Ending);

    /// What became of the messages.
    fn books(&self) -> &Books;

    /// Whether nothing waits.
    fn is_empty(&self) -> bool;
}

/// What a sender wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// To send this frame.
    Post(Frame),
    /// To be asked again at this uptime, microseconds.
    Wait(u64),
    /// Nothing, until there is a message.
    Nothing,
}

/// One frame, on one of its tries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its number; the same on each try.
    pub number: usize,
    /// The messages, in order.
    pub messages: Vec<Message>,
    /// Messages that an L10 line in front of them tells of, since when, and when it was rendered.
    pub l10: Option<(u64, Micros, Micros)>,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// With this status.
    Answered(u16),
    /// No connection was made.
    Refused,
    /// Without an answer: time-out or reset.
    Unanswered,
}

/// What became of a drain's messages. Every message is in one of these, or waits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Messages taken in.
    pub taken: u64,
    /// Messages in frames that were answered 2xx.
    pub acknowledged: u64,
    /// Messages that the buffer had no room for.
    pub overflowed: u64,
    /// Messages in frames that were given up.
    pub given_up: u64,
    /// Messages that L10 lines told of in frames that were answered 2xx, and in others.
    pub told_of: u64,
    /// Messages of `told_of`'s kind that no frame tells of yet.
    pub untold: u64,
    /// Frames that were answered 2xx.
    pub frames_acknowledged: Vec<usize>,
    /// Frames that were given up.
    pub frames_given_up: Vec<usize>,
}

/// The rules as observed with Heroku's own code: a full buffer loses the oldest, 3 tries, a 4xx is final, a refused
/// connection makes it wait.
pub struct Logplex {
    buffer: VecDeque<Message>,
    buffer_messages: usize,
    frame_messages: usize,
    frames: usize,
    /// Distance between the numbers of two frames: drains share the numbers.
    stride: usize,
    current: Option<Frame>,
    is_posted: bool,
    tries: u32,
    not_before_us: u64,
    lost_since: Option<Micros>,
    books: Books,
}

impl Logplex {
    /// A drain whose frames are numbered `first`, `first + stride`, ….
    #[must_use]
    pub fn new(first: usize, stride: usize, buffer_messages: usize, frame_messages: usize) -> Self {
        Self {
            buffer: VecDeque::new(),
            buffer_messages,
            frame_messages,
            frames: first,
            stride,
            current: None,
            is_posted: false,
            tries: 0,
            not_before_us: 0,
            lost_since: None,
            books: Books::default(),
        }
    }

    fn cut(&mut self, now: Micros) -> Option<Frame> {
        if self.buffer.is_empty() && self.lost_since.is_none() {
            return None;
        }
        let count = self.buffer.len().min(self.frame_messages);
        let l10 = self.lost_since.take().map(|since| (std::mem::take(&mut self.books.untold), since, now));
        self.books.told_of += l10.map_or(0, |(count, ..)| count);
        let frame = Frame { number: self.frames, messages: self.buffer.drain(..count).collect(), l10 };
        self.frames += self.stride;
        self.tries = 0;
        Some(frame)
    }

    fn finish(&mut self, acknowledged: bool) {
        let Some(frame) = self.current.take() else { return };
        let messages = frame.messages.len() as u64;
        if acknowledged {
            self.books.acknowledged += messages;
            self.books.frames_acknowledged.push(frame.number);
        } else {
            self.books.given_up += messages;
            self.books.frames_given_up.push(frame.number);
        }
    }
}

impl Sender for Logplex {
    fn take(&mut self, now: Micros, message: Message) {
        self.books.taken += 1;
        self.buffer.push_back(message);
        if self.buffer.len() > self.buffer_messages {
            self.buffer.pop_front();
            self.books.overflowed += 1;
            self.books.untold += 1;
            self.lost_since.get_or_insert(now);
        }
    }

    fn next(&mut self, now: Micros, uptime_us: u64) -> Want {
        if self.is_posted {
            return Want::Nothing;
        }
        if uptime_us < self.not_before_us {
            return Want::Wait(self.not_before_us);
        }
        if self.current.is_none() {
            self.current = self.cut(now);
        }
        let Some(frame) = &mut self.current else { return Want::Nothing };
        // Rendered anew on each try.
        if let Some((_, _, at)) = &mut frame.l10 {
            *at = now;
        }
        self.is_posted = true;
        Want::Post(frame.clone())
    }

    fn ended(&mut self, uptime_us: u64, ending: Ending) {
        self.is_posted = false;
        self.not_before_us = uptime_us;
        match ending {
            Ending::Answered(200..300) => self.finish(true),
            Ending::Refused => self.not_before_us += CONNECT_AGAIN_US,
            Ending::Answered(400..=428 | 430..=499) => self.finish(false),
            Ending::Answered(_) | Ending::Unanswered => {
                self.tries += 1;
                self.not_before_us += TRY_AGAIN_US;
                if self.tries == TRIES_MAX {
                    self.finish(false);
                }
            }
        }
    }

    fn books(&self) -> &Books {
        &self.books
    }

    fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.current.is_none() && self.lost_since.is_none()
    }
}
