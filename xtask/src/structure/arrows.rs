//! The arrows between our crates, and the one crate behind which each heavy library stays.

use serde_json::Value;

/// Which of our crates each may depend on. A new arrow is a decision: it is made here, in a change of its own.
const ARROWS: [(&str, &[&str]); 11] = [
    ("freshet-core", &[]),
    ("freshet-parse", &[]),
    ("freshet-spool", &["freshet-core"]),
    ("freshet-sources", &["freshet-core", "freshet-web"]),
    ("freshet-tables", &["freshet-core", "freshet-parse"]),
    ("freshet-load", &["freshet-core", "freshet-parse", "freshet-spool", "freshet-tables"]),
    ("freshet-destinations", &["freshet-core", "freshet-web"]),
    ("freshet-query", &["freshet-core", "freshet-tables", "freshet-destinations"]),
    ("freshet-fake-heroku", &[]),
    ("freshet-web", &[]),
    (
        "freshet",
        &[
            "freshet-core",
            "freshet-fake-heroku",
            "freshet-parse",
            "freshet-spool",
            "freshet-sources",
            "freshet-tables",
            "freshet-load",
            "freshet-destinations",
            "freshet-query",
            "freshet-web",
        ],
    ),
];

/// Which crates may name a heavy library. A name that ends in `*` stands for all that begin so.
const HEAVY: [(&str, &[&str]); 23] = [
    ("anyhow", &["freshet"]),
    ("arrow-csv", &["freshet"]),
    ("arrow-json", &["freshet"]),
    ("clap*", &["freshet"]),
    ("comfy-table", &["freshet"]),
    ("datafusion*", &["freshet-query"]),
    ("deltalake*", &["freshet-destinations", "freshet-query"]),
    ("http-body-util", &["freshet-sources", "freshet-fake-heroku"]),
    ("hyper*", &["freshet-sources", "freshet-fake-heroku"]),
    ("indicatif", &["freshet"]),
    ("object_store", &["freshet-destinations"]),
    ("parquet", &["freshet-destinations"]),
    ("opentelemetry*", &["freshet-fake-heroku"]),
    ("ratatui", &["freshet"]),
    ("reqwest", &["freshet-web"]),
    ("rustls*", &["freshet-sources", "freshet-web", "freshet-fake-heroku", "freshet"]),
    (
        "tokio",
        &[
            "freshet-spool",
            "freshet-sources",
            "freshet-web",
            "freshet-load",
            "freshet-destinations",
            "freshet-query",
            "freshet-fake-heroku",
            "freshet",
        ],
    ),
    ("tokio-rustls", &["freshet-sources", "freshet-fake-heroku"]),
    ("toml*", &["freshet-tables", "freshet"]),
    ("tracing-subscriber", &["freshet"]),
    ("flate2", &["freshet-sources", "freshet-fake-heroku"]),
    ("zstd", &["freshet-sources"]),
    (
        "serde_json",
        &["freshet-parse", "freshet-tables", "freshet-sources", "freshet-destinations", "freshet-query", "freshet-fake-heroku", "freshet"],
    ),
];

/// Features that bring a heavy library in by the back door, and that nobody may ask for: library, feature.
const HEAVY_FEATURES: [(&str, &str); 1] = [("deltalake-core", "datafusion")];

/// Packages that only developers run: they may depend on anything.
const TOOLS: [&str; 3] = ["freshet-bench", "freshet-proof", "xtask"];

/// What in `metadata` (the output of `cargo metadata --no-deps`) is not allowed.
pub(super) fn problems(metadata: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for package in list(metadata, "packages") {
        let name = text(package, "name");
        if TOOLS.contains(&name) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(crate_name, _)| *crate_name == name) else {
            problems.push(format!("{name}: a crate without a place in the flow; give it its arrows in xtask/src/structure/arrows.rs"));
            continue;
        };
        // Tests may reach where the code they test may not.
        for dependency in list(package, "dependencies").iter().filter(|dependency| dependency["kind"] != "dev") {
            let library = text(dependency, "name");
            if library.starts_with("freshet") && !allowed.contains(&library) {
                problems.push(format!("{name} → {library}: this arrow is not allowed"));
            }
            if let Some(homes) = homes(library).filter(|homes| !homes.contains(&name)) {
                problems.push(format!("{name} → {library}: this library stays behind {}", homes.join(", ")));
            }
            for (heavy, feature) in HEAVY_FEATURES {
                let asked = list(dependency, "features").iter().any(|asked| asked == feature);
                if library == heavy && asked {
                    problems.push(format!("{name} → {library}: nobody may ask for its feature {feature}"));
                }
            }
        }
    }
    problems
}

fn homes(library: &str) -> Option<&'static [&'static str]> {
    let matches = |pattern: &str| pattern.strip_suffix('*').map_or(library == pattern, |start| library.starts_with(start));
    HEAVY.iter().find(|(pattern, _)| matches(pattern)).map(|(_, homes)| *homes)
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::problems;

    fn check(package: &str, dependencies: &Value, expected: &[&str]) {
        let metadata = json!({ "packages": [{ "name": package, "dependencies": dependencies }] });
        assert_eq!(problems(&metadata), expected, "{package} with {dependencies}");
    }

    #[test]
    fn arrows_point_only_where_they_may() {
        check("freshet-load", &json!([{ "name": "freshet-spool", "kind": null }]), &[]);
        check(
            "freshet-parse",
            &json!([{ "name": "freshet-core", "kind": null }]),
            &["freshet-parse → freshet-core: this arrow is not allowed"],
        );
        check(
            "freshet-sources",
            &json!([{ "name": "freshet-tables", "kind": "build" }]),
            &["freshet-sources → freshet-tables: this arrow is not allowed"],
        );
        check("freshet-sources", &json!([{ "name": "freshet-tables", "kind": "dev" }]), &[]);
        check("freshet-bench", &json!([{ "name": "freshet-tables", "kind": null }, { "name": "clap", "kind": null }]), &[]);
    }

    #[test]
    fn a_new_crate_needs_its_place() {
        check(
            "freshet-new",
            &json!([]),
            &["freshet-new: a crate without a place in the flow; give it its arrows in xtask/src/structure/arrows.rs"],
        );
    }

    #[test]
    fn heavy_libraries_stay_behind_one_crate() {
        check("freshet-query", &json!([{ "name": "datafusion", "kind": null }]), &[]);
        check(
            "freshet-load",
            &json!([{ "name": "datafusion-common", "kind": null }]),
            &["freshet-load → datafusion-common: this library stays behind freshet-query"],
        );
        check("freshet-tables", &json!([{ "name": "tokio-util", "kind": null }]), &[]);
        check(
            "freshet-destinations",
            &json!([{ "name": "deltalake-core", "kind": null, "features": ["json", "datafusion"] }]),
            &["freshet-destinations → deltalake-core: nobody may ask for its feature datafusion"],
        );
    }
}
