//! What holds for any body: nothing is lost, nothing is made up, and where a body is split does not matter.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail")]

use freshet_parse::{BodyFormat, Message, Piece, cut, detect, first_record, pieces};
use proptest::prelude::*;
use proptest::sample::Index;

/// The pieces cover the body exactly, and each text stands in the body where its piece does.
fn assert_covers(format: BodyFormat, body: &[u8]) {
    let mut at = 0;
    for piece in pieces(format, body) {
        let range = piece.range();
        assert_eq!(range.start, at, "pieces leave no gap");
        assert!(range.end > range.start, "no piece is empty");
        at = range.end;
        if let Piece::Message(message) = piece {
            assert!(!message.source.is_empty());
            assert_text_is_in_body(format, &body[range], &message);
        }
    }
    assert_eq!(at, body.len(), "pieces go to the end");
}

fn assert_text_is_in_body(format: BodyFormat, bytes: &[u8], message: &Message<'_>) {
    if format != BodyFormat::JsonLines {
        let exact = message.raw.unwrap_or(&message.text);
        assert!(bytes.strip_suffix(b"\n").unwrap_or(bytes).ends_with(exact), "{message:?}");
    }
}

/// The pieces as a reader sees them that gets `step` bytes at a time and splits off what it can.
fn pieces_by_chunks(format: BodyFormat, body: &[u8], steps: &[usize]) -> Vec<Piece<'static>> {
    let (mut all, mut from, mut read) = (Vec::new(), 0, 0);
    let mut steps = steps.iter().cycle();
    while read < body.len() {
        read = body.len().min(read + steps.next().unwrap());
        let length = cut(format, &body[from..read]);
        assert!(length <= read - from);
        all.extend(pieces(format, &body[from..from + length]).map(|piece| moved(piece, from)));
        from += length;
    }
    all.extend(pieces(format, &body[from..]).map(|piece| moved(piece, from)));
    all
}

fn moved(piece: Piece<'_>, by: usize) -> Piece<'static> {
    let range = piece.range().start + by..piece.range().end + by;
    match piece {
        Piece::Message(message) => Piece::Message(Message {
            range,
            hostname: b"",
            source: message.source.into_owned().into(),
            dyno: message.dyno.into_owned().into(),
            text: message.text.into_owned().into(),
            raw: None,
            ..message
        }),
        Piece::Reject(reject) => Piece::Reject(freshet_parse::Reject { range, ..reject }),
    }
}

const TIME: &str = "2026-01-02T03:04:05.678901+00:00";

fn https_frame(text: &[u8]) -> Vec<u8> {
    framed(format!("<190>1 {TIME} host app web.1 - ").as_bytes(), text)
}

fn syslog_frame(text: &[u8]) -> Vec<u8> {
    framed(format!("<190>1 {TIME} d.11111111-2222-3333-4444-555555555555 app web.1 - - ").as_bytes(), text)
}

fn framed(head: &[u8], text: &[u8]) -> Vec<u8> {
    [format!("{} ", head.len() + text.len()).as_bytes(), head, text].concat()
}

/// Anything, with more than its share of what parsers stumble over.
fn text() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        prop::sample::select(vec![
            "x",
            "word ",
            "\n",
            "\r\n",
            "\0",
            "-",
            "- ",
            "[x] ",
            "7",
            "12 <190>1 ",
            "9 ",
            " <1>1 ",
            ">1 ",
            "\x1b[31m",
            "\x1b",
            "\"",
            "{",
            "}",
            "\\",
        ])
        .prop_map(|part| part.as_bytes().to_vec()),
        Just(https_frame(b"quoted")),
    ];
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

/// One record of any format.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let line = |head: String| text().prop_map(move |text| [head.as_bytes(), &text, b"\n"].concat());
    prop_oneof![
        text().prop_map(|text| https_frame(&text)),
        text().prop_map(|text| syslog_frame(&text)),
        line(format!("{TIME} app[web.1]: ")),
        line(format!("\x1b[36m{TIME} heroku[router]:\x1b[0m ")),
        line(format!("<190>1 {TIME} host app web.1 - ")),
        line(String::new()),
        text().prop_map(|text| {
            serde_json::to_vec(&serde_json::json!({"time": TIME, "msg": String::from_utf8_lossy(&text)}))
                .map(|json| [&json[..], b"\n"].concat())
                .unwrap()
        }),
        text(),
    ]
}

/// A body with some bytes changed, put in, left out or cut off.
fn broken_body() -> impl Strategy<Value = Vec<u8>> {
    let changes =
        prop::collection::vec((0..5_u8, any::<Index>(), prop::sample::select(b"0123456789 \n\0<>[]:-x\"{}\x1b\xff".to_vec())), 0..6);
    (prop::collection::vec(record(), 0..8), changes).prop_map(|(records, changes)| {
        let mut body = records.concat();
        for (kind, at, byte) in changes {
            let at = at.index(body.len() + 1);
            match kind {
                0 => body.insert(at, byte),
                1 if at < body.len() => body[at] = byte,
                2 if at < body.len() => drop(body.remove(at)),
                3 => drop(body.drain(at..body.len().min(at + 40))),
                4 => body.truncate(at.max(body.len() / 2)),
                _ => {}
            }
        }
        body
    })
}

fn steps() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(1..400_usize, 1..5)
}

proptest! {
    #[test]
    fn any_bytes_are_covered(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in BodyFormat::ALL {
            assert_covers(format, &body);
        }
        let _ = detect(&body);
    }

    #[test]
    fn broken_bodies_are_covered(body in broken_body(), steps in steps()) {
        for format in BodyFormat::ALL {
            assert_covers(format, &body);
            let mut at = 0;
            for piece in pieces_by_chunks(format, &body, &steps) {
                prop_assert_eq!(piece.range().start, at);
                at = piece.range().end;
            }
            prop_assert_eq!(at, body.len());
            prop_assert!(first_record(format, &body) <= body.len());
        }
        let _ = detect(&body);
    }

    #[test]
    fn chunks_of_lines_give_the_same_pieces(body in broken_body(), steps in steps()) {
        for format in [BodyFormat::Cli, BodyFormat::Syslog, BodyFormat::JsonLines] {
            let whole: Vec<_> = pieces(format, &body).map(|piece| moved(piece, 0)).collect();
            prop_assert_eq!(pieces_by_chunks(format, &body, &steps), whole);
        }
    }

    #[test]
    fn chunks_of_frames_give_the_same_pieces(texts in prop::collection::vec(text(), 0..12), steps in steps()) {
        let body: Vec<u8> = texts.iter().flat_map(|text| https_frame(text)).collect();
        let whole: Vec<_> = pieces(BodyFormat::Frames, &body).map(|piece| moved(piece, 0)).collect();
        prop_assert_eq!(pieces_by_chunks(BodyFormat::Frames, &body, &steps), whole);
    }

    #[test]
    fn frames_give_their_texts_back(messages in prop::collection::vec((any::<bool>(), text()), 1..12)) {
        let body: Vec<u8> = messages.iter().flat_map(|(https, text)| if *https { https_frame(text) } else { syslog_frame(text) }).collect();
        let mut found = pieces(BodyFormat::Frames, &body);
        for (https, text) in &messages {
            let Some(Piece::Message(message)) = found.next() else { panic!("a message for {text:?}") };
            prop_assert_eq!(message.raw.unwrap_or(&message.text), text.strip_suffix(b"\n").unwrap_or(text));
            prop_assert_eq!(message.hostname == b"host", *https);
            prop_assert_eq!((&*message.source, &*message.dyno), (&b"app"[..], &b"web.1"[..]));
            prop_assert!(!message.short);
        }
        prop_assert_eq!(found.next(), None);
        prop_assert_eq!(detect(&body), Some(BodyFormat::Frames));
    }

    #[test]
    fn a_body_cut_off_keeps_all_it_has(texts in prop::collection::vec("[a-z \n]{0,20}", 1..6), at: Index) {
        let body: Vec<u8> = texts.iter().flat_map(|text| https_frame(text.as_bytes())).collect();
        let last = body.len() - https_frame(texts[texts.len() - 1].as_bytes()).len();
        // Behind the last frame's header.
        let header = https_frame(b"").len();
        let end = last + header + at.index(body.len() + 1 - last - header);
        let found: Vec<_> = pieces(BodyFormat::Frames, &body[..end]).collect();
        prop_assert_eq!(found.len(), texts.len());
        for (n, piece) in found.iter().enumerate() {
            let Piece::Message(message) = piece else { panic!("{piece:?}") };
            prop_assert_eq!(message.short, n + 1 == texts.len() && end < body.len());
        }
    }

    #[test]
    fn one_wrong_length_spoils_no_other_frame(
        texts in prop::collection::vec("[a-z]{1,30}\n?", 3..8), victim: Index, error in prop::sample::select(vec![-20_isize, -2, -1, 1, 2, 3, 40, 900, 5_000_000]),
    ) {
        let victim = victim.index(texts.len());
        let frame = |n: usize, text: &str| {
            let frame = String::from_utf8(https_frame(text.as_bytes())).unwrap();
            let (length, rest) = frame.split_once(' ').unwrap();
            let length: usize = length.parse().unwrap();
            format!("{} {rest}", if n == victim { length.checked_add_signed(error).unwrap() } else { length })
        };
        let body: String = texts.iter().enumerate().map(|(n, text)| frame(n, text)).collect();
        let found: Vec<_> = pieces(BodyFormat::Frames, body.as_bytes())
            .filter_map(|piece| match piece {
                Piece::Message(message) => Some(String::from_utf8(message.text.into_owned()).unwrap()),
                Piece::Reject(_) => None,
            })
            .collect();
        for (n, text) in texts.iter().enumerate().filter(|(n, _)| *n != victim) {
            prop_assert!(found.contains(&text.trim_end_matches('\n').to_owned()), "{} of {:?}", n, found);
        }
    }

    #[test]
    fn cli_lines_give_their_texts_back(texts in prop::collection::vec("[^\n\r\x1b]{0,40}", 1..12), newline in prop::sample::select(vec!["\n", "\r\n"])) {
        let body: String = texts.iter().map(|text| format!("{TIME} app[web.1]: {text}{newline}")).collect();
        let found: Vec<_> = pieces(BodyFormat::Cli, body.as_bytes()).collect();
        prop_assert_eq!(found.len(), texts.len());
        for (piece, text) in found.iter().zip(&texts) {
            let Piece::Message(message) = piece else { panic!("{piece:?}") };
            prop_assert_eq!(&*message.text, text.as_bytes());
        }
        prop_assert_eq!(detect(body.as_bytes()), Some(BodyFormat::Cli));
    }
}
