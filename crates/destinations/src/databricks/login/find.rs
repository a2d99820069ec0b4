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

/// The ways that this version knows.
const KNOWN: &str = "pat, oauth-m2m, env-oidc, file-oidc, github-oidc, azure-client-secret, databricks-cli, azure-cli";

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
        sayings.profile = Profile::read(named.as_ref().map(|said| said.value.as_str()), environment)?;
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
            other => return Err(format!("{} is {other:?}; this version knows {KNOWN}", wanted.by)),
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
fn host_address(text: &str) -> Result<String, String> {
    let text = text.trim();
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let (scheme, rest) = full.split_once("://").unwrap_or(("https", text));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    web_address(&format!("{scheme}://{host}"))
}
