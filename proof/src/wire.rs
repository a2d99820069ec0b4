//! What apps write and how it looks on the wire, sound or not.

use std::collections::BTreeMap;

use bytes::Bytes;
use freshet_core::{Format, Micros, Payload, SourceKind};
use freshet_spool::faulty_disk::Dice;
use jiff::Timestamp;

use crate::Fault;
use crate::fault::Tally;
use crate::plan::{Plan, dice, usize_of};
use crate::sender::{Frame, Message};

/// One message that an app or the platform wrote.
pub(crate) struct Line {
    at: Micros,
    pri: u8,
    process: &'static str,
    pub(crate) text: String,
    /// What `logs.kind` must say of it.
    pub(crate) kind: &'static str,
}

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
    lines: Vec<Line>,
    flaws: BTreeMap<usize, Option<Flaw>>,
}

impl Wire {
    pub(crate) fn new(plan: &Plan, tally: Tally) -> Self {
        Self { plan: plan.clone(), dice: dice(plan.seed, "wire"), tally, lines: Vec::new(), flaws: BTreeMap::new() }
    }

    /// A new message.
    pub(crate) fn write(&mut self, at: Micros) -> Message {
        let number = self.lines.len();
        let (pri, process, kind, text) = text(self.dice.below(10), number);
        self.lines.push(Line { at, pri, process, text, kind });
        number
    }

    /// All messages.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
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
        if let Some((count, since, at)) = frame.l10 {
            let text = format!(
                "<172>1 {} host heroku logplex - Error L10 (output buffer overflow): {count} messages dropped since {}.",
                time(at),
                time(since)
            );
            push(&mut body, &text, 0);
        }
        for (index, message) in frame.messages.iter().enumerate() {
            let line = &self.lines[*message];
            if let Some(Flaw::Garbage(place, junk)) = flaw
                && place == index
            {
                body.extend_from_slice(&junk_bytes(junk));
            }
            let off = match flaw {
                Some(Flaw::Length(place, off)) if place == index => off,
                _ => 0,
            };
            push(&mut body, &format!("<{}>1 {} host {} - {}\n", line.pri, time(line.at), line.process, line.text), off);
        }
        let count = frame.messages.len() + usize::from(frame.l10.is_some());
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
            frame_id: has_id.then(|| frame_id(frame.number)),
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
        let place = usize_of(place % frame.messages.len().max(1) as u64);
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

/// What Logplex calls frame `number`: 32 upper-case hexadecimal digits.
pub(crate) fn frame_id(number: usize) -> String {
    format!("{number:032X}")
}

fn time(at: Micros) -> String {
    let time = Timestamp::from_microsecond(at.0).unwrap_or_default();
    format!("{}+00:00", time.strftime("%Y-%m-%dT%H:%M:%S.%6f"))
}

fn push(body: &mut Vec<u8>, message: &str, off: i32) {
    let length = i64::try_from(message.len()).unwrap_or(0) + i64::from(off);
    body.extend_from_slice(format!("{length} {message}").as_bytes());
}

fn junk_bytes(amount: u64) -> Vec<u8> {
    let mut dice = Dice::new(amount);
    let length = 1 + dice.below(60);
    let alphabet = b"0123456789 <>\n\xff\x00aZ";
    (0..length).map(|_| alphabet[usize_of(dice.below(alphabet.len() as u64))]).collect()
}

/// A line of one of the kinds that have tables of their own, or a plain one: priority, process, table, text.
fn text(kind: u64, number: usize) -> (u8, &'static str, &'static str, String) {
    match kind {
        0 | 1 => {
            let path = format!("at=info method=GET path=\"/m/{number}\" host=shop.example request_id=r-{number} fwd=\"10.0.0.1\"");
            let rest = "dyno=web.1 connect=1ms service=7ms status=200 bytes=512 protocol=https";
            (158, "heroku router", "router_requests", format!("{path} {rest}"))
        }
        2 => {
            let samples = "sample#memory_total=103.50MB sample#memory_rss=94.70MB sample#memory_quota=512.00MB";
            (45, "heroku web.1", "dyno_metrics", format!("source=web.1 dyno=heroku.1.{number} {samples}"))
        }
        3 => (40, "heroku web.1", "platform_errors", format!("Error R14 (Memory quota exceeded) m{number}")),
        4 => (45, "heroku web.1", "dyno_events", "State changed from starting to up".to_owned()),
        5 => (133, "app api", "api_events", format!("Release v{number} created by user dev@example.com")),
        6 => (190, "app web.1", "app_events", format!("{{\"level\":\"info\",\"message\":\"m{number}\",\"took_ms\":{number}}}")),
        _ => (190, "app web.1", "app", format!("plain words m{number}")),
    }
}
