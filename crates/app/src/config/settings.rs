//! Valid settings: every value checked, nothing touched yet.

mod destination;
mod heroku;
mod retention;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use freshet_core::{Every, Secret, StreamDef};
use freshet_tables::platform::{stream, streams};
use freshet_web::web_address;

use super::cadence::Cadence;
use super::keys::KEYS;
use super::raw::{Entry, Problem, matches, read};
use super::units;
use super::window::Window;
use crate::exit::{Exit, Failure};

pub(crate) use destination::{DatabricksMode, DatabricksSettings};
pub(crate) use heroku::{HerokuSettings, NoToken};
pub(crate) use retention::RetentionSettings;

/// Everything that can be set, with defaults filled in.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The Platform API and what of it is wanted.
    pub(crate) heroku: HerokuSettings,
    /// Root of the lake; a path or a URL. Not asked for where the tables are in a Databricks workspace.
    pub(crate) lake: String,
    /// The Databricks workspace that the tables are in, if they are in one.
    pub(crate) databricks: Option<DatabricksSettings>,
    /// How to reach the lake, as written: `env:NAME`, `file:PATH` or the value itself.
    storage: Vec<(String, Secret)>,
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// The drains' password, as written: `env:NAME`, `file:PATH` or itself.
    drain_secret: Secret,
    drain_secret_old: Option<Secret>,
    /// What webhooks are signed with, as written.
    webhook_secret: Secret,
    webhook_secret_old: Option<Secret>,
    /// Whether the file says where that is, so that it has to be there.
    is_webhook_secret_written: bool,
    /// Bytes of a body that are kept.
    pub(crate) body_bytes_max: usize,
    /// Connections at once.
    pub(crate) connections_max: usize,
    /// TLS of our own.
    pub(crate) tls: Option<TlsSettings>,
    /// The address by which Heroku reaches the listener, without a slash at its end.
    pub(crate) public_url: Option<String>,
    /// Bytes the spool may hold.
    pub(crate) spool_bytes_max: u64,
    /// Bytes of one spool file.
    pub(crate) segment_bytes: u64,
    /// How long frames are remembered.
    pub(crate) dedupe_window: Duration,
    /// Longest wait of a message before its commit, where it is said.
    pub(crate) load_age_max: Option<Duration>,
    /// Memory of waiting rows, bytes.
    pub(crate) load_bytes_max: usize,
    /// Waiting rows.
    pub(crate) load_rows_max: usize,
    /// How often maintenance runs.
    pub(crate) maintain_every: Duration,
    /// Small files that make a merge worth it.
    pub(crate) maintain_files_min: usize,
    /// Size merged files aim at.
    pub(crate) maintain_bytes_target: u64,
    /// When maintenance may be heavy; always without one.
    pub(crate) maintain_window: Option<Window>,
    /// How long rows are kept.
    pub(crate) retention: RetentionSettings,
    /// Deadline of the shutdown.
    pub(crate) stop_within: Duration,
    /// When streams of the Platform API are read.
    pub(crate) schedule: ScheduleSettings,
}

/// When streams of the Platform API are read.
#[derive(Clone, Debug)]
pub(crate) struct ScheduleSettings {
    default: Cadence,
    daily: Cadence,
    /// What is said of single streams.
    of_stream: BTreeMap<String, Cadence>,
}

impl ScheduleSettings {
    /// How often `stream` is read. The default is that of streams that are worth it.
    #[must_use]
    pub(crate) fn of(&self, stream: &StreamDef) -> &Cadence {
        let usual = match stream.every {
            Every::Often => &self.default,
            Every::Daily => &self.daily,
        };
        self.of_stream.get(stream.name).unwrap_or(usual)
    }

    /// Whether anything is ever read.
    #[must_use]
    pub(crate) fn is_off(&self) -> bool {
        streams().iter().all(|stream| matches!(self.of(stream), Cadence::Off))
    }
}

/// Files for TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TlsSettings {
    /// Certificate chain, PEM.
    pub(crate) certificate: PathBuf,
    /// Private key, PEM.
    pub(crate) key: PathBuf,
}

/// What is read, and what `freshet init` writes, when no file is named.
pub(crate) const DEFAULT_FILE: &str = "freshet.toml";

/// How often streams are read that change rarely.
const DAILY: Duration = Duration::from_secs(24 * 3600);

/// The shortest dedupe window: Freshet promises an hour.
const DEDUPE_WINDOW_MIN: Duration = Duration::from_secs(3600);

/// A configuration and everything that is wrong with it.
pub(crate) struct Examination {
    /// The file's path, or what stands in for one.
    pub(crate) name: String,
    /// The settings; where a value was refused, its default.
    pub(crate) settings: Settings,
    /// What is wrong, in the order it was found.
    pub(crate) problems: Vec<Problem>,
}

/// Reads the file that was asked for, or `./freshet.toml` where it exists, or only defaults.
///
/// # Errors
/// The file cannot be read, or has problems: all of them in one message, with their places.
pub(crate) fn load(asked: Option<&Path>) -> anyhow::Result<Settings> {
    let Examination { name, settings, problems } = examine(asked);
    if problems.is_empty() {
        return Ok(settings);
    }
    let list: Vec<String> = problems.iter().map(|problem| format!("  {problem}")).collect();
    let count = if problems.len() == 1 { "a problem".to_owned() } else { format!("{} problems", problems.len()) };
    Err(Failure::error(Exit::BadConfig, format!("{name} has {count}:\n{}", list.join("\n"))))
}

/// Reads what [`load`] reads, and keeps going whatever is wrong.
#[must_use]
pub(crate) fn examine(asked: Option<&Path>) -> Examination {
    let default = Path::new(DEFAULT_FILE);
    let path = asked.or_else(|| default.exists().then_some(default));
    let name = path.map_or_else(|| "the defaults".to_owned(), |path| path.display().to_string());
    match path.map(std::fs::read_to_string).transpose() {
        Ok(source) => {
            let (settings, problems) = examine_text(&source.unwrap_or_default());
            Examination { name, settings, problems }
        }
        Err(error) => {
            let unreadable = Problem { place: None, message: format!("it cannot be read: {error}") };
            Examination { name, settings: examine_text("").0, problems: vec![unreadable] }
        }
    }
}

/// The settings in a file's text and everything that is wrong with it.
#[must_use]
pub(crate) fn examine_text(source: &str) -> (Settings, Vec<Problem>) {
    let mut problems = Vec::new();
    let entries = read(source, &mut problems);
    let settings = settings(&Values { entries }, &mut problems);
    (settings, problems)
}

impl Settings {
    /// How to reach the lake's store beyond what the environment says, read from where the file says it is.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn storage(&self) -> anyhow::Result<Vec<(String, Secret)>> {
        let options = self.storage.iter().map(|(name, written)| {
            let problem =
                |why| Failure::error(Exit::BadConfig, format!("the storage option `{name}` under [destination] is missing: {why}"));
            Ok((name.clone(), resolve(written).map_err(problem)?))
        });
        options.collect()
    }

    /// The secrets with which webhooks may be signed, the present one first, read from where the file says they are. None when
    /// nothing was said about webhooks.
    ///
    /// # Errors
    /// The file says where one is, and there it is not.
    pub(crate) fn webhook_secrets(&self) -> anyhow::Result<Vec<Secret>> {
        let mut secrets = Vec::new();
        match resolve(&self.webhook_secret) {
            Ok(secret) => secrets.push(secret),
            Err(why) if self.is_webhook_secret_written => return Err(missing_webhook_secret(&why)),
            Err(_) => {}
        }
        if let Some(old) = &self.webhook_secret_old {
            secrets.push(resolve(old).map_err(|why| missing_webhook_secret(&why))?);
        }
        Ok(secrets)
    }

    /// The secret with which Heroku is to sign webhooks.
    ///
    /// # Errors
    /// There is none.
    pub(crate) fn webhook_secret(&self) -> anyhow::Result<Secret> {
        resolve(&self.webhook_secret).map_err(|why| missing_webhook_secret(&why))
    }

    /// The defaults, with commits as often as somebody watches.
    #[must_use]
    pub(crate) fn for_demo(drain_secret: &str) -> Self {
        // What is read of the real Heroku does not belong into a demo.
        let (settings, _) = examine_text("[schedule]\ndefault = \"off\"\n");
        Self { drain_secret: Secret::new(drain_secret.to_owned()), load_age_max: Some(Duration::from_secs(2)), ..settings }
    }

    /// Whether there is a drain secret, good or bad.
    #[must_use]
    pub(crate) fn has_drain_secret(&self) -> bool {
        resolve(&self.drain_secret).is_ok()
    }

    /// The accepted passwords, read from where the file says they are.
    ///
    /// # Errors
    /// There is none, or it cannot be read, or Logplex could not send it as written.
    pub(crate) fn drain_secrets(&self) -> anyhow::Result<Vec<Secret>> {
        let mut secrets = vec![resolve(&self.drain_secret).map_err(|why| missing_secret(&why))?];
        if let Some(old) = &self.drain_secret_old {
            secrets.push(resolve(old).map_err(|why| missing_secret(&why))?);
        }
        let usable = |secret: &Secret| secret.reveal().bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
        if secrets.iter().all(usable) {
            return Ok(secrets);
        }
        Err(Failure::error(
            Exit::BadConfig,
            "the drain secret may hold only letters, digits, `-`, `_`, `.` and `~`: Heroku sends the password of a drain URL as written, and a `:` in it stops the drain",
        ))
    }
}

fn missing_webhook_secret(why: &str) -> anyhow::Error {
    no_secret("webhook", why)
}

fn missing_secret(why: &str) -> anyhow::Error {
    no_secret("drain", why)
}

/// There is no secret of this kind, and how to make one.
fn no_secret(kind: &str, why: &str) -> anyhow::Error {
    let variable = format!("FRESHET_{}_SECRET", kind.to_uppercase());
    Failure::error(
        Exit::BadConfig,
        format!(
            "there is no {kind} secret: {why}\n  make one:  export {variable}=$(head -c 24 /dev/urandom | base64 | tr '+/' '-_')\n  \
             or set `{kind}_secret` under [receive] in freshet.toml"
        ),
    )
}

/// Follows `env:NAME` and `file:PATH`; anything else is the secret itself.
fn resolve(secret: &Secret) -> Result<Secret, String> {
    let text = secret.reveal();
    let found = if let Some(name) = text.strip_prefix("env:") {
        std::env::var(name).map_err(|_| format!("the variable {name} is not set"))?
    } else if let Some(path) = text.strip_prefix("file:") {
        std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?.trim_end().to_owned()
    } else {
        text.to_owned()
    };
    if found.is_empty() { Err("it is empty".to_owned()) } else { Ok(Secret::new(found)) }
}

struct Values {
    entries: Vec<Entry>,
}

impl Values {
    /// What the file says for `pattern`, else the default; empty when there is neither.
    fn text(&self, pattern: &str) -> String {
        let written = self.entries.iter().find(|entry| matches(pattern, &entry.path)).and_then(|entry| entry.texts.first().cloned());
        written.unwrap_or_else(|| KEYS.iter().find(|key| key.path == pattern).map_or_else(String::new, |key| key.default.to_owned()))
    }

    fn place(&self, pattern: &str) -> Option<(usize, usize)> {
        self.entries.iter().find(|entry| matches(pattern, &entry.path)).and_then(|entry| entry.place)
    }

    fn optional(&self, pattern: &str) -> Option<String> {
        Some(self.text(pattern)).filter(|text| !text.is_empty())
    }

    fn list(&self, pattern: &str) -> Vec<String> {
        self.entries.iter().find(|entry| matches(pattern, &entry.path)).map_or_else(Vec::new, |entry| entry.texts.clone())
    }

    /// What the file says for each path that fits `pattern`, by what stands in place of its last part.
    fn named(&self, pattern: &str) -> Vec<(String, Secret)> {
        let parts_before = pattern.split('.').count() - 1;
        let fitting = self.entries.iter().filter(|entry| matches(pattern, &entry.path));
        let name = |entry: &Entry| entry.path.splitn(parts_before + 1, '.').last().unwrap_or_default().to_owned();
        fitting.filter_map(|entry| Some((name(entry), Secret::new(entry.texts.first()?.clone())))).collect()
    }

    fn is_written(&self, pattern: &str) -> bool {
        self.entries.iter().any(|entry| matches(pattern, &entry.path))
    }

    fn is_default(&self, pattern: &str) -> bool {
        KEYS.iter().any(|key| key.path == pattern && key.default == self.text(pattern))
    }

    // The reader has checked that these texts have their kind, so the fall-backs below are never used.
    fn duration(&self, pattern: &str) -> Duration {
        units::duration(&self.text(pattern)).unwrap_or_default()
    }

    fn bytes(&self, pattern: &str) -> u64 {
        units::bytes(&self.text(pattern)).unwrap_or_default()
    }

    fn size(&self, pattern: &str) -> usize {
        usize::try_from(self.bytes(pattern)).unwrap_or(usize::MAX)
    }

    fn count(&self, pattern: &str) -> usize {
        self.text(pattern).parse().unwrap_or_default()
    }
}

fn settings(values: &Values, problems: &mut Vec<Problem>) -> Settings {
    let mut refuse = |pattern: &str, message: String| problems.push(Problem { place: values.place(pattern), message });
    let (lake, databricks) = destination::settings(values, &mut refuse);
    let listen = values.text("receive.listen");
    let listen = listen.parse().unwrap_or_else(|_| {
        refuse("receive.listen", format!("`listen` is {listen:?}, but must be an address and a port, such as \"0.0.0.0:8080\""));
        SocketAddr::from(([0, 0, 0, 0], 8080))
    });
    let tls = tls(values, &mut refuse);
    let heroku = HerokuSettings::of(values, &mut refuse);
    let public_url = address(values, "receive.public_url", &mut refuse);
    let dedupe_window = values.duration("spool.dedupe_window");
    if dedupe_window < DEDUPE_WINDOW_MIN {
        refuse("spool.dedupe_window", "`dedupe_window` must be at least \"1h\": Logplex may repeat a frame that long".to_owned());
    }
    let (spool_bytes_max, segment_bytes) = (values.bytes("spool.max_bytes"), values.bytes("spool.segment_bytes"));
    if segment_bytes.saturating_mul(4) > spool_bytes_max {
        refuse(
            "spool.segment_bytes",
            "`segment_bytes` must be at most a quarter of `max_bytes`: room is freed a segment at a time".to_owned(),
        );
    }
    let maintain_window = values
        .optional("maintenance.window")
        .and_then(|text| Window::parse(&text).map_err(|why| refuse("maintenance.window", format!("`window` {why}"))).ok());
    Settings {
        heroku,
        lake,
        databricks,
        storage: values.named("destination.*.storage.*"),
        listen,
        drain_secret: Secret::new(values.text("receive.drain_secret")),
        drain_secret_old: values.optional("receive.drain_secret_old").map(Secret::new),
        webhook_secret: Secret::new(values.text("receive.webhook_secret")),
        webhook_secret_old: values.optional("receive.webhook_secret_old").map(Secret::new),
        is_webhook_secret_written: values.is_written("receive.webhook_secret"),
        body_bytes_max: values.size("receive.body_max"),
        connections_max: values.count("receive.connections_max"),
        tls,
        public_url,
        spool_bytes_max,
        segment_bytes,
        dedupe_window,
        load_age_max: values.is_written("load.max_age").then(|| values.duration("load.max_age")),
        load_bytes_max: values.size("load.max_bytes"),
        load_rows_max: values.count("load.max_rows"),
        maintain_every: values.duration("maintenance.every"),
        maintain_files_min: values.count("maintenance.min_files"),
        maintain_bytes_target: values.bytes("maintenance.target_bytes"),
        maintain_window,
        retention: RetentionSettings::of_values(values, problems),
        stop_within: values.duration("run.stop_within"),
        schedule: schedule(values, problems),
    }
}

/// The address at `pattern`, if there is one that secrets may be sent to.
fn address(values: &Values, pattern: &str, refuse: &mut impl FnMut(&str, String)) -> Option<String> {
    let (text, name) = (values.optional(pattern)?, pattern.rsplit('.').next().unwrap_or(pattern));
    web_address(&text).map_err(|why| refuse(pattern, format!("`{name}` {why}"))).ok()
}

fn schedule(values: &Values, problems: &mut Vec<Problem>) -> ScheduleSettings {
    let mut refuse = |place, message| problems.push(Problem { place, message });
    let cadence = |key: &str, text: &str, place, refuse: &mut dyn FnMut(Option<(usize, usize)>, String)| {
        Cadence::parse(text).map_err(|why| refuse(place, format!("`{key}` {why}"))).unwrap_or(Cadence::Off)
    };
    let default = cadence("schedule.default", &values.text("schedule.default"), values.place("schedule.default"), &mut refuse);
    // Off is off for all.
    let daily = if matches!(default, Cadence::Off) { Cadence::Off } else { Cadence::Every(DAILY) };
    let mut of_stream = BTreeMap::new();
    for entry in &values.entries {
        let Some(name) = entry.path.strip_prefix("schedule.").filter(|name| *name != "default") else { continue };
        let text = entry.texts.first().map_or("", String::as_str);
        of_stream.insert(name.to_owned(), cadence(&entry.path, text, entry.place, &mut refuse));
        if stream(name).is_none() {
            refuse(entry.place, format!("`{}` names no stream; `freshet sync --list` names them all", entry.path));
        }
    }
    ScheduleSettings { default, daily, of_stream }
}

fn tls(values: &Values, refuse: &mut impl FnMut(&str, String)) -> Option<TlsSettings> {
    match (values.optional("receive.tls_certificate"), values.optional("receive.tls_key")) {
        (Some(certificate), Some(key)) => Some(TlsSettings { certificate: certificate.into(), key: key.into() }),
        (None, None) => None,
        (Some(_), None) => {
            refuse("receive.tls_certificate", "`tls_certificate` needs `tls_key` beside it".to_owned());
            None
        }
        (None, Some(_)) => {
            refuse("receive.tls_key", "`tls_key` needs `tls_certificate` beside it".to_owned());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems_of(source: &str) -> Vec<String> {
        examine_text(source).1.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn webhooks_need_a_secret_only_where_one_was_named() {
        let secrets = |source: &str| {
            let secrets = examine_text(source).0.webhook_secrets();
            secrets
                .map(|secrets| secrets.iter().map(|secret| secret.reveal().to_owned()).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(secrets(""), Ok(vec![]));
        assert_eq!(
            secrets("[receive]\nwebhook_secret = \"new\"\nwebhook_secret_old = \"old\"\n"),
            Ok(vec!["new".to_owned(), "old".to_owned()])
        );
        for named in ["webhook_secret = \"env:FRESHET_NO_SUCH\"", "webhook_secret_old = \"file:/no/such\""] {
            let error = secrets(&format!("[receive]\n{named}\n")).unwrap_err();
            assert!(error.contains("there is no webhook secret"), "{error}");
        }
        assert!(examine_text("").0.webhook_secret().is_err());
    }

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(problems_of(""), [""; 0]);
    }

    #[test]
    fn every_problem_is_reported_with_its_place() {
        let source = "[recieve]\nlisten = \"x\"\n[receive]\nlisten = \"nowhere\"\ntls_key = \"k.pem\"\n[load]\nmax_age = 30\nmax_row = 5\n\
                      [spool]\nmax_bytes = \"lots\"\n[destination.lake]\nurl = \"ftp://b/x\"\n";
        assert_eq!(
            problems_of(source),
            [
                "line 1, column 2: unknown section `recieve`; did you mean `receive`?",
                "line 7, column 1: `load.max_age` must be a time span in quotes, such as \"30s\", \"15m\" or \"2h\"",
                "line 8, column 1: unknown key `load.max_row`; did you mean `load.max_rows`?",
                "line 10, column 1: `spool.max_bytes` is \"lots\", but must be a size in quotes, such as \"64MiB\" or \"1GiB\"",
                "line 12, column 1: `url`: cannot open the lake at ftp://b/x: ftp:// is not known; a lake is a path, or at s3://, s3a://, abfss://, abfs://, az://, azure://, adl://, gs://, hdfs://",
                "line 4, column 1: `listen` is \"nowhere\", but must be an address and a port, such as \"0.0.0.0:8080\"",
                "line 5, column 1: `tls_key` needs `tls_certificate` beside it",
            ]
        );
    }

    #[test]
    fn apps_are_a_list_of_names() {
        let apps = |source: &str| examine_text(source).0.heroku.apps;
        assert_eq!(apps("[heroku]\napps = [\"shop-*\", \"billing\"]\n"), ["shop-*", "billing"]);
        assert_eq!(apps("heroku = { apps = [] }\n"), [""; 0]);
        for (wrong, says) in [
            ("apps = \"shop\"", "line 2, column 1: `heroku.apps` must be a list of names"),
            ("apps = [1]", "line 2, column 1: `heroku.apps` must be a list of names"),
            ("apps = [\"ok\", \"Shop\"]", "line 2, column 1: `heroku.apps` holds \"Shop\", but must be a list of names"),
            ("apps = [\"\"]", "line 2, column 1: `heroku.apps` holds \"\", but must be a list of names"),
        ] {
            let problems = problems_of(&format!("[heroku]\n{wrong}\n"));
            assert!(problems.len() == 1 && problems[0].starts_with(says), "{wrong}: {problems:?}");
        }
    }

    #[test]
    fn addresses_keep_secrets_to_themselves() {
        let problems =
            problems_of("[receive]\npublic_url = \"https://freshet:hunter2@x.example\"\n[heroku]\napi_url = \"http://x.example\"\n");
        assert!(problems.len() == 2 && !problems.concat().contains("hunter2"), "{problems:?}");
    }

    #[test]
    fn a_broken_file_is_one_problem_with_a_place() {
        assert_eq!(problems_of("a = [").len(), 1);
    }

    #[test]
    fn the_reference_page_is_up_to_date() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
        let committed = std::fs::read_to_string(&page).unwrap_or_default();
        assert_eq!(committed, crate::config::reference(), "run: cargo run -- schema > docs/configuration.md");
    }
}
