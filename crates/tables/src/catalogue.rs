//! The list of tables.

use freshet_core::TableDef;

use crate::table::Table;

/// Names every table once: its module and the type of its rows. `logs` is first; where two tables hold a message, the
/// one named earlier gives `logs.kind`.
macro_rules! tables {
    ($($module:ident::$rows:ident,)*) => {
        /// How many tables log lines fill.
        pub(crate) const COUNT: usize = [$(stringify!($module)),*].len();

        /// Every table that log lines fill, in the order of [`crate::Rows`], and `_loads`.
        pub static TABLES: [&TableDef; COUNT + 1] = [$(&crate::$module::TABLE,)* crate::LOADS];

        /// Empty rows of every table, in the order of [`TABLES`].
        pub(crate) fn empty() -> [Box<dyn Table>; COUNT] {
            [$(Box::new(crate::$module::$rows::default()),)*]
        }
    };
}

tables! {
    logs::Logs,
    router_requests::RouterRequests,
    dyno_metrics::DynoMetrics,
    postgres_metrics::PostgresMetrics,
    redis_metrics::RedisMetrics,
    pgbouncer_metrics::PgbouncerMetrics,
    metric_samples::MetricSamples,
    postgres_logs::PostgresLogs,
    dyno_events::DynoEvents,
    platform_errors::PlatformErrors,
    api_events::ApiEvents,
    app_events::AppEvents,
    rejects::Rejects,
    loss::LossRows,
}

/// What runs over the Platform API say about themselves.
pub static SYNC_TABLES: [&TableDef; 2] = [crate::RUNS, crate::DRIFT];

/// The table called `name`, those of the Platform API included.
#[must_use]
pub fn find(name: &str) -> Option<&'static TableDef> {
    all().find(|table| table.name == name)
}

fn all() -> impl Iterator<Item = &'static TableDef> {
    TABLES.into_iter().chain(SYNC_TABLES).chain(crate::platform::tables())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_columns_follow_the_rules_that_every_reader_needs() {
        for table in all() {
            assert_eq!(find(table.name), Some(table));
            assert!(table.name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{}", table.name);
            assert!(!table.comment.is_empty());
            for (index, column) in table.columns.iter().enumerate() {
                assert!(column.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{}", column.name);
                assert!(!column.comment.is_empty(), "{}.{} needs a comment", table.name, column.name);
                assert!(table.columns[..index].iter().all(|earlier| earlier.name != column.name), "{}.{} twice", table.name, column.name);
            }
        }
    }
}
