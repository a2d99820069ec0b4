//! A log drain of the fake Heroku: its machine makes the frames and keeps the account; connections and time are left to us.

use freshet_core::Micros;
use freshet_fake_heroku::logplex::frame::{Form, Message};
use freshet_fake_heroku::logplex::machine::{self, Machine, MachineCounts, Outcome, Verdict};
use freshet_fake_heroku::world::Chance;
use jiff::Timestamp;

use crate::plan::Plan;

/// Between two tries of a frame, microseconds: three of them within some 20 ms.
const TRY_AGAIN_US: u64 = 7_000;

/// Between two attempts to connect where connections are refused, microseconds.
const CONNECT_AGAIN_US: u64 = 200_000;

/// One try of a frame.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    /// Its number among the frames of all drains; the same on each try.
    pub(crate) number: usize,
    /// What Logplex sends.
    pub(crate) made: machine::Frame,
}

/// What a drain wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Want {
    /// A connection, to send a frame.
    Connect,
    /// To be asked again at this uptime, microseconds.
    Wait(u64),
    /// Nothing, until there is a message or an answer.
    Nothing,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With this status.
    Answered(u16),
    /// Without an answer: time-out or reset.
    Unanswered,
}

/// A drain.
pub(crate) struct Drain {
    machine: Machine,
    number: usize,
    /// Distance between the numbers of two frames: drains share the numbers.
    stride: usize,
    is_out: bool,
    not_before_us: u64,
}

impl Drain {
    /// The drain at `index` of those that `plan` has.
    pub(crate) fn new(plan: &Plan, index: usize) -> Self {
        let chance = Chance::new(plan.seed).of(&format!("drain {index}"));
        let mut machine = Machine::new(Form::Https, chance, true);
        machine.resize(plan.buffer_messages, Timestamp::UNIX_EPOCH);
        Self { machine, number: index, stride: plan.drains, is_out: false, not_before_us: 0 }
    }

    /// Takes in what an app wrote.
    pub(crate) fn offer(&mut self, now: Micros, messages: Vec<Message>) {
        for message in messages {
            self.machine.offer(message, timestamp(now));
        }
    }

    /// What it wants at this uptime.
    pub(crate) fn want(&mut self, uptime_us: u64) -> Want {
        if self.is_out {
            return Want::Nothing;
        }
        self.machine.release();
        match self.machine.has_next() {
            false => Want::Nothing,
            true if uptime_us < self.not_before_us => Want::Wait(self.not_before_us),
            true => Want::Connect,
        }
    }

    /// No connection was made.
    pub(crate) fn refused(&mut self, uptime_us: u64) {
        self.not_before_us = uptime_us + CONNECT_AGAIN_US;
    }

    /// Puts the next frame aside until the one after it is done with. Whether there was one to put aside with another behind it.
    pub(crate) fn hold_back(&mut self) -> bool {
        let can = self.machine.can_hold_back();
        self.machine.hold_back();
        can
    }

    /// The frame to send, now that there is a connection.
    pub(crate) fn frame(&mut self, now: Micros) -> Option<Frame> {
        let made = self.machine.next(timestamp(now))?;
        if made.attempt == 1 {
            self.number += self.stride;
        }
        self.is_out = true;
        Some(Frame { number: self.number, made })
    }

    /// How the request with the last frame ended.
    pub(crate) fn ended(&mut self, now: Micros, uptime_us: u64, ending: Ending) {
        self.is_out = false;
        let outcome = match ending {
            Ending::Answered(status) => Outcome::Answered(status),
            Ending::Unanswered => Outcome::Unanswered { sent_whole: true },
        };
        let verdict = self.machine.answered(outcome, timestamp(now));
        self.not_before_us = if verdict == Verdict::Again { uptime_us + TRY_AGAIN_US } else { uptime_us };
    }

    /// Heroku's own account.
    pub(crate) fn counts(&self) -> MachineCounts {
        self.machine.counts()
    }

    /// Frames that it holds for delivered, by id; one entry per message.
    pub(crate) fn delivered(&self) -> impl Iterator<Item = &str> {
        self.machine.acknowledged().iter().map(|message| message.frame_id.as_str())
    }
}

/// The same moment, for the fake Heroku.
pub(crate) fn timestamp(at: Micros) -> Timestamp {
    Timestamp::from_microsecond(at.0).unwrap_or_default()
}
