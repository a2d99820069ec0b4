//! Which way to log in is meant, of all that could be.

use std::path::PathBuf;

use freshet_core::Secret;
use freshet_web::web_address;

use super::profile::Profile;
use super::{Environment, Login, Subject};
use crate::databricks::WorkspaceError;
use crate::databricks::warehouse::warehouse_id;

/// Where service principals of Microsoft Entra are known, by cloud.
const AUTHORITIES: [(&str, &str); 3] = [
    ("PUBLIC", "https://login.microsoftonline.com"),
    ("USGOVERNMENT", "https://login.microsoftonline.us"),
    ("CHINA", "https://login.chinacloudapi.cn"),
];

/// The ways to log in that this version knows, as `auth_type` names them.
pub const AUTH_TYPES: [&str; 8] =
    ["pat", "oauth-m2m", "env-oidc", "file-oidc", "github-oidc", "azure-client-secret", "databricks-cli", "azure-cli"];

/// What is configured of a workspace; what is missing is looked for in the environment and in a profile.
#[derive(Clone, Debug, Default)]
pub struct LoginSettings {
    /// Where the workspace is. `https://` may be left out.
    pub host: Option<String>,
    /// The SQL warehouse, by its id or its HTTP path.
    pub warehouse: Option<String>,
    /// The profile that is meant.
    pub profile: Option<String>,
    /// The way to log in, where several are possible.
    pub auth_type: Option<String>,
    /// A token that somebody made by hand.
    pub token: Option<Secret>,
    /// The application id of a service principal.
    pub client_id: Option<String>,
    /// Its secret.
    pub client_secret: Option<Secret>,
}

/// A workspace and who we are to it.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it is, with `https://` and without a slash at the end.
    pub host: String,
    /// The id of its SQL warehouse, where that was said.
    pub warehouse: Option<String>,
    /// Who we are.
    pub login: Login,
}

/// A value and who said so.
#[derive(Clone)]
struct Said {
    value: String,
    by: String,
}

/// Everything that was said, the configuration first.
struct Sayings<'a> {
    settings: &'a LoginSettings,
    environment: Environment<'a>,
    profile: Option<Profile>,
}

/// The workspace that `settings` and `environment` mean.
///
/// # Errors
/// Something is missing, wrong, or said twice: the message names it and who said it.
pub fn find(settings: &LoginSettings, environment: Environment<'_>) -> Result<Found, WorkspaceError> {
    found(settings, environment).map_err(WorkspaceError::Settings)
}

fn found(settings: &LoginSettings, environment: Environment<'_>) -> Result<Found, String> {
    let mut sayings = Sayings { settings, environment, profile: None };
    let named = sayings.get("profile", "DATABRICKS_CONFIG_PROFILE");
    // As in Databricks' tools: who has said how to log in does not get the usual profile mixed in.
    if named.is_some() || !sayings.has_login() {
        let host = sayings.get("host", "DATABRICKS_HOST").and_then(|said| host_address(&said.value).ok());
        let profile = Profile::read(named.as_ref().map(|said| said.value.as_str()), environment)?;
        // The usual one may be for another workspace; who names one means it.
        let is_meant = |profile: &Profile| {
            let theirs = profile.get("host").and_then(|theirs| host_address(theirs).ok());
            named.is_some() || host.is_none() || theirs.is_none() || theirs == host
        };
        sayings.profile = profile.filter(is_meant);
    }
    let host = sayings.host()?;
    let warehouse = match sayings.get("warehouse", "DATABRICKS_WAREHOUSE_ID") {
        Some(said) => Some(warehouse_id(&said.value).map_err(|why| format!("the warehouse of {} {why}", said.by))?),
        None => None,
    };
    Ok(Found { login: sayings.login()?, host, warehouse })
}

impl Sayings<'_> {
    /// What is said for `key`, whose variable in the environment is `variable`.
    fn get(&self, key: &str, variable: &str) -> Option<Said> {
        let configured = match key {
            "host" => self.settings.host.clone(),
            "warehouse" => self.settings.warehouse.clone(),
            "profile" => self.settings.profile.clone(),
            "auth_type" => self.settings.auth_type.clone(),
            "token" => self.settings.token.as_ref().map(|secret| secret.reveal().to_owned()),
            "client_id" => self.settings.client_id.clone(),
            "client_secret" => self.settings.client_secret.as_ref().map(|secret| secret.reveal().to_owned()),
            _ => None,
        };
        if let Some(value) = configured {
            return Some(Said { value, by: format!("`{key}` in the configuration") });
        }
        if let Some(value) = (self.environment)(variable).filter(|value| !value.is_empty()) {
            return Some(Said { value, by: format!("the variable {variable}") });
        }
        let profile = self.profile.as_ref()?;
        // Their names there are those of the variables without what all begin with, but for Azure.
        let name = match key {
            "warehouse" => "warehouse_id",
            key => key,
        };
        profile.get(name).map(|value| Said { value: value.to_owned(), by: format!("`{name}` in the profile {}", profile.name) })
    }

    fn token(&self) -> Option<Said> {
        self.get("token", "DATABRICKS_TOKEN")
    }

    fn client_id(&self) -> Option<Said> {
        self.get("client_id", "DATABRICKS_CLIENT_ID")
    }

    fn client_secret(&self) -> Option<Said> {
        self.get("client_secret", "DATABRICKS_CLIENT_SECRET")
    }

    fn azure(&self, part: &str) -> Option<Said> {
        self.get(&format!("azure_{part}"), &format!("ARM_{}", part.to_uppercase()))
    }

    /// Whether anything but a profile says how to log in.
    fn has_login(&self) -> bool {
        self.token().is_some() || self.client_secret().is_some() || self.azure("client_secret").is_some() || self.subject().is_some()
    }

    fn host(&self) -> Result<String, String> {
        let said = self.get("host", "DATABRICKS_HOST").ok_or(
            "it is not said where the workspace is: set `host` under [destination.NAME] or the variable DATABRICKS_HOST, such as \
             \"https://dbc-a1b2345c-d6e7.cloud.databricks.com\"",
        )?;
        let host = host_address(&said.value).map_err(|why| format!("the workspace's host, by {}, {why}", said.by))?;
        // A profile's secrets belong to the profile's host.
        if let Some(profile) = &self.profile
            && let Some(theirs) = profile.get("host")
            && host_address(theirs).ok().as_ref() != Some(&host)
        {
            return Err(format!("the profile {} is for {theirs}, but {} says {}: correct one of them", profile.name, said.by, said.value));
        }
        Ok(host)
    }

    fn login(&self) -> Result<Login, String> {
        let Some(wanted) = self.get("auth_type", "DATABRICKS_AUTH_TYPE") else { return self.only_login() };
        let need = |said: Option<Said>, what: &str| {
            said.map(|said| said.value).ok_or_else(|| format!("{} is {:?}, which needs {what}", wanted.by, wanted.value))
        };
        Ok(match wanted.value.as_str() {
            "pat" => Login::Token(Secret::new(need(self.token(), "`token` or DATABRICKS_TOKEN")?)),
            "oauth-m2m" => Login::ServicePrincipal {
                client_id: need(self.client_id(), "`client_id` or DATABRICKS_CLIENT_ID")?,
                client_secret: Secret::new(need(self.client_secret(), "`client_secret` or DATABRICKS_CLIENT_SECRET")?),
            },
            "env-oidc" => self.federated(Subject::Known(Secret::new(need(self.oidc_token(), "the token in DATABRICKS_OIDC_TOKEN")?))),
            "file-oidc" => self.federated(Subject::File(need(self.oidc_file(), "DATABRICKS_OIDC_TOKEN_FILEPATH")?.into())),
            "github-oidc" => self.federated(self.github().ok_or_else(|| {
                format!("{} is {:?}, which needs a GitHub Action with `permissions: id-token: write`", wanted.by, wanted.value)
            })??),
            "azure-client-secret" => self.azure_login(|said, what| need(said, what))?,
            "databricks-cli" => Login::DatabricksCli {
                program: self.program("DATABRICKS_CLI_PATH", "databricks"),
                profile: self.profile.as_ref().filter(|profile| profile.get("host").is_some()).map(|profile| profile.name.clone()),
            },
            "azure-cli" => {
                Login::AzureCli { program: self.program("AZURE_CLI_PATH", "az"), tenant: self.azure("tenant_id").map(|said| said.value) }
            }
            other => return Err(format!("{} is {other:?}; this version knows {}", wanted.by, AUTH_TYPES.join(", "))),
        })
    }

    /// The one way that is possible.
    fn only_login(&self) -> Result<Login, String> {
        let mut ways: Vec<(&str, String)> = Vec::new();
        ways.extend(self.token().map(|said| ("pat", said.by)));
        ways.extend(self.client_secret().map(|said| ("oauth-m2m", said.by)));
        ways.extend(self.azure("client_secret").map(|said| ("azure-client-secret", said.by)));
        if ways.len() > 1 {
            let list: Vec<String> = ways.iter().map(|(way, by)| format!("{way} (by {by})")).collect();
            return Err(format!(
                "there are several ways to log in, and nobody knows which is meant: {}; take one away, or set `auth_type`",
                list.join(", ")
            ));
        }
        let Some((way, by)) = ways.pop() else { return self.without_secret() };
        let missing = |what: &str| format!("{by} is there, but {what} is not: {way} needs both");
        if let Some(token) = self.token() {
            return Ok(Login::Token(Secret::new(token.value)));
        }
        if let Some(secret) = self.client_secret() {
            let client_id = self.client_id().ok_or_else(|| missing("`client_id` (DATABRICKS_CLIENT_ID)"))?;
            return Ok(Login::ServicePrincipal { client_id: client_id.value, client_secret: Secret::new(secret.value) });
        }
        self.azure_login(|said, what| said.map(|said| said.value).ok_or_else(|| missing(what)))
    }

    /// The way that needs nothing but who runs us.
    fn without_secret(&self) -> Result<Login, String> {
        let subject = self.subject().ok_or(
            "it is not said how to log in to the workspace: set DATABRICKS_TOKEN, or DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET \
             of a service principal; docs/databricks.md has the other ways",
        )?;
        Ok(self.federated(subject?))
    }

    fn federated(&self, subject: Subject) -> Login {
        let audience = self.get("token_audience", "DATABRICKS_TOKEN_AUDIENCE");
        Login::Federated { client_id: self.client_id().map(|said| said.value), subject, audience: audience.map(|said| said.value) }
    }

    fn azure_login(&self, need: impl Fn(Option<Said>, &str) -> Result<String, String>) -> Result<Login, String> {
        let environment = self.azure("environment").map_or_else(|| "PUBLIC".to_owned(), |said| said.value.to_uppercase());
        let environment = environment.trim_start_matches("AZURE").trim_end_matches("CLOUD");
        let usual = AUTHORITIES.iter().find(|(name, _)| *name == environment || (environment.is_empty() && *name == "PUBLIC"));
        let authority = match (self.get("azure_authority_host", "AZURE_AUTHORITY_HOST"), usual) {
            (Some(said), _) => web_address(&said.value).map_err(|why| format!("{} {why}", said.by))?,
            (None, Some((_, url))) => (*url).to_owned(),
            (None, None) => return Err(format!("ARM_ENVIRONMENT is {environment:?}; this version knows public, usgovernment and china")),
        };
        let tenant = need(self.azure("tenant_id"), "ARM_TENANT_ID")?;
        if !tenant.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte)) {
            return Err("ARM_TENANT_ID must be an id or a domain".to_owned());
        }
        Ok(Login::Azure {
            authority,
            tenant,
            client_id: need(self.azure("client_id"), "ARM_CLIENT_ID")?,
            client_secret: Secret::new(need(self.azure("client_secret"), "ARM_CLIENT_SECRET")?),
        })
    }

    /// The word of whoever runs us, if there is one.
    fn subject(&self) -> Option<Result<Subject, String>> {
        if let Some(said) = self.oidc_token() {
            return Some(Ok(Subject::Known(Secret::new(said.value))));
        }
        if let Some(said) = self.oidc_file() {
            return Some(Ok(Subject::File(said.value.into())));
        }
        // Every Action may have these, so they count only where a service principal was named.
        self.client_id().and_then(|_| self.github())
    }

    fn oidc_token(&self) -> Option<Said> {
        let variable = self.get("oidc_token_env", "DATABRICKS_OIDC_TOKEN_ENV");
        let variable = variable.map_or_else(|| "DATABRICKS_OIDC_TOKEN".to_owned(), |said| said.value);
        self.get("oidc_token", &variable)
    }

    fn oidc_file(&self) -> Option<Said> {
        self.get("oidc_token_filepath", "DATABRICKS_OIDC_TOKEN_FILEPATH")
    }

    fn github(&self) -> Option<Result<Subject, String>> {
        let variable = |name: &str| (self.environment)(name).filter(|value| !value.is_empty());
        let (url, token) = (variable("ACTIONS_ID_TOKEN_REQUEST_URL")?, variable("ACTIONS_ID_TOKEN_REQUEST_TOKEN")?);
        let place = url.split(['?', '#']).next().unwrap_or_default();
        Some(match web_address(place) {
            Ok(_) => Ok(Subject::GitHub { url, token: Secret::new(token) }),
            Err(why) => Err(format!("the variable ACTIONS_ID_TOKEN_REQUEST_URL {why}")),
        })
    }

    fn program(&self, variable: &str, usual: &str) -> PathBuf {
        (self.environment)(variable).filter(|value| !value.is_empty()).unwrap_or_else(|| usual.to_owned()).into()
    }
}

/// The address in what people write for a host: with or without `https://`, and with whatever a browser shows behind it.
/// # Errors
/// What it must be.
pub fn host_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let (scheme, rest) = full.split_once("://").unwrap_or(("https", text));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    web_address(&format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const HOST: (&str, &str) = ("DATABRICKS_HOST", "https://w.cloud.databricks.com/?o=1");

    const PROFILES: &str = "; people's\n[DEFAULT]\nhost = w.cloud.databricks.com\ntoken = default-5ecr3t\n\n[work]\nhost = https://work.example/\n\
                            client_id = id\nclient_secret = work-5ecr3t\nwarehouse_id = ab12\n\n[cli]\nhost = https://cli.example\nauth_type = databricks-cli\n";

    /// What `settings` and these variables mean, with a file of profiles at hand.
    fn find_with(settings: &LoginSettings, variables: &[(&str, &str)]) -> Result<Found, String> {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join(".databrickscfg"), PROFILES).unwrap();
        let variables: BTreeMap<&str, &str> = variables.iter().copied().collect();
        let home = directory.path().display().to_string();
        let environment = |name: &str| match name {
            "HOME" if !variables.contains_key("HOME") => Some(home.clone()),
            name => variables.get(name).map(|value| (*value).to_owned()),
        };
        let found = find(settings, &environment).map_err(|error| error.to_string());
        assert!(!format!("{found:?}").contains("5ecr3t"), "{found:?}");
        found
    }

    fn login_of(variables: &[(&str, &str)]) -> Result<Login, String> {
        find_with(&LoginSettings::default(), variables).map(|found| found.login)
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn check_refused(variables: &[(&str, &str)], words: &[&str]) {
        let error = login_of(variables).unwrap_err();
        assert!(words.iter().all(|word| error.contains(word)), "{error} lacks one of {words:?}");
    }

    #[test]
    fn what_is_configured_counts_before_the_environment_and_that_before_a_profile() {
        let token = |settings: &LoginSettings, variables: &[(&str, &str)]| find_with(settings, variables).unwrap().login;
        let configured = LoginSettings { token: Some(secret("config-5ecr3t")), ..LoginSettings::default() };
        let variables = [HOST, ("DATABRICKS_TOKEN", "env-5ecr3t")];
        assert!(token(&configured, &variables) == Login::Token(secret("config-5ecr3t")));
        assert!(token(&LoginSettings::default(), &variables) == Login::Token(secret("env-5ecr3t")));
        // The usual profile, and one that is named.
        let found = find_with(&LoginSettings::default(), &[]).unwrap();
        assert_eq!((found.host.as_str(), found.warehouse), ("https://w.cloud.databricks.com", None));
        assert!(found.login == Login::Token(secret("default-5ecr3t")));
        for (profile, variables) in [(Some("work"), vec![]), (None, vec![("DATABRICKS_CONFIG_PROFILE", "work")])] {
            let settings = LoginSettings { profile: profile.map(str::to_owned), ..LoginSettings::default() };
            let found = find_with(&settings, &variables).unwrap();
            assert_eq!(
                (found.host.as_str(), found.warehouse.as_deref(), found.login.name()),
                ("https://work.example", Some("ab12"), "oauth-m2m")
            );
        }
        let found = find_with(&LoginSettings::default(), &[("DATABRICKS_CONFIG_PROFILE", "cli")]).unwrap();
        assert!(found.login == Login::DatabricksCli { program: "databricks".into(), profile: Some("cli".to_owned()) });
    }

    #[test]
    fn a_profile_is_for_its_own_host() {
        let settings =
            LoginSettings { host: Some("https://other.example".to_owned()), profile: Some("work".to_owned()), ..LoginSettings::default() };
        let error = find_with(&settings, &[]).unwrap_err();
        assert!(
            error.contains("the profile work is for https://work.example/, but `host` in the configuration says https://other.example"),
            "{error}"
        );
        // As it is written does not matter.
        let settings = LoginSettings { host: Some("work.example/browse?o=7".to_owned()), ..settings };
        assert_eq!(find_with(&settings, &[]).unwrap().host, "https://work.example");
        check_refused(&[("DATABRICKS_CONFIG_PROFILE", "none")], &["has no profile none; it has: DEFAULT, work, cli"]);
        check_refused(
            &[("HOME", "/no/such"), ("DATABRICKS_CONFIG_PROFILE", "x")],
            &["there is no profile x: there is no /no/such/.databrickscfg"],
        );
        check_refused(&[("HOME", "/no/such")], &["it is not said where the workspace is"]);
        check_refused(
            &[("DATABRICKS_HOST", "http://w.example"), ("DATABRICKS_TOKEN", "5ecr3t")],
            &["DATABRICKS_HOST", "must begin with https://"],
        );
        check_refused(&[HOST, ("DATABRICKS_TOKEN", "x"), ("DATABRICKS_WAREHOUSE_ID", "a b")], &["DATABRICKS_WAREHOUSE_ID must be the id"]);
    }

    #[test]
    fn two_ways_at_once_are_both_named() {
        let both = [HOST, ("DATABRICKS_TOKEN", "5ecr3t"), ("DATABRICKS_CLIENT_ID", "id"), ("DATABRICKS_CLIENT_SECRET", "5ecr3t")];
        check_refused(
            &both,
            &["pat (by the variable DATABRICKS_TOKEN), oauth-m2m (by the variable DATABRICKS_CLIENT_SECRET)", "auth_type"],
        );
        for (way, name) in [("pat", "pat"), ("oauth-m2m", "oauth-m2m")] {
            let variables = [&both[..], &[("DATABRICKS_AUTH_TYPE", way)]].concat();
            assert_eq!(login_of(&variables).unwrap().name(), name);
        }
        let configured =
            LoginSettings { client_id: Some("id".to_owned()), client_secret: Some(secret("5ecr3t")), ..LoginSettings::default() };
        let error = find_with(&configured, &both[..2]).unwrap_err();
        assert!(error.contains("`client_secret` in the configuration"), "{error}");
        // Half of a way is not passed over in silence.
        check_refused(
            &[HOST, ("DATABRICKS_CLIENT_SECRET", "5ecr3t")],
            &["`client_id` (DATABRICKS_CLIENT_ID) is not: oauth-m2m needs both"],
        );
        check_refused(&[HOST, ("DATABRICKS_AUTH_TYPE", "google-id")], &["\"google-id\"; this version knows pat, oauth-m2m"]);
        check_refused(&[HOST, ("DATABRICKS_AUTH_TYPE", "oauth-m2m"), ("DATABRICKS_CLIENT_ID", "id")], &["needs `client_secret`"]);
        check_refused(&[HOST, ("HOME", "/no/such")], &["it is not said how to log in"]);
    }

    #[test]
    fn who_runs_us_can_vouch_for_us() {
        let id = ("DATABRICKS_CLIENT_ID", "id");
        let federated = |subject, audience: Option<&str>| Login::Federated {
            client_id: Some("id".to_owned()),
            subject,
            audience: audience.map(str::to_owned),
        };
        let known = login_of(&[HOST, id, ("DATABRICKS_OIDC_TOKEN_ENV", "MY_JWT"), ("MY_JWT", "5ecr3t")]).unwrap();
        assert!(known == federated(Subject::Known(secret("5ecr3t")), None));
        let file = login_of(&[HOST, id, ("DATABRICKS_OIDC_TOKEN_FILEPATH", "/run/jwt"), ("DATABRICKS_TOKEN_AUDIENCE", "a")]).unwrap();
        assert!(file == federated(Subject::File("/run/jwt".into()), Some("a")));
        let actions = [("ACTIONS_ID_TOKEN_REQUEST_URL", "https://gh.example/t?x=1"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "5ecr3t")];
        let github = login_of(&[&[HOST, id], &actions[..]].concat()).unwrap();
        assert!(github == federated(Subject::GitHub { url: "https://gh.example/t?x=1".to_owned(), token: secret("5ecr3t") }, None));
        // Without a principal, GitHub's variables mean nothing: here the usual profile's token.
        assert_eq!(login_of(&actions).unwrap().name(), "pat");
        let elsewhere = [HOST, id, ("ACTIONS_ID_TOKEN_REQUEST_URL", "http://gh.example/t"), ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "5ecr3t")];
        check_refused(&elsewhere, &["ACTIONS_ID_TOKEN_REQUEST_URL must begin with https://"]);
    }

    #[test]
    fn azure_has_clouds() {
        let azure = [HOST, ("ARM_TENANT_ID", "t"), ("ARM_CLIENT_ID", "id"), ("ARM_CLIENT_SECRET", "5ecr3t")];
        let authority = |more: &[(&str, &str)]| match login_of(&[&azure[..], more].concat()) {
            Ok(Login::Azure { authority, .. }) => authority,
            other => panic!("{other:?}"),
        };
        assert_eq!(authority(&[]), "https://login.microsoftonline.com");
        assert_eq!(authority(&[("ARM_ENVIRONMENT", "usgovernment")]), "https://login.microsoftonline.us");
        assert_eq!(authority(&[("ARM_ENVIRONMENT", "AzureChinaCloud")]), "https://login.chinacloudapi.cn");
        assert_eq!(authority(&[("AZURE_AUTHORITY_HOST", "http://127.0.0.1:9/")]), "http://127.0.0.1:9");
        check_refused(&[&azure[..], &[("ARM_ENVIRONMENT", "mars")]].concat(), &["ARM_ENVIRONMENT"]);
        check_refused(&[HOST, ("ARM_CLIENT_SECRET", "5ecr3t"), ("ARM_CLIENT_ID", "id")], &["ARM_TENANT_ID is not"]);
        check_refused(
            &[HOST, ("ARM_TENANT_ID", "../x"), ("ARM_CLIENT_ID", "id"), ("ARM_CLIENT_SECRET", "5ecr3t")],
            &["must be an id or a domain"],
        );
    }
}
