//! Servers that are no Heroku.

use std::time::Duration;

use freshet_sources::platform::{Flaw, Range};
use freshet_web::Trouble;

use super::*;
use crate::server::{Reply, Server};

/// Reads the list of a server that answers this way, with few tries; gives the error and how often it was asked.
async fn fail(server: &Server) -> (ApiError, usize) {
    let bench = Bench::new(&server.url(), |options| {
        options.limits.tries_max = 3;
        options.limits.pages_max = 5;
        options.limits.web.body_bytes_max = 1 << 20;
    });
    let error = read(bench.api.pages("/apps", &Range::by("id"))).await.unwrap_err();
    assert_eq!(bench.api.counts().errors, 1, "{error}");
    check_words(&error, "/apps");
    (error, server.heads().len())
}

fn broken(flaw: Flaw) -> ApiError {
    ApiError::Broken { path: "/apps".to_owned(), flaw }
}

#[tokio::test]
async fn answers_that_make_no_sense_are_asked_for_again_and_then_named() {
    async fn check(reply: impl Fn() -> Reply + Send + 'static, flaw: Flaw, tries: usize) {
        let server = Server::always(reply).await;
        assert_eq!(fail(&server).await, (broken(flaw), tries));
    }
    check(|| Reply::json("<html>Welcome to Wi-Fi</html>"), Flaw::NoJson, 3).await;
    check(|| Reply::json(""), Flaw::NoJson, 3).await;
    check(|| Reply::json(r#"[{"id":"a"}"#), Flaw::NoJson, 3).await;
    // Deeper than any object, and than the stack.
    check(|| Reply::json(&"[".repeat(100_000)), Flaw::NoJson, 3).await;
    check(|| Reply::json(r#"{"id":"a"}"#), Flaw::NoList, 3).await;
    check(|| Reply::status(206, "[]"), Flaw::NoNextRange, 3).await;
    check(|| Reply::json(&" ".repeat((1 << 20) + 1)), Flaw::TooLong { bytes_max: 1 << 20 }, 1).await;
    // Without a length, and without an end of its own.
    let endless = || Reply::Bytes([&b"HTTP/1.1 200 OK\r\n\r\n"[..], &vec![b' '; 2 << 20]].concat());
    check(endless, Flaw::TooLong { bytes_max: 1 << 20 }, 1).await;
}

#[tokio::test]
async fn a_list_without_an_end_is_found_out() {
    let server = Server::always(|| Reply::part("id ]a..", "[]")).await;
    assert_eq!(fail(&server).await, (broken(Flaw::GoesRound), 2));
    // It goes round in a wider circle.
    let server = Server::start(|number, _| Reply::part(&format!("id ]{}..", number % 3), "[]")).await;
    assert_eq!(fail(&server).await, (broken(Flaw::GoesRound), 4));
    let server = Server::start(|number, _| Reply::part(&format!("id ]{number}.."), "[]")).await;
    assert_eq!(fail(&server).await, (broken(Flaw::Endless { pages_max: 5 }), 5));
    // As many as there may be are no error.
    let server = Server::start(|number, _| if number < 4 { Reply::part(&format!("{number}"), "[]") } else { Reply::json("[]") }).await;
    let bench = Bench::new(&server.url(), |options| options.limits.pages_max = 5);
    assert_eq!(read(bench.api.pages("/apps", &Range::by("id"))).await.unwrap().len(), 5);
}

#[tokio::test]
async fn redirects_do_not_get_the_token() {
    let other = Server::always(|| Reply::json("[]")).await;
    for status in [301, 302, 303, 307, 308] {
        let to = format!("{}/apps", other.url());
        let server = Server::always(move || Reply::Answer(status, vec![("Location", to.clone())], String::new())).await;
        assert_eq!(fail(&server).await, (broken(Flaw::Redirect { status }), 1));
    }
    assert_eq!(other.heads(), [""; 0]);
}

#[tokio::test]
async fn half_a_body_is_none() {
    let half = || Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n[{\"id\":\"a\"}".to_vec());
    let server = Server::always(half).await;
    let (error, tries) = fail(&server).await;
    assert!(matches!(error, ApiError::Unreachable { .. }) && error.is_temporary() && tries == 3, "{error}");

    // Half a body, one that ends within a chunk, no head, a head of somebody else's, and then all is well.
    let server = Server::start(move |number, _| match number {
        0 => half(),
        1 => Reply::Bytes(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n[{\"id\":\"a\"}".to_vec()),
        2 => Reply::Bytes(Vec::new()),
        3 => Reply::Bytes(b"220 smtp.example.com ESMTP\r\n".to_vec()),
        _ => Reply::json(r#"[{"id":"a"}]"#),
    })
    .await;
    let bench = Bench::plain(&server.url());
    assert_eq!(ids(&read(bench.api.pages("/apps", &Range::by("id"))).await.unwrap()), ["a"]);
    assert_eq!((bench.api.counts().requests, bench.api.counts().retries, bench.api.counts().errors), (5, 4, 0));
}

/// The one wait that is real: a time-out belongs to the network.
#[tokio::test]
async fn silence_ends() {
    let within = Duration::from_millis(50);
    let server = Server::always(|| Reply::Silence).await;
    let bench = Bench::new(&server.url(), |options| {
        options.limits.tries_max = 2;
        options.limits.web.request_within = within;
    });
    let error = bench.api.object("/account").await.unwrap_err();
    assert_eq!(error, ApiError::Unreachable { path: "/account".to_owned(), trouble: Trouble::Slow { within } });
    check_words(&error, "no answer within 0.05 s");
    assert_eq!((bench.api.counts().requests, bench.api.counts().bytes), (2, 0));
}

#[tokio::test]
async fn nobody_there_is_asked_again() {
    let url = Server::always(|| Reply::Silence).await.url();
    // The server is gone, and its port with it.
    tokio::task::yield_now().await;
    let bench = Bench::new(&url, |options| options.limits.tries_max = 4);
    let error = bench.api.object("/account").await.unwrap_err();
    assert_eq!(error, ApiError::Unreachable { path: "/account".to_owned(), trouble: Trouble::Refused });
    let (waits, limits) = (bench.timer.waits(), ApiLimits::default());
    assert!(waits.len() == 3 && (0..3).all(|at| waits[at] <= limits.backoff_first * (1 << at)), "{waits:?}");
    check_words(&error, "HTTPS_PROXY");
}

#[tokio::test]
async fn each_refusal_has_its_name_and_none_the_token() {
    // What it is, whether it is asked for again.
    async fn check(status: u16, id: &str, expected: fn(&ApiError) -> bool, tries: usize) {
        let body =
            serde_json::json!({ "id": format!("{id}{}", if status == 418 { TOKEN } else { "" }), "message": format!("Not {TOKEN}\n!") });
        let server = Server::always(move || Reply::status(status, &body.to_string())).await;
        let (error, asked) = fail(&server).await;
        assert!(expected(&error) && asked == tries, "{status} {id} {asked}: {error:?}");
        check_words(&error, &format!("{status} {id}"));
        check_words(&error, "Not [secret] !");
    }
    check(400, "bad_request", |error| matches!(error, ApiError::Refused(_)), 1).await;
    check(401, "unauthorized", |error| matches!(error, ApiError::Unauthorized(_)), 1).await;
    check(402, "delinquent", |error| matches!(error, ApiError::Suspended(_)), 1).await;
    check(403, "suspended", |error| matches!(error, ApiError::Suspended(_)), 1).await;
    check(403, "two_factor", |error| matches!(error, ApiError::TwoFactor(_)), 1).await;
    check(403, "forbidden", |error| matches!(error, ApiError::Forbidden(_)), 1).await;
    check(404, "not_found", |error| matches!(error, ApiError::NotFound(_)), 1).await;
    check(418, "teapot", |error| matches!(error, ApiError::Refused(_)), 1).await;
    check(422, "invalid_params", |error| matches!(error, ApiError::Refused(_)), 1).await;
    check(500, "internal_server_error", |error| matches!(error, ApiError::Unavailable(_)), 3).await;
    check(502, "bad_gateway", |error| matches!(error, ApiError::Unavailable(_)), 3).await;
    check(503, "maintenance", |error| matches!(error, ApiError::Maintenance(_)), 3).await;
    check(504, "gateway_timeout", |error| matches!(error, ApiError::Unavailable(_)), 3).await;
    // A router in between has no JSON.
    let server = Server::always(|| Reply::status(503, "<html>Application error</html>")).await;
    assert_eq!(fail(&server).await.0.reason(), "503 error: (without a reason)");
}

#[tokio::test]
async fn a_probe_asks_once_and_sees_everything() {
    let server = Server::always(|| Reply::Answer(503, vec![("Date", "today".to_owned())], "{}".to_owned())).await;
    let bench = Bench::plain(&server.url());
    let answer = bench.api.ask("/account").await.unwrap();
    assert_eq!((answer.status, answer.header("date"), server.heads().len()), (503, Some("today"), 1));
    assert!(matches!(bench.api.read("/account", &answer), Err(ApiError::Maintenance(_))));
    assert_eq!(bench.timer.waits(), [Duration::ZERO; 0]);
}
