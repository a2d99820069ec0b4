//! Views that come with every lake. Their texts are the files in `docs/sql`, for other engines too.

/// A view: its name and the query behind it.
pub(crate) struct View {
    pub(crate) name: &'static str,
    /// A whole `CREATE VIEW … AS SELECT …`.
    file: &'static str,
}

/// Every view. To add one, add a file and a line, below those that it names.
pub(crate) static VIEWS: [View; 3] = [
    View { name: "router_requests_enriched", file: include_str!("../../../docs/sql/router_requests_enriched.sql") },
    View { name: "latency_by_release", file: include_str!("../../../docs/sql/latency_by_release.sql") },
    View { name: "error_budget", file: include_str!("../../../docs/sql/error_budget.sql") },
];

/// The views that `sql` may name, and those behind them, in the order in which they can be planned.
pub(crate) fn named_in(sql: &str) -> Vec<&'static View> {
    let mut text = sql.to_ascii_lowercase();
    let mut named = Vec::new();
    for view in VIEWS.iter().rev() {
        if text.contains(view.name) {
            text.push_str(view.query());
            named.push(view);
        }
    }
    named.reverse();
    named
}

impl View {
    /// The query behind it.
    pub(crate) fn query(&self) -> &'static str {
        self.file.split_once(" AS\n").map_or("", |(_, query)| query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_comes_after_those_it_names() {
        for (index, view) in VIEWS.iter().enumerate() {
            for later in &VIEWS[index + 1..] {
                assert!(!view.query().contains(later.name), "{} names {}", view.name, later.name);
            }
        }
        let named: Vec<_> = named_in("SELECT * FROM Latency_By_Release").iter().map(|view| view.name).collect();
        assert_eq!(named, ["router_requests_enriched", "latency_by_release"]);
        assert!(named_in("SELECT * FROM logs").is_empty());
    }

    #[test]
    fn a_file_is_a_view_of_its_name() {
        for view in &VIEWS {
            assert!(view.file.contains(&format!("\nCREATE VIEW {} AS\n", view.name)), "{}", view.name);
            assert!(view.query().starts_with("WITH ") || view.query().starts_with("SELECT\n"), "{}", view.query());
        }
    }
}
