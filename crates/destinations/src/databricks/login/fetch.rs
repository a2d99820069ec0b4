//! Fetching a token, for each way to log in.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_core::Secret;
use freshet_web::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use freshet_web::{Client, Peer, RequestBuilder, WebLimits, web_address};
use serde_json::Value;
use tokio::sync::OnceCell;
use url::{Url, form_urlencoded};

use super::program::{self, AZURE_DATABRICKS};
use super::{Login, Scope, Subject};
use crate::databricks::{WorkspaceError, WorkspaceOptions};

/// Bytes of an answer with a token.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Where a workspace says where its tokens are given out.
const DISCOVERY: &str = "/oidc/.well-known/oauth-authorization-server";

/// Hosts below these may give out tokens for a workspace of another name.
const OF_DATABRICKS: [&str; 4] = [".databricks.com", ".azuredatabricks.net", ".databricks.azure.us", ".databricks.azure.cn"];

/// Errors of OAuth that are no missing right (RFC 6749, RFC 8707).
const OF_OURSELVES: [&str; 6] =
    ["invalid_client", "invalid_target", "invalid_scope", "invalid_request", "unauthorized_client", "unsupported_grant_type"];

/// Characters of a server's message that are kept.
const MESSAGE_CHARS_MAX: usize = 300;

/// What was fetched.
pub(super) struct Fetched {
    /// The token.
    pub(super) token: Secret,
    /// How long it lives from when it was asked for; for ever without.
    pub(super) lives: Option<Duration>,
}

/// What fetches tokens.
pub(super) struct Fetcher {
    login: Login,
    /// The workspace's host.
    host: String,
    client: Arc<Client>,
    /// For addresses on this machine.
    local: Arc<Client>,
    /// Where the workspace's tokens are given out, once that is known.
    endpoint: Arc<OnceCell<String>>,
    /// What alone its tokens are good for.
    scope: Option<Scope>,
}

impl Fetcher {
    pub(super) fn new(options: &WorkspaceOptions, host: &str) -> Result<Self, WorkspaceError> {
        let limits = WebLimits { body_bytes_max: ANSWER_BYTES_MAX, ..options.limits.web };
        let client = |peer| {
            let made = Client::new(peer, &options.user_agent, limits);
            made.map(Arc::new).map_err(|trouble| crate::databricks::cannot_ask(&trouble))
        };
        Ok(Self {
            login: options.login.clone(),
            host: host.to_owned(),
            client: client(Peer::Remote)?,
            local: client(Peer::Local)?,
            endpoint: Arc::default(),
            scope: None,
        })
    }

    /// The same for tokens that are good for `scope` only.
    ///
    /// # Errors
    /// Such tokens are given out for this way to log in by no documented way.
    pub(super) fn scoped(&self, scope: Scope) -> Result<Self, WorkspaceError> {
        if !matches!(self.login, Login::ServicePrincipal { .. }) {
            let problem = format!(
                "Zerobus takes a service principal with an OAuth secret only: set `client_id` and `client_secret`, not {}",
                self.login.name()
            );
            return Err(WorkspaceError::Settings(problem));
        }
        Ok(Self {
            login: self.login.clone(),
            host: self.host.clone(),
            client: Arc::clone(&self.client),
            local: Arc::clone(&self.local),
            endpoint: Arc::clone(&self.endpoint),
            scope: Some(scope),
        })
    }

    /// Whether another token may come of fetching again.
    pub(super) fn can_fetch_anew(&self) -> bool {
        !matches!(self.login, Login::Token(_))
    }

    pub(super) fn client_id(&self) -> Option<&str> {
        if let Login::ServicePrincipal { client_id, .. } = &self.login { Some(client_id) } else { None }
    }

    /// A token.
    pub(super) async fn fetch(&self) -> Result<Fetched, WorkspaceError> {
        match &self.login {
            Login::Token(token) => Ok(Fetched { token: token.clone(), lives: None }),
            Login::ServicePrincipal { client_id, client_secret } => {
                let mut fields = vec![("grant_type", "client_credentials"), ("scope", "all-apis")];
                let scope = self.scope.as_ref().map(|scope| (scope.resource(), scope.details()));
                if let Some((resource, details)) = &scope {
                    fields.extend([("resource", resource.as_str()), ("authorization_details", details)]);
                }
                let form = form(&fields);
                let basic = STANDARD.encode(format!("{client_id}:{}", client_secret.reveal()));
                self.token(&self.endpoint().await?, form, Some(("Basic", &basic)), &basic).await
            }
            Login::Federated { client_id, subject, audience } => {
                let endpoint = self.endpoint().await?;
                let subject = self.subject(subject, audience.as_deref().unwrap_or(&endpoint)).await?;
                let mut fields = vec![
                    ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                    ("subject_token", subject.reveal()),
                    ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                    ("scope", "all-apis"),
                ];
                fields.extend(client_id.as_deref().map(|id| ("client_id", id)));
                self.token(&endpoint, form(&fields), None, subject.reveal()).await
            }
            Login::Azure { authority, tenant, client_id, client_secret } => {
                let form = form(&[
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id),
                    ("client_secret", client_secret.reveal()),
                    ("scope", &format!("{AZURE_DATABRICKS}/.default")),
                ]);
                self.token(&format!("{authority}/{tenant}/oauth2/v2.0/token"), form, None, client_secret.reveal()).await
            }
            Login::DatabricksCli { program, profile } => {
                program::of_databricks(program, &self.host, profile.as_deref()).await.map_err(|why| self.refused(why))
            }
            Login::AzureCli { program, tenant } => program::of_azure(program, tenant.as_deref()).await.map_err(|why| self.refused(why)),
        }
    }

    /// The word of whoever runs us, fresh.
    async fn subject(&self, subject: &Subject, audience: &str) -> Result<Secret, WorkspaceError> {
        match subject {
            Subject::Known(token) => Ok(token.clone()),
            Subject::File(path) => {
                let read = tokio::fs::read_to_string(path).await;
                let text = read.map_err(|error| self.refused(format!("the token in {} cannot be read: {error}", path.display())))?;
                Ok(Secret::new(text.trim().to_owned()))
            }
            Subject::GitHub { url, token } => {
                let mut asked = Url::parse(url).map_err(|_| self.refused("GitHub's address for tokens is none".to_owned()))?;
                asked.query_pairs_mut().append_pair("audience", audience);
                let client = self.client_for(asked.as_str());
                let request = authorized(client.get(asked.as_str()), "Bearer", token.reveal());
                let value = self.answer(client, asked.as_str(), request, token.reveal()).await?;
                let token = value["value"].as_str().ok_or_else(|| WorkspaceError::broken("log in", "GitHub's answer has no token"))?;
                Ok(Secret::new(token.to_owned()))
            }
        }
    }

    /// Where the workspace's tokens are given out.
    async fn endpoint(&self) -> Result<String, WorkspaceError> {
        self.endpoint.get_or_try_init(|| self.discover()).await.cloned()
    }

    async fn discover(&self) -> Result<String, WorkspaceError> {
        let url = format!("{}{DISCOVERY}", self.host);
        let client = self.client_for(&url);
        let value = self.answer(client, &url, client.get(&url), "").await?;
        let said = value["token_endpoint"].as_str().unwrap_or_default();
        let endpoint = web_address(said).map_err(|why| WorkspaceError::broken("log in", &format!("its token endpoint {why}")))?;
        // The secret goes there.
        let (theirs, ours) = (host_of(&endpoint), host_of(&self.host));
        let is_known = theirs == ours || OF_DATABRICKS.iter().any(|end| theirs.as_ref().is_some_and(|host| host.ends_with(end)));
        if is_known { Ok(endpoint) } else { Err(WorkspaceError::broken("log in", &format!("its token endpoint is elsewhere: {endpoint}"))) }
    }

    /// Asks `url` for a token, by what is `hidden`: the other side may say it again.
    async fn token(&self, url: &str, form: String, authorization: Option<(&str, &str)>, hidden: &str) -> Result<Fetched, WorkspaceError> {
        let client = self.client_for(url);
        let mut request = client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some((scheme, value)) = authorization {
            request = authorized(request, scheme, value);
        }
        let value = self.answer(client, url, request.body(form), hidden).await?;
        let token = value["access_token"].as_str().filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| WorkspaceError::broken("log in", "the answer has no `access_token`"))?;
        let seconds = value["expires_in"].as_u64().or_else(|| value["expires_in"].as_str()?.parse().ok());
        tracing::info!(method = self.login.name(), expires_in_s = seconds, "databricks token fetched");
        Ok(Fetched { token: Secret::new(token.to_owned()), lives: seconds.map(Duration::from_secs) })
    }

    /// The JSON that answers `request`.
    async fn answer(&self, client: &Client, url: &str, request: RequestBuilder, hidden: &str) -> Result<Value, WorkspaceError> {
        let host = || host_of(url).unwrap_or_else(|| self.host.clone());
        let doing = || "log in".to_owned();
        let sent = client.send(request.header(ACCEPT, "application/json")).await;
        let answer = sent.map_err(|trouble| WorkspaceError::Unreachable { doing: doing(), host: host(), trouble })?;
        let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let said = ["error_description", "message", "error"].into_iter().find_map(|field| value[field].as_str());
        match answer.status {
            200..=299 => Ok(value),
            429 | 500..=599 => Err(WorkspaceError::Busy {
                doing: doing(),
                status: answer.status,
                message: self.shown(said.unwrap_or("(without a reason)"), hidden),
            }),
            404 => Err(WorkspaceError::broken("log in", &format!("{} has nothing to log in with (HTTP 404)", host()))),
            // Who we are is known, but not that we may.
            400 | 403
                if let Some(scope) = &self.scope
                    && !value["error"].as_str().is_some_and(|error| OF_OURSELVES.contains(&error)) =>
            {
                Err(scope.denied(&self.shown(said.unwrap_or("no"), hidden), self.client_id()))
            }
            status => Err(self.refused(format!(
                "{} says {} (HTTP {status}); see whether id and secret{} are right, have not expired and belong to this workspace",
                host(),
                self.shown(said.unwrap_or("no"), hidden),
                if self.scope.is_some() { ", and the workspace's number for Zerobus," } else { "" }
            ))),
        }
    }

    fn refused(&self, why: String) -> WorkspaceError {
        WorkspaceError::Login { host: self.host.clone(), why }
    }

    /// A server's words for a person.
    fn shown(&self, text: &str, hidden: &str) -> String {
        let secrets = self.login.secrets();
        let hidden = secrets.iter().map(Secret::reveal).chain([hidden]).filter(|hidden| !hidden.is_empty());
        let text = hidden.fold(text.to_owned(), |text, hidden| text.replace(hidden, "[secret]"));
        text.chars().filter(|character| !character.is_control()).take(MESSAGE_CHARS_MAX).collect()
    }

    fn client_for(&self, url: &str) -> &Client {
        if url.starts_with("https:") { &self.client } else { &self.local }
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

fn authorized(request: RequestBuilder, scheme: &str, value: &str) -> RequestBuilder {
    // What no header can carry is refused by the other side.
    match HeaderValue::from_str(&format!("{scheme} {value}")) {
        Ok(mut header) => {
            header.set_sensitive(true);
            request.header(AUTHORIZATION, header)
        }
        Err(_) => request,
    }
}

fn host_of(url: &str) -> Option<String> {
    Some(Url::parse(url).ok()?.host_str()?.to_owned())
}
