//! Where the tables are: a lake, or a Databricks workspace.

use freshet_core::Secret;
use freshet_destinations::databricks::login::{AUTH_TYPES, LoginSettings, find, host_address};
use freshet_destinations::databricks::{Workspace, WorkspaceOptions, ZerobusOptions, warehouse_id};
use freshet_destinations::delta::check_location;
use freshet_web::web_address;

use super::{Entry, Values, resolve};
use crate::exit::{Exit, Failure};

/// Where the lake is when nothing is said.
const DEFAULT_LAKE: &str = "./lake";

/// Keys that only a Databricks workspace has.
const OF_DATABRICKS: [&str; 13] = [
    "mode",
    "host",
    "warehouse",
    "catalog",
    "schema",
    "volume",
    "zerobus_endpoint",
    "workspace_id",
    "profile",
    "auth_type",
    "token",
    "client_id",
    "client_secret",
];

/// Keys that only Zerobus has.
const OF_ZEROBUS: [&str; 2] = ["zerobus_endpoint", "workspace_id"];

/// What the names of storage options have in them that are credentials, or lead to some.
const IN_CREDENTIALS: [&str; 6] = ["key", "secret", "token", "profile", "client_id", "account_path"];

/// Characters that no name in Unity Catalog has, beside control characters.
const NOT_IN_NAMES: [char; 3] = ['.', ' ', '/'];

/// The longest of them.
const NAME_CHARS_MAX: usize = 255;

/// Tables of a Databricks workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabricksSettings {
    /// Who keeps them.
    pub(crate) mode: DatabricksMode,
    /// The catalog.
    pub(crate) catalog: String,
    /// The schema in it.
    pub(crate) schema: String,
    /// The volume in that, through which files go.
    pub(crate) volume: String,
    host: Option<String>,
    warehouse: Option<String>,
    profile: Option<String>,
    auth_type: Option<String>,
    client_id: Option<String>,
    /// As written: `env:NAME`, `file:PATH` or itself.
    token: Option<Secret>,
    client_secret: Option<Secret>,
}

/// Who keeps the tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DatabricksMode {
    /// Databricks.
    Managed,
    /// We, in somebody's own bucket.
    External {
        /// Its URL.
        url: String,
    },
    /// Databricks; what `freshet run` receives comes by Zerobus.
    Zerobus(ZerobusOptions),
}

impl DatabricksMode {
    /// Whether Databricks keeps the tables.
    #[must_use]
    pub(crate) fn is_managed(&self) -> bool {
        !matches!(self, Self::External { .. })
    }
}

impl DatabricksSettings {
    /// The workspace, with what is not said here from the environment or a profile. No request is made.
    ///
    /// # Errors
    /// Something is missing or contradicts itself; with what to do.
    pub(crate) fn workspace(&self) -> anyhow::Result<Workspace> {
        let bad = |why: String| Failure::error(Exit::BadConfig, why);
        Workspace::connect(self.options()?).map_err(|error| bad(error.to_string()))
    }

    /// What the workspace is made from.
    ///
    /// # Errors
    /// As for [`Self::workspace`].
    pub(crate) fn options(&self) -> anyhow::Result<WorkspaceOptions> {
        let bad = |why: String| Failure::error(Exit::BadConfig, why);
        let secret = |key: &str, written: &Option<Secret>| {
            let resolved = written.as_ref().map(resolve).transpose();
            resolved.map_err(|why| bad(format!("`{key}` under [destination] is missing: {why}")))
        };
        let settings = LoginSettings {
            host: self.host.clone(),
            warehouse: self.warehouse.clone(),
            profile: self.profile.clone(),
            auth_type: self.auth_type.clone(),
            token: secret("token", &self.token)?,
            client_id: self.client_id.clone(),
            client_secret: secret("client_secret", &self.client_secret)?,
        };
        let found = find(&settings, &|name| std::env::var(name).ok()).map_err(|error| bad(error.to_string()))?;
        Ok(WorkspaceOptions::new(&found.host, found.warehouse, found.login))
    }
}

/// What `values` say of the destination: the lake, and the workspace if there is one; and what of it is refused.
pub(super) fn settings(values: &Values, refuse: &mut impl FnMut(&str, String)) -> (String, Option<DatabricksSettings>) {
    match values.text("destination.*.type").as_str() {
        "delta" => {}
        "databricks" => return (DEFAULT_LAKE.to_owned(), databricks(values, refuse)),
        other => refuse("destination.*.type", format!("`type` is {other:?}; this version knows \"delta\" and \"databricks\"")),
    }
    for key in OF_DATABRICKS.into_iter().filter(|key| values.is_written(&path(key))) {
        refuse(&path(key), format!("`{key}` needs `type = \"databricks\"` beside it"));
    }
    let lake = values.text("destination.*.url");
    match check_location(&lake) {
        Ok(()) => (lake, None),
        Err(error) => {
            refuse("destination.*.url", format!("`url`: {error}"));
            (DEFAULT_LAKE.to_owned(), None)
        }
    }
}

fn databricks(values: &Values, refuse: &mut impl FnMut(&str, String)) -> Option<DatabricksSettings> {
    let mode = mode(values, refuse);
    let is_managed = mode.as_ref().is_some_and(DatabricksMode::is_managed);
    for (name, _) in values.named("destination.*.storage.*") {
        if is_managed {
            refuse(
                "destination.*.storage.*",
                format!("`storage.{name}` is for lakes: where managed tables lie is Databricks' own business"),
            );
        } else if IN_CREDENTIALS.iter().any(|part| name.contains(part)) {
            refuse(
                "destination.*.storage.*",
                format!("`storage.{name}` is for lakes: Databricks lends the credentials to external tables"),
            );
        }
    }
    for key in ["catalog", "schema", "volume"] {
        if let Err(why) = name(&values.text(&path(key))) {
            // What is missing is missing from the section.
            let place = if values.is_written(&path(key)) { path(key) } else { path("type") };
            refuse(&place, format!("`{key}` {why}"));
        }
    }
    if let Some(host) = values.optional(&path("host"))
        && let Err(why) = host_address(&host)
    {
        refuse(&path("host"), format!("`host` {why}"));
    }
    let warehouse = values.optional(&path("warehouse"));
    let warehouse =
        warehouse.and_then(|text| warehouse_id(&text).map_err(|why| refuse(&path("warehouse"), format!("`warehouse` {why}"))).ok());
    let auth_type = values.optional(&path("auth_type"));
    if let Some(auth_type) = auth_type.as_deref().filter(|auth_type| !AUTH_TYPES.contains(auth_type)) {
        refuse(&path("auth_type"), format!("`auth_type` is {auth_type:?}; this version knows {}", AUTH_TYPES.join(", ")));
    }
    let secret = |key| values.optional(&path(key)).map(Secret::new);
    let (token, client_secret) = (secret("token"), secret("client_secret"));
    if token.is_some() && client_secret.is_some() && auth_type.is_none() {
        let both = "`token` and `client_secret` are two ways to log in: leave out one, or set `auth_type` to \"pat\" or \"oauth-m2m\"";
        refuse(&path("client_secret"), both.to_owned());
    }
    Some(DatabricksSettings {
        mode: mode?,
        catalog: values.text(&path("catalog")),
        schema: values.text(&path("schema")),
        volume: values.text(&path("volume")),
        host: values.optional(&path("host")),
        warehouse,
        profile: values.optional(&path("profile")),
        auth_type,
        client_id: values.optional(&path("client_id")),
        token,
        client_secret,
    })
}

fn mode(values: &Values, refuse: &mut impl FnMut(&str, String)) -> Option<DatabricksMode> {
    let (mode, is_url_written) = (values.text(&path("mode")), values.is_written(&path("url")));
    for key in OF_ZEROBUS.into_iter().filter(|key| mode != "zerobus" && values.is_written(&path(key))) {
        refuse(&path(key), format!("`{key}` is for `mode = \"zerobus\"`"));
    }
    match mode.as_str() {
        "managed" | "zerobus" => {
            if is_url_written {
                refuse(&path("url"), "`url` is for `mode = \"external\"`: where managed tables lie is Databricks' own business".to_owned());
            }
            let is_kept = |entry: &&Entry| entry.path.starts_with("retention.") && entry.texts.first().is_some_and(|text| text != "keep");
            for entry in values.entries.iter().filter(is_kept) {
                refuse(
                    &entry.path,
                    format!("`{}` is for tables that Freshet keeps: of managed tables rows are deleted in Databricks", entry.path),
                );
            }
            if mode == "zerobus" { zerobus(values, refuse).map(DatabricksMode::Zerobus) } else { Some(DatabricksMode::Managed) }
        }
        "external" => {
            if values.is_written(&path("volume")) {
                refuse(&path("volume"), "`volume` is for `mode = \"managed\"`: external tables are written straight to `url`".to_owned());
            }
            let url = values.text(&path("url"));
            let is_cloud = ["s3://", "abfss://", "gs://"].into_iter().any(|scheme| url.starts_with(scheme));
            if !is_url_written {
                refuse(&path("mode"), "`mode = \"external\"` needs `url` beside it: where in your bucket the tables lie".to_owned());
            } else if !is_cloud {
                refuse(&path("url"), "`url` is elsewhere, but external tables lie at s3://, abfss:// or gs://".to_owned());
            } else if let Err(error) = check_location(&url) {
                refuse(&path("url"), format!("`url`: {error}"));
            }
            Some(DatabricksMode::External { url })
        }
        other => {
            refuse(&path("mode"), format!("`mode` is {other:?}; this version knows \"managed\", \"external\" and \"zerobus\""));
            None
        }
    }
}

/// Where Zerobus is. Its address usually begins with the number of the workspace.
fn zerobus(values: &Values, refuse: &mut impl FnMut(&str, String)) -> Option<ZerobusOptions> {
    let Some(endpoint) = values.optional(&path("zerobus_endpoint")) else {
        let example = "https://1234567890123456.zerobus.eu-west-1.cloud.databricks.com";
        refuse(&path("mode"), format!("`mode = \"zerobus\"` needs `zerobus_endpoint` beside it, such as \"{example}\""));
        return None;
    };
    let endpoint = match web_address(&if endpoint.contains("://") { endpoint } else { format!("https://{endpoint}") }) {
        Ok(endpoint) => endpoint,
        Err(why) => {
            refuse(&path("zerobus_endpoint"), format!("`zerobus_endpoint` {why}"));
            return None;
        }
    };
    let host = endpoint.split("://").nth(1).unwrap_or_default();
    if host.contains('/') || !host.contains(".zerobus.") && values.optional(&path("host")).is_some_and(|workspace| workspace.contains(host))
    {
        let problem = "`zerobus_endpoint` must be the address of Zerobus alone: neither that of the workspace, nor with a path behind it";
        refuse(&path("zerobus_endpoint"), problem.to_owned());
        return None;
    }
    let is_number = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let written = values.optional(&path("workspace_id"));
    let first = host.split('.').next().filter(is_number).filter(|_| host.contains(".zerobus."));
    match (written.as_deref(), first) {
        (Some(written), _) if !is_number(&written) => {
            refuse(
                &path("workspace_id"),
                format!("`workspace_id` is {written:?}, but must be a number: the `o=` of the workspace's address"),
            );
            None
        }
        (Some(written), Some(first)) if written != first => {
            refuse(&path("workspace_id"), format!("`workspace_id` is {written}, but `zerobus_endpoint` is that of {first}: leave it out"));
            None
        }
        (Some(id), _) | (None, Some(id)) => Some(ZerobusOptions::new(&endpoint, id)),
        (None, None) => {
            let problem = "`zerobus_endpoint` does not begin with the number of the workspace: set `workspace_id` beside it";
            refuse(&path("zerobus_endpoint"), problem.to_owned());
            None
        }
    }
}

/// Whether `name` can be that of a catalog, a schema or a volume.
fn name(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("is missing: which one are the tables in?".to_owned());
    }
    let is_bad = |character: char| NOT_IN_NAMES.contains(&character) || character.is_control();
    if name.contains(is_bad) || name.chars().count() > NAME_CHARS_MAX {
        return Err(format!("is {name:?}, but must be one name, without dots, spaces and slashes, of at most {NAME_CHARS_MAX} characters"));
    }
    Ok(())
}

fn path(key: &str) -> String {
    format!("destination.*.{key}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::examine_text;

    fn problems(section: &str) -> Vec<String> {
        examine_text(&format!("[destination.db]\n{section}\n")).1.iter().map(ToString::to_string).collect()
    }

    fn check(section: &str, expected: &[&str]) {
        let found = problems(section);
        assert!(
            found.len() == expected.len() && found.iter().zip(expected).all(|(found, expected)| found.contains(expected)),
            "{section}: {found:#?}"
        );
    }

    const LEAST: &str = "type = \"databricks\"\ncatalog = \"main\"";

    #[test]
    fn managed_tables_need_little() {
        check(LEAST, &[]);
        let (settings, _) = examine_text(&format!("[destination.db]\n{LEAST}\n"));
        let databricks = settings.databricks.unwrap();
        assert_eq!((databricks.catalog.as_str(), databricks.schema.as_str(), databricks.volume.as_str()), ("main", "heroku", "_freshet"));
        assert_eq!(databricks.mode, DatabricksMode::Managed);
    }

    #[test]
    fn external_tables_need_a_bucket() {
        check(&format!("{LEAST}\nmode = \"external\"\nurl = \"s3://bucket/heroku\""), &[]);
        check(&format!("{LEAST}\nmode = \"external\""), &["line 4, column 1: `mode = \"external\"` needs `url`"]);
        check(&format!("{LEAST}\nmode = \"external\"\nurl = \"./lake\""), &["line 5, column 1: `url` is elsewhere"]);
        check(&format!("{LEAST}\nmode = \"external\"\nurl = \"gs://b\"\nvolume = \"v\""), &["line 6, column 1: `volume` is for"]);
        check(&format!("{LEAST}\nmode = \"other\""), &["line 4, column 1: `mode` is \"other\""]);
    }

    #[test]
    fn zerobus_needs_an_address() {
        let zerobus = format!("{LEAST}\nmode = \"zerobus\"");
        check(&zerobus, &["line 4, column 1: `mode = \"zerobus\"` needs `zerobus_endpoint`"]);
        let at = |rest: &str| format!("{zerobus}\nzerobus_endpoint = {rest}");
        check(&at("\"12.zerobus.eu-west-1.cloud.databricks.com\""), &[]);
        check(&at("\"https://ingest.acme.example\""), &["line 5, column 1: `zerobus_endpoint` does not begin with"]);
        check(&at("\"https://ingest.acme.example\"\nworkspace_id = \"12\""), &[]);
        check(&at("\"https://ingest.acme.example\"\nworkspace_id = \"mine\""), &["line 6, column 1: `workspace_id` is \"mine\""]);
        check(&at("\"http://12.zerobus.acme.example\""), &["line 5, column 1: `zerobus_endpoint` must begin with https://"]);
        check(
            &at("\"12.zerobus.x\"\nworkspace_id = \"13\""),
            &["line 6, column 1: `workspace_id` is 13, but `zerobus_endpoint` is that of 12"],
        );
        check(&at("\"https://w.example\"\nworkspace_id = \"12\"\nhost = \"w.example\""), &["line 5, column 1: `zerobus_endpoint` must be"]);
        check(&at("\"https://12.zerobus.x/some/path\""), &["line 5, column 1: `zerobus_endpoint` must be"]);
        check(&at("\"12.zerobus.x\"\nurl = \"s3://b/p\""), &["line 6, column 1: `url` is for `mode = \"external\"`"]);
        check(&format!("{LEAST}\nworkspace_id = \"12\""), &["line 4, column 1: `workspace_id` is for `mode = \"zerobus\"`"]);
        let (settings, _) = examine_text(&format!("[destination.db]\n{}\n", at("\"12.zerobus.x\"")));
        let DatabricksMode::Zerobus(options) = settings.databricks.unwrap().mode else { panic!("it is zerobus") };
        assert_eq!((options.endpoint.as_str(), options.workspace_id.as_str()), ("https://12.zerobus.x", "12"));
    }

    #[test]
    fn what_contradicts_itself_is_named() {
        check("type = \"databricks\"", &["line 2, column 1: `catalog` is missing"]);
        check("type = \"databricks\"\ncatalog = \"a.b\"", &["line 3, column 1: `catalog` is \"a.b\""]);
        check(&format!("{LEAST}\nurl = \"s3://b/p\""), &["line 4, column 1: `url` is for `mode = \"external\"`"]);
        check(&format!("{LEAST}\nstorage = {{ region = \"x\" }}"), &["`storage.region` is for lakes"]);
        check(&format!("{LEAST}\nhost = \"http://w.example\""), &["line 4, column 1: `host` must begin with https://"]);
        check(&format!("{LEAST}\nhost = \"w.example\"\nwarehouse = \"/sql/1.0/warehouses/ab12\""), &[]);
        check(&format!("{LEAST}\nwarehouse = \"my warehouse\""), &["line 4, column 1: `warehouse` must be the id"]);
        check(&format!("{LEAST}\nauth_type = \"basic\""), &["line 4, column 1: `auth_type` is \"basic\"; this version knows pat,"]);
        let both = format!("{LEAST}\ntoken = \"env:T\"\nclient_secret = \"env:S\"");
        check(&both, &["line 5, column 1: `token` and `client_secret` are two ways"]);
        check(&format!("{both}\nauth_type = \"pat\""), &[]);
        check("host = \"w.example\"\ncatalog = \"main\"", &["line 2, column 1: `host` needs", "line 3, column 1: `catalog` needs"]);
        check(
            &format!("{LEAST}\n[retention]\nlogs = \"90d\"\n_loss = \"keep\""),
            &["line 5, column 1: `retention.logs` is for tables that Freshet keeps"],
        );
        check("type = \"snowflake\"", &["`type` is \"snowflake\"; this version knows \"delta\" and \"databricks\""]);
    }

    #[test]
    fn secrets_are_read_when_they_are_needed() {
        let of =
            |section: &str| examine_text(&format!("[destination.db]\n{LEAST}\nhost = \"w.example\"\n{section}\n")).0.databricks.unwrap();
        let options = of("token = \"dapi-hush\"").options().unwrap();
        assert_eq!((options.host.as_str(), options.login.name()), ("https://w.example", "pat"));
        let error = of("token = \"env:FRESHET_NO_SUCH\"").options().err().unwrap().to_string();
        assert!(error.contains("`token` under [destination] is missing: the variable FRESHET_NO_SUCH is not set"), "{error}");
        assert!(!format!("{:?}", of("token = \"dapi-hush\"")).contains("hush"));
    }
}
