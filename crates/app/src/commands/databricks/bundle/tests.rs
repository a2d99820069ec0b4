//! The bundle as Databricks' tools will read it: every file is read by a parser, and everything that one file says of another is looked up there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use super::{ALERTS, Target, VIEWS, files};

const LAKE: &str = "s3://bucket/a/lake";

fn bundle(location: Option<&str>) -> BTreeMap<String, String> {
    let target = Target::new("my-catalog", "heroku", Some("0123abcd"), location).unwrap();
    let files: Vec<_> = files(&target).into_iter().map(|file| (file.path, file.text)).collect();
    let by_path: BTreeMap<_, _> = files.iter().cloned().collect();
    assert_eq!(files.len(), by_path.len(), "a path comes twice");
    by_path
}

fn yaml(path: &str, text: &str) -> Yaml {
    let mut documents = YamlLoader::load_from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(documents.len(), 1, "{path}");
    documents.remove(0)
}

fn dashboard() -> Value {
    serde_json::from_str(&bundle(None)["src/freshet.lvdash.json"]).unwrap()
}

/// Every text in a document, keys left out.
fn texts<'y>(value: &'y Yaml, found: &mut Vec<&'y str>) {
    match value {
        Yaml::String(text) => found.push(text),
        Yaml::Array(values) => values.iter().for_each(|value| texts(value, found)),
        Yaml::Hash(pairs) => pairs.values().for_each(|value| texts(value, found)),
        _ => {}
    }
}

#[test]
fn no_hole_stays_and_every_variable_is_declared() {
    for location in [None, Some(LAKE)] {
        let bundle = bundle(location);
        let main = yaml("databricks.yml", &bundle["databricks.yml"]);
        let declared: BTreeSet<&str> = main["variables"].as_hash().unwrap().keys().map(|key| key.as_str().unwrap()).collect();
        let mut used = BTreeSet::new();
        for (path, text) in &bundle {
            for hole in ["@CATALOG@", "@SCHEMA@", "@LOCATION@", "@WAREHOUSE@", "@DEV_SCHEMA@"] {
                assert!(!text.contains(hole), "{hole} in {path}");
            }
            if !path.ends_with(".yml") {
                assert!(!text.contains("${"), "{path}: bundles put variables into YAML only");
                continue;
            }
            let document = yaml(path, text);
            let mut found = Vec::new();
            texts(&document, &mut found);
            for (_, rest) in found.iter().flat_map(|text| text.match_indices("${").map(|(at, _)| text.split_at(at + 2))) {
                let name = rest.split('}').next().unwrap();
                let known = ["workspace.current_user.userName", "bundle.name", "bundle.target", "resources.schemas.freshet.name"];
                match name.strip_prefix("var.") {
                    Some(variable) => {
                        assert!(declared.contains(variable), "{name} in {path}");
                        used.insert(variable.to_owned());
                    }
                    None => assert!(known.contains(&name), "{name} in {path}"),
                }
            }
        }
        let used: BTreeSet<&str> = used.iter().map(String::as_str).collect();
        assert_eq!(used, declared, "{location:?}");
        assert_eq!(main["variables"]["catalog"]["default"].as_str(), Some("my-catalog"));
        assert_eq!(main["variables"]["warehouse_id"]["default"].as_str(), Some("0123abcd"));
        assert_eq!(main["targets"]["dev"]["variables"]["schema"].as_str(), location.is_none().then_some("heroku_dev"));
    }
    let nameless = Target::new("main", "freshet", None, None).unwrap();
    let text = files(&nameless).remove(0).text;
    assert!(yaml("databricks.yml", &text)["variables"]["warehouse_id"]["default"].is_badvalue(), "{text}");
}

#[test]
fn every_file_that_is_named_is_there_and_every_view_has_its_task() {
    for location in [None, Some(LAKE)] {
        let bundle = bundle(location);
        let mut named = BTreeSet::new();
        let setup = yaml("setup", &bundle["resources/setup.yml"]);
        let tasks = setup["resources"]["jobs"]["freshet_setup"]["tasks"].as_vec().unwrap();
        let mut earlier = BTreeSet::new();
        for task in tasks {
            let key = task["task_key"].as_str().unwrap();
            for before in task["depends_on"].as_vec().into_iter().flatten() {
                assert!(earlier.contains(before["task_key"].as_str().unwrap()), "{key} depends on what comes later");
            }
            earlier.insert(key);
            let path = task["sql_task"]["file"]["path"].as_str().unwrap();
            named.insert(path.strip_prefix("../").unwrap().to_owned());
        }
        let dashboard = yaml("dashboard", &bundle["resources/dashboard.yml"]);
        named
            .insert(dashboard["resources"]["dashboards"]["freshet"]["file_path"].as_str().unwrap().strip_prefix("../").unwrap().to_owned());
        let sources: BTreeSet<String> = bundle.keys().filter(|path| path.starts_with("src/")).cloned().collect();
        assert_eq!(named, sources, "{location:?}");
        assert_eq!(bundle.contains_key("resources/volume.yml"), location.is_none());
    }
}

#[test]
fn views_say_where_they_are_made() {
    let bundle = bundle(None);
    for (name, _) in VIEWS {
        let text = &bundle[&format!("src/views/{name}.sql")];
        let statements: Vec<&str> = text.split(';').map(str::trim).filter(|text| !text.is_empty()).collect();
        assert_eq!(statements.len(), 3, "{name}: a ; in a comment or a string would cut the file");
        assert!(statements[0].ends_with("USE CATALOG IDENTIFIER({{catalog}})"), "{text}");
        assert_eq!(statements[1], "USE IDENTIFIER({{schema}})");
        assert!(statements[2].starts_with(&format!("CREATE OR REPLACE VIEW {name} AS\n")), "{text}");
        // In Databricks "type" is a text, not a column.
        assert!(!text.contains('"') && !text.contains("delta_scan"), "{text}");
    }
}

#[test]
fn alerts_compare_a_column_that_their_query_has() {
    let bundle = bundle(None);
    for (name, _) in ALERTS {
        let document = yaml(name, &bundle[&format!("resources/alerts/{name}.yml")]);
        let alert = &document["resources"]["alerts"][name];
        let query = alert["query_text"].as_str().unwrap();
        let column = alert["evaluation"]["source"]["name"].as_str().unwrap();
        let has = |line: &str| {
            let line = line.trim().trim_end_matches(',');
            line == column || line.ends_with(&format!(" AS {column}"))
        };
        assert!(query.lines().any(has), "{name}");
        assert!(query.contains("FROM `${var.catalog}`.`${var.schema}`."), "{name}: alerts have no schema of their own");
        assert!(matches!(alert["evaluation"]["comparison_operator"].as_str(), Some("GREATER_THAN" | "LESS_THAN")), "{name}");
        assert!(matches!(alert["evaluation"]["source"]["aggregation"].as_str(), Some("MAX" | "MIN" | "SUM")), "{name}");
        let threshold = &alert["evaluation"]["threshold"]["value"]["double_value"];
        assert!(threshold.as_i64().is_some() || threshold.as_f64().is_some(), "{name}");
        for text in ["display_name", "custom_summary", "warehouse_id"] {
            assert!(alert[text].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {text}");
        }
    }
}

/// The versions are those that Databricks' own dashboards have; a widget with another is not drawn.
#[test]
fn widgets_show_fields_that_they_ask_for() {
    let dashboard = dashboard();
    let datasets: BTreeSet<&str> = dashboard["datasets"].as_array().unwrap().iter().map(|set| set["name"].as_str().unwrap()).collect();
    let (mut names, mut shown) = (BTreeSet::new(), BTreeSet::new());
    for page in dashboard["pages"].as_array().unwrap() {
        let mut taken = BTreeSet::new();
        for place in page["layout"].as_array().unwrap() {
            let widget = &place["widget"];
            let name = widget["name"].as_str().unwrap();
            assert!(names.insert(name.to_owned()), "{name} twice");
            let at = |key: &str| place["position"][key].as_u64().unwrap();
            assert!(at("x") + at("width") <= 12, "{name} is too wide");
            for cell in (at("x")..at("x") + at("width")).flat_map(|x| (at("y")..at("y") + at("height")).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name} lies on another");
            }
            let Some(kind) = widget["spec"]["widgetType"].as_str() else {
                assert!(widget["multilineTextboxSpec"]["lines"].is_array(), "{name}");
                continue;
            };
            let version = match kind {
                "bar" | "line" | "area" => 3,
                "counter" | "table" | "filter-multi-select" | "filter-date-range-picker" => 2,
                other => panic!("{name}: {other}"),
            };
            assert_eq!(widget["spec"]["version"], version, "{name}");
            let mut asked = BTreeSet::new();
            for query in widget["queries"].as_array().unwrap() {
                let dataset = query["query"]["datasetName"].as_str().unwrap();
                assert!(datasets.contains(dataset), "{name} asks {dataset}");
                shown.insert(dataset);
                asked.extend(query["query"]["fields"].as_array().unwrap().iter().map(|field| field["name"].as_str().unwrap()));
            }
            let mut used = BTreeSet::new();
            field_names(&widget["spec"]["encodings"], &mut used);
            assert_eq!(used, asked, "{name}");
        }
    }
    assert_eq!(shown, datasets, "a dataset that nothing shows");
}

fn field_names<'v>(value: &'v Value, found: &mut BTreeSet<&'v str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("fieldName").and_then(Value::as_str));
            object.values().for_each(|value| field_names(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| field_names(value, found)),
        _ => {}
    }
}

#[test]
fn external_tables_are_those_of_the_catalogue() {
    let bundle = bundle(Some("s3://bucket/a/lake/"));
    let registered: BTreeSet<String> = ["log", "platform"]
        .iter()
        .flat_map(|file| bundle[&format!("src/tables/{file}_tables.sql")].lines().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|line| Some(line.trim_start_matches("-- ").strip_prefix("CREATE TABLE IF NOT EXISTS ")?.to_owned()))
        .collect();
    for name in ["logs", "_loads", "_loss", "router_requests", "releases", "formation_history", "_runs"] {
        let line = format!("{name} USING DELTA LOCATION 's3://bucket/a/lake/{name}';");
        assert!(registered.contains(&line), "{name}: {registered:#?}");
    }
    for line in &registered {
        assert!(freshet_tables::find(line.split(' ').next().unwrap()).is_some(), "{line}");
    }
    for name in super::UNDER_VIEWS {
        assert!(bundle["src/tables/platform_tables.sql"].contains(&format!("\nCREATE TABLE IF NOT EXISTS {name} ")), "{name}");
    }
}

#[test]
fn flags_that_would_break_the_files_are_refused() {
    let name = |name: &str| Target::new(name, "s", None, None).and(Target::new("c", name, None, None)).is_ok();
    for good in ["main", "my-catalog", "Heroku_2"] {
        assert!(name(good), "{good}");
    }
    for bad in ["", "a.b", "a b", "a`b", "a\"b", "ü", "a'b", "a\nb", &"x".repeat(241)] {
        assert!(!name(bad), "{bad:?}");
    }
    let place = |url: &str| Target::new("c", "s", None, Some(url));
    for good in ["s3://bucket", "s3://bucket/a/b/", "gs://bucket/lake", "abfss://lake@account.dfs.core.windows.net/a"] {
        assert!(place(good).is_ok(), "{good}");
    }
    assert_eq!(place("s3://bucket/a//").unwrap().location.as_deref(), Some("s3://bucket/a"));
    for bad in [
        "",
        "/lake",
        "s3://",
        "s3:///lake",
        "az://lake/a",
        "file:///lake",
        "hdfs://host/lake",
        "s3://key:secret@bucket/lake",
        "abfss://account.dfs.core.windows.net/a",
        "abfss://@account/a",
        "s3://bucket/it's",
        "s3://bucket/a b",
        "s3://bucket/a;b",
        "s3://bucket/a\\b",
        "s3://bucket/{{a}}",
    ] {
        let why = place(bad).map(|_| ()).expect_err(bad);
        assert!(!why.contains("secret"), "{why}");
    }
    assert!(Target::new("c", "s", Some("an id"), None).is_err());
    assert!(Target::new("c", "s", Some(""), None).is_err());
}
