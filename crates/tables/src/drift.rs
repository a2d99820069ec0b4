//! `_drift`: ways in which Heroku's objects were not as the catalogue says, and since when.

use arrow_array::RecordBatch;
use freshet_core::{Micros, TableDef};

use crate::platform::Drift;
use crate::table::table;

table! {
    system table TABLE as DriftRows, "_drift", "A way in which objects were not as the catalogue of streams says" {
        stream: Text(required), "Which stream";
        path: Text(required), "Path of the value in its object";
        kind: Text(required), "field: the catalogue does not know it; type: its value is of another type; key: it is missing, and the object is in _rejects";
        found: Text(required), "What the value was: string, number, boolean, array, object, or text for a string that is no time; empty for the other kinds";
        first_seen_at: Timestamp(required), "When it was first seen";
    }
}

/// The definition of `_drift`.
pub static DRIFT: &TableDef = &TABLE;

/// The columns that name a row of `_drift`.
pub const DRIFT_KEY: [&str; 4] = ["stream", "path", "kind", "found"];

/// Rows of `_drift`, seen `at`. `None` when there are none.
#[must_use]
pub fn drift_rows<'a>(seen: impl IntoIterator<Item = (&'a str, &'a Drift)>, at: Micros) -> Option<RecordBatch> {
    let mut rows = DriftRows::default();
    for (stream, drift) in seen {
        let (path, kind, found) = match drift {
            Drift::Field { path } => (path, "field", ""),
            Drift::Type { path, found } => (path, "type", *found),
            Drift::Key { path } => (path, "key", ""),
        };
        rows.stream.push(stream.as_bytes());
        rows.path.push(path.as_bytes());
        rows.kind.push(kind.as_bytes());
        rows.found.push(found.as_bytes());
        rows.first_seen_at.push(Some(at));
    }
    rows.take_batch()
}
