//! Cutting packages: when, and what they are called.

use freshet_core::{LoadId, Package, Span, TableDef};
use freshet_tables::{SCHEMA_VERSION, TableRows};
use xxhash_rust::xxh3::Xxh3;

/// When a package is cut, whichever comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackageLimits {
    /// Memory that the rows of all tables may take, in bytes.
    pub bytes_max: usize,
    /// Rows of all tables.
    pub rows_max: usize,
    /// How long the oldest row may wait, in microseconds. Imports do not wait and ignore it.
    pub age_max_us: i64,
}

impl Default for PackageLimits {
    fn default() -> Self {
        Self { bytes_max: 64 << 20, rows_max: 1_000_000, age_max_us: 30_000_000 }
    }
}

impl PackageLimits {
    /// Whether rows of this size are enough for a package.
    #[must_use]
    pub fn reached(&self, bytes: usize, rows: usize) -> bool {
        bytes >= self.bytes_max || rows >= self.rows_max
    }
}

/// The package of `rows`, which were made from `spans`.
pub(crate) fn package(rows: TableRows, spans: Vec<Span>) -> Package {
    Package { table: rows.table, load_id: load_id(rows.table, &spans), spans, batches: vec![rows.batch], ts_range: rows.ts_range }
}

/// Hash of table, spans and schema version. Lengths separate the parts, so no two inputs read the same.
pub(crate) fn load_id(table: &TableDef, spans: &[Span]) -> LoadId {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    };
    text(table.name);
    for span in spans {
        text(span.shard.as_str());
        text(&format!("{}..{}", span.from, span.to));
    }
    hash.update(&SCHEMA_VERSION.to_le_bytes());
    LoadId(hash.digest128())
}

#[cfg(test)]
mod tests {
    use freshet_core::ShardId;

    use super::*;

    #[test]
    fn the_same_input_has_the_same_id_and_any_other_another() {
        let span = |shard: &str, from, to| Span { shard: ShardId::new(shard), from, to };
        let [logs, other] = [freshet_tables::TABLES[0], freshet_tables::TABLES[1]];
        let id = load_id(logs, &[span("a", 0, 5)]);
        assert_eq!(id, load_id(logs, &[span("a", 0, 5)]));
        let others = [load_id(other, &[span("a", 0, 5)]), load_id(logs, &[span("a", 0, 6)]), load_id(logs, &[span("a", 1, 5)])];
        assert!(others.iter().all(|other| *other != id));
    }
}
