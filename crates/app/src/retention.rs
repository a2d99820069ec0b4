//! Which rows have an age, and by what.

use freshet_core::TableKind;

/// By what rows of a table grow old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// By the date that names their folder.
    Folders,
    /// By the time in this column.
    Column(&'static str),
    /// They do not, for this reason.
    None(&'static str),
}

/// By what rows of the table called `name` grow old.
#[must_use]
pub(crate) fn age_of(name: &str) -> Age {
    let Some(table) = freshet_tables::find(name) else { return Age::None("Freshet did not make the table") };
    match (table.partition_column(), table.kind, name) {
        (Some(_), ..) => Age::Folders,
        (None, _, "_loss") => Age::Column("ts"),
        (None, _, "_loads") => Age::Column("committed_at"),
        (None, TableKind::Platform, _) => {
            Age::None("it holds objects of the Platform API, which are kept current and would come back with the next sync")
        }
        (None, ..) => Age::None("Freshet reads it to know what it has synced"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_lines_grow_old_and_tables_of_objects_do_not() {
        for table in ["logs", "router_requests", "_rejects"] {
            assert_eq!(age_of(table), Age::Folders, "{table}");
        }
        assert_eq!(age_of("_loss"), Age::Column("ts"));
        for table in ["apps", "webhook_events", "_runs", "_drift", "theirs"] {
            assert!(matches!(age_of(table), Age::None(_)), "{table}");
        }
        for (table, column) in [("_loss", "ts"), ("_loads", "committed_at")] {
            assert!(freshet_tables::find(table).unwrap().columns.iter().any(|known| known.name == column), "{table}");
        }
    }
}
