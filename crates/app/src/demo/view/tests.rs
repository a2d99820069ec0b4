//! The picture as text, at the sizes that terminals have and at those that nobody has.

use std::path::PathBuf;
use std::time::Duration;

use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier};

use super::keys::{Key, State};
use super::paint::paint;
use super::pen::Theme;
use super::{CodeRow, Drains, Frame, Spool, TableRow, plain};

/// A demo of `seconds`, in which a bad release goes out after two thirds.
fn ordinary(seconds: u64) -> Frame {
    let wave = |second: u64, size: f64| size * (1.0 + 0.3 * (second as f64 / 9.0).sin() + 0.12 * (second as f64 * 1.7).sin());
    let table = |name: &str, rows, rows_per_second, fresh_ms| TableRow {
        name: name.to_owned(),
        rows,
        rows_per_second,
        fresh: Some(Duration::from_millis(fresh_ms)),
    };
    let code = |code: &str, title: &str, count, per_minute: Vec<u64>| CodeRow {
        code: code.to_owned(),
        title: title.to_owned(),
        count,
        per_minute,
    };
    Frame {
        elapsed: Duration::from_secs(seconds),
        ends_after: Some(Duration::from_secs(60)),
        story_time: "2026-11-24T14:32:10Z".parse().unwrap(),
        speed: 60.0,
        lines_total: 123_456,
        lines_per_second: (0..seconds).map(|second| wave(second, 2200.0) * (second as f64 / 4.0).min(1.0)).collect(),
        ack_p50: Some(Duration::from_micros(1_240)),
        ack_p99: Some(Duration::from_micros(8_410)),
        ack_history_ms: (0..seconds).map(|second| wave(second * 3, 7.0)).collect(),
        tables: vec![
            table("logs", 122_910, 2214.0, 1200),
            table("router_requests", 61_204, 1180.0, 1200),
            table("app_events", 30_411, 520.5, 1200),
            table("dyno_metrics", 14_220, 240.0, 1300),
            table("postgres_metrics", 2_410, 41.0, 1900),
            table("redis_metrics", 1_204, 20.3, 1900),
            table("metric_samples", 6_120, 101.0, 1300),
            table("postgres_logs", 340, 5.2, 2400),
            table("dyno_events", 288, 3.1, 4100),
            table("platform_errors", 913, 22.8, 1200),
            table("api_events", 62, 0.4, 9400),
            table("_loads", 214, 4.0, 1200),
            table("_loss", 2, 0.0, 31_000),
        ],
        codes: vec![
            code("H12", "Request timeout", 612, (0..42).map(|minute| if minute < 30 { minute % 3 } else { 4 * (minute - 28) }).collect()),
            code("R14", "Memory quota exceeded", 248, (0..42).map(|minute| minute / 4).collect()),
            code("H13", "Connection closed without response", 41, (0..42).map(|minute| u64::from(minute % 5 == 0) * 3).collect()),
            code("H27", "Client request interrupted", 9, (0..42).map(|minute| u64::from(minute % 11 == 0)).collect()),
            code("R15", "Memory quota vastly exceeded", 2, (0..42).map(|minute| u64::from(minute == 37) * 2).collect()),
            code("L10", "Drain buffer overflow", 1, (0..42).map(|minute| u64::from(minute == 20)).collect()),
        ],
        drains: Drains { sent: 123_612, acknowledged: 123_456, waiting: 56, dropped: 100, apps: 8 },
        spool: Spool { waiting_bytes: 1_310_720, max_bytes: 1 << 30, state: "taking" },
        freshness: Some(Duration::from_millis(1_400)),
        latest: [
            "14:02:11 shop      Deploy 3f2a91c by user ada@example.com",
            "14:02:12 shop      Release v42 created by user ada@example.com",
            "14:09:40 billing   Scaled to web@3:Standard-2X worker@2:Standard-1X by user lin@example.com",
            "14:21:07 shop      web.2 crashed: Process exited with status 1",
            "14:29:55 shop      Rollback to v41 by user ada@example.com",
        ]
        .map(str::to_owned)
        .to_vec(),
        lake: "./freshet-demo/lake".to_owned(),
    }
}

/// Numbers as large as they get, and more text than there is room for.
fn huge() -> Frame {
    let long = "a_table_with_a_name_that_nobody_would_ever_give_to_a_table_日本語の表 ".repeat(4);
    let mut frame = ordinary(600);
    frame.elapsed = Duration::from_secs(u64::MAX);
    frame.speed = f64::MAX;
    frame.ends_after = Some(Duration::ZERO);
    frame.lines_total = u64::MAX;
    frame.lines_per_second = vec![f64::MAX, f64::INFINITY, f64::NAN, -1.0, 1e18];
    frame.ack_history_ms = vec![f64::MAX, f64::NAN, 1e12];
    frame.ack_p99 = Some(Duration::MAX);
    frame.freshness = Some(Duration::MAX);
    frame.drains = Drains { sent: u64::MAX, acknowledged: 1, waiting: u64::MAX, dropped: u64::MAX, apps: u64::MAX };
    frame.spool = Spool { waiting_bytes: u64::MAX, max_bytes: 0, state: "holding" };
    for table in &mut frame.tables {
        *table = TableRow { name: format!("{long}{}", table.name), rows: u64::MAX, rows_per_second: f64::MAX, fresh: Some(Duration::MAX) };
    }
    for code in &mut frame.codes {
        *code = CodeRow { code: "H1234567".to_owned(), title: long.clone(), count: u64::MAX, per_minute: vec![u64::MAX; 500] };
    }
    frame.latest = vec![format!("\u{1b}[31m{long}\nnext\0"); 30];
    frame.lake = "/a folder/it's ".to_owned() + &"long/".repeat(30);
    frame
}

fn painted(frame: &Frame, state: &mut State, colour: bool, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    state.see(frame);
    terminal.draw(|canvas| paint(frame, state, Theme { colour }, canvas.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let row = |row: &[ratatui::buffer::Cell]| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_owned();
    buffer.content.chunks(usize::from(buffer.area.width)).map(row).collect::<Vec<_>>().join("\n") + "\n"
}

/// The same with its colours, for a person to look at.
fn ansi(buffer: &Buffer) -> String {
    let mut out = String::new();
    for row in buffer.content.chunks(usize::from(buffer.area.width)) {
        for cell in row {
            let colour = match cell.fg {
                Color::Red => 31,
                Color::Green => 32,
                Color::Magenta => 35,
                Color::Cyan => 36,
                _ => 39,
            };
            let weights = [(Modifier::BOLD, ";1"), (Modifier::DIM, ";2"), (Modifier::REVERSED, ";7")];
            let weight: String = weights.iter().filter(|(weight, _)| cell.modifier.contains(*weight)).map(|(_, code)| *code).collect();
            out += &format!("\x1b[0;{colour}{weight}m{}", cell.symbol());
        }
        out += "\x1b[0m\n";
    }
    out
}

/// Compares with `pictures/NAME.txt`. `FRESHET_LOOK=DIR` writes what is there into that folder instead, plain and with colours.
fn check(name: &str, frame: &Frame, size: (u16, u16)) {
    let buffer = painted(frame, &mut State::default(), true, size);
    if let Some(folder) = std::env::var_os("FRESHET_LOOK").map(PathBuf::from) {
        std::fs::write(folder.join(format!("{name}.txt")), text(&buffer)).unwrap();
        std::fs::write(folder.join(format!("{name}.ansi")), ansi(&buffer)).unwrap();
        return;
    }
    let place = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/demo/view/pictures").join(format!("{name}.txt"));
    let expected = std::fs::read_to_string(&place).unwrap_or_default();
    assert_eq!(text(&buffer), expected, "{name} differs from {}", place.display());
}

#[test]
fn pictures() {
    check("ordinary-60x20", &ordinary(42), (60, 20));
    check("ordinary-80x24", &ordinary(42), (80, 24));
    check("ordinary-120x40", &ordinary(42), (120, 40));
    check("ordinary-200x60", &ordinary(42), (200, 60));
    check("ordinary-44x50", &ordinary(42), (44, 50));
    check("empty-80x24", &Frame::default(), (80, 24));
    check("empty-120x40", &Frame::default(), (120, 40));
    check("huge-80x24", &huge(), (80, 24));
    check("huge-120x40", &huge(), (120, 40));
}

#[test]
fn no_size_breaks_it() {
    let frames = [Frame::default(), ordinary(1), ordinary(42), ordinary(600), huge()];
    let state = State::default();
    let mut frames = frames.iter().cycle();
    for width in (1..=250).filter(|width| *width < 48 || width % 9 == 0) {
        for height in (1..=80).filter(|height| *height < 30 || height % 7 == 0) {
            let mut buffer = Buffer::empty(Rect::new(0, 0, width, height));
            paint(frames.next().unwrap(), &state, Theme { colour: true }, &mut buffer);
        }
        // Another frame has the small sizes at the next width.
        frames.next();
    }
}

/// What matters most is there at every size that a person might use.
#[test]
fn nothing_important_goes() {
    for (size, words) in [
        ((20, 4), &["0:42", "end"][..]),
        ((40, 12), &["0:42", "logs", "122 910", "lost 100", "✓"]),
        ((60, 16), &["logs", "H12", "stored 123 456", "lost 100", "✓"]),
        (
            (80, 24),
            &["lines/s", "p99 8.4 ms", "router_requests", "122 910", "H12", "▲", "lost 100", "✓ adds up", "Rollback", "freshet query"],
        ),
        ((200, 60), &["_loss", "L10", "Deploy 3f2a91c", "8 apps drained"]),
    ] {
        let shown = text(&painted(&ordinary(42), &mut State::default(), true, size));
        for word in words {
            assert!(shown.contains(word), "{word:?} is missing at {size:?}:\n{shown}");
        }
    }
}

#[test]
fn without_colour_there_is_none() {
    let buffer = painted(&ordinary(42), &mut State::default(), false, (120, 40));
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let coloured = painted(&ordinary(42), &mut State::default(), true, (120, 40));
    assert_eq!(text(&buffer), text(&coloured), "a colour says something that no sign says");
    assert!(coloured.content.iter().any(|cell| cell.fg == Color::Red));
}

#[test]
fn a_count_that_is_off_is_red() {
    let mut frame = ordinary(42);
    frame.drains.sent += 1;
    let buffer = painted(&frame, &mut State::default(), true, (80, 24));
    assert!(text(&buffer).contains("✗ 1 unaccounted for"));
    let sign = buffer.content.iter().find(|cell| cell.symbol() == "✗").unwrap();
    assert_eq!(sign.fg, Color::Red);
    assert!(plain(&frame).contains(", 1 unaccounted for"));
}

#[test]
fn keys() {
    let press = |state: &mut State, code| state.press(KeyEvent::new(code, KeyModifiers::NONE));
    let row = |state: &mut State, frame: &Frame| {
        let shown = text(&painted(frame, state, true, (80, 24)));
        let chosen = shown.lines().find_map(|line| line.strip_prefix("▸ "))?;
        chosen.split(' ').next().map(str::to_owned)
    };
    let (mut state, mut frame) = (State::default(), ordinary(42));
    assert_eq!(row(&mut state, &frame).as_deref(), Some("logs"));
    assert_eq!(press(&mut state, KeyCode::Up), Some(Key::Redraw));
    assert_eq!(row(&mut state, &frame).as_deref(), Some("logs"));
    for _ in 0..2 {
        press(&mut state, KeyCode::Down);
    }
    assert_eq!(row(&mut state, &frame).as_deref(), Some("app_events"));
    assert!(text(&painted(&frame, &mut state, true, (80, 24))).contains("FROM app_events"));
    // A table that comes later does not move the choice, and one that goes gives it back to the first.
    frame.tables.insert(0, TableRow { name: "apps".to_owned(), ..TableRow::default() });
    assert_eq!(row(&mut state, &frame).as_deref(), Some("app_events"));
    for _ in 0..99 {
        press(&mut state, KeyCode::Down);
    }
    assert_eq!(row(&mut state, &frame).as_deref(), Some("_loss"));
    frame.tables.clear();
    assert_eq!(row(&mut state, &frame), None);

    for (code, modifiers, kind, expected) in [
        (KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Press, Some(Key::End)),
        (KeyCode::Char('Q'), KeyModifiers::SHIFT, KeyEventKind::Press, Some(Key::End)),
        (KeyCode::Char('c'), KeyModifiers::CONTROL, KeyEventKind::Press, Some(Key::End)),
        (KeyCode::Char('c'), KeyModifiers::NONE, KeyEventKind::Press, None),
        (KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release, None),
        (KeyCode::Esc, KeyModifiers::NONE, KeyEventKind::Press, None),
    ] {
        assert_eq!(State::default().press(KeyEvent::new_with_kind(code, modifiers, kind)), expected, "{code:?} {modifiers:?}");
    }
}

#[test]
fn a_pause_holds_the_picture() {
    let (mut state, mut frame) = (State::default(), ordinary(42));
    let size = (80, 24);
    let before = text(&painted(&frame, &mut state, true, size));
    state.press(KeyEvent::from(KeyCode::Char('p')));
    painted(&frame, &mut state, true, size);
    frame.lines_total += 1_000_000;
    let held = text(&painted(&frame, &mut state, true, size));
    assert!(held.contains(" paused "));
    assert_eq!(before.lines().skip(1).collect::<Vec<_>>(), held.lines().skip(1).collect::<Vec<_>>());
    state.press(KeyEvent::from(KeyCode::Down));
    assert!(text(&painted(&frame, &mut state, true, size)).contains("▸ router_requests"));
    state.press(KeyEvent::from(KeyCode::Char('p')));
    let after = text(&painted(&frame, &mut state, true, size));
    assert!(after.contains("1 123 456 in all") && !after.contains("paused"));
}

#[test]
fn a_line_without_a_terminal() {
    assert_eq!(
        plain(&ordinary(42)),
        "demo: 42 s, 14:32 in the story, 123 456 lines, 1 694 lines/s, ack p50 1.2 ms p99 8.4 ms, 240 298 rows in 13 tables fresh to 1.4 s; \
         sent 123 612 = stored 123 456 + waiting 56 + lost 100; H12 612, R14 248, H13 41, H27 9"
    );
    let nothing = Frame { story_time: Timestamp::UNIX_EPOCH, ..Frame::default() };
    assert_eq!(
        plain(&nothing),
        "demo: 0 s, 00:00 in the story, 0 lines, 0 lines/s, ack p50 - p99 -, 0 rows in 0 tables; \
         sent 0 = stored 0 + waiting 0 + lost 0"
    );
    assert!(!plain(&huge()).contains('\n'));
}
