//! Real lines, where they lie beside the repository.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test may fail, and say that it was skipped")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

use freshet_parse::{BodyFormat, Line, Piece, Router, Scratch, pieces, read_line, redact};

fn fixture(file: &str) -> Option<Vec<u8>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/heroku/fixtures").join(file);
    let body = fs::read(&path).ok();
    if body.is_none() {
        eprintln!("skipped: there is no {}", path.display());
    }
    body
}

fn kind(line: &Line<'_>) -> String {
    format!("{line:?}").split('(').next().unwrap().to_owned()
}

/// How many lines of each kind a file holds, and the texts of those that are only `App` though Heroku wrote them.
fn check_kinds(file: &str, format: BodyFormat, expected: &[(&str, usize)], unknown: &[&str]) {
    let Some(body) = fixture(file) else { return };
    let (mut kinds, mut unread) = (BTreeMap::<String, usize>::new(), Vec::new());
    let mut scratch = Scratch::default();
    for piece in pieces(format, &body) {
        let Piece::Message(message) = piece else { continue };
        let line = read_line(&message.source, &message.dyno, &message.text, &mut scratch);
        if matches!(line, Line::App) && *message.source == *b"heroku" {
            unread.push(String::from_utf8_lossy(&message.text).into_owned());
        }
        *kinds.entry(kind(&line)).or_default() += 1;
    }
    let kinds: Vec<_> = kinds.iter().map(|(kind, count)| (kind.as_str(), *count)).collect();
    assert_eq!(kinds, expected, "{file}");
    assert_eq!(unread, unknown, "{file}");
}

#[test]
fn kinds_of_real_lines() {
    check_kinds("lines/api_and_dyno_states.cli.log", BodyFormat::Cli, &[("ApiEvent", 22), ("DynoEvent", 15)], &[]);
    check_kinds("lines/postgres_blank_continuation.cli.log", BodyFormat::Cli, &[("PostgresLog", 4)], &[]);
    check_kinds(
        "lines/router_2018_2025.cli.log",
        BodyFormat::Cli,
        &[("App", 1), ("DynoEvent", 2), ("PlatformError", 1), ("Router", 9)],
        &[],
    );
    check_kinds("bodies/pganalyze_0.bin", BodyFormat::Frames, &[("PostgresMetrics", 1)], &[]);
    check_kinds("bodies/pganalyze_1.bin", BodyFormat::Frames, &[("PostgresLog", 2)], &[]);
    check_kinds("bodies/pganalyze_2.bin", BodyFormat::Frames, &[("RedisMetrics", 1)], &[]);
    check_kinds("bodies/sumologic_runtime_metrics.bin", BodyFormat::Frames, &[("DynoMetrics", 2)], &[]);
    check_kinds("bodies/issue105_l10_no_newline.bin", BodyFormat::Frames, &[("DynoEvent", 1), ("PlatformError", 1)], &[]);
    check_kinds("bodies/vector_sample.bin", BodyFormat::Frames, &[("Router", 1)], &[]);
}

#[test]
fn router_lines_lose_nothing() {
    let Some(body) = fixture("lines/router_messages.txt") else { return };
    let mut checked = 0;
    for text in body.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let mut scratch = Scratch::default();
        let Line::Router(line) = read_line(b"heroku", b"router", text, &mut scratch) else {
            panic!("no router line: {}", String::from_utf8_lossy(text))
        };
        let found = as_text(&line);
        let shown = String::from_utf8_lossy(text).replace("\\\"", "\"");
        for (key, value) in found.split('\x1f').filter_map(|pair| pair.split_once('=')) {
            assert!(
                shown.contains(&format!("{key}={value}")) || shown.contains(&format!("{key}=\"{value}\"")),
                "{key}={value} is not in {shown}"
            );
        }
        // Each key with a value must have come out.
        let keys = shown
            .split(' ')
            .filter_map(|word| word.split_once('='))
            .filter(|(_, value)| !value.is_empty() && *value != "\\n\")" && *value != "`)");
        let keys: Vec<_> = keys.filter(|(key, value)| *key != "bytes" || value.starts_with(|first: char| first.is_ascii_digit())).collect();
        for (key, _) in &keys {
            assert!(format!("\x1f{found}").contains(&format!("\x1f{key}=")), "{key} was lost of {shown}");
        }
        assert!(keys.len() >= 5, "{shown}");
        checked += 1;
    }
    assert_eq!(checked, 31);
}

/// The fields of a line, as keys and values with a separator that no line holds.
fn as_text(line: &Router<'_>) -> String {
    let texts = [
        ("at", line.at),
        ("code", line.code),
        ("desc", line.desc),
        ("cause", line.cause),
        ("method", line.method),
        ("path", line.path),
        ("host", line.host),
        ("request_id", line.request_id),
        ("fwd", line.fwd),
        ("dyno", line.dyno),
        ("protocol", line.protocol),
        ("tls_version", line.tls_version),
        ("sock", line.sock),
    ];
    let numbers = [
        ("connect", line.connect_ms.map(i64::from)),
        ("service", line.service_ms.map(i64::from)),
        ("status", line.status.map(i64::from)),
        ("bytes", line.bytes),
        ("queue", line.queue_ms.map(i64::from)),
        ("wait", line.wait_ms.map(i64::from)),
    ];
    let texts = texts.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", String::from_utf8_lossy(value?))));
    let numbers = numbers.into_iter().filter_map(|(key, value)| Some(format!("{key}={}", value?)));
    let extra = line.extra.iter().map(|(key, value)| format!("{}={}", String::from_utf8_lossy(key), String::from_utf8_lossy(value)));
    texts.chain(numbers).chain(extra).collect::<Vec<_>>().join("\x1f")
}

#[test]
fn metric_lines_have_their_samples() {
    let Some(body) = fixture("lines/metric_messages.txt") else { return };
    for text in body.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let shown = String::from_utf8_lossy(text);
        let expected = shown.matches("sample#").count() - shown.matches("sample#333").count();
        let mut scratch = Scratch::default();
        match read_line(b"heroku", b"web.1", text, &mut scratch) {
            Line::DynoMetrics(line) => {
                assert_eq!(line.samples.len(), expected, "{shown}");
                assert!(line.source.is_some(), "{shown}");
                for sample in line.samples {
                    let unit = line.slice(&sample.unit);
                    assert!(matches!(unit, b"" | b"MB" | b"kB" | b"bytes" | b"pages"), "{shown}");
                }
            }
            Line::App => assert_eq!(expected, 0, "{shown}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn state_lines_are_events() {
    let Some(body) = fixture("lines/state_messages.txt") else { return };
    for text in body.split(|byte| *byte == b'\n').filter(|text| !text.is_empty()) {
        let mut scratch = Scratch::default();
        let of_dyno = matches!(read_line(b"heroku", b"web.1", text, &mut scratch), Line::DynoEvent(_));
        let by_person = memchr::memmem::find(text, b" by ").is_some();
        assert!(
            of_dyno || by_person || text == b"Build succeeded" || text.starts_with(b"Build started"),
            "{}",
            String::from_utf8_lossy(text)
        );
    }
}

#[test]
fn postgres_lines_have_their_parts() {
    let Some(body) = fixture("lines/postgres_2022_2024.frames.log") else { return };
    let mut scratch = Scratch::default();
    let mut checked = 0;
    for line in body.split(|byte| *byte == b'\n') {
        let words: Vec<_> = line.splitn(8, |byte| *byte == b' ').collect();
        let [_, _, _, _, source, dyno, _, text] = words[..] else { continue };
        match read_line(source, dyno, text, &mut scratch) {
            Line::PostgresLog(log) => {
                assert!(
                    log.pid.is_some() && log.line.is_some() && log.tag.is_some() && log.level.is_some() && log.text.is_some(),
                    "{log:?}"
                );
                assert!(log.fields.is_empty() || log.fields.len() == 11, "{log:?}");
            }
            Line::PostgresMetrics(metrics) => assert!(metrics.addon.is_some() && metrics.samples.len() >= 18),
            Line::PgbouncerMetrics(metrics) => assert_eq!(metrics.samples.len(), 8),
            other => panic!("{other:?}"),
        }
        checked += 1;
    }
    assert_eq!(checked, 11);
}

#[test]
fn only_commands_are_redacted() {
    for file in ["lines/api_and_dyno_states.cli.log", "lines/devcenter_error_codes.cli.log", "lines/router_2018_2025.cli.log"] {
        let Some(body) = fixture(file) else { return };
        for piece in pieces(BodyFormat::Cli, &body) {
            let Piece::Message(message) = piece else { continue };
            let redacted = redact(&message.source, &message.dyno, &message.text);
            assert_eq!(redacted.map(|text| String::from_utf8_lossy(&text).into_owned()), None, "{file}");
        }
    }
}
