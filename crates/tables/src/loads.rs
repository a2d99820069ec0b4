//! `_loads`: one row per commit.

use arrow_array::RecordBatch;
use freshet_core::{Committed, Micros, TableDef};

use crate::table::table;

table! {
    system table TABLE as Loads, "_loads", "One commit of one table" {
        table_name: Text(required), "Which table";
        load_id: Text(required), "Hash of the table, what was loaded and the schema version";
        rows: Long(required), "Rows added";
        files: Long(required), "Files added";
        bytes: Long(required), "Bytes in those files";
        first_ts: Timestamp, "Earliest time among the rows";
        last_ts: Timestamp, "Latest time among the rows";
        committed_at: Timestamp(required), "When";
        version: Long(required), "Version of the table that the commit made";
    }
}

/// The definition of `_loads`, which is filled from commits and not from log lines.
pub static LOADS: &TableDef = &TABLE;

/// Rows of `_loads` for `commits` of `table`. `None` when there are none.
#[must_use]
pub fn load_rows<'a>(commits: impl IntoIterator<Item = (&'a str, &'a Committed)>) -> Option<RecordBatch> {
    let mut rows = Loads::default();
    for (table, commit) in commits {
        rows.table_name.push(table.as_bytes());
        rows.load_id.push(commit.load_id.as_bytes());
        rows.rows.push(Some(commit.rows));
        rows.files.push(Some(commit.files));
        rows.bytes.push(Some(commit.bytes));
        rows.first_ts.push(commit.ts_range.map(|(first, _): (Micros, Micros)| first));
        rows.last_ts.push(commit.ts_range.map(|(_, last)| last));
        rows.committed_at.push(Some(commit.committed_at));
        rows.version.push(Some(commit.version));
    }
    rows.take_batch()
}
