//! Views that come with every lake. Their texts are the files in `docs/sql`, for other engines too.

/// A view: its name and the query behind it.
pub(crate) struct View {
    pub(crate) name: &'static str,
    /// A whole `CREATE VIEW … AS SELECT …`.
    file: &'static str,
}

/// Every view. To add one, add a file and a line.
pub(crate) static VIEWS: [View; 1] =
    [View { name: "router_requests_enriched", file: include_str!("../../../docs/sql/router_requests_enriched.sql") }];

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
    fn a_file_is_a_view_of_its_name() {
        for view in &VIEWS {
            assert!(view.file.contains(&format!("\nCREATE VIEW {} AS\n", view.name)), "{}", view.name);
            assert!(view.query().starts_with("WITH ") || view.query().starts_with("SELECT "), "{}", view.query());
        }
    }
}
