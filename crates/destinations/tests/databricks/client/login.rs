//! Tokens: fetched once for all, anew before their end, and never shown.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use freshet_core::Secret;
use freshet_destinations::databricks::login::{Login, Subject};
use freshet_destinations::databricks::{Workspace, WorkspaceError, WorkspaceOptions};
use serde_json::json;

use super::server::{Reply, Request, Server};
use super::{Bench, check_words};

const DISCOVERY: &str = "GET /oidc/.well-known/oauth-authorization-server";
const TOKEN: &str = "POST /oidc/v1/token";
const ME: &str = "GET /api/2.0/preview/scim/v2/Me";

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn principal() -> Login {
    Login::ServicePrincipal { client_id: "app-id".to_owned(), client_secret: secret("dose-5ecr3t") }
}

/// Where the request's own server gives out tokens.
fn discovery(request: &Request) -> Reply {
    Reply::json(json!({ "token_endpoint": format!("http://{}/oidc/v1/token", request.header("host")) }))
}

fn token(number: usize) -> Reply {
    Reply::json(json!({ "access_token": format!("access-5ecr3t-{number}"), "token_type": "Bearer", "expires_in": 3600 }))
}

fn me() -> Reply {
    Reply::json(json!({ "userName": "svc" }))
}

/// A workspace that gives out numbered tokens, and whose `refuse` says what of a call's token.
async fn workspace(refuse: impl Fn(&str) -> bool + Send + 'static) -> Server {
    let fetched = AtomicUsize::new(0);
    Server::start(move |_, request| match request.line.as_str() {
        DISCOVERY => discovery(request),
        TOKEN => token(fetched.fetch_add(1, SeqCst) + 1),
        ME if refuse(request.header("authorization")) => Reply::error(401, "UNAUTHENTICATED", "expired"),
        ME => me(),
        other => panic!("{other}"),
    })
    .await
}

/// The tokens of the calls so far.
fn used(server: &Server) -> Vec<String> {
    server.requests().iter().filter(|request| request.line == ME).map(|request| request.header("authorization").to_owned()).collect()
}

#[tokio::test]
async fn a_service_principal_gets_tokens_and_renews_them_in_time() {
    let server = workspace(|_| false).await;
    let bench = Bench::new(&server, |options| options.login = principal());
    for seconds in [0, 3_000, 290, 20, 10] {
        bench.timer.pass(Duration::from_secs(seconds));
        bench.workspace.who().await.unwrap();
    }
    let old = "Bearer access-5ecr3t-1";
    assert_eq!(used(&server), [old, old, old, "Bearer access-5ecr3t-2", "Bearer access-5ecr3t-2"]);
    assert_eq!((server.count(DISCOVERY), server.count(TOKEN)), (1, 2));
    let request = server.requests().into_iter().find(|request| request.line == TOKEN).unwrap();
    assert_eq!(request.header("authorization"), format!("Basic {}", STANDARD.encode("app-id:dose-5ecr3t")));
    let form = |name: &str| request.field(name);
    assert_eq!((form("grant_type").as_deref(), form("scope").as_deref()), (Some("client_credentials"), Some("all-apis")));
}

#[tokio::test]
async fn one_fetches_for_all() {
    let server = workspace(|_| false).await;
    let bench = Bench::new(&server, |options| options.login = principal());
    let calls: Vec<_> = (0..16)
        .map(|_| {
            let workspace = bench.workspace.clone();
            tokio::spawn(async move { workspace.who().await })
        })
        .collect();
    for call in calls {
        call.await.unwrap().unwrap();
    }
    assert_eq!(server.count(TOKEN), 1);
}

#[tokio::test]
async fn an_old_token_does_while_no_new_one_can_be_had() {
    let is_broken = Arc::new(AtomicBool::new(false));
    let broken = Arc::clone(&is_broken);
    let server = Server::start(move |_, request| match request.line.as_str() {
        DISCOVERY => discovery(request),
        TOKEN if broken.load(SeqCst) => Reply::nothing(503),
        TOKEN => token(1),
        _ => me(),
    })
    .await;
    let bench = Bench::new(&server, |options| {
        options.login = principal();
        options.limits.tries_max = 1;
    });
    bench.workspace.who().await.unwrap();
    is_broken.store(true, SeqCst);
    for seconds in [3_400, 10, 40] {
        bench.timer.pass(Duration::from_secs(seconds));
        bench.workspace.who().await.unwrap();
    }
    // Asked for at 3,400 s and again half a minute later, not with every call.
    assert_eq!(server.count(TOKEN), 3);
    bench.timer.pass(Duration::from_secs(200));
    let error = bench.workspace.who().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    check_words(&error, "HTTP 503");
}

#[tokio::test]
async fn a_refused_token_is_fetched_anew_once() {
    let server = workspace(|authorization| authorization.ends_with("-1")).await;
    let bench = Bench::new(&server, |options| options.login = principal());
    bench.workspace.who().await.unwrap();
    assert_eq!(used(&server), ["Bearer access-5ecr3t-1", "Bearer access-5ecr3t-2"]);

    let server = workspace(|_| true).await;
    let bench = Bench::new(&server, |options| options.login = principal());
    let error = bench.workspace.who().await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Login { .. }), "{error:?}");
    check_words(&error, "the token is not taken");
    assert_eq!(used(&server).len(), 2);
}

#[tokio::test]
async fn a_wrong_secret_is_said_without_it() {
    let server = Server::start(|_, request| match request.line.as_str() {
        DISCOVERY => discovery(request),
        _ => Reply::status(401, json!({ "error": "invalid_client", "error_description": "Client dose-5ecr3t is unknown" })),
    })
    .await;
    let bench = Bench::new(&server, |options| options.login = principal());
    let error = bench.workspace.who().await.unwrap_err();
    assert!(!error.is_transient());
    check_words(&error, "says Client [secret] is unknown (HTTP 401)");
    assert_eq!(server.count(TOKEN), 1, "not tried again");
}

#[tokio::test]
async fn secrets_go_to_the_workspace_only() {
    let server = Server::start(|_, _| Reply::json(json!({ "token_endpoint": "https://evil.example/oidc/v1/token" }))).await;
    let bench = Bench::new(&server, |options| options.login = principal());
    check_words(&bench.workspace.who().await.unwrap_err(), "its token endpoint is elsewhere: https://evil.example");
    for (host, words) in
        [("http://dbc.cloud.databricks.com", "must begin with https://"), ("dbc.cloud.databricks.com", "an address such as")]
    {
        let error = Workspace::connect(WorkspaceOptions::new(host, None, Login::Token(secret("dapi-5ecr3t")))).unwrap_err();
        check_words(&error, words);
    }
    let error = Workspace::connect(WorkspaceOptions::new(&server.url(), None, Login::Token(secret("dapi 5ecr3t\n")))).unwrap_err();
    check_words(&error, "is none");
    assert_eq!(format!("{:?}", principal()), "Login(oauth-m2m)");
}

#[tokio::test]
async fn the_word_of_who_runs_us_is_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwt");
    std::fs::write(&file, "jwt-5ecr3t-1\n").unwrap();
    let server = workspace(|_| false).await;
    let login = Login::Federated { client_id: Some("app-id".to_owned()), subject: Subject::File(file.clone()), audience: None };
    let bench = Bench::new(&server, |options| options.login = login);
    bench.workspace.who().await.unwrap();
    std::fs::write(&file, "jwt-5ecr3t-2\n").unwrap();
    bench.timer.pass(Duration::from_secs(3_500));
    bench.workspace.who().await.unwrap();
    let exchanges: Vec<Request> = server.requests().into_iter().filter(|request| request.line == TOKEN).collect();
    let subjects: Vec<Option<String>> = exchanges.iter().map(|request| request.field("subject_token")).collect();
    assert_eq!(subjects, [Some("jwt-5ecr3t-1".to_owned()), Some("jwt-5ecr3t-2".to_owned())]);
    let field = |name: &str| exchanges[0].field(name);
    assert_eq!(field("grant_type").as_deref(), Some("urn:ietf:params:oauth:grant-type:token-exchange"));
    assert_eq!(field("subject_token_type").as_deref(), Some("urn:ietf:params:oauth:token-type:jwt"));
    assert_eq!((field("client_id").as_deref(), field("scope").as_deref()), (Some("app-id"), Some("all-apis")));
    assert_eq!(exchanges[0].header("authorization"), "");
    std::fs::remove_file(&file).unwrap();
    bench.timer.pass(Duration::from_secs(3_700));
    check_words(&bench.workspace.who().await.unwrap_err(), "cannot be read");
}

#[tokio::test]
async fn github_vouches_for_its_runners() {
    let server = Server::start(|_, request| match request.line.as_str() {
        DISCOVERY => discovery(request),
        TOKEN => token(1),
        ME => me(),
        line if line.starts_with("GET /idtoken?api-version=2.0&audience=") => Reply::json(json!({ "value": "jwt-5ecr3t" })),
        other => panic!("{other}"),
    })
    .await;
    let subject = Subject::GitHub { url: format!("{}/idtoken?api-version=2.0", server.url()), token: secret("runner-5ecr3t") };
    let login = Login::Federated { client_id: Some("app-id".to_owned()), subject, audience: Some("my audience".to_owned()) };
    Bench::new(&server, |options| options.login = login).workspace.who().await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[1].line, "GET /idtoken?api-version=2.0&audience=my+audience");
    assert_eq!(requests[1].header("authorization"), "Bearer runner-5ecr3t");
    assert_eq!(requests[2].field("subject_token").as_deref(), Some("jwt-5ecr3t"));
}

#[tokio::test]
async fn azure_gives_tokens_to_its_service_principals() {
    let server = Server::start(|_, request| if request.line == ME { me() } else { token(1) }).await;
    let login = Login::Azure {
        authority: server.url(),
        tenant: "tenant-1".to_owned(),
        client_id: "app-id".to_owned(),
        client_secret: secret("azure-5ecr3t"),
    };
    Bench::new(&server, |options| options.login = login).workspace.who().await.unwrap();
    let requests = server.requests();
    assert_eq!(requests[0].line, "POST /tenant-1/oauth2/v2.0/token");
    assert_eq!(requests[0].field("scope").as_deref(), Some("2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"));
    assert_eq!(requests[0].field("client_secret").as_deref(), Some("azure-5ecr3t"));
    assert_eq!(used(&server), ["Bearer access-5ecr3t-1"]);
}

/// A program that says its arguments on standard error, and what it is told on standard output.
fn program(directory: &Path, prints: &str, ends: u8) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("tool");
    std::fs::write(
        &path,
        format!(
            "#!/bin/sh\necho \"$@\" > '{}'\necho 'not logged in' >&2\ncat <<'END'\n{prints}\nEND\nexit {ends}\n",
            directory.join("said").display()
        ),
    )
    .unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test]
async fn people_are_logged_in_by_their_tools() {
    let directory = tempfile::tempdir().unwrap();
    let said = || std::fs::read_to_string(directory.path().join("said")).unwrap().trim().to_owned();
    let server = workspace(|_| false).await;

    let tool = program(directory.path(), "{\"access_token\":\"cli-5ecr3t\",\"expiry\":\"2099-01-01T00:00:00.5+02:00\"}", 0);
    let login = Login::DatabricksCli { program: tool, profile: None };
    Bench::new(&server, |options| options.login = login).workspace.who().await.unwrap();
    assert_eq!(said(), format!("auth token --host {}", server.url()));

    let tool = program(directory.path(), "{\"accessToken\":\"az-5ecr3t\",\"expires_on\":4070908800}", 0);
    let login = Login::AzureCli { program: tool, tenant: Some("t-1".to_owned()) };
    Bench::new(&server, |options| options.login = login).workspace.who().await.unwrap();
    assert_eq!(said(), "account get-access-token --resource 2ff814a6-3304-4ab8-85cb-cd0e6f879c1d --output json --tenant t-1");
    assert_eq!(used(&server), ["Bearer cli-5ecr3t", "Bearer az-5ecr3t"]);

    let tool = program(directory.path(), "", 1);
    let login = Login::DatabricksCli { program: tool, profile: Some("work".to_owned()) };
    let error = Bench::new(&server, |options| options.login = login).workspace.who().await.unwrap_err();
    assert!(!error.is_transient());
    check_words(&error, "`tool` says: not logged in; log in with:  databricks auth login --host http");
    assert_eq!(said(), "auth token --profile work");
    let login = Login::AzureCli { program: directory.path().join("none"), tenant: None };
    let error = Bench::new(&server, |options| options.login = login).workspace.who().await.unwrap_err();
    check_words(&error, "`none` cannot be run");
}
