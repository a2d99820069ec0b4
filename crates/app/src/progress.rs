//! How far a long piece of work has come: a bar on a terminal, a line now and then elsewhere, nothing when silence is asked.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, ProgressBar, ProgressStyle};

use crate::output::{Printer, grouped};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Shows the progress of reading `bytes`.
pub(crate) struct Progress {
    printer: Printer,
    bar: Option<ProgressBar>,
    total: Option<u64>,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Progress towards `total` bytes; `None` when nobody knows how many there are.
    #[must_use]
    pub(crate) fn new(printer: Printer, total: Option<u64>) -> Self {
        let terminal = std::io::stderr().is_terminal() && !printer.quiet && printer.is_text();
        let bar = terminal.then(|| bar(total));
        let now = Instant::now();
        Self { printer, bar, total, started: now, last_line: now }
    }

    /// Says that `bytes` were read, which held `lines`, and that `name` is being read now.
    pub(crate) fn update(&mut self, name: &str, bytes: u64, lines: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            bar.set_message(format!("{} lines  {name}", grouped(lines)));
        } else if self.last_line.elapsed() >= LINE_EVERY {
            self.last_line = Instant::now();
            let share = self
                .total
                .filter(|total| *total > 0)
                .map(|total| format!(" ({} %)", bytes.saturating_mul(100) / total))
                .unwrap_or_default();
            let rate = lines as f64 / self.started.elapsed().as_secs_f64().max(0.001);
            self.note(&format!("{name}: {} read{share}, {} lines, {} lines/s", HumanBytes(bytes), grouped(lines), grouped(rate as u64)));
        }
    }

    /// Writes a line above the bar.
    pub(crate) fn note(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.println(text),
            None => self.printer.note(text),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: Option<u64>) -> ProgressBar {
    let (bar, template) = match total {
        Some(total) => {
            (ProgressBar::new(total), "{spinner:.cyan} [{bar:30.cyan/blue}] {bytes}/{total_bytes}  {bytes_per_sec}  {eta} left  {msg}")
        }
        None => (ProgressBar::new_spinner(), "{spinner:.cyan} {bytes}  {bytes_per_sec}  {elapsed}  {msg}"),
    };
    bar.enable_steady_tick(Duration::from_millis(120));
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style.progress_chars("=> ")),
        Err(_) => bar,
    }
}
