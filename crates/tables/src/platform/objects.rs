//! Objects of the Platform API to rows: what the catalogue knows becomes columns, what it does not know is kept and told.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, Date32Builder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder};
use arrow_array::{ArrayRef, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow_schema::ArrowError;
use freshet_core::{DELETED_AT, FieldDef, FieldKind, Micros, Origin, Parent, SYNCED_AT, StreamDef};
use serde_json::{Map, Value};

use super::moment::{days, micros};
use super::secrets::redacted;
use crate::rejects::object_rejects;

/// Objects of one stream on their way to be rows.
pub struct Objects {
    stream: &'static StreamDef,
    columns: Vec<Column>,
    extra: StringBuilder,
    raw: StringBuilder,
    rows: usize,
    /// Objects without a name, as JSON.
    nameless: Vec<String>,
    drift: BTreeMap<Drift, u64>,
}

/// What objects have become.
#[derive(Clone, Debug)]
pub struct ObjectRows {
    /// Those with a name, in the stream's table.
    pub batch: RecordBatch,
    /// Those without one, in `_rejects`.
    pub rejects: Option<RecordBatch>,
    /// In which ways and how often they were not as the catalogue says.
    pub drift: BTreeMap<Drift, u64>,
}

/// One object, and what is known of it besides.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// As the API has it.
    pub object: &'a Value,
    /// The stream below whose objects it was listed, and the one it was listed below.
    pub parent: Option<(&'static str, &'a Value)>,
    /// What the request asked for, by the parameters' names.
    pub request: &'a [(&'static str, String)],
}

/// A way in which an object is not as the catalogue says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Drift {
    /// There is a field that the catalogue does not know.
    Field {
        /// Its path.
        path: String,
    },
    /// A value is of another type.
    Type {
        /// Its path.
        path: String,
        /// What it is: `string`, `number`, `boolean`, `array` or `object`; `text` for a string that is no time or date.
        found: &'static str,
    },
    /// A part of the key is missing, so the object became no row.
    Key {
        /// Its path.
        path: String,
    },
}

impl Objects {
    /// For objects of `stream`.
    #[must_use]
    pub fn new(stream: &'static StreamDef) -> Self {
        let columns = stream.fields.iter().map(|field| Column::new(field.kind)).collect();
        Self {
            stream,
            columns,
            extra: StringBuilder::new(),
            raw: StringBuilder::new(),
            rows: 0,
            nameless: Vec::new(),
            drift: BTreeMap::new(),
        }
    }

    /// Adds an object. Whatever else it holds, it becomes a row of its table if it has a name: all parts of the stream's key.
    pub fn add(&mut self, listed: Listed<'_>) {
        let object = redacted(listed.object, self.stream.secrets);
        let mut key = self.stream.key.iter().filter_map(|part| self.stream.field(part));
        if let Some(missing) = key.find(|field| !is_part(field.kind, &value_of(field, listed.object, listed))) {
            *self.drift.entry(Drift::Key { path: missing.json.to_owned() }).or_default() += 1;
            self.nameless.push(object.to_string());
            return;
        }
        let own_parent = self.stream.own_parent();
        let mut extra = Map::new();
        self.unknown(&object, &mut String::new(), &mut extra);
        for (field, column) in self.stream.fields.iter().zip(&mut self.columns) {
            let value = value_of(field, &object, listed);
            // Whatever the object says there, it hangs where it was listed, and goes when its parent does.
            let given =
                own_parent.filter(|(own, _)| own.json == field.json && !value.is_string()).and_then(|(_, parent)| above(parent, listed));
            let fits = match given {
                Some(given) => column.push(given) && value.is_null(),
                None => column.push(&value),
            };
            if !fits {
                let found = type_of(field.kind, &value);
                *self.drift.entry(Drift::Type { path: field.json.to_owned(), found }).or_default() += 1;
                extra.insert(field.json.to_owned(), value);
            }
        }
        match extra.is_empty() {
            true => self.extra.append_null(),
            false => self.extra.append_value(Value::Object(extra).to_string()),
        }
        self.raw.append_value(object.to_string());
        self.rows += 1;
    }

    /// The rows so far, as of `at`.
    ///
    /// # Errors
    /// The stream's table has not the columns that its fields make.
    pub fn finish(mut self, at: Micros) -> Result<ObjectRows, ArrowError> {
        let mut columns: BTreeMap<&str, ArrayRef> =
            self.stream.fields.iter().zip(&mut self.columns).map(|(field, column)| (field.column.name, column.finish())).collect();
        columns.insert("_extra", Arc::new(self.extra.finish()));
        columns.insert("_raw", Arc::new(self.raw.finish()));
        columns.insert(SYNCED_AT, Arc::new(TimestampMicrosecondArray::from_value(at.0, self.rows).with_timezone("UTC")));
        let schema = self.stream.table.arrow_schema();
        let column = |field: &arrow_schema::FieldRef| match columns.remove(field.name().as_str()) {
            Some(column) => Ok(column),
            None if field.name() == DELETED_AT => Ok(new_null_array(field.data_type(), self.rows)),
            None => Err(ArrowError::SchemaError(format!("nothing fills the column {} of {}", field.name(), self.stream.name))),
        };
        let arrays = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let rejects = object_rejects(self.stream.name, &self.nameless, at);
        Ok(ObjectRows { batch: RecordBatch::try_new(schema, arrays)?, rejects, drift: self.drift })
    }

    /// Finds what the catalogue does not know.
    fn unknown(&mut self, value: &Value, path: &mut String, extra: &mut Map<String, Value>) {
        let Value::Object(members) = value else { return };
        for (name, member) in members {
            let length = path.len();
            if length > 0 {
                path.push('.');
            }
            path.push_str(name);
            if self.stream.knows(path) || member.is_null() {
                // A column, or left out on purpose.
            } else if self.stream.leads_to(path) && member.is_object() {
                self.unknown(member, path, extra);
            } else {
                *self.drift.entry(Drift::Field { path: path.clone() }).or_default() += 1;
                extra.insert(path.clone(), member.clone());
            }
            path.truncate(length);
        }
    }
}

/// Whether `value` can be a part of a key: something, and of the column's own type.
fn is_part(kind: FieldKind, value: &Value) -> bool {
    !value.is_null() && Column::new(kind).push(value)
}

fn value_of(field: &FieldDef, object: &Value, listed: Listed<'_>) -> Value {
    match field.origin {
        Origin::Object => at_path(object, field.json).cloned().unwrap_or_default(),
        Origin::Parent(wanted) => above(wanted, listed).cloned().unwrap_or_default(),
        Origin::Request => {
            let given = listed.request.iter().find(|(name, _)| *name == field.json);
            given.map(|(_, value)| Value::String(value.clone())).unwrap_or_default()
        }
    }
}

/// A field of the object that this one was listed below.
fn above(wanted: Parent, listed: Listed<'_>) -> Option<&Value> {
    listed.parent.filter(|(stream, _)| *stream == wanted.stream).and_then(|(_, parent)| at_path(parent, wanted.field))
}

/// What is at a dotted path.
#[must_use]
pub fn at_path<'a>(object: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(object, |value, name| value.get(name))
}

/// Microseconds since 1970-01-01 of a moment as the API writes it.
#[must_use]
pub fn moment(text: &str) -> Option<i64> {
    micros(text)
}

fn type_of(kind: FieldKind, value: &Value) -> &'static str {
    match value {
        Value::String(_) if matches!(kind, FieldKind::Time | FieldKind::Date) => "text",
        Value::String(_) => "string",
        Value::Number(_) => "number",
        Value::Bool(_) => "boolean",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
        Value::Null => "null",
    }
}

/// A column being filled.
enum Column {
    Text(StringBuilder),
    Json(StringBuilder),
    Integer(Int64Builder),
    Number(Float64Builder),
    Boolean(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Date(Date32Builder),
}

impl Column {
    fn new(kind: FieldKind) -> Self {
        match kind {
            FieldKind::Text => Self::Text(StringBuilder::new()),
            FieldKind::Json => Self::Json(StringBuilder::new()),
            FieldKind::Integer => Self::Integer(Int64Builder::new()),
            FieldKind::Number => Self::Number(Float64Builder::new()),
            FieldKind::Boolean => Self::Boolean(BooleanBuilder::new()),
            FieldKind::Time => Self::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            FieldKind::Date => Self::Date(Date32Builder::new()),
        }
    }

    /// Adds `value`; false when it is none of this column, which then has NULL.
    fn push(&mut self, value: &Value) -> bool {
        macro_rules! push {
            ($builder:expr, $converted:expr) => {{
                let converted = $converted;
                $builder.append_option(converted);
                converted.is_some() || value.is_null()
            }};
        }
        match self {
            Self::Text(builder) => push!(builder, value.as_str()),
            Self::Json(builder) => {
                if value.is_null() {
                    builder.append_null();
                } else {
                    builder.append_value(value.to_string());
                }
                true
            }
            Self::Integer(builder) => push!(builder, value.as_i64()),
            Self::Number(builder) => push!(builder, value.as_f64()),
            Self::Boolean(builder) => push!(builder, value.as_bool()),
            Self::Time(builder) => push!(builder, value.as_str().and_then(micros)),
            Self::Date(builder) => push!(builder, value.as_str().and_then(days)),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Text(builder) | Self::Json(builder) => Arc::new(builder.finish()),
            Self::Integer(builder) => Arc::new(builder.finish()),
            Self::Number(builder) => Arc::new(builder.finish()),
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
            Self::Date(builder) => Arc::new(builder.finish()),
        }
    }
}

#[cfg(test)]
mod tests;
