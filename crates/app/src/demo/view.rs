//! What `freshet demo` shows while it runs: a picture on a terminal, a line now and then elsewhere, a summary at the end.

mod keys;
mod paint;
mod panels;
mod pen;
mod plain;
mod queries;
mod screen;
mod strips;
mod summary;
#[cfg(test)]
mod tests;
mod words;

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;

pub(crate) use keys::Key;
pub(crate) use plain::plain;
pub(crate) use summary::{ReadyQuery, Summary, summary};

use keys::State;
use pen::Theme;
use screen::Screen;

/// Everything the picture shows at one moment. Whoever runs the demo fills it a few times a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Frame {
    /// Time since the demo began.
    pub(crate) elapsed: Duration,
    /// When it ends by itself, counted from its beginning; `None` when it goes on until it is stopped.
    pub(crate) ends_after: Option<Duration>,
    /// The clock of the story that is told.
    pub(crate) story_time: Timestamp,
    /// Seconds of the story in one second.
    pub(crate) speed: f64,
    /// Lines that are durable here.
    pub(crate) lines_total: u64,
    /// Lines per second, one value for each second, the oldest first; ten minutes at most.
    pub(crate) lines_per_second: Vec<f64>,
    /// Half of the frames were acknowledged within this time.
    pub(crate) ack_p50: Option<Duration>,
    /// All but a hundredth of the frames were acknowledged within this time.
    pub(crate) ack_p99: Option<Duration>,
    /// The same for each second, in milliseconds, the oldest first.
    pub(crate) ack_history_ms: Vec<f64>,
    /// The tables of the lake, in the order in which they are listed.
    pub(crate) tables: Vec<TableRow>,
    /// The error codes seen so far.
    pub(crate) codes: Vec<CodeRow>,
    /// What Heroku's drains say about themselves.
    pub(crate) drains: Drains,
    /// What waits between "received" and "in a table".
    pub(crate) spool: Spool,
    /// Age of the oldest line that is in no table yet, or of the latest commit when there is none.
    pub(crate) freshness: Option<Duration>,
    /// The latest notable lines, the oldest first: releases, scaling, crashes.
    pub(crate) latest: Vec<String>,
    /// Where the lake lies, as `--lake` wants it.
    pub(crate) lake: String,
}

/// One table of the lake.
#[derive(Clone, Debug, Default)]
pub(crate) struct TableRow {
    /// Its name.
    pub(crate) name: String,
    /// Rows that are committed.
    pub(crate) rows: u64,
    /// Rows that were committed per second, lately.
    pub(crate) rows_per_second: f64,
    /// Age of its last commit.
    pub(crate) fresh: Option<Duration>,
}

/// One of Heroku's error codes.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeRow {
    /// `H12`.
    pub(crate) code: String,
    /// Heroku's title for it.
    pub(crate) title: String,
    /// How often it came.
    pub(crate) count: u64,
    /// How often it came in each minute of the story, the oldest first. The last minute may not be over.
    pub(crate) per_minute: Vec<u64>,
}

/// Counts over all drains, taken at one moment. Heroku's own count, not ours: the point is that they agree.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Drains {
    /// Lines that were given to the drains.
    pub(crate) sent: u64,
    /// Lines that we said are durable.
    pub(crate) acknowledged: u64,
    /// Lines that wait for their turn in Logplex.
    pub(crate) waiting: u64,
    /// Lines that Logplex gave up.
    pub(crate) dropped: u64,
    /// Apps that have a drain.
    pub(crate) apps: u64,
}

impl Drains {
    /// Lines that are neither stored nor waiting nor lost. Other than zero, something is wrong with somebody's count.
    fn unaccounted(self) -> i128 {
        i128::from(self.sent) - i128::from(self.acknowledged) - i128::from(self.waiting) - i128::from(self.dropped)
    }
}

/// How full the spool is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spool {
    /// Bytes that no table has yet.
    pub(crate) waiting_bytes: u64,
    /// Bytes at which the sender is made to wait.
    pub(crate) max_bytes: u64,
    /// What it does, in a word.
    pub(crate) state: &'static str,
}

/// The picture on the terminal. The terminal is given back when this goes, however it goes.
pub(crate) struct View {
    terminal: Terminal<CrosstermBackend<io::Stderr>>,
    state: State,
    theme: Theme,
    // The last field: what restores the terminal goes after what writes to it.
    screen: Screen,
}

impl View {
    /// Takes the terminal over: standard error, because standard output is for data. `colour` says whether colours are wanted.
    ///
    /// # Errors
    /// There is no terminal, or it refuses.
    pub(crate) fn new(colour: bool) -> io::Result<Self> {
        let screen = Screen::enter()?;
        let terminal = Terminal::new(CrosstermBackend::new(io::stderr()))?;
        Ok(Self { terminal, state: State::default(), theme: Theme { colour }, screen })
    }

    /// Draws what `frame` says, or, while the picture is paused, what was said when that began.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn draw(&mut self, frame: &Frame) -> io::Result<()> {
        if self.screen.is_lost() {
            return Ok(());
        }
        self.state.see(frame);
        let (theme, state) = (self.theme, &self.state);
        self.terminal.draw(|canvas| paint::paint(frame, state, theme, canvas.buffer_mut()))?;
        Ok(())
    }

    /// What the keys pressed since the last call ask for; `None` when the view has nothing to say. Never waits.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn next_key(&mut self) -> io::Result<Option<Key>> {
        if self.screen.is_lost() {
            return Ok(Some(Key::End));
        }
        keys::pressed(&mut self.state)
    }
}
