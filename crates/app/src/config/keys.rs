//! Every key there is. The reference page, the JSON Schema, the check for unknown keys and the defaults come from here.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// A key of the configuration.
pub(super) struct Key {
    /// Dotted path; `*` stands for a name of the user's choice.
    pub(super) path: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
    /// Its value where the file has none; empty for none.
    pub(super) default: &'static str,
    /// What it is for.
    pub(super) about: &'static str,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Any text.
    Text,
    /// `env:NAME`, `file:PATH` or the secret itself.
    Secret,
    /// A time span such as `30s` or `2h`.
    Duration,
    /// A size such as `64MiB`.
    Bytes,
    /// A whole number.
    Count,
    /// Any number of texts, each the name of an app, in which `*` stands for any characters.
    List,
}

impl Kind {
    /// What a value of this kind looks like, for error messages.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Text => "text in quotes",
            Self::Secret => "\"env:NAME\", \"file:PATH\" or the secret itself, in quotes",
            Self::Duration => "a time span in quotes, such as \"30s\", \"15m\" or \"2h\"",
            Self::Bytes => "a size in quotes, such as \"64MiB\" or \"1GiB\"",
            Self::Count => "a whole number",
            Self::List => "a list of names in quotes, such as [\"billing\", \"shop-*\"], of lower-case letters, digits, `-` and `*`",
        }
    }
}

const fn key(path: &'static str, kind: Kind, default: &'static str, about: &'static str) -> Key {
    Key { path, kind, default, about }
}

pub(super) static KEYS: &[Key] = &[
    key(
        "heroku.token",
        Kind::Secret,
        "env:HEROKU_API_KEY",
        "Token for Heroku's Platform API. Reading is enough: `heroku authorizations:create --scope read-protected`. Verbs that a person runs take that of the Heroku CLI where there is none (`~/.netrc`). Log drains need none.",
    ),
    key(
        "heroku.oauth_client_secret",
        Kind::Secret,
        "env:HEROKU_OAUTH_SECRET",
        "Secret of an OAuth client, which takes the place of `token`: with the refresh token it fetches access tokens and renews them. Not together with a token: a place that is named here counts before `HEROKU_API_KEY`, and the other way round; naming places for both, or having both only in the environment, is an error.",
    ),
    key(
        "heroku.oauth_refresh_token",
        Kind::Secret,
        "env:HEROKU_OAUTH_REFRESH_TOKEN",
        "The refresh token that the OAuth client got when somebody authorised it. Should the server change it, the new one is kept in the data directory (`oauth.json`).",
    ),
    key(
        "heroku.oauth_url",
        Kind::Text,
        "https://id.heroku.com",
        "Where the OAuth client fetches tokens. Tests and a fake Heroku point it elsewhere.",
    ),
    key("heroku.api_url", Kind::Text, "https://api.heroku.com", "Where the Platform API is. Tests and a fake Heroku point it elsewhere."),
    key(
        "heroku.apps",
        Kind::List,
        "",
        "The apps that are looked after, by name: those whose streams are synced and that `freshet check` looks for; `*` stands for any characters. Without this, all that the token can see. Log drains of every app are taken.",
    ),
    key(
        "destination.*.type",
        Kind::Text,
        "delta",
        "What kind of destination it is. `delta`: Delta Lake tables below a folder or URL. `databricks`: tables of a Databricks workspace, see docs/databricks.md.",
    ),
    key(
        "destination.*.url",
        Kind::Text,
        "./lake",
        "Where the tables lie, one per subfolder: a folder, or a URL: `s3://BUCKET/PATH`, `abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/PATH`, `az://CONTAINER/PATH`, `gs://BUCKET/PATH`, `hdfs://NAMENODE:PORT/PATH`. See docs/storage.md. With `databricks`, the URL in your bucket for mode `external`.",
    ),
    key(
        "destination.*.storage.*",
        Kind::Secret,
        "",
        "How to reach that store, where the environment does not say so already: `region`, `endpoint`, `access_key_id`, `secret_access_key`, `profile` for S3; `account_name`, `access_key`, `sas_token`, `client_id`, `client_secret`, `tenant_id` for Azure; `service_account_key` for Google. It belongs to `url`: a lake that is named on the command line is reached by the environment alone.",
    ),
    key(
        "destination.*.mode",
        Kind::Text,
        "managed",
        "For `databricks`: `managed` are tables that Databricks keeps, filled through a volume and a SQL warehouse; `external` are tables in your own bucket, written by Freshet and registered in Unity Catalog; `zerobus` are managed tables into which `freshet run` streams log lines, within seconds and at least once.",
    ),
    key(
        "destination.*.zerobus_endpoint",
        Kind::Text,
        "",
        "For `databricks`, mode `zerobus`: the address of Zerobus for the workspace, such as `https://1234567890123456.zerobus.eu-west-1.cloud.databricks.com`.",
    ),
    key(
        "destination.*.workspace_id",
        Kind::Text,
        "",
        "For `databricks`, mode `zerobus`: the number of the workspace. Only needed where the address of Zerobus does not begin with it.",
    ),
    key(
        "destination.*.host",
        Kind::Text,
        "",
        "For `databricks`: where the workspace is, such as `https://dbc-a1b2345c-d6e7.cloud.databricks.com`. Without this, `DATABRICKS_HOST` or the profile says it.",
    ),
    key(
        "destination.*.warehouse",
        Kind::Text,
        "",
        "For `databricks`: the SQL warehouse that runs statements, by its id or its HTTP path. Without this, `DATABRICKS_WAREHOUSE_ID`, or the only one there is.",
    ),
    key("destination.*.catalog", Kind::Text, "", "For `databricks`: the catalog that the tables are in. It has to be there."),
    key(
        "destination.*.schema",
        Kind::Text,
        "heroku",
        "For `databricks`: the schema that the tables are in. It is made where it is missing.",
    ),
    key(
        "destination.*.volume",
        Kind::Text,
        "_freshet",
        "For `databricks`, mode `managed`: the volume in the schema through which files go. It is made where it is missing.",
    ),
    key(
        "destination.*.profile",
        Kind::Text,
        "",
        "For `databricks`: the profile in `~/.databrickscfg` that says what is not said here. Without this, `DATABRICKS_CONFIG_PROFILE`, or `DEFAULT` where nothing else says how to log in.",
    ),
    key(
        "destination.*.auth_type",
        Kind::Text,
        "",
        "For `databricks`: the way to log in, where several are possible: `pat`, `oauth-m2m`, `env-oidc`, `file-oidc`, `github-oidc`, `azure-client-secret`, `databricks-cli`, `azure-cli`. Without this, `DATABRICKS_AUTH_TYPE`, or the only one that is possible.",
    ),
    key(
        "destination.*.token",
        Kind::Secret,
        "",
        "For `databricks`: a personal access token. Without this, `DATABRICKS_TOKEN` or the profile.",
    ),
    key(
        "destination.*.client_id",
        Kind::Text,
        "",
        "For `databricks`: the application id of a service principal. Without this, `DATABRICKS_CLIENT_ID` or the profile.",
    ),
    key(
        "destination.*.client_secret",
        Kind::Secret,
        "",
        "For `databricks`: the service principal's OAuth secret. Without this, `DATABRICKS_CLIENT_SECRET` or the profile.",
    ),
    key("receive.listen", Kind::Text, "0.0.0.0:8080", "Address and port to listen on. `$PORT`, where set, replaces the port."),
    key(
        "receive.drain_secret",
        Kind::Secret,
        "env:FRESHET_DRAIN_SECRET",
        "Password of the log drains (the user is `freshet`). Letters, digits, `-`, `_`, `.` and `~` only: Heroku does not decode others.",
    ),
    key("receive.drain_secret_old", Kind::Secret, "", "A second password that is accepted too, while drains move to a new one."),
    key(
        "receive.webhook_secret",
        Kind::Secret,
        "env:FRESHET_WEBHOOK_SECRET",
        "The secret with which Heroku signs webhooks; `freshet webhooks add` tells Heroku. Without one, no webhook is received.",
    ),
    key("receive.webhook_secret_old", Kind::Secret, "", "A second secret that is accepted too, while webhooks move to a new one."),
    key(
        "receive.body_max",
        Kind::Bytes,
        "16MiB",
        "The longest request body that is kept whole. Of a longer one the first part is kept and the rest counted.",
    ),
    key("receive.connections_max", Kind::Count, "4096", "Connections that may be open at once; more have to wait."),
    key(
        "receive.tls_certificate",
        Kind::Text,
        "",
        "PEM file with the certificate chain. With it and `tls_key` the listener speaks HTTPS itself.",
    ),
    key("receive.tls_key", Kind::Text, "", "PEM file with the private key."),
    key(
        "receive.public_url",
        Kind::Text,
        "",
        "The address by which Heroku reaches the listener, such as `https://logs.example.com`. `freshet check` tries it.",
    ),
    key(
        "spool.max_bytes",
        Kind::Bytes,
        "1GiB",
        "Most that the spool may hold. When it is full the listener closes until there is room, and Logplex waits.",
    ),
    key("spool.segment_bytes", Kind::Bytes, "64MiB", "Size of one file of the spool."),
    key(
        "spool.dedupe_window",
        Kind::Duration,
        "2h",
        "How long a frame is remembered, so that its repetition is not stored again. At least 1h.",
    ),
    key(
        "load.max_age",
        Kind::Duration,
        "30s",
        "Longest that a message waits before it is committed to its tables. With managed tables of Databricks `10m`, unless it is set: each load keeps a SQL warehouse awake, which costs money. With Zerobus `2s`.",
    ),
    key("load.max_bytes", Kind::Bytes, "64MiB", "Memory that rows may take before they are committed."),
    key("load.max_rows", Kind::Count, "1000000", "Rows that may wait before they are committed."),
    key("maintenance.every", Kind::Duration, "10m", "How often `freshet run` looks for small files to merge and logs to check-point."),
    key("maintenance.min_files", Kind::Count, "8", "Small files that a past day must have before they are merged."),
    key("maintenance.target_bytes", Kind::Bytes, "128MiB", "Size that merged files aim at."),
    key(
        "maintenance.window",
        Kind::Text,
        "",
        "When `freshet run` merges files of past days, takes away rows older than the retention and vacuums: a part of the day and a time zone, such as `01:00-05:00 Europe/Berlin` (without a zone it is UTC). Without this, at any time. Check-points are written and today's smallest files are merged at any time.",
    ),
    key(
        "retention.default",
        Kind::Text,
        "keep",
        "How long rows are kept: a time span of at least `1d`, such as `90d`, or `keep` for ever. `freshet run` takes away older ones once a day, whole days (UTC) at a time; their files are deleted 7 days later. Tables of objects of the Platform API have no such end.",
    ),
    key("retention.*", Kind::Text, "", "The same for one table, such as `logs = \"90d\"`."),
    key(
        "schedule.default",
        Kind::Text,
        "every 15m",
        "How often `freshet run` reads the objects of the Platform API, once there is a token: `every 15m`, `off`, or minute, hour, day, month, weekday and time zone as in `0 6 * * MON-FRI Europe/Berlin` (without a zone it is UTC). Streams that change rarely are read once a day all the same.",
    ),
    key("schedule.*", Kind::Text, "", "The same for one stream, such as `releases = \"every 5m\"`. `freshet sync --list` names them."),
    key("run.stop_within", Kind::Duration, "25s", "Time to finish after SIGTERM or SIGINT. Heroku kills a dyno after 30s."),
];

/// The reference page, in Markdown.
#[must_use]
pub(crate) fn reference() -> String {
    let mut page = String::from(
        "# Configuration\n\nFreshet reads `freshet.toml` in the working directory, or the file that `--config` or `$FRESHET_CONFIG` names. Every key\n\
         has a default, so no file is needed to begin with. Unknown keys are errors.\n\nThis page is made from the program's own list of keys (`freshet schema`).\n",
    );
    let mut section = "";
    for key in KEYS {
        let (table, name) = split(key.path);
        if table != section {
            section = table;
            let _ = write!(page, "\n## [{}]\n\n| key | value | default | meaning |\n|---|---|---|---|\n", table.replace('*', "NAME"));
        }
        let default = if key.default.is_empty() { "none".to_owned() } else { format!("`{}`", key.default) };
        let name = match (table, name) {
            ("retention", "*") => "TABLE",
            ("schedule", "*") => "STREAM",
            (_, "*") => "OPTION",
            (_, name) => name,
        };
        let _ = writeln!(page, "| `{name}` | {} | {default} | {} |", key.kind.example(), key.about);
    }
    page
}

/// The JSON Schema of the file, for editors.
#[must_use]
pub(crate) fn schema() -> Value {
    let mut root = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": "freshet.toml", "type": "object", "additionalProperties": false, "properties": {} });
    for key in KEYS {
        let mut node = &mut root;
        let (table, name) = split(key.path);
        for part in table.split('.') {
            let slot = if part == "*" { &mut node["additionalProperties"] } else { &mut node["properties"][part] };
            if !slot.is_object() {
                *slot = json!({ "type": "object", "additionalProperties": false, "properties": {} });
            }
            node = slot;
        }
        let slot = if name == "*" { &mut node["additionalProperties"] } else { &mut node["properties"][name] };
        *slot = match key.kind {
            Kind::List => json!({ "type": "array", "items": { "type": "string" }, "description": key.about }),
            Kind::Count => json!({ "type": "integer", "description": key.about, "examples": [key.default] }),
            _ => json!({ "type": "string", "description": key.about, "examples": [key.default] }),
        };
    }
    root
}

fn split(path: &'static str) -> (&'static str, &'static str) {
    path.rsplit_once('.').unwrap_or(("", path))
}
