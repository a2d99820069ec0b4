//! What a stream is: a collection of Heroku's Platform API, how it is read, and how its objects become rows.
//!
//! A *path* into an object is dotted: `owner.id` is the `id` of the object's `owner`. Where it meets an array it goes into
//! each element: `buildpacks.url` is the `url` of every buildpack.

use crate::{ColumnDef, ColumnType, TableDef};

/// A stream of the catalogue.
#[derive(Debug, PartialEq, Eq)]
pub struct StreamDef {
    /// Lower-case name, also its table's.
    pub name: &'static str,
    /// What one row is.
    pub about: &'static str,
    /// The [`FieldDef::json`] of the fields that together name an object. Never empty.
    pub key: &'static [&'static str],
    /// Where its objects are read, never nowhere. Together the lists see as much as the token may; an object that several show comes
    /// from the first of them.
    pub lists: &'static [ListDef],
    /// How it is kept current.
    pub read: Read,
    /// How often it is worth asking.
    pub every: Every,
    /// Whether it only answers to `Accept: application/vnd.heroku+json; version=3.sdk`.
    pub sdk: bool,
    /// Whether old objects leave the list without having been deleted: then missing from a complete list says nothing.
    pub forgets: bool,
    /// The fields, in the order of the columns.
    pub fields: &'static [FieldDef],
    /// The [`FieldDef::json`] of the fields whose change alone makes no new version in the history.
    pub volatile: &'static [&'static str],
    /// What must not reach a table, neither a column nor `_extra` nor `_raw`.
    pub secrets: &'static [SecretDef],
    /// Paths that are known and no columns on purpose: they are in `_raw`, and neither in `_extra` nor drift.
    pub left_out: &'static [LeftOut],
    /// The table: the columns of the fields, then `_synced_at`, `_deleted_at`, `_extra` and `_raw`.
    pub table: &'static TableDef,
    /// The table of all versions, if they are kept: the same columns, then `valid_from`, `valid_to` and `is_current`.
    pub history: Option<&'static TableDef>,
}

/// One place where objects of a stream are listed.
#[derive(Debug, PartialEq, Eq)]
pub struct ListDef {
    /// The path, with at most one placeholder: `/apps/{app}/releases`.
    pub path: &'static str,
    /// What fills the placeholder.
    pub parent: Option<Parent>,
    /// What Heroku's schema calls the objects: `team-app`.
    pub resource: &'static str,
    /// Whether the answer is a list.
    pub shape: Shape,
    /// The attributes that its pages may be ordered by, the preferred first; empty when none is known. What counts is the answer's
    /// `Accept-Ranges`.
    pub ranges: &'static [&'static str],
    /// The [`FieldDef::json`] of the fields that objects of this list never carry: their absence says nothing about them.
    pub lacks: &'static [&'static str],
}

/// Which objects a list hangs below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parent {
    /// The stream of those objects.
    pub stream: &'static str,
    /// The [`FieldDef::json`] of the field that fills the placeholder.
    pub field: &'static str,
}

/// What a list answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An array of objects, in pages.
    Many,
    /// One object; 404 when there is none.
    One,
}

/// How a stream is kept current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it, compared with what is known.
    Full,
    /// Only what is new, in lists whose pages can be ordered by `range`; all of the others. What was deleted shows when all is read.
    Since {
        /// The [`FieldDef::json`] of the field whose highest value is the bookmark.
        field: &'static str,
        /// The attribute of the pages that goes with it.
        range: &'static str,
        /// What is read again, because it may still change.
        trailing: Trailing,
    },
    /// A span of time that is asked for and ends now. What lies before it stays as it is.
    Window {
        /// In what the span is counted.
        unit: Unit,
        /// How many of them are read again each time, the running one included.
        trailing: u32,
        /// How many of them the first run reads.
        first: u32,
        /// How the span is asked for.
        ask: Ask,
    },
    /// One request for each day, by the parameter `day`. What lies before stays as it is.
    Days {
        /// How many days are read again each time, today included.
        trailing: u32,
        /// How many days the first run reads.
        first: u32,
    },
}

/// How much before the bookmark is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trailing {
    /// So many steps of a field that counts, such as a version.
    Objects(u32),
    /// So many hours of a field that is a time.
    Hours(u32),
}

/// What a window is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Days, asked for as `2026-01-31`.
    Days,
    /// Calendar months, asked for as `2026-01`.
    Months,
}

/// How a window is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// One request: `start` and `end` are the first and the last unit.
    StartEnd,
    /// One request for each unit: `start` is its first day as `2026-01-01`, `duration` is `P1M` or `P1D`.
    StartDuration,
}

/// How often a stream is worth asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Every {
    /// In every run.
    Often,
    /// Once a day: reference data, and what changes rarely and costs a request for each app.
    Daily,
}

/// A field and its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldDef {
    /// Path of the value in the object; no two fields of a stream share it. Where [`FieldDef::origin`] is not the object, the name of the column.
    pub json: &'static str,
    /// Where the value comes from.
    pub origin: Origin,
    /// What the value has to be. `null` is always allowed.
    pub kind: FieldKind,
    /// The column. Not nullable where the field is part of the key.
    pub column: ColumnDef,
}

/// Where the value of a field comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The object itself, at [`FieldDef::json`].
    Object,
    /// A field of the parent below which the object was listed; NULL for objects of lists below other parents.
    Parent(Parent),
    /// A parameter of the request, which has the field's name.
    Request,
}

/// What a value of the API has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A string.
    Text,
    /// A number without a fraction.
    Integer,
    /// Any number.
    Number,
    /// `true` or `false`.
    Boolean,
    /// A string that is a moment by RFC 3339.
    Time,
    /// A string that is a day: `2026-01-31`.
    Date,
    /// An array or an object, kept as the JSON it is.
    Json,
}

/// Something that must not reach a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecretDef {
    /// Where it is. The rule holds for every text at this path and below.
    pub path: &'static str,
    /// What is done about it.
    pub rule: SecretRule,
}

/// What is done about a secret. Where several rules reach a text, all of them are applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretRule {
    /// The value is taken out, whatever it is. It is never a column.
    Remove,
    /// Of an address only scheme, host and port stay: user, path and query may each hold a secret.
    Host,
    /// In an address the user's part and the query's values are replaced; other text stays.
    Address,
    /// In a command what looks like a secret is replaced, as in the lines of the log.
    Command,
}

/// Something that is left out, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What. Of an object's path also all below it that is no field.
    pub what: &'static str,
    /// Why.
    pub reason: &'static str,
}

impl StreamDef {
    /// The field called `json`.
    #[must_use]
    pub fn field(&self, json: &str) -> Option<&'static FieldDef> {
        self.fields.iter().find(|field| field.json == json)
    }

    /// The field in which objects say themselves below which parent they are, where there is one list and one kind of parents.
    #[must_use]
    pub fn own_parent(&self) -> Option<(&'static FieldDef, Parent)> {
        let [list] = self.lists else { return None };
        let (parent, placeholder) = (list.parent?, list.placeholder()?.trim_matches(['{', '}']));
        Some((self.field(&format!("{placeholder}.{}", parent.field))?, parent))
    }

    /// Whether `json` is a field whose change alone makes no new version.
    #[must_use]
    pub fn is_volatile(&self, json: &str) -> bool {
        self.volatile.contains(&json)
    }

    /// Whether `path` is known: a field, taken out, left out, or below one of them. What is neither known nor leads to something known
    /// is drift.
    #[must_use]
    pub fn knows(&self, path: &str) -> bool {
        self.known_paths().any(|known| is_within(path, known))
    }

    /// Whether something known lies below `path`: `owner` leads to `owner.id`.
    #[must_use]
    pub fn leads_to(&self, path: &str) -> bool {
        self.known_paths().any(|known| known != path && is_within(known, path))
    }

    fn known_paths(&self) -> impl Iterator<Item = &'static str> {
        let fields = self.fields.iter().filter(|field| field.origin == Origin::Object).map(|field| field.json);
        let removed = self.secrets.iter().filter(|secret| secret.rule == SecretRule::Remove).map(|secret| secret.path);
        fields.chain(removed).chain(self.left_out.iter().map(|left_out| left_out.what))
    }
}

/// Whether `path` is `above` or lies below it.
fn is_within(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

impl ListDef {
    /// The placeholder with its braces: `{app}`.
    #[must_use]
    pub fn placeholder(&self) -> Option<&'static str> {
        let start = self.path.find('{')?;
        let end = self.path[start..].find('}')?;
        Some(&self.path[start..=start + end])
    }
}

impl FieldKind {
    /// The type of the column.
    #[must_use]
    pub fn column_type(self) -> ColumnType {
        match self {
            Self::Text | Self::Json => ColumnType::Text,
            Self::Integer => ColumnType::Long,
            Self::Number => ColumnType::Double,
            Self::Boolean => ColumnType::Boolean,
            Self::Time => ColumnType::Timestamp,
            Self::Date => ColumnType::Date,
        }
    }
}
