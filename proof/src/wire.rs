//! What apps write and how it looks on the wire, sound or not.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use freshet_core::{Format, Micros, Payload, SourceKind};
use freshet_fake_heroku::Line;
use freshet_fake_heroku::logplex::frame::{Form, Message};
use freshet_spool::faulty_disk::Dice;

use crate::Fault;
use crate::fault::Tally;
use crate::plan::{Plan, dice, usize_of};
use crate::sender::{Frame, timestamp};

/// What is wrong with a frame; the same on each of its tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    /// The count is off by this much.
    Count(i32),
    /// The length of one message is off by this much.
    Length(usize, i32),
    /// There is junk before one message.
    Garbage(usize, u64),
}

/// Everything that was written, and how it is sent.
pub(crate) struct Wire {
    plan: Plan,
    dice: Dice,
    tally: Tally,
    lines: usize,
    /// What `logs.kind` must say of each text.
    kinds: HashMap<Bytes, &'static str>,
    flaws: BTreeMap<usize, Option<Flaw>>,
}

impl Wire {
    pub(crate) fn new(plan: &Plan, tally: Tally) -> Self {
        Self { plan: plan.clone(), dice: dice(plan.seed, "wire"), tally, lines: 0, kinds: HashMap::new(), flaws: BTreeMap::new() }
    }

    /// A new line, as Logplex frames it.
    pub(crate) fn write(&mut self, at: Micros) -> Vec<Message> {
        self.lines += 1;
        let (priority, source, process, kind, text) = text(self.dice.below(10), self.lines);
        let text = Bytes::from(text);
        self.kinds.insert(text.clone(), kind);
        let line = Line { at: timestamp(at), app: String::new(), priority, source, process: process.to_owned(), text };
        Message::of_line(&line, &Form::Https)
    }

    /// What `logs.kind` must say of a line with this text.
    pub(crate) fn kind(&self, text: &Bytes) -> &'static str {
        self.kinds.get(text).copied().unwrap_or_default()
    }

    /// Whether the drain sends ids: the last one may not.
    fn has_id(&self, drain: usize) -> bool {
        !self.plan.has(Fault::NoId) || drain + 1 < self.plan.drains
    }

    /// Whether nothing is wrong with the frame.
    pub(crate) fn is_sound(&self, frame: usize) -> bool {
        self.flaws.get(&frame).is_none_or(Option::is_none)
    }

    /// The frame as it arrives at `received_at`.
    pub(crate) fn payload(&mut self, drain: usize, frame: &Frame, received_at: Micros) -> Payload {
        let flaw = self.flaw(frame);
        let mut body = Vec::new();
        if let Some(l10) = &frame.made.l10 {
            body.extend_from_slice(&l10.framed);
        }
        for (index, message) in frame.made.messages.iter().enumerate() {
            if let Some(Flaw::Garbage(place, junk)) = flaw
                && place == index
            {
                body.extend_from_slice(&junk_bytes(junk));
            }
            let off = match flaw {
                Some(Flaw::Length(place, off)) if place == index => off,
                _ => 0,
            };
            push(&mut body, &message.framed, off);
        }
        let count = frame.made.count();
        let off = if let Some(Flaw::Count(off)) = flaw { off } else { 0 };
        let has_id = self.has_id(drain);
        if !has_id {
            self.tally.struck(Fault::NoId);
        }
        Payload {
            source: SourceKind::Drain,
            format: Format::Frames,
            app: Some(format!("app-{drain}")),
            drain_token: has_id.then(|| format!("d.{drain}")),
            frame_id: has_id.then(|| frame.made.id.clone()),
            msg_count: u32::try_from(i64::try_from(count).unwrap_or(0) + i64::from(off)).ok(),
            received_at,
            body: Bytes::from(body),
        }
    }

    fn flaw(&mut self, frame: &Frame) -> Option<Flaw> {
        if let Some(flaw) = self.flaws.get(&frame.number) {
            return *flaw;
        }
        // Chance is drawn for every kind, so that leaving one fault out does not change the others.
        let (kind, place, amount) = (self.dice.below(24), self.dice.roll(), self.dice.roll());
        let place = usize_of(place % frame.made.messages.len().max(1) as u64);
        let off = if amount % 2 == 0 { 1 } else { -1 } * i32::try_from(amount / 2 % 9 + 1).unwrap_or(1);
        let (fault, flaw) = match kind {
            0 | 1 => (Fault::WrongCount, Flaw::Count(off)),
            2 | 3 => (Fault::BadLength, Flaw::Length(place, off)),
            4 | 5 => (Fault::Garbage, Flaw::Garbage(place, amount)),
            _ => {
                self.flaws.insert(frame.number, None);
                return None;
            }
        };
        let flaw = self.plan.has(fault).then_some(flaw);
        if flaw.is_some() {
            self.tally.struck(fault);
        }
        self.flaws.insert(frame.number, flaw);
        flaw
    }
}

/// Adds a message with its length before it, which is `off` by so much.
fn push(body: &mut Vec<u8>, framed: &[u8], off: i32) {
    let digits = framed.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (length, message) = framed.split_at(digits);
    let length = length.iter().fold(0_i64, |length, digit| length * 10 + i64::from(digit - b'0')) + i64::from(off);
    body.extend_from_slice(length.to_string().as_bytes());
    body.extend_from_slice(message);
}

fn junk_bytes(amount: u64) -> Vec<u8> {
    let mut dice = Dice::new(amount);
    let length = 1 + dice.below(60);
    let alphabet = b"0123456789 <>\n\xff\x00aZ";
    (0..length).map(|_| alphabet[usize_of(dice.below(alphabet.len() as u64))]).collect()
}

/// A line of one of the kinds that have tables of their own, or a plain one: priority, source, process, table, text.
fn text(kind: u64, number: usize) -> (u8, &'static str, &'static str, &'static str, String) {
    match kind {
        0 | 1 => {
            let path = format!("at=info method=GET path=\"/m/{number}\" host=shop.example request_id=r-{number} fwd=\"10.0.0.1\"");
            let rest = "dyno=web.1 connect=1ms service=7ms status=200 bytes=512 protocol=https";
            (158, "heroku", "router", "router_requests", format!("{path} {rest}"))
        }
        2 => {
            let samples = "sample#memory_total=103.50MB sample#memory_rss=94.70MB sample#memory_quota=512.00MB";
            (45, "heroku", "web.1", "dyno_metrics", format!("source=web.1 dyno=heroku.1.{number} {samples}"))
        }
        3 => (40, "heroku", "web.1", "platform_errors", format!("Error R14 (Memory quota exceeded) m{number}")),
        4 => (45, "heroku", "web.1", "dyno_events", "State changed from starting to up".to_owned()),
        5 => (133, "app", "api", "api_events", format!("Release v{number} created by user dev@example.com")),
        6 => (190, "app", "web.1", "app_events", format!("{{\"level\":\"info\",\"message\":\"m{number}\",\"took_ms\":{number}}}")),
        _ => (190, "app", "web.1", "app", format!("plain words m{number}")),
    }
}
