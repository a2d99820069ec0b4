//! Real bodies, where they lie beside the repository.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may fail, and say that it was skipped")]

use std::path::PathBuf;
use std::{env, fs};

use freshet_parse::{BodyFormat, Message, Piece, Reject, RejectReason, detect, pieces};

fn fixtures() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/heroku/fixtures");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: there is no {}", folder.display());
    None
}

fn split(format: BodyFormat, body: &[u8]) -> (Vec<Message<'_>>, Vec<Reject>) {
    let (mut messages, mut rejects) = (Vec::new(), Vec::new());
    for piece in pieces(format, body) {
        match piece {
            Piece::Message(message) => messages.push(message),
            Piece::Reject(reject) => rejects.push(reject),
        }
    }
    (messages, rejects)
}

#[test]
fn frames_are_as_many_as_the_index_says() {
    let Some(folder) = fixtures() else { return };
    let index = fs::read_to_string(folder.join("INDEX.tsv")).unwrap();
    let mut checked = 0;
    for (file, parsed) in index.lines().filter_map(|line| {
        let mut columns = line.split('\t');
        Some((columns.next()?, columns.nth(3)?.strip_prefix("octet-frames=")?))
    }) {
        let (frames, ending) = parsed.split_once(';').unwrap();
        let mut frames: usize = frames.parse().unwrap();
        let body = fs::read(folder.join(file)).unwrap();
        let (messages, rejects) = split(BodyFormat::Frames, &body);
        let is_short = ending.starts_with("short");
        // The index counts frames up to the first wrong length; that body goes on behind it.
        frames += usize::from(is_short || file == "bodies/bjeanes_sample.bin");
        assert_eq!(messages.len(), frames, "{file}: {rejects:?}");
        assert_eq!(messages.iter().filter(|message| message.short).count(), usize::from(is_short), "{file}");
        let reasons: Vec<_> = rejects.iter().map(|reject| reject.reason).collect();
        let expected: &[RejectReason] = match file {
            _ if file.starts_with("captured/") && file.ends_with(".http") => &[RejectReason::Framing],
            "bodies/vector_malformed.bin" => &[RejectReason::Framing],
            "bodies/bjeanes_sample.bin" => &[RejectReason::Blank, RejectReason::Blank],
            "bodies/goodeggs_split.bin" => &[RejectReason::Blank],
            _ => &[],
        };
        assert_eq!(reasons, expected, "{file}");
        if frames > 0 {
            assert_eq!(detect(&body), Some(BodyFormat::Frames), "{file}");
        }
        checked += 1;
    }
    assert!(checked >= 25, "only {checked} bodies in the index");
}

#[test]
fn command_line_logs_are_read_to_the_last_line() {
    let Some(folder) = fixtures() else { return };
    let check = |file: &str, messages_expected: usize, rejects_expected: usize| {
        let body = fs::read(folder.join("lines").join(file)).unwrap();
        let (messages, rejects) = split(BodyFormat::Cli, &body);
        let rejected: Vec<_> = rejects.iter().map(|reject| String::from_utf8_lossy(&body[reject.range.clone()])).collect();
        assert_eq!((messages.len(), rejects.len()), (messages_expected, rejects_expected), "{file}: {rejected:?}");
        assert_eq!(detect(&body), Some(BodyFormat::Cli), "{file}");
    };
    check("api_and_dyno_states.cli.log", 37, 0);
    // Two examples of syslog lines without PRI, and one without a time.
    check("devcenter_error_codes.cli.log", 81, 3);
    check("postgres_blank_continuation.cli.log", 4, 0);
    check("router_2018_2025.cli.log", 13, 0);
    check("cli_lines.txt", 95, 0);
}

#[test]
fn syslog_drains_have_their_token_and_no_structured_data() {
    let Some(folder) = fixtures() else { return };
    let body = fs::read(folder.join("captured/cap_tcpsyslog.bin")).unwrap();
    for (n, message) in split(BodyFormat::Frames, &body).0.iter().enumerate() {
        assert_eq!(message.hostname, b"d.11111111-2222-3333-4444-555555555555");
        assert_eq!(*message.text, *format!("seq={}", n + 1).as_bytes());
    }
}
