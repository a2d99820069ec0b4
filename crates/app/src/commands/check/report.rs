//! What was found, for people as it is found, for programs as one document at the end.

use std::io::IsTerminal as _;
use std::time::Duration;

use comfy_table::Table;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::finding::{Finding, State};
use crate::config::Problem;
use crate::exit::Exit;
use crate::output::{Paint, Printer, counted};

/// Columns before what a probe found: its mark and its name.
const INDENT: usize = 20;

/// Text is not broken into lines shorter than this.
const WIDTH_MIN: usize = 30;

/// The report while it grows.
pub(super) struct Report {
    printer: Printer,
    spinner: Option<ProgressBar>,
    /// Columns of the terminal; nothing where lines may be as long as they like.
    width: Option<usize>,
    file: String,
    problems: Vec<Value>,
    probes: Vec<Value>,
    failures: Vec<Exit>,
    warnings: u64,
}

impl Report {
    /// Begins with what is wrong with the configuration `file`.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(super) fn begin(printer: Printer, file: String, problems: &[Problem]) -> anyhow::Result<Self> {
        let shown = printer.is_text() && !printer.quiet && std::io::stderr().is_terminal();
        let mut report = Self {
            printer,
            spinner: shown.then(spinner),
            width: Table::new().width().map(usize::from),
            file,
            problems: problems.iter().map(as_json).collect(),
            probes: Vec::new(),
            failures: Vec::new(),
            warnings: 0,
        };
        report.failures.extend(problems.iter().map(|_| Exit::BadConfig));
        if report.printer.is_text() {
            report.line(&report.printer.painted(Paint::Bold, "Configuration"))?;
            if problems.is_empty() {
                report.finding(&Finding::good("file", format!("{}: nothing wrong", report.file)))?;
            }
            for problem in problems {
                let place = problem.place.map_or_else(String::new, |(line, column)| format!("{line}:{column}"));
                report.words(Paint::Red, "✗", &place, &format!("{}: {}", report.file, problem.message))?;
            }
        }
        Ok(report)
    }

    /// Shows on a terminal that `title` is being probed.
    pub(super) fn waiting_for(&self, title: &'static str) {
        if let Some(spinner) = &self.spinner {
            spinner.set_message(format!("trying: {title}"));
        }
    }

    /// Adds what was found.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(super) fn section(&mut self, title: &str, findings: Vec<Finding>) -> anyhow::Result<()> {
        if self.printer.is_text() {
            self.line(&format!("\n{}", self.printer.painted(Paint::Bold, title)))?;
        }
        for finding in findings {
            match finding.state {
                State::Good | State::Skipped => {}
                State::Warning => self.warnings += 1,
                State::Failed(exit) => self.failures.push(exit),
            }
            self.probes.push(finding.as_json(title));
            if self.printer.is_text() {
                self.finding(&finding)?;
            }
        }
        Ok(())
    }

    /// Ends with a summary, or the document. Returns the exit code: a wrong configuration before a missing permission
    /// before anything else, for that is the order in which they have to be mended.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(super) fn end(self, offline: bool) -> anyhow::Result<Exit> {
        if let Some(spinner) = &self.spinner {
            spinner.finish_and_clear();
        }
        let order = [Exit::BadConfig, Exit::NotPermitted, Exit::Failed];
        let exit = order.into_iter().find(|exit| self.failures.contains(exit)).unwrap_or(Exit::Ok);
        let failures = self.failures.len() as u64;
        if !self.printer.is_text() {
            self.printer.json(&json!({
                "config": { "file": self.file, "problems": self.problems },
                "probes": self.probes, "failures": failures, "warnings": self.warnings, "exit_code": exit as u8,
            }))?;
            return Ok(exit);
        }
        let warnings = counted(self.warnings, "warning");
        let summary = match (failures, self.warnings) {
            (0, 0) if offline => self.printer.painted(Paint::Green, "Nothing wrong; nothing was tried (--offline)."),
            (0, 0) => self.printer.painted(Paint::Green, "All well. Next:  freshet run"),
            (0, _) => self.printer.painted(Paint::Yellow, &format!("It will work, with {warnings}.")),
            _ if !self.problems.is_empty() => {
                let problems = counted(failures, "problem");
                self.printer.painted(Paint::Red, &format!("{problems} in the configuration. Nothing else was tried yet."))
            }
            (_, 0) => self.printer.painted(Paint::Red, &format!("{}.", counted(failures, "failure"))),
            _ => self.printer.painted(Paint::Red, &format!("{} and {warnings}.", counted(failures, "failure"))),
        };
        self.line(&format!("\n{summary}"))?;
        Ok(exit)
    }

    fn finding(&self, finding: &Finding) -> anyhow::Result<()> {
        let (paint, mark) = match finding.state {
            State::Good => (Paint::Green, "✓"),
            State::Warning => (Paint::Yellow, "!"),
            State::Failed(_) => (Paint::Red, "✗"),
            State::Skipped => (Paint::Dim, "-"),
        };
        self.words(paint, mark, finding.name, &finding.found)?;
        for fix in finding.fix.iter().flat_map(|fix| fix.lines()) {
            self.words(Paint::Cyan, "", "", fix)?;
        }
        Ok(())
    }

    /// A mark, a name, and text that keeps to its column.
    fn words(&self, paint: Paint, mark: &str, name: &str, text: &str) -> anyhow::Result<()> {
        let width = self.width.map(|width| width.saturating_sub(INDENT).max(WIDTH_MIN));
        for (index, line) in wrapped(text, width).iter().enumerate() {
            let head = if index == 0 { format!("  {:1} {name:<16}", mark) } else { " ".repeat(INDENT) };
            // A fix is coloured as a whole, anything else by its mark.
            let shown = match (mark, index) {
                ("", _) => format!("{head}{}", self.printer.painted(paint, line.trim_end())),
                (_, 0) => format!("  {} {name:<16}{line}", self.printer.painted(paint, mark)),
                _ => format!("{head}{line}"),
            };
            self.line(shown.trim_end())?;
        }
        Ok(())
    }

    fn line(&self, text: &str) -> anyhow::Result<()> {
        match &self.spinner {
            Some(spinner) => spinner.suspend(|| self.printer.line(text)),
            None => self.printer.line(text),
        }
    }
}

fn as_json(problem: &Problem) -> Value {
    let (line, column) = problem.place.unzip();
    json!({ "line": line, "column": column, "message": problem.message })
}

fn spinner() -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {msg}") {
        spinner.set_style(style);
    }
    spinner.set_message("trying");
    spinner.enable_steady_tick(Duration::from_millis(120));
    spinner
}

/// `text` in lines of at most `width` characters, broken between words. A longer word stays whole, and so does what follows two
/// spaces: a command, which is there to be copied.
fn wrapped(text: &str, width: Option<usize>) -> Vec<String> {
    let Some(width) = width else { return vec![text.to_owned()] };
    let mut lines = vec![String::new()];
    let mut taken = 0;
    let (words, command) = text.split_once("  ").map_or((text, None), |(words, command)| (words, Some(format!("  {command}"))));
    for word in words.split_inclusive(' ').chain(command.as_deref()) {
        let length = word.trim_end().chars().count();
        let is_over = taken > 0 && taken + length > width;
        if is_over {
            lines.push(String::new());
            taken = 0;
        }
        let word = if is_over { word.trim_start() } else { word };
        if let Some(line) = lines.last_mut() {
            line.push_str(word);
        }
        taken += word.chars().count();
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_between_words() {
        fn check(text: &str, width: usize, expected: &[&str]) {
            let lines = wrapped(text, Some(width));
            assert_eq!(lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>(), expected, "{text} in {width}");
        }
        check("one two three", 20, &["one two three"]);
        check("one two three", 8, &["one two", "three"]);
        check("one two three", 7, &["one two", "three"]);
        check("a-very-long-word and more", 8, &["a-very-long-word", "and more"]);
        check("", 8, &[""]);
        check("make one:  export A=$(b c)", 40, &["make one:  export A=$(b c)"]);
        check("make one:  export A=$(b c)", 20, &["make one:", "export A=$(b c)"]);
        check("make one:  export A=$(b c) | d", 10, &["make one:", "export A=$(b c) | d"]);
        check("ü ü ü ü", 3, &["ü ü", "ü ü"]);
        assert_eq!(wrapped("one two", None), ["one two"]);
    }
}
