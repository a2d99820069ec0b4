//! The files of the bundle: templates in `crates/app/assets/databricks`, the views in `docs/sql`, and statements made from the catalogue.

use freshet_core::TableDef;
use freshet_tables::{SYNC_TABLES, TABLES, platform};

/// Where the bundle is for: flags that have been looked at.
#[derive(Debug)]
pub(super) struct Target {
    catalog: String,
    schema: String,
    warehouse: Option<String>,
    /// The lake's address without a slash at its end; `None` where Databricks manages the tables.
    location: Option<String>,
}

/// A file of the bundle.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Asset {
    /// Below the bundle's folder, with slashes.
    pub(super) path: String,
    /// What it is, for people.
    pub(super) holds: &'static str,
    pub(super) text: String,
}

macro_rules! template {
    ($path:literal) => {
        include_str!(concat!("../../../assets/databricks/", $path))
    };
}

macro_rules! view {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../../../docs/sql/", $name, ".sql")))
    };
}

/// Files that both modes have: path, what it is, text.
static SHARED: [(&str, &str, &str); 4] = [
    ("databricks.yml", "variables and targets", template!("databricks.yml")),
    ("resources/schema.yml", "the schema", template!("resources/schema.yml")),
    ("resources/dashboard.yml", "the dashboard's place", template!("resources/dashboard.yml")),
    ("src/freshet.lvdash.json", "the dashboard", template!("src/freshet.lvdash.json")),
];

/// Every alert. To add one, add a file and a line.
static ALERTS: [(&str, &str); 7] = [
    ("failed_requests", template!("resources/alerts/failed_requests.yml")),
    ("slow_requests", template!("resources/alerts/slow_requests.yml")),
    ("platform_errors", template!("resources/alerts/platform_errors.yml")),
    ("dyno_memory", template!("resources/alerts/dyno_memory.yml")),
    ("error_budget", template!("resources/alerts/error_budget.yml")),
    ("stale_loads", template!("resources/alerts/stale_loads.yml")),
    ("lost_messages", template!("resources/alerts/lost_messages.yml")),
];

/// Every view, by its file in `docs/sql`. To add one, add a line here and a task in both `resources/setup.*.yml`.
static VIEWS: [(&str, &str); 3] = [view!("router_requests_enriched"), view!("latency_by_release"), view!("error_budget")];

/// Tables of the Platform API that views stand on. The others are there only when a sync has brought them.
const UNDER_VIEWS: [&str; 3] = ["releases", "builds", "formation_history"];

impl Target {
    /// Looks at the flags.
    ///
    /// # Errors
    /// Says which one makes no sense, and what to give instead.
    pub(super) fn new(catalog: &str, schema: &str, warehouse: Option<&str>, location: Option<&str>) -> Result<Self, String> {
        for (flag, name) in [("--catalog", catalog), ("--schema", schema)] {
            let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'));
            if name.is_empty() || name.len() > 240 || !plain {
                return Err(format!("{flag} {name:?} cannot be used: give letters, digits, _ and - only"));
            }
        }
        if let Some(id) = warehouse.filter(|id| id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')) {
            return Err(format!("--warehouse {id:?} is no id of a SQL warehouse: look at `databricks warehouses list`"));
        }
        let location = location.map(checked_location).transpose()?;
        Ok(Self { catalog: catalog.to_owned(), schema: schema.to_owned(), warehouse: warehouse.map(str::to_owned), location })
    }
}

/// An address as Unity Catalog takes it, and as it can stand in a SQL text.
fn checked_location(url: &str) -> Result<String, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(format!("--location {url:?} is no address: give one such as s3://bucket/lake"));
    };
    let rest = rest.trim_end_matches('/');
    let place = rest.split('/').next().unwrap_or_default();
    let good = match scheme {
        "s3" | "gs" => !place.is_empty() && !place.contains(['@', ':']),
        "abfss" => {
            place.split_once('@').is_some_and(|(container, account)| !container.is_empty() && !account.is_empty() && !place.contains(':'))
        }
        _ => false,
    };
    if !good {
        return Err("--location is no place that Unity Catalog knows: give s3://BUCKET/PATH, gs://BUCKET/PATH or \
                    abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH, without a password"
            .to_owned());
    }
    if rest.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '\'' | '"' | '\\' | '`' | '?' | '#' | '{' | '}' | ';')) {
        return Err("--location has a character that cannot stand in a table's place: quotes, spaces, \\, ?, #, ; and braces".to_owned());
    }
    Ok(format!("{scheme}://{rest}"))
}

/// All files, in the order in which they are shown.
pub(super) fn files(target: &Target) -> Vec<Asset> {
    let mut files = Vec::new();
    let mut add = |path: String, holds, text: String| files.push(Asset { path, holds, text });
    for (path, holds, text) in SHARED {
        add(path.to_owned(), holds, filled(text, target));
    }
    let (readme, setup) = match &target.location {
        None => {
            add("resources/volume.yml".to_owned(), "the staging volume", filled(template!("resources/volume.yml"), target));
            (template!("README.managed.md"), template!("resources/setup.managed.yml"))
        }
        Some(location) => {
            add("src/tables/log_tables.sql".to_owned(), "the tables of log lines", log_tables(location));
            add("src/tables/platform_tables.sql".to_owned(), "the tables of Heroku's objects", platform_tables(location));
            (template!("README.external.md"), template!("resources/setup.external.yml"))
        }
    };
    add("resources/setup.yml".to_owned(), "the set-up job", filled(setup, target));
    for (name, text) in VIEWS {
        add(format!("src/views/{name}.sql"), "a view", view(text));
    }
    for (name, text) in ALERTS {
        add(format!("resources/alerts/{name}.yml"), "an alert", filled(text, target));
    }
    add("README.md".to_owned(), "what to do, and the grants", filled(readme, target));
    files
}

/// A template with its holes filled.
fn filled(template: &str, target: &Target) -> String {
    let warehouse = target.warehouse.as_ref().map_or_else(
        || "    # Give it with --var warehouse_id=ID, or here: default: \"ID\"".to_owned(),
        |id| format!("    default: \"{id}\""),
    );
    let dev_schema = match target.location {
        None => format!("      schema: \"{}_dev\"", target.schema),
        Some(_) => "      # The schema is that of prod: a place in a bucket can be one table only.".to_owned(),
    };
    template
        .replace("@WAREHOUSE@", &warehouse)
        .replace("@DEV_SCHEMA@", &dev_schema)
        .replace("@CATALOG@", &target.catalog)
        .replace("@SCHEMA@", &target.schema)
        .replace("@LOCATION@", target.location.as_deref().unwrap_or_default())
}

/// How a SQL file of the set-up job begins: its parameters say where.
const PLACE: &str = "USE CATALOG IDENTIFIER({{catalog}});\nUSE IDENTIFIER({{schema}});\n";

/// A view of `docs/sql` as a file of the set-up job: what it is, without what other engines need to know.
fn view(text: &str) -> String {
    let what = text.lines().next().unwrap_or_default();
    let query = text.split_once("\nCREATE VIEW ").map_or(text, |(_, query)| query);
    format!("{what}\n\n{PLACE}\nCREATE OR REPLACE VIEW {};\n", query.trim_end())
}

fn log_tables(location: &str) -> String {
    let statements: String = TABLES.iter().map(|table| registered(table, location)).collect();
    format!(
        "-- Tells Unity Catalog of the tables that `freshet run` and `freshet import` fill. Only Freshet writes to them.\n\n{PLACE}\n{statements}"
    )
}

fn platform_tables(location: &str) -> String {
    let all = || platform::tables().chain(SYNC_TABLES);
    let is_under_views = |table: &&TableDef| UNDER_VIEWS.contains(&table.name);
    let first: String = all().filter(is_under_views).map(|table| registered(table, location)).collect();
    let rest: String = all().filter(|table| !is_under_views(table)).map(|table| format!("-- {}", registered(table, location))).collect();
    format!(
        "-- Tells Unity Catalog of the tables that `freshet sync` fills. Only Freshet writes to them.\n\n{PLACE}\n\
         -- The views stand on these.\n{first}\n\
         -- A statement fails when no sync has brought its table yet: take the -- from those that `freshet tables list` shows.\n{rest}"
    )
}

/// Without columns: Unity Catalog reads them from the table's own log.
fn registered(table: &TableDef, location: &str) -> String {
    format!("CREATE TABLE IF NOT EXISTS {name} USING DELTA LOCATION '{location}/{name}';\n", name = table.name)
}

#[cfg(test)]
mod tests;
