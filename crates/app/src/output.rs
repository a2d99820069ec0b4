//! What people and programs are shown: standard output is data, standard error is everything else.

use std::io::{self, IsTerminal, Write};

use anyhow::Context as _;
use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table, presets};
use serde_json::Value;
use std::sync::Arc;

use crate::cli::{Global, Output};

/// Longest text of one cell in a table; the rest is cut.
const CELL_CHARS_MAX: usize = 120;

/// Prints results in the form that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    /// The form.
    pub(crate) output: Output,
    /// Whether to say only what was asked for.
    pub(crate) quiet: bool,
    colour: bool,
}

/// How a piece of text looks on a terminal with colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Paint {
    /// A heading.
    Bold,
    /// What matters less.
    Dim,
    /// All is well.
    Green,
    /// Think about it.
    Yellow,
    /// It does not work.
    Red,
    /// What to do.
    Cyan,
}

/// A column of a table for people.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    title: &'static str,
    right: bool,
}

/// Text to the left.
#[must_use]
pub(crate) fn left(title: &'static str) -> Column {
    Column { title, right: false }
}

/// Numbers to the right.
#[must_use]
pub(crate) fn right(title: &'static str) -> Column {
    Column { title, right: true }
}

impl Printer {
    /// A printer as the flags and the terminal want it.
    #[must_use]
    pub(crate) fn new(global: &Global) -> Self {
        Self { output: global.output, quiet: global.quiet, colour: !global.is_plain() && io::stdout().is_terminal() }
    }

    /// Whether people read the result.
    #[must_use]
    pub(crate) fn is_text(&self) -> bool {
        self.output == Output::Text
    }

    /// Writes `text` and a newline to standard output.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(crate) fn line(&self, text: &str) -> anyhow::Result<()> {
        write_out(|out| writeln!(out, "{text}"))
    }

    /// Writes `bytes` as they are to standard output.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
        write_out(|out| out.write_all(bytes))
    }

    /// Whether standard output shows colours.
    #[must_use]
    pub(crate) fn is_coloured(&self) -> bool {
        self.colour
    }

    /// `text` in the look of `paint`, where standard output shows colours.
    #[must_use]
    pub(crate) fn painted(&self, paint: Paint, text: &str) -> String {
        let code = match paint {
            Paint::Bold => 1,
            Paint::Dim => 2,
            Paint::Red => 31,
            Paint::Green => 32,
            Paint::Yellow => 33,
            Paint::Cyan => 36,
        };
        if self.colour && !text.is_empty() { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    /// Writes a note for people to standard error, unless they want silence.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            // A closed standard error leaves nobody to tell.
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// Writes one JSON document.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(crate) fn json(&self, value: &Value) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(value).context("the result is no JSON")?;
        self.line(&text)
    }

    /// Writes a table for people.
    ///
    /// # Errors
    /// Standard output is gone.
    pub(crate) fn table(&self, columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> anyhow::Result<()> {
        let mut table = self.frame();
        table.set_header(columns.iter().map(|column| self.title(column.title)));
        for row in rows {
            table.add_row(row.iter().map(|text| Cell::new(shown(text))));
        }
        for (index, column) in columns.iter().enumerate() {
            if let Some(column) = table.column_mut(index).filter(|_| column.right) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.line(&table.to_string())
    }

    /// Writes the rows of a query as a table for people, `limit` at most (0: all). Returns how many there were.
    ///
    /// # Errors
    /// Standard output is gone, or a value cannot be shown.
    pub(crate) fn batches(&self, schema: &SchemaRef, batches: &[RecordBatch]) -> anyhow::Result<()> {
        let mut table = self.frame();
        table.set_header(schema.fields().iter().map(|field| self.title(field.name())));
        for batch in batches {
            let columns = formatters(batch)?;
            for row in 0..batch.num_rows() {
                let cell = |column: &ArrayFormatter<'_>| Cell::new(shown(&people_time(&column.value(row).to_string())));
                table.add_row(columns.iter().map(cell));
            }
        }
        for (index, field) in schema.fields().iter().enumerate() {
            if let Some(column) = table.column_mut(index).filter(|_| field.data_type().is_numeric()) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        self.line(&table.to_string())
    }

    /// Writes rows as one JSON object per line, or as CSV; `first` asks for the CSV header.
    ///
    /// # Errors
    /// Standard output is gone, or a value cannot be written.
    pub(crate) fn rows(&self, batch: &RecordBatch, first: bool) -> anyhow::Result<()> {
        if self.output == Output::Csv {
            let flat = flat(batch)?;
            return write_out(|out| {
                let mut writer = arrow_csv::WriterBuilder::new().with_header(first).build(out);
                writer.write(&flat).map_err(io::Error::other)
            });
        }
        write_out(|out| {
            let mut writer = arrow_json::WriterBuilder::new().with_explicit_nulls(true).build::<_, arrow_json::writer::LineDelimited>(out);
            writer.write(batch).map_err(io::Error::other)?;
            writer.finish().map_err(io::Error::other)
        })
    }

    fn frame(&self) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_BORDERS_ONLY).set_content_arrangement(ContentArrangement::Dynamic);
        if !io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table
    }

    fn title(&self, text: &str) -> Cell {
        let cell = Cell::new(text);
        if self.colour { cell.fg(Color::Cyan) } else { cell }
    }
}

fn write_out(write: impl FnOnce(&mut io::StdoutLock<'static>) -> io::Result<()>) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match write(&mut out).and_then(|()| out.flush()) {
        // The reader of a pipe has seen enough; that is no failure of ours.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        written => written.context("standard output cannot be written"),
    }
}

fn formatters(batch: &RecordBatch) -> anyhow::Result<Vec<ArrayFormatter<'_>>> {
    const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_display_error(true);
    batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &OPTIONS).context("a column cannot be shown")).collect()
}

/// CSV has no lists and maps: they become their text.
fn flat(batch: &RecordBatch) -> anyhow::Result<RecordBatch> {
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for ((field, column), formatter) in batch.schema().fields().iter().zip(batch.columns()).zip(formatters(batch)?) {
        if matches!(
            field.data_type(),
            DataType::List(_) | DataType::Map(..) | DataType::Struct(_) | DataType::Binary | DataType::BinaryView
        ) {
            let text: StringArray =
                (0..batch.num_rows()).map(|row| column.is_valid(row).then(|| formatter.value(row).to_string())).collect();
            fields.push(Field::new(field.name(), DataType::Utf8, true));
            columns.push(Arc::new(text));
        } else {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).context("rows cannot be written as CSV")
}

/// One line, and not longer than a terminal can bear.
fn shown(text: &str) -> String {
    let line: String = text.chars().take(CELL_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().count() > CELL_CHARS_MAX { format!("{line}...") } else { line }
}

/// `2026-11-20T10:00:00.5Z` reads better as `2026-11-20 10:00:00.5`.
fn people_time(text: &str) -> String {
    let bytes = text.as_bytes();
    let is_time = bytes.len() >= 20 && bytes[4] == b'-' && bytes[10] == b'T' && bytes[13] == b':' && bytes.ends_with(b"Z");
    if is_time { text.trim_end_matches('Z').replacen('T', " ", 1) } else { text.to_owned() }
}

/// `1 234 567`: a number for people, in groups of three.
#[must_use]
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// `1 file`, `2 files`.
#[must_use]
pub(crate) fn counted(number: u64, thing: &str) -> String {
    format!("{} {thing}{}", grouped(number), if number == 1 { "" } else { "s" })
}

/// As a shell takes it for one word.
#[must_use]
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '_' | '-' | ':' | '+' | '=' | '@' | '%');
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_cells() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1 234 567");
        assert_eq!(counted(1, "row"), "1 row");
        assert_eq!(counted(2_000, "row"), "2 000 rows");
        assert_eq!(shown("a\nb\u{1b}[31m"), "a b [31m");
        assert_eq!(people_time("2026-11-20T10:00:00.500Z"), "2026-11-20 10:00:00.500");
        assert_eq!(people_time("not a time at all, Z"), "not a time at all, Z");
    }
}
