use proptest::collection::vec;
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

use super::*;

fn line(at: &str, text: &[u8]) -> Line {
    let text = Bytes::copy_from_slice(text);
    Line { at: at.parse().unwrap(), app: "shop".into(), priority: 190, source: "app", process: "web.1".into(), text }
}

/// Reads `LEN SP MSG` by the book, and knows nothing of how they were written.
fn read(mut body: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !body.is_empty() {
        let blank = body.iter().position(|byte| *byte == b' ').unwrap();
        let length: usize = std::str::from_utf8(&body[..blank]).unwrap().parse().unwrap();
        let (message, rest) = body[blank + 1..].split_at(length);
        messages.push(message);
        body = rest;
    }
    messages
}

fn check(messages: &[Message], expected: &str) {
    let framed: Vec<u8> = messages.iter().flat_map(|message| message.framed.clone()).collect();
    assert_eq!(String::from_utf8_lossy(&framed), expected);
}

/// The expected bytes were captured from Heroku's own drain code.
#[test]
fn messages_are_written_as_logplex_writes_them() {
    let https = Form::Https;
    let syslog = Form::Syslog { token: "d.11111111-2222-3333-4444-555555555555".into() };
    check(
        &Message::of_line(&line("2026-11-22T10:01:00.000010Z", b"seq=10"), &https),
        "64 <190>1 2026-11-22T10:01:00.000010+00:00 host app web.1 - seq=10\n",
    );
    check(
        &Message::of_line(&line("2026-11-22T10:04:45.000001Z", b"seq=1"), &syslog),
        "99 <190>1 2026-11-22T10:04:45.000001+00:00 d.11111111-2222-3333-4444-555555555555 app web.1 - - seq=1\n",
    );
    check(
        &Message::of_line(&line("2026-01-02T03:04:05.678901Z", b""), &https),
        "58 <190>1 2026-01-02T03:04:05.678901+00:00 host app web.1 - \n",
    );
    let then = "2026-11-22T10:05:49.999Z".parse().unwrap();
    check(
        &[Message::l10(&https, 1, then, then)],
        "142 <172>1 2026-11-22T10:05:49+00:00 host heroku logplex - Error L10 (output buffer overflow): 1 messages dropped since 2026-11-22T10:05:49+00:00.",
    );
}

#[test]
fn long_lines_are_cut_where_logplex_cuts_them() {
    let sizes = |bytes: usize| {
        let messages = Message::of_line(&line("2026-11-22T10:01:00Z", &vec![b'x'; bytes]), &Form::Https);
        messages.iter().map(|message| (message.text.len(), message.framed.ends_with(b"\n"))).collect::<Vec<_>>()
    };
    assert_eq!(sizes(9_999), [(9_999, true)]);
    assert_eq!(sizes(10_000), [(10_000, true)]);
    assert_eq!(sizes(10_001), [(10_000, false), (1, true)]);
    assert_eq!(sizes(30_000), [(10_000, false), (10_000, false), (10_000, true)]);
    // As in a real body: `10057` before a first piece.
    let first = &Message::of_line(&line("2015-03-04T21:26:10.123456Z", &[b'x'; 15_000]), &Form::Https)[0];
    assert!(first.framed.starts_with(b"10057 <190>1 2015-"), "{:?}", &first.framed[..20]);
    // A cut goes through a character.
    let text = format!("{}äöü", "x".repeat(9_999));
    let messages = Message::of_line(&line("2026-11-22T10:01:00Z", text.as_bytes()), &Form::Https);
    assert!(std::str::from_utf8(&messages[0].text).is_err());
}

proptest! {
    #[test]
    fn pieces_join_to_the_line(text in vec(any::<u8>(), 0..200), repeats in 1_usize..400, is_syslog in any::<bool>()) {
        let text = text.repeat(repeats);
        let form = if is_syslog { Form::Syslog { token: "d.1".into() } } else { Form::Https };
        let messages = Message::of_line(&line("2026-11-22T10:01:00.5Z", &text), &form);
        let body: Vec<u8> = messages.iter().flat_map(|message| message.framed.clone()).collect();
        let head: &[u8] = match form {
            Form::Https => b"<190>1 2026-11-22T10:01:00.500000+00:00 host app web.1 - ",
            Form::Syslog { .. } => b"<190>1 2026-11-22T10:01:00.500000+00:00 d.1 app web.1 - - ",
        };
        let read = read(&body);
        prop_assert_eq!(read.len(), messages.len());
        let mut joined = Vec::new();
        for (message, written) in read.iter().zip(&messages) {
            let text = message.strip_prefix(head).unwrap();
            prop_assert!(text.starts_with(&written.text) && written.text.len() <= PIECE_BYTES_MAX);
            joined.extend_from_slice(text);
        }
        prop_assert_eq!(joined.strip_suffix(b"\n").unwrap(), &text[..]);
    }
}
