//! The file as written: values by their paths, with places, and every problem that can be seen without looking further.

use std::fmt;
use std::ops::Range;

use toml_edit::{Document, Item, Table, Value};

use super::keys::{KEYS, Key, Kind};
use super::units;

/// Something wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// Line and column from 1, where the problem has a place in the file.
    pub(crate) place: Option<(usize, usize)>,
    /// What is wrong and what to do about it.
    pub(crate) message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "line {line}, column {column}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// A value that has the kind its key asks for.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Full path, with the user's own names in it.
    pub(super) path: String,
    /// The value's text; for numbers their digits. A list has any number of them.
    pub(super) texts: Vec<String>,
    pub(super) place: Option<(usize, usize)>,
}

/// Reads `source`. Problems do not stop it, so that all of them are reported at once.
pub(super) fn read(source: &str, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let document = match Document::parse(source) {
        Ok(document) => document,
        Err(error) => {
            problems.push(Problem { place: error.span().map(|span| place(source, &span)), message: error.message().trim().to_owned() });
            return Vec::new();
        }
    };
    let mut reader = Reader { source, problems, entries: Vec::new() };
    reader.table("", document.as_table());
    reader.entries
}

struct Reader<'a> {
    source: &'a str,
    problems: &'a mut Vec<Problem>,
    entries: Vec<Entry>,
}

impl Reader<'_> {
    fn table(&mut self, path: &str, table: &Table) {
        for (name, item) in table {
            let span = table.key(name).and_then(toml_edit::Key::span).or_else(|| item.span());
            let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
            match item {
                Item::Table(inner) => self.section(&path, span, |reader| reader.table(&path, inner)),
                Item::Value(Value::InlineTable(inner)) => {
                    let inner = inner.clone().into_table();
                    self.section(&path, span, |reader| reader.table(&path, &inner));
                }
                Item::Value(value) => self.value(&path, value, span),
                Item::ArrayOfTables(_) | Item::None => self.problem(span, format!("`{path}` cannot be a list of tables")),
            }
        }
    }

    fn section(&mut self, path: &str, span: Option<Range<usize>>, inside: impl FnOnce(&mut Self)) {
        if KEYS.iter().any(|key| matches_section(key.path, path)) {
            inside(self);
        } else {
            let sections: Vec<&str> = KEYS.iter().filter_map(|key| key.path.rsplit_once('.')).map(|(section, _)| section).collect();
            self.unknown("section", path, span, &sections);
        }
    }

    fn value(&mut self, path: &str, value: &Value, span: Option<Range<usize>>) {
        let Some(key) = KEYS.iter().find(|key| matches(key.path, path)) else {
            let keys: Vec<&str> = KEYS.iter().map(|key| key.path).collect();
            return self.unknown("key", path, span, &keys);
        };
        let texts = match (key.kind, value) {
            (Kind::Count, Value::Integer(number)) => Some(vec![number.value().to_string()]),
            (Kind::List, Value::Array(list)) => list.iter().map(|item| item.as_str().map(str::to_owned)).collect(),
            (Kind::Count | Kind::List, _) => None,
            (_, Value::String(text)) => Some(vec![text.value().clone()]),
            _ => None,
        };
        let Some(texts) = texts else { return self.problem(span, format!("`{path}` must be {}", key.kind.example())) };
        match texts.iter().find(|text| !fits(key, text)) {
            None => {
                let place = span.as_ref().map(|span| place(self.source, span));
                self.entries.push(Entry { path: path.to_owned(), texts, place });
            }
            Some(text) if key.kind == Kind::List => {
                self.problem(span, format!("`{path}` holds {text:?}, but must be {}", key.kind.example()));
            }
            Some(text) => self.problem(span, format!("`{path}` is {text:?}, but must be {}", key.kind.example())),
        }
    }

    fn unknown(&mut self, what: &str, path: &str, span: Option<Range<usize>>, known: &[&str]) {
        let nearest = known.iter().map(|known| (strsim::jaro_winkler(known, path), known)).max_by(|a, b| a.0.total_cmp(&b.0));
        let hint = match nearest {
            Some((likeness, known)) if likeness > 0.8 => format!("; did you mean `{known}`?"),
            _ => "; `freshet schema` prints all there are".to_owned(),
        };
        self.problem(span, format!("unknown {what} `{path}`{hint}"));
    }

    fn problem(&mut self, span: Option<Range<usize>>, message: String) {
        self.problems.push(Problem { place: span.map(|span| place(self.source, &span)), message });
    }
}

fn fits(key: &Key, text: &str) -> bool {
    match key.kind {
        Kind::Text | Kind::Secret => !text.is_empty(),
        Kind::Duration => units::duration(text).is_some(),
        Kind::Bytes => units::bytes(text).is_some(),
        Kind::Count => text.parse::<u32>().is_ok_and(|number| number > 0),
        Kind::List => {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'*')
        }
    }
}

/// Whether a path fits a pattern in which `*` stands for any one name.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let (mut pattern, mut path) = (pattern.split('.'), path.split('.'));
    loop {
        match (pattern.next(), path.next()) {
            (None, None) => return true,
            // The last name may hold dots, as those of Hadoop's own configuration do.
            (Some("*"), Some(_)) if pattern.clone().next().is_none() => return true,
            (Some(expected), Some(name)) if expected == "*" || expected == name => {}
            _ => return false,
        }
    }
}

fn matches_section(pattern: &str, path: &str) -> bool {
    let depth = path.split('.').count();
    let sections: Vec<&str> = pattern.split('.').collect();
    sections.len() > depth && matches(&sections[..depth].join("."), path)
}

fn place(source: &str, span: &Range<usize>) -> (usize, usize) {
    let before = source.get(..span.start).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}
