//! What keys do to the picture.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{Frame, TableRow};

/// What the keys ask of whoever runs the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// End the demo.
    End,
    /// Draw at once: what is shown has changed.
    Redraw,
}

/// What is remembered between two pictures.
#[derive(Debug, Default)]
pub(super) struct State {
    /// The table that was chosen, by its name, since tables come and go; none at first.
    chosen: Option<String>,
    /// Steps to go from there at the next picture: only a picture knows which tables there are.
    steps: isize,
    paused: bool,
    /// The picture that stands still.
    held: Option<Box<Frame>>,
}

impl State {
    /// Takes note of the latest frame. Call it before each picture.
    pub(super) fn see(&mut self, frame: &Frame) {
        if !self.paused {
            self.held = None;
        } else if self.held.is_none() {
            self.held = Some(Box::new(frame.clone()));
        }
        let tables = &self.held.as_deref().unwrap_or(frame).tables;
        if self.steps != 0 && !tables.is_empty() {
            let place = self.selected(tables).saturating_add_signed(self.steps).min(tables.len() - 1);
            self.chosen = Some(tables[place].name.clone());
        }
        self.steps = 0;
    }

    /// What to draw now that `frame` is the latest.
    pub(super) fn shown<'a>(&'a self, frame: &'a Frame) -> &'a Frame {
        self.held.as_deref().unwrap_or(frame)
    }

    /// The place of the chosen table among `tables`; the first when that one is not there.
    pub(super) fn selected(&self, tables: &[TableRow]) -> usize {
        tables.iter().position(|table| self.chosen.as_ref() == Some(&table.name)).unwrap_or_default()
    }

    /// Whether the picture stands still.
    pub(super) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Does what a key asks.
    pub(super) fn press(&mut self, key: KeyEvent) -> Option<Key> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        match key.code {
            KeyCode::Char('c' | 'C') if key.modifiers.contains(KeyModifiers::CONTROL) => return Some(Key::End),
            KeyCode::Char('q' | 'Q') => return Some(Key::End),
            KeyCode::Char('p' | 'P' | ' ') => self.paused = !self.paused,
            KeyCode::Up => self.steps -= 1,
            KeyCode::Down => self.steps += 1,
            _ => return None,
        }
        Some(Key::Redraw)
    }
}

/// Takes what has been pressed since the last time, without waiting.
///
/// # Errors
/// The terminal is gone.
pub(super) fn pressed(state: &mut State) -> io::Result<Option<Key>> {
    let mut asked = None;
    while event::poll(Duration::ZERO)? {
        match event::read()? {
            Event::Key(key) => match state.press(key) {
                Some(Key::End) => return Ok(Some(Key::End)),
                Some(Key::Redraw) => asked = Some(Key::Redraw),
                None => {}
            },
            Event::Resize(..) => asked = Some(Key::Redraw),
            _ => {}
        }
    }
    Ok(asked)
}
