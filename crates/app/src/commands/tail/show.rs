//! Lines on the terminal, in the colours of the Heroku CLI.

use std::io::{self, IsTerminal as _};

use freshet_parse::{BodyFormat, Piece};
use serde_json::json;

use crate::output::Printer;

/// The colours of process types, in the order in which these appear.
const COLOURS: [&str; 10] = ["33", "32", "36", "35", "34", "1;32", "1;36", "1;35", "1;33", "1;34"];

/// Process types that have a colour of their own; more of them share.
const TYPES_MAX: usize = 1_000;

/// Shows lines.
pub(super) struct Show {
    printer: Printer,
    app: String,
    look: Look,
}

/// How a line looks.
struct Look {
    /// Whether escape sequences would act, instead of being data.
    is_terminal: bool,
    is_coloured: bool,
    /// Process types, in the order in which they appeared.
    types: Vec<Vec<u8>>,
}

impl Show {
    pub(super) fn new(printer: Printer, app: &str) -> Self {
        let look = Look { is_terminal: io::stdout().is_terminal(), is_coloured: printer.is_coloured(), types: Vec::new() };
        Self { printer, app: app.to_owned(), look }
    }

    /// # Errors
    /// Standard output is gone.
    pub(super) fn lines(&mut self, lines: &[freshet_sources::session::SessionLine]) -> anyhow::Result<()> {
        let mut out = Vec::new();
        for line in lines {
            if self.printer.is_text() {
                self.look.line(&line.text, &mut out);
            } else {
                out.extend(as_json(&self.app, &line.text).to_string().bytes());
            }
            out.push(b'\n');
        }
        self.printer.bytes(&out)
    }
}

/// The line and its parts; a line that has none is a message of an unknown time.
fn as_json(app: &str, text: &[u8]) -> serde_json::Value {
    let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (head, rest) = text.split_at(text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len()));
    match freshet_parse::pieces(BodyFormat::Cli, head).next() {
        Some(Piece::Message(message)) => json!({
            "ts": crate::when::rfc3339(freshet_core::Micros(message.ts_us)), "app": app, "source": words(&message.source),
            "dyno": words(&message.dyno), "message": words(&message.text) + &words(rest),
        }),
        _ => json!({ "ts": null, "app": app, "source": null, "dyno": null, "message": words(text) }),
    }
}

impl Look {
    /// Writes `text` as it is to be seen. Where nobody sees it, it stays as it is.
    fn line(&mut self, text: &[u8], out: &mut Vec<u8>) {
        if !self.is_terminal {
            return out.extend(text);
        }
        let head = head_end(text).filter(|_| self.is_coloured);
        let (head, body) = text.split_at(head.unwrap_or(0));
        if !head.is_empty() {
            out.extend(format!("\u{1b}[{}m", self.colour(head)).bytes());
            harmless(head, false, out);
            out.extend(b"\x1b[0m");
        }
        if harmless(body, self.is_coloured, out) {
            // A colour that the line does not end would go on in the next one.
            out.extend(b"\x1b[0m");
        }
    }

    /// The colour of the process type in `TIME SOURCE[TYPE.N]:`.
    fn colour(&mut self, head: &[u8]) -> &'static str {
        let dyno = head.iter().position(|byte| *byte == b'[').map_or(head, |at| &head[at + 1..]);
        let end = dyno.iter().position(|byte| matches!(byte, b'.' | b']')).unwrap_or(dyno.len());
        let process = &dyno[..end];
        let index = self.types.iter().position(|known| known == process).unwrap_or_else(|| {
            if self.types.len() < TYPES_MAX {
                self.types.push(process.to_vec());
            }
            self.types.len() - 1
        });
        COLOURS[index % COLOURS.len()]
    }
}

/// Where `TIME SOURCE[DYNO]:` ends.
fn head_end(line: &[u8]) -> Option<usize> {
    let end = line.windows(2).position(|pair| pair == b"]:")? + 2;
    line[..end].contains(&b'[').then_some(end)
}

/// Writes `text` without what would move the cursor or worse: a log is written by whoever sends requests. Colours stay where they are
/// wanted; says whether there were any.
fn harmless(text: &[u8], is_coloured: bool, out: &mut Vec<u8>) -> bool {
    let (mut at, mut has_colours) = (0, false);
    while let Some(byte) = text.get(at) {
        if let Some(end) = sequence_end(&text[at..]) {
            if is_coloured && text[at + end - 1] == b'm' {
                out.extend(&text[at..at + end]);
                has_colours = true;
            }
            at += end;
            continue;
        }
        if !byte.is_ascii_control() || matches!(byte, b'\t' | b'\n') {
            out.push(*byte);
        }
        at += 1;
    }
    has_colours
}

/// The length of the control sequence (`ESC [ … letter`) that `text` begins with.
fn sequence_end(text: &[u8]) -> Option<usize> {
    let rest = text.strip_prefix(b"\x1b[")?;
    let parameters = rest.iter().take_while(|byte| matches!(byte, 0x20..=0x3f)).count();
    matches!(rest.get(parameters), Some(0x40..=0x7e)).then_some(parameters + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "2026-11-20T10:00:00.000000+00:00 app[web.1]:";

    fn look(is_terminal: bool, is_coloured: bool) -> Look {
        Look { is_terminal, is_coloured, types: Vec::new() }
    }

    fn shown(look: &mut Look, text: &str) -> String {
        let mut out = Vec::new();
        look.line(text.as_bytes(), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_type_keeps_its_colour() {
        let mut look = look(true, true);
        assert_eq!(shown(&mut look, &format!("{HEAD} hello")), format!("\x1b[33m{HEAD}\x1b[0m hello"));
        let worker = HEAD.replace("web.1", "worker.1");
        assert_eq!(shown(&mut look, &worker), format!("\x1b[32m{worker}\x1b[0m"));
        let second = HEAD.replace("web.1", "web.2");
        assert_eq!(shown(&mut look, &second), format!("\x1b[33m{second}\x1b[0m"));
    }

    #[test]
    fn a_terminal_is_not_harmed_and_a_file_gets_all() {
        let line = format!("{HEAD} \x1b[31mred\x1b[2J\x1b]0;title\x07 \x08é\ttab");
        assert_eq!(shown(&mut look(true, true), &line), format!("\x1b[33m{HEAD}\x1b[0m \x1b[31mred]0;title é\ttab\x1b[0m"));
        assert_eq!(shown(&mut look(true, false), &line), format!("{HEAD} red]0;title é\ttab"));
        assert_eq!(shown(&mut look(false, false), &line), line);
        assert_eq!(shown(&mut look(true, true), "no head"), "no head");
    }

    #[test]
    fn lines_have_parts() {
        let line = as_json("shop", format!("{HEAD} two\nlines").as_bytes());
        assert_eq!((&line["source"], &line["dyno"], &line["message"]), (&"app".into(), &"web.1".into(), &"two\nlines".into()));
        assert_eq!(line["ts"], "2026-11-20T10:00:00Z");
        assert_eq!(as_json("shop", b"what?")["message"], "what?");
    }
}
