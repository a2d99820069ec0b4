use std::collections::BTreeSet;

use jiff::SignedDuration;
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, prop_assert, prop_assert_eq, proptest};

use super::*;
use crate::world::Line;

fn at(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(1_800_000_000 + second)
}

fn message(form: &Form, text: &str) -> Message {
    let line = Line { at: at(0), app: "shop".into(), priority: 190, source: "app", process: "web.1".into(), text: text.to_owned().into() };
    Message::of_line(&line, form).remove(0)
}

fn machine(messages: usize) -> Machine {
    let mut machine = Machine::new(Form::Https, Chance::new(1), true);
    offer(&mut machine, 0..messages);
    machine
}

fn offer(machine: &mut Machine, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let form = machine.form().clone();
        machine.offer(message(&form, &number.to_string()), at(0));
    }
}

fn texts(frame: &Frame) -> Vec<String> {
    frame.messages.iter().map(|message| String::from_utf8(message.text.to_vec()).unwrap()).collect()
}

fn l10(frame: &Frame) -> Option<String> {
    frame.l10.as_ref().map(|message| String::from_utf8(message.text.to_vec()).unwrap())
}

const UNSENT: Outcome = Outcome::Unanswered { sent_whole: false };
const UNHEARD: Outcome = Outcome::Unanswered { sent_whole: true };

/// One frame of two messages; `answers` come one after another until it is done with.
fn check(answers: &[Outcome], expected: Verdict, maybe: u64) {
    let mut machine = machine(2);
    let first = machine.next(at(0)).unwrap();
    for (try_number, answer) in (1..).zip(answers) {
        let frame = machine.next(at(0)).unwrap();
        assert_eq!((&frame.id, frame.attempt, frame.body()), (&first.id, try_number, first.body()));
        let verdict = machine.answered(*answer, at(0));
        assert_eq!(verdict, if usize::try_from(try_number).unwrap() == answers.len() { expected } else { Verdict::Again }, "{answers:?}");
    }
    let counts = machine.counts();
    let (acknowledged, dropped, waiting) = match expected {
        Verdict::Delivered => (2, 0, 0),
        Verdict::Dropped => (0, 2, 0),
        Verdict::Again => (0, 0, 2),
    };
    assert_eq!((counts.acknowledged, counts.dropped, counts.waiting, counts.maybe), (acknowledged, dropped, waiting, maybe), "{answers:?}");
}

#[test]
fn a_frame_is_tried_as_often_as_its_answers_allow() {
    use Outcome::Answered;
    for status in [200, 201, 204, 299] {
        check(&[Answered(status)], Verdict::Delivered, 0);
    }
    for status in [400, 401, 403, 404, 413, 428, 430, 499] {
        check(&[Answered(status)], Verdict::Dropped, 0);
    }
    for status in [100, 301, 304, 429, 500, 502, 503, 599] {
        check(&[Answered(status)], Verdict::Again, 0);
        check(&[Answered(status); 2], Verdict::Again, 0);
        check(&[Answered(status); 3], Verdict::Dropped, 0);
        check(&[Answered(status), Answered(status), Answered(200)], Verdict::Delivered, 0);
        check(&[Answered(status), Answered(404)], Verdict::Dropped, 0);
    }
    check(&[UNSENT; 3], Verdict::Dropped, 0);
    check(&[UNHEARD; 3], Verdict::Dropped, 2);
    check(&[UNHEARD, Answered(404)], Verdict::Dropped, 2);
    check(&[UNSENT, UNHEARD, UNSENT], Verdict::Dropped, 2);
    check(&[UNHEARD, Answered(204)], Verdict::Delivered, 0);
}

/// Observed: 3,000 messages sent to a closed port, then it opens.
#[test]
fn the_newest_1024_wait_and_an_l10_tells_of_the_others() {
    let mut machine = machine(3000);
    let counts = machine.counts();
    assert_eq!((counts.sent, counts.dropped, counts.waiting, counts.frames), (3000, 1976, 1024, 0));
    let frame = machine.next(at(5)).unwrap();
    assert_eq!(frame.count(), 1025);
    assert_eq!(texts(&frame)[0], "1976");
    assert!(l10(&frame).unwrap().contains(": 1976 messages dropped since 2027-01-15T08:00:05+00:00."), "{:?}", l10(&frame));
    // Its time is another at the next try, and so is its "since", for nothing but the buffer has lost messages.
    machine.answered(Outcome::Answered(503), at(5));
    let again = machine.next(at(7)).unwrap();
    assert_eq!((again.id, again.messages), (frame.id, frame.messages));
    assert!(again.l10.as_ref().unwrap().framed.starts_with(b"145 <172>1 2027-01-15T08:00:07+00:00 host heroku logplex - Error L10 "));
    machine.answered(Outcome::Answered(200), at(7));
    let counts = machine.counts();
    assert_eq!((counts.acknowledged, counts.l10_sent, counts.l10_acknowledged), (1024, 1, 1));
    assert_eq!(machine.acknowledged()[0].index, 1);
    assert_eq!(machine.acknowledged()[1023].text_hash, text_hash(b"2999"));
    offer(&mut machine, 0..1);
    assert_eq!(machine.next(at(8)).unwrap().l10, None);
}

/// As in the captured traffic: a lost frame, then one with an L10 that is lost, too; then one gets through.
#[test]
fn the_l10_adds_up_what_was_lost_until_it_arrives() {
    let mut machine = machine(1);
    let lose = |machine: &mut Machine, second| (0..3).for_each(|_| drop((machine.next(at(second)), machine.answered(UNHEARD, at(second)))));
    lose(&mut machine, 1);
    offer(&mut machine, 1..3);
    assert!(l10(&machine.next(at(2)).unwrap()).unwrap().contains(": 1 messages dropped since 2027-01-15T08:00:01"));
    lose(&mut machine, 3);
    offer(&mut machine, 3..4);
    let frame = machine.next(at(4)).unwrap();
    assert!(l10(&frame).unwrap().contains(": 3 messages dropped since 2027-01-15T08:00:01"), "{:?}", l10(&frame));
    // What the buffer loses while a frame is in flight is told with the next frame.
    offer(&mut machine, 4..2000);
    machine.answered(Outcome::Answered(200), at(5));
    let frame = machine.next(at(6)).unwrap();
    assert!(l10(&frame).unwrap().contains(": 972 messages dropped since 2027-01-15T08:00:06"), "{:?}", l10(&frame));
    let counts = machine.counts();
    assert_eq!((counts.dropped, counts.maybe, counts.acknowledged, counts.l10_sent), (3 + 972, 3, 1, 3));
}

#[test]
fn a_frame_is_full_at_its_size_and_a_giant_goes_all_the_same() {
    let sizes = |texts: &[usize]| {
        let mut machine = Machine::new(Form::Https, Chance::new(1), false);
        for bytes in texts {
            let framed = vec![b'x'; *bytes];
            machine.offer(Message { framed: framed.into(), text: Bytes::new() }, at(0));
        }
        let mut sizes = Vec::new();
        while let Some(frame) = machine.next(at(0)) {
            sizes.push(frame.messages.iter().map(|message| message.framed.len()).collect::<Vec<_>>());
            machine.answered(Outcome::Answered(200), at(0));
        }
        sizes
    };
    assert_eq!(sizes(&[60_000, 42_399]), [vec![60_000, 42_399]]);
    assert_eq!(sizes(&[60_000, 42_400, 1]), [vec![60_000], vec![42_400, 1]]);
    assert_eq!(sizes(&[102_399, 1]), [vec![102_399], vec![1]]);
    assert_eq!(sizes(&[200_000, 1]), [vec![200_000], vec![1]]);
    assert_eq!(sizes(&[5, 102_400, 5]), [vec![5, 102_400], vec![5]]);
}

#[test]
fn a_frame_held_back_goes_after_the_next() {
    let mut machine = machine(1);
    machine.hold_back();
    assert!(machine.is_holding_back() && !machine.has_next() && machine.next(at(0)).is_none());
    assert_eq!(machine.counts().waiting, 1);
    offer(&mut machine, 1..2);
    assert_eq!(texts(&machine.next(at(0)).unwrap()), ["1"]);
    machine.hold_back();
    machine.release();
    machine.answered(Outcome::Answered(500), at(0));
    assert_eq!(texts(&machine.next(at(0)).unwrap()), ["1"]);
    machine.answered(Outcome::Answered(200), at(0));
    assert_eq!(texts(&machine.next(at(0)).unwrap()), ["0"]);
    machine.answered(Outcome::Answered(200), at(0));
    offer(&mut machine, 2..3);
    machine.hold_back();
    machine.release();
    assert_eq!(texts(&machine.next(at(0)).unwrap()), ["2"]);
    assert_eq!(machine.counts().frames, 3);
}

#[test]
fn a_buffer_that_shrinks_loses_its_oldest() {
    let mut machine = machine(20);
    machine.resize(SHRUNK_BUFFER_MESSAGES_MAX, at(0));
    offer(&mut machine, 20..21);
    assert_eq!((machine.counts().dropped, machine.counts().waiting), (11, 10));
    machine.resize(BUFFER_MESSAGES_MAX, at(0));
    offer(&mut machine, 21..1050);
    assert_eq!((machine.counts().dropped, machine.counts().waiting), (26, 1024));
}

#[test]
fn syslog_frames_have_one_try_and_losses_on_the_wire_are_silent() {
    let mut machine = Machine::new(Form::Syslog { token: "d.1".into() }, Chance::new(1), false);
    offer(&mut machine, 0..1030);
    let frame = machine.next(at(9)).unwrap();
    let told = String::from_utf8(frame.l10.unwrap().framed.to_vec()).unwrap();
    assert_eq!(
        told,
        "144 <172>1 2027-01-15T08:00:09+00:00 d.1 heroku logplex - - Error L10 (output buffer overflow): 6 messages dropped since 2027-01-15T08:00:00+00:00.\n"
    );
    assert_eq!(machine.answered(UNHEARD, at(9)), Verdict::Dropped);
    let next = machine.next(at(9)).unwrap();
    assert_eq!(next.l10, None);
    assert!(next.body().len() < 4096);
}

#[test]
fn what_waits_at_the_end_is_dropped() {
    let mut machine = machine(2);
    let frame = machine.next(at(0)).unwrap();
    assert_eq!(frame.messages.len(), 2);
    offer(&mut machine, 2..7);
    machine.close(at(0));
    let counts = machine.counts();
    assert_eq!((counts.sent, counts.dropped, counts.maybe, counts.waiting), (7, 7, 2, 0));
    assert_eq!((machine.next(at(0)).is_none(), machine.answered(Outcome::Answered(200), at(0))), (true, Verdict::Dropped));
    assert_eq!(machine.counts(), counts);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens, the counts add up, and a receiver that keeps what was sent to it whole has what they say.
    #[test]
    fn counts_are_exact(steps in vec((0_u8..8, any::<u16>()), 0..150)) {
        let mut machine = Machine::new(Form::Https, Chance::new(3), true);
        let (mut offered, mut told, mut last_l10) = (0, 0, BTreeSet::new());
        let mut stored = BTreeSet::new();
        for (step, number) in steps {
            match step {
                0..=2 => {
                    let more = usize::from(number) % 700;
                    for number in offered..offered + more {
                        let text = Bytes::from(number.to_string());
                        machine.offer(Message { framed: text.clone(), text }, at(0));
                    }
                    offered += more;
                }
                3 => machine.hold_back(),
                4 => machine.release(),
                5 => machine.resize(usize::from(number) % 2000, at(0)),
                _ => {
                    let Some(frame) = machine.next(at(0)) else { continue };
                    let outcome = [Outcome::Answered(200), Outcome::Answered(503), Outcome::Answered(403), UNSENT, UNHEARD][usize::from(number) % 5];
                    if matches!(outcome, Outcome::Answered(200) | UNHEARD) {
                        let texts = texts(&frame);
                        let places = u32::from(frame.l10.is_some())..;
                        stored.extend(places.zip(texts).map(|(index, text)| (frame.id.clone(), index, text_hash(text.as_bytes()))));
                    }
                    let verdict = machine.answered(outcome, at(0));
                    if let (Verdict::Delivered, Some(l10)) = (verdict, l10(&frame)) {
                        let lost = l10.split(' ').nth(5).unwrap().parse::<u64>().unwrap();
                        told += lost;
                        prop_assert!(last_l10.insert(frame.id.clone()));
                    }
                }
            }
            let counts = machine.counts();
            prop_assert_eq!(counts.sent, counts.acknowledged + counts.dropped + counts.waiting);
            prop_assert!(counts.maybe <= counts.dropped && told <= counts.dropped);
        }
        let counts = machine.counts();
        let in_flight = counts.waiting;
        prop_assert_eq!(counts.sent, offered as u64);
        prop_assert_eq!(counts.l10_acknowledged, last_l10.len() as u64);
        let acknowledged: BTreeSet<_> =
            machine.acknowledged().iter().map(|message| (message.frame_id.clone(), message.index, message.text_hash)).collect();
        prop_assert_eq!(acknowledged.len() as u64, counts.acknowledged);
        prop_assert!(acknowledged.is_subset(&stored));
        let stored = stored.len() as u64;
        prop_assert!(stored <= counts.acknowledged + counts.maybe + in_flight, "{} {:?}", stored, counts);
    }
}
