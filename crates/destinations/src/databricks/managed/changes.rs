//! What a merge changes in its table, as SQL: one query that compares, and one statement that does what the query found.
//!
//! Both read the same files and the same table, so the counts are those of the changes. Run again, the query finds nothing.

use freshet_core::{Complete, DELETED_AT, IS_CURRENT, Merge, MergeMode, SYNCED_AT, VALID_FROM, VALID_TO};

use super::super::{CatalogColumn, quoted};
use super::LOAD_ID;
use super::sql::{literal, moment, parquet};

/// The column of the query that says what becomes of an object.
const CHANGE: &str = "`_change`";

/// The column that is NULL where a join has found nothing.
const HERE: &str = "`_here`";

/// The column that tells a version that ends from one that begins.
const ENDS: &str = "`_ends`";

/// A merge into a table with these columns, from these files.
pub(super) struct Changes<'a> {
    pub(super) merge: &'a Merge,
    pub(super) columns: &'a [CatalogColumn],
    /// The table's name as SQL has it.
    pub(super) table: &'a str,
    /// Paths of the Parquet files; none when there are no objects.
    pub(super) files: &'a [String],
}

impl Changes<'_> {
    /// How many objects are `new`, `changed` and `gone`.
    pub(super) fn count(&self) -> String {
        format!("SELECT c.{CHANGE} AS `change`, count(*) AS `objects` FROM ({}) AS c GROUP BY c.{CHANGE}", self.query())
    }

    /// The statement that makes the changes, as long as `fence` is true.
    pub(super) fn apply(&self, fence: &str) -> String {
        let (table, query) = (self.table, self.query());
        let source = format!("SELECT c.* FROM ({query}) AS c WHERE {fence}");
        let on = self.keys("t", "s");
        let insert = |values: &str| format!("INSERT ({}) VALUES ({values})", self.list(|column| quoted(&column.name)));
        let values = self.list(|column| self.value(column));
        match &self.merge.mode {
            MergeMode::IfNew => format!("MERGE INTO {table} AS t USING ({source}) AS s ON {on} WHEN NOT MATCHED THEN {}", insert(&values)),
            MergeMode::Replace => {
                let now = moment(self.merge.at);
                let stamps = [SYNCED_AT, DELETED_AT].into_iter().filter(|name| self.has(name));
                let gone: Vec<String> = stamps.map(|name| format!("{} = {now}", quoted(name))).chain([self.load_id()]).collect();
                let gone = if self.finds_gone() {
                    format!("WHEN MATCHED AND s.{CHANGE} = 'gone' THEN UPDATE SET {} ", gone.join(", "))
                } else {
                    String::new()
                };
                let set = self.list(|column| format!("{} = {}", quoted(&column.name), self.value(column)));
                format!(
                    "MERGE INTO {table} AS t USING ({source}) AS s ON {on} {gone}WHEN MATCHED THEN UPDATE SET {set} \
                     WHEN NOT MATCHED AND s.{CHANGE} <> 'gone' THEN {}",
                    insert(&values)
                )
            }
            MergeMode::Versions { .. } => {
                let source = format!(
                    "SELECT c.*, e.{ENDS} AS {ENDS} FROM ({query}) AS c LATERAL VIEW explode(CASE WHEN c.{CHANGE} = 'new' THEN array(false) \
                     WHEN c.{CHANGE} = 'changed' THEN array(true, false) ELSE array(true) END) e AS {ENDS} WHERE {fence}"
                );
                let now = moment(self.merge.at);
                let mut set = vec![format!("{} = {now}", quoted(VALID_TO)), format!("{} = false", quoted(IS_CURRENT))];
                if self.has(DELETED_AT) {
                    let deleted = quoted(DELETED_AT);
                    set.push(format!("{deleted} = CASE WHEN s.{CHANGE} = 'gone' THEN {now} ELSE t.{deleted} END"));
                }
                format!(
                    "MERGE INTO {table} AS t USING ({source}) AS s ON s.{ENDS} AND t.{} AND {on} WHEN MATCHED THEN UPDATE SET {} \
                     WHEN NOT MATCHED AND NOT s.{ENDS} THEN {}",
                    quoted(IS_CURRENT),
                    set.join(", "),
                    insert(&values)
                )
            }
        }
    }

    /// One row for each object that is new, otherwise, or gone.
    fn query(&self) -> String {
        let (table, keys, staged) = (self.table, self.keys("t", "s"), self.staged());
        let of = |alias: &str| self.ours().map(|column| format!("{alias}.{}", quoted(&column.name))).collect::<Vec<_>>().join(", ");
        if self.merge.mode == MergeMode::IfNew {
            return format!("SELECT {}, 'new' AS {CHANGE} FROM ({staged}) AS s LEFT ANTI JOIN {table} AS t ON {keys}", of("s"));
        }
        let versions = matches!(self.merge.mode, MergeMode::Versions { .. });
        let current = if versions { format!(" AS v WHERE v.{}", quoted(IS_CURRENT)) } else { String::new() };
        let mut query = format!(
            "SELECT {}, CASE WHEN t.{HERE} IS NULL THEN 'new' ELSE 'changed' END AS {CHANGE} FROM ({staged}) AS s \
             LEFT JOIN (SELECT *, true AS {HERE} FROM {table}{current}) AS t ON {keys} WHERE t.{HERE} IS NULL OR NOT ({})",
            of("s"),
            self.same()
        );
        if self.finds_gone() {
            let mut conditions = Vec::new();
            if versions {
                conditions.push(format!("t.{}", quoted(IS_CURRENT)));
            }
            if self.has(DELETED_AT) {
                conditions.push(format!("t.{} IS NULL", quoted(DELETED_AT)));
            }
            if let Complete::Below { column, parents } = &self.merge.complete {
                let parents: Vec<String> = parents.iter().map(|parent| literal(parent)).collect();
                conditions.push(format!("t.{} IN ({})", quoted(column), parents.join(", ")));
            }
            query.push_str(&format!(
                " UNION ALL SELECT {}, 'gone' AS {CHANGE} FROM {table} AS t LEFT ANTI JOIN ({staged}) AS s ON {keys} WHERE {}",
                of("t"),
                conditions.join(" AND ")
            ));
        }
        query
    }

    /// Whether objects that are not among the rows may be gone, and the table can say so.
    fn finds_gone(&self) -> bool {
        let can_say = match self.merge.mode {
            MergeMode::Replace => self.has(DELETED_AT),
            MergeMode::Versions { .. } => true,
            MergeMode::IfNew => false,
        };
        can_say
            && match &self.merge.complete {
                Complete::No => false,
                Complete::All => true,
                Complete::Below { parents, .. } => !parents.is_empty(),
            }
    }

    /// The objects.
    fn staged(&self) -> String {
        if self.files.is_empty() {
            let nothing = self.ours().map(|column| format!("CAST(NULL AS {}) AS {}", column.type_text, quoted(&column.name)));
            return format!("SELECT {} WHERE false", nothing.collect::<Vec<_>>().join(", "));
        }
        let columns = self.ours().map(|column| quoted(&column.name)).collect::<Vec<_>>().join(", ");
        self.files.iter().map(|file| format!("SELECT {columns} FROM {}", parquet(file))).collect::<Vec<_>>().join(" UNION ALL ")
    }

    /// Whether the row `s` says of its object what the table's row `t` says.
    fn same(&self) -> String {
        let own = [SYNCED_AT, DELETED_AT, VALID_FROM, VALID_TO, IS_CURRENT, LOAD_ID];
        let ignored: &[&str] = match &self.merge.mode {
            MergeMode::Versions { ignored } => ignored,
            MergeMode::Replace | MergeMode::IfNew => &[],
        };
        let is_content = |column: &&CatalogColumn| {
            let is = |name: &&str| column.name.eq_ignore_ascii_case(name);
            !own.iter().any(is) && !ignored.iter().any(is) && !self.merge.key.iter().any(is)
        };
        let mut conditions: Vec<String> = self.columns.iter().filter(is_content).map(|column| self.equal(column)).collect();
        if self.has(DELETED_AT) {
            conditions.push(format!("t.{} IS NULL", quoted(DELETED_AT)));
        }
        if conditions.is_empty() { "true".to_owned() } else { conditions.join(" AND ") }
    }

    fn equal(&self, column: &CatalogColumn) -> String {
        let name = quoted(&column.name);
        if !self.is_ours(column) {
            return format!("t.{name} IS NULL");
        }
        if column.type_text.starts_with("map<") {
            // Maps cannot be compared, and their entries have no order.
            return format!("array_sort(map_entries(t.{name})) <=> array_sort(map_entries(s.{name}))");
        }
        format!("t.{name} <=> s.{name}")
    }

    /// What a row that is written has in `column`.
    fn value(&self, column: &CatalogColumn) -> String {
        let is = |name: &str| column.name.eq_ignore_ascii_case(name);
        let versions = matches!(self.merge.mode, MergeMode::Versions { .. });
        if is(LOAD_ID) {
            literal(&self.merge.load_id.to_string())
        } else if versions && is(VALID_FROM) {
            moment(self.merge.at)
        } else if versions && is(IS_CURRENT) {
            "true".to_owned()
        } else if self.is_ours(column) {
            format!("s.{}", quoted(&column.name))
        } else {
            "NULL".to_owned()
        }
    }

    fn load_id(&self) -> String {
        format!("{} = {}", quoted(LOAD_ID), literal(&self.merge.load_id.to_string()))
    }

    fn keys(&self, left: &str, right: &str) -> String {
        let equal = |name: &&str| format!("{left}.{0} <=> {right}.{0}", quoted(name));
        self.merge.key.iter().map(equal).collect::<Vec<_>>().join(" AND ")
    }

    fn list(&self, text: impl Fn(&CatalogColumn) -> String) -> String {
        self.columns.iter().map(text).collect::<Vec<_>>().join(", ")
    }

    /// The table's columns that objects have too.
    fn ours(&self) -> impl Iterator<Item = &CatalogColumn> {
        self.columns.iter().filter(|column| self.is_ours(column))
    }

    fn is_ours(&self, column: &CatalogColumn) -> bool {
        self.merge.table.columns.iter().any(|ours| ours.name.eq_ignore_ascii_case(&column.name))
    }

    fn has(&self, name: &str) -> bool {
        self.columns.iter().any(|column| column.name.eq_ignore_ascii_case(name))
    }
}
