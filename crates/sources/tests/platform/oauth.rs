//! An OAuth client's tokens: fetched, renewed, refused, and shared by all who wait.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use freshet_fake_heroku::OAuthOptions;
use freshet_sources::platform::{Flaw, OAuth, Timer as _, Token};
use serde_json::json;
use tempfile::TempDir;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::server::{Reply, Server, header};

const CLIENT_SECRET: &str = "client-5ecr3t";
const REFRESH_TOKEN: &str = "refresh-5ecr3t";

/// A client whose tokens and whose API are at `url`, with a folder for its refresh token.
struct Client {
    bench: Bench,
    kept_in: PathBuf,
    _folder: TempDir,
}

impl Client {
    fn new(url: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let kept_in = folder.path().join("data/oauth.json");
        Self { bench: Bench::new(url, |options| options.token = Some(oauth(url, REFRESH_TOKEN, &kept_in))), kept_in, _folder: folder }
    }

    async fn ask(&self) -> Result<Value, ApiError> {
        self.bench.api.object("/account").await
    }
}

fn oauth(url: &str, refresh_token: &str, kept_in: &Path) -> Token {
    let secret = |text: &str| Secret::new(text.to_owned());
    let oauth = OAuth {
        url: url.to_owned(),
        client_secret: secret(CLIENT_SECRET),
        refresh_token: secret(refresh_token),
        kept_in: kept_in.to_owned(),
    };
    Token::OAuth(oauth)
}

/// The token server's answer with the access token `number`.
fn granted(number: usize, expires_in: Option<u64>) -> Reply {
    let answer = json!({ "access_token": format!("access-5ecr3t-{number}"), "refresh_token": REFRESH_TOKEN, "token_type": "Bearer", "expires_in": expires_in });
    Reply::json(&answer.to_string())
}

fn unauthorized() -> Reply {
    Reply::status(401, r#"{"id":"unauthorized","message":"Invalid credentials provided."}"#)
}

fn is_fetch(head: &str) -> bool {
    head.starts_with("POST /oauth/token ")
}

/// Requests for a token so far.
fn fetches(server: &Server) -> usize {
    server.heads().iter().filter(|head| is_fetch(head)).count()
}

/// A server that gives the access tokens 1, 2, … and answers the API as `answer` says of the token's number.
async fn server(expires_in: Option<u64>, mut answer: impl FnMut(usize) -> Reply + Send + 'static) -> Server {
    let mut given = 0;
    Server::start(move |_, head| {
        if is_fetch(head) {
            given += 1;
            return granted(given, expires_in);
        }
        let token = header(head, "authorization").strip_prefix("Bearer access-5ecr3t-");
        token.and_then(|number| number.parse().ok()).map_or_else(unauthorized, &mut answer)
    })
    .await
}

/// Asks so often at once, and gives what came of each.
async fn ask_at_once(client: &Client, times: usize) -> Vec<Result<Value, ApiError>> {
    let mut asking = JoinSet::new();
    for _ in 0..times {
        let api = client.bench.api.clone();
        asking.spawn(async move { api.object("/account").await });
    }
    asking.join_all().await
}

#[tokio::test]
async fn a_token_is_fetched_when_needed_and_renewed_before_it_ends() {
    let server = server(Some(28_799), |number| Reply::json(&number.to_string())).await;
    let client = Client::new(&server.url());
    assert_eq!((fetches(&server), client.bench.api.token_ends_in()), (0, None));
    // 28,799 s, of which the last five minutes are not waited for.
    for (at_s, number) in [(0, 1), (28_498, 1), (28_500, 2), (56_000, 2), (60_000, 3)] {
        client.bench.timer.sleep(Duration::from_secs(at_s).saturating_sub(client.bench.timer.now())).await;
        assert_eq!(client.ask().await, Ok(json!(number)), "{at_s}");
    }
    assert_eq!((fetches(&server), client.bench.api.token_ends_in()), (3, Some(Duration::from_secs(28_799))));
    assert_eq!(client.bench.api.counts().requests, 5, "tokens are not counted as questions");
    assert!(!client.kept_in.exists(), "the refresh token stayed the same");
    // Clones share it.
    assert_eq!(client.bench.api.clone().object("/apps").await, Ok(json!(3)));
}

#[tokio::test]
async fn a_token_without_an_end_is_used_until_it_is_refused() {
    let mut asked = 0;
    let server = server(None, move |number| {
        asked += 1;
        if asked == 3 { unauthorized() } else { Reply::json(&number.to_string()) }
    })
    .await;
    let client = Client::new(&server.url());
    for number in [1, 1, 2, 2] {
        assert_eq!(client.ask().await, Ok(json!(number)));
        client.bench.timer.sleep(Duration::from_secs(1_000_000)).await;
    }
    assert_eq!((fetches(&server), client.bench.api.token_ends_in()), (2, None));
    assert_eq!(client.bench.api.counts().errors, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_fetches_for_all_who_wait() {
    // All come without a token, and the first one is refused to all of them.
    let server = server(Some(28_799), |number| if number == 1 { unauthorized() } else { Reply::json("1") }).await;
    let client = Client::new(&server.url());
    assert!(ask_at_once(&client, 60).await.iter().all(|ended| *ended == Ok(json!(1))));
    assert_eq!(fetches(&server), 2);
}

#[tokio::test]
async fn a_second_401_is_an_error() {
    let server = server(None, |_| unauthorized()).await;
    let client = Client::new(&server.url());
    let error = client.ask().await.unwrap_err();
    assert!(matches!(&error, ApiError::Unauthorized(_)), "{error:?}");
    check_words(&error, "authorise the OAuth client again");
    assert_eq!((fetches(&server), server.heads().len()), (2, 4));
    // A fixed token is not tried twice.
    let fixed = Bench::plain(&server.url());
    assert!(matches!(fixed.api.object("/account").await, Err(ApiError::Unauthorized(_))));
    assert_eq!(server.heads().len(), 5);
}

#[tokio::test]
async fn a_refusal_is_told_and_not_asked_for_again_and_again() {
    for (status, id) in [(400, "invalid_grant"), (401, "unauthorized"), (403, "suspended")] {
        let body = format!(r#"{{"id":"{id}","message":"{CLIENT_SECRET} and {REFRESH_TOKEN} are bad"}}"#);
        let server = Server::always(move || Reply::status(status, &body)).await;
        let client = Client::new(&server.url());
        for error in ask_at_once(&client, 20).await.into_iter().map(Result::unwrap_err) {
            assert!(matches!(&error, ApiError::Grant(refusal) if refusal.status == status), "{error:?}");
            assert!(!error.is_temporary());
            check_words(&error, &format!("{status} {id}: [secret] and [secret] are bad"));
        }
        assert_eq!(server.heads().len(), 1, "{status}");
        client.bench.timer.sleep(Duration::from_secs(61)).await;
        client.ask().await.unwrap_err();
        assert_eq!(server.heads().len(), 2, "{status}");
    }
}

#[tokio::test]
async fn what_is_broken_for_a_moment_is_waited_out() {
    let mut asked = 0;
    let server = Server::start(move |_, head| {
        if !is_fetch(head) {
            return Reply::json("1");
        }
        asked += 1;
        match asked {
            1 => Reply::status(500, "oops"),
            2 => Reply::status(429, r#"{"id":"rate_limit","message":"Wait."}"#),
            3 => Reply::Bytes(Vec::new()),
            4 => Reply::json("<html>Welcome to Wi-Fi</html>"),
            5 => Reply::json(r#"{"access_token":"with a blank"}"#),
            _ => granted(asked, Some(28_799)),
        }
    })
    .await;
    let client = Client::new(&server.url());
    assert_eq!(client.ask().await, Ok(json!(1)));
    assert_eq!((fetches(&server), client.bench.timer.waits().len()), (6, 5));

    // What stays broken is an error, after as many tries as any question has.
    let server = Server::always(|| Reply::json("{}")).await;
    let client = Client::new(&server.url());
    let broken = ApiError::Broken { path: format!("{}/oauth/token", server.url()), flaw: Flaw::NoToken };
    assert_eq!(client.ask().await, Err(broken));
    assert_eq!(server.heads().len(), ApiLimits::default().tries_max as usize);
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_to_its_end() {
    let broken = Arc::new(AtomicUsize::new(0));
    let is_broken = Arc::clone(&broken);
    let server = Server::start(move |_, head| match is_fetch(head) {
        true if is_broken.load(SeqCst) == 0 => granted(1, Some(1_000)),
        true => Reply::status(503, "maintenance"),
        false => Reply::json("1"),
    })
    .await;
    let client = Client::new(&server.url());
    client.ask().await.unwrap();
    broken.store(1, SeqCst);
    client.bench.timer.sleep(Duration::from_secs(910)).await;
    for _ in 0..5 {
        assert_eq!(client.ask().await, Ok(json!(1)));
    }
    assert_eq!(fetches(&server), 2);
    client.bench.timer.sleep(Duration::from_secs(1_000)).await;
    let error = client.ask().await.unwrap_err();
    assert!(matches!(&error, ApiError::Maintenance(_)) && error.is_temporary(), "{error:?}");
    check_words(&error, "/oauth/token");
}

/// A fake Heroku that changes the refresh token each time.
async fn rotating() -> FakeHeroku {
    let oauth = OAuthOptions { rotates: true, ..OAuthOptions::new(CLIENT_SECRET, REFRESH_TOKEN) };
    standing(1, |options| options.oauth = Some(oauth)).await
}

#[tokio::test]
async fn a_changed_refresh_token_is_kept_and_used() {
    let fake = rotating().await;
    let client = Client::new(&fake.url());
    for _ in 0..3 {
        client.ask().await.unwrap();
        client.bench.timer.sleep(Duration::from_secs(28_600)).await;
    }
    assert_eq!(std::fs::metadata(&client.kept_in).unwrap().permissions().mode() & 0o777, 0o600);
    let kept = std::fs::read_to_string(&client.kept_in).unwrap();
    assert!(!kept.contains("5ecr3t") && !kept.contains("HRKU-"), "only what it needs is in it: {kept}");
    // The next process has the configured one, which is worth nothing any more, and the file. So has one beside it, by turns.
    let process = || Bench::new(&fake.url(), |options| options.token = Some(oauth(&fake.url(), REFRESH_TOKEN, &client.kept_in)));
    let (one, other) = (process(), process());
    for bench in [&one, &other, &one, &other] {
        bench.api.object("/account").await.unwrap();
        bench.timer.sleep(Duration::from_secs(28_600)).await;
    }
    // A newly configured one counts before what came of another.
    let newly = Bench::new(&fake.url(), |options| options.token = Some(oauth(&fake.url(), "another", &client.kept_in)));
    let error = newly.api.object("/account").await.unwrap_err();
    assert!(matches!(&error, ApiError::Grant(_)), "{error:?}");
    // A kept one that is of no use does not stand in the way of the configured one.
    let fresh = rotating().await;
    let bench = Bench::new(&fresh.url(), |options| options.token = Some(oauth(&fresh.url(), REFRESH_TOKEN, &client.kept_in)));
    bench.api.object("/account").await.unwrap();
}

#[tokio::test]
async fn a_refresh_token_that_cannot_be_kept_is_not_lost() {
    let fake = rotating().await;
    let client = Client::new(&fake.url());
    let folder = client.kept_in.parent().unwrap();
    std::fs::write(folder, "in the way").unwrap();
    for _ in 0..2 {
        let error = client.ask().await.unwrap_err();
        assert!(matches!(&error, ApiError::NotKept { .. }), "{error:?}");
        check_words(&error, "let this user write there");
    }
    std::fs::remove_file(folder).unwrap();
    client.ask().await.unwrap();
    let next = Bench::new(&fake.url(), |options| options.token = Some(oauth(&fake.url(), REFRESH_TOKEN, &client.kept_in)));
    next.api.object("/account").await.unwrap();
}

#[tokio::test]
async fn a_new_refresh_token_gets_to_the_disk_though_nobody_waits_for_it() {
    let barrier = Arc::new(Barrier::new(2));
    let at = Arc::clone(&barrier);
    let answer = r#"{"access_token":"a","refresh_token":"changed","expires_in":28799}"#;
    let server = Server::always(move || Reply::Together(Arc::clone(&at), Box::new(Reply::json(answer)))).await;
    let client = Client::new(&server.url());
    let api = client.bench.api.clone();
    let asking = tokio::spawn(async move { api.object("/account").await });
    while server.heads().is_empty() {
        tokio::task::yield_now().await;
    }
    asking.abort();
    assert!(asking.await.unwrap_err().is_cancelled());
    barrier.wait().await;
    while !client.kept_in.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(std::fs::read_to_string(&client.kept_in).unwrap().contains("changed"));
}

#[tokio::test]
async fn addresses_that_must_not_have_the_secrets_are_refused() {
    let token = oauth("http://id.example.com", REFRESH_TOKEN, Path::new("oauth.json"));
    let error = Api::new(ApiOptions::new("http://127.0.0.1:1", Some(token))).err().unwrap();
    check_words(&error, "must begin with https://");
}
