//! Tables of the file, with the place of each entry, so that a mistake is named where it is.

use std::fmt;
use std::ops::Range;

use toml_edit::{Document, Item, TableLike};

/// A mistake in the file of streams.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CatalogueError {
    /// Line in the file, from 1.
    line: usize,
    /// The stream, empty outside of one.
    stream: String,
    /// The entry or field, empty for the stream as a whole.
    entry: String,
    /// What is wrong, and what it should be.
    problem: String,
}

impl fmt::Display for CatalogueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, stream, entry, problem } = self;
        write!(f, "streams.toml line {line}: {stream}{}{entry}: {problem}", if entry.is_empty() { "" } else { " " })
    }
}

impl std::error::Error for CatalogueError {}

/// Parses the whole file.
pub(super) fn parse(source: &str) -> Result<Document<&str>, CatalogueError> {
    Document::parse(source).map_err(|error| CatalogueError {
        line: line_of(source, error.span()),
        stream: "the file".to_owned(),
        entry: String::new(),
        problem: error.message().trim().to_owned(),
    })
}

/// A table of the file: `[apps]`, `[apps.fields]` or one in braces.
#[derive(Clone)]
pub(super) struct Section<'a> {
    source: &'a str,
    stream: &'a str,
    table: &'a dyn TableLike,
    span: Option<Range<usize>>,
}

impl<'a> Section<'a> {
    /// The file as a whole.
    pub(super) fn root(document: &'a Document<&'a str>) -> Self {
        Self { source: document.raw(), stream: "", table: document.as_table(), span: None }
    }

    /// The table called `name`, whose mistakes are those of the stream of that name.
    pub(super) fn stream(&self, name: &'a str) -> Result<Self, CatalogueError> {
        self.section(name)?.map(|section| Self { stream: name, ..section }).ok_or_else(|| self.error(name, "is not there"))
    }

    /// The names of the entries, in order.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.table.iter().map(|(name, _)| name)
    }

    /// A mistake at the entry `name`.
    pub(super) fn error(&self, name: &str, problem: impl Into<String>) -> CatalogueError {
        let of_key = self.table.key(name).and_then(toml_edit::Key::span);
        let span = of_key.or_else(|| self.table.get(name)?.span()).or_else(|| self.span.clone());
        CatalogueError { line: line_of(self.source, span), stream: self.stream.to_owned(), entry: name.to_owned(), problem: problem.into() }
    }

    /// Refuses entries with other names than `known`.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), CatalogueError> {
        match self.names().find(|name| !known.contains(name)) {
            Some(name) => Err(self.error(name, format!("is not one of {}", known.join(", ")))),
            None => Ok(()),
        }
    }

    /// The text `name`, which has to be there.
    pub(super) fn text(&self, name: &str) -> Result<&'a str, CatalogueError> {
        self.text_if_any(name)?.ok_or_else(|| self.error(name, "is missing"))
    }

    /// The text `name`, if it is there.
    pub(super) fn text_if_any(&self, name: &str) -> Result<Option<&'a str>, CatalogueError> {
        self.value(name, "a text", Item::as_str)
    }

    /// Whether `name` is set to true.
    pub(super) fn flag(&self, name: &str) -> Result<bool, CatalogueError> {
        Ok(self.value(name, "true or false", Item::as_bool)?.unwrap_or(false))
    }

    /// The whole number `name`.
    pub(super) fn count(&self, name: &str) -> Result<u32, CatalogueError> {
        let count = self.value(name, "a whole number", |item| u32::try_from(item.as_integer()?).ok())?;
        count.ok_or_else(|| self.error(name, "is missing"))
    }

    /// The texts of the list `name`; none if it is not there.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<&'a str>, CatalogueError> {
        let texts =
            self.value(name, "a list of texts", |item| item.as_array()?.iter().map(|value| value.as_str()).collect::<Option<Vec<_>>>());
        Ok(texts?.unwrap_or_default())
    }

    /// The table `name`, if it is there.
    pub(super) fn section(&self, name: &str) -> Result<Option<Self>, CatalogueError> {
        let section = |item: &'a Item| Some(Self { table: item.as_table_like()?, span: item.span(), ..self.clone() });
        self.value(name, "a table", section)
    }

    /// The tables of the list `name`.
    pub(super) fn sections(&self, name: &str) -> Result<Vec<Self>, CatalogueError> {
        let section = |value: &'a toml_edit::Value| Some(Self { table: value.as_inline_table()?, span: value.span(), ..self.clone() });
        let sections = self.value(name, "a list of tables", |item| item.as_array()?.iter().map(section).collect::<Option<Vec<_>>>());
        sections?.ok_or_else(|| self.error(name, "is missing"))
    }

    fn value<T>(&self, name: &str, wanted: &str, get: impl FnOnce(&'a Item) -> Option<T>) -> Result<Option<T>, CatalogueError> {
        let Some(item) = self.table.get(name) else { return Ok(None) };
        get(item).map(Some).ok_or_else(|| self.error(name, format!("has to be {wanted}")))
    }
}

fn line_of(source: &str, span: Option<Range<usize>>) -> usize {
    let start = span.map_or(0, |span| span.start.min(source.len()));
    source.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1
}
