//! What is asked for a list, and what becomes of its answers.

use std::sync::Arc;

use freshet_sources::platform::{ApiCounters, Flaw, Range, Version};
use futures::TryStreamExt as _;

use super::*;
use crate::server::{Reply, Server};

#[tokio::test]
async fn questions_have_the_headers_that_heroku_wants() {
    let server = Server::always(|| Reply::json("[]")).await;
    let bench = Bench::plain(&server.url());
    let api = &bench.api;
    read(api.pages("/apps", &Range::by("id"))).await.unwrap();
    read(api.in_version(Version::Sdk).pages("/apps?x=1", &Range::none())).await.unwrap();
    read(api.pages("/apps", &Range::by("version").descending().max(1)).unless(Some("W/\"1\""))).await.unwrap();
    assert!(server.heads()[0].starts_with("GET /apps HTTP/1.1\r\n") && server.heads()[1].starts_with("GET /apps?x=1 HTTP/1.1\r\n"));
    assert_eq!(server.headers("authorization"), vec![format!("Bearer {TOKEN}"); 3]);
    let accept = |version| format!("application/vnd.heroku+json; version={version}");
    assert_eq!(server.headers("accept"), [accept("3"), accept("3.sdk"), accept("3")]);
    assert!(server.headers("user-agent").iter().all(|agent| agent.starts_with("freshet/")));
    assert_eq!(server.headers("range"), ["id ..; max=1000", "", "version ..; max=1,order=desc"]);
    assert_eq!(server.headers("if-none-match"), ["", "", "W/\"1\""]);
    let other = Bench::new(&server.url(), |options| options.user_agent = "night-watch/7".to_owned());
    read(other.api.pages("/apps", &Range::by("id"))).await.unwrap();
    assert_eq!(server.headers("user-agent")[3], "night-watch/7");
}

#[tokio::test]
async fn pages_follow_until_there_is_no_next() {
    let server = Server::start(|number, _| match number {
        // Some answers have the header twice.
        0 => Reply::Answer(
            206,
            vec![
                ("Next-Range", "id ]b..; max=2".to_owned()),
                ("Next-Range", "id ]zzz..; max=2".to_owned()),
                ("Accept-Ranges", "id, name".to_owned()),
                ("ETag", "\"first\"".to_owned()),
            ],
            r#"[{"id":"a"},{"id":"b"}]"#.to_owned(),
        ),
        // An empty page is no end, and neither is a 200 that names a next one.
        1 => Reply::part("id ]c..; max=2", "[]"),
        2 => Reply::Answer(200, vec![("Next-Range", "id ]d..; max=2".to_owned())], r#"[{"id":"d"}]"#.to_owned()),
        _ => Reply::json(r#"[{"id":"e"}]"#),
    })
    .await;
    let bench = Bench::plain(&server.url());
    // The tag of an earlier answer belongs to the first question alone.
    let pages = read(bench.api.pages("/apps", &Range::by("id").max(2)).unless(Some("\"0\""))).await.unwrap();
    assert_eq!(ids(&pages), ["a", "b", "d", "e"]);
    assert_eq!(server.headers("range"), ["id ..; max=2", "id ]b..; max=2", "id ]c..; max=2", "id ]d..; max=2"]);
    assert_eq!(server.headers("if-none-match"), ["\"0\"", "", "", ""]);
    assert_eq!(pages[0].attributes, ["id", "name"]);
    assert_eq!(pages[1].attributes, [""; 0]);
    assert!(pages.iter().all(|page| page.etag.is_none() && !page.is_range_refused));
    // It can be taken up where it was left.
    let rest = read(bench.api.pages("/apps", &Range::resumed(pages[2].next.as_deref().unwrap()))).await.unwrap();
    assert_eq!((ids(&rest), server.headers("range")[4].as_str()), (vec!["e".to_owned()], "id ]d..; max=2"));
}

#[tokio::test]
async fn a_tag_vouches_for_a_whole_list_only() {
    async fn check(range: Range, objects: usize, next: Option<&'static str>, expected: Option<&str>) {
        let body = format!("[{}]", vec!["{}"; objects].join(","));
        let server = Server::start(move |number, _| {
            let mut headers = vec![("ETag", "\"tag\"".to_owned())];
            headers.extend(next.filter(|_| number == 0).map(|next| ("Next-Range", next.to_owned())));
            Reply::Answer(200, headers, body.clone())
        })
        .await;
        let pages = read(Bench::plain(&server.url()).api.pages("/apps", &range)).await.unwrap();
        assert_eq!(pages[0].etag.as_deref(), expected, "{range:?} {objects} {next:?}");
        assert!(pages[1..].iter().all(|page| page.etag.is_none()));
    }
    check(Range::by("id"), 3, None, Some("\"tag\"")).await;
    check(Range::by("id"), 0, None, Some("\"tag\"")).await;
    check(Range::by("id").max(4), 3, None, Some("\"tag\"")).await;
    check(Range::by("id").max(3), 3, None, None).await;
    check(Range::by("id"), 3, Some("id ]x.."), None).await;
    check(Range::none(), 199, None, Some("\"tag\"")).await;
    check(Range::none(), 200, None, None).await;
}

#[tokio::test]
async fn nothing_new_is_no_list() {
    let server = Server::always(|| Reply::status(304, "")).await;
    let bench = Bench::plain(&server.url());
    let mut pages = bench.api.pages("/apps", &Range::by("id")).unless(Some("\"1\""));
    assert_eq!(pages.next().await, Ok(Some(Part::NotModified)));
    assert_eq!(pages.next().await, Ok(None));
    assert_eq!((bench.api.counts().requests, bench.api.counts().not_modified), (1, 1));
    // Nobody asked for that.
    let broken = ApiError::Broken { path: "/apps".to_owned(), flaw: Flaw::NothingNew };
    assert_eq!(bench.api.pages("/apps", &Range::by("id")).next().await, Err(broken.clone()));
    assert_eq!(bench.api.object("/apps").await, Err(broken));
}

#[tokio::test]
async fn a_range_that_is_refused_is_left_out() {
    let server = Server::start(|_, head| match server::header(head, "range") {
        "" => Reply::part("version ]1..; max=200", r#"[{"id":"a"}]"#),
        "version ]1..; max=200" => Reply::json(r#"[{"id":"b"}]"#),
        _ => Reply::status(416, r#"{"id":"requested_range_not_satisfiable","message":"No."}"#),
    })
    .await;
    let bench = Bench::plain(&server.url());
    let pages = read(bench.api.pages("/releases", &Range::by("color").after("red"))).await.unwrap();
    assert_eq!(ids(&pages), ["a", "b"]);
    assert!(pages.iter().all(|page| page.is_range_refused));
    assert_eq!(server.headers("range"), ["color ]red..; max=1000", "", "version ]1..; max=200"]);

    // Whoever refuses every range, and one that it gave itself.
    let server = Server::always(|| Reply::status(416, r#"{"id":"bad","message":"No."}"#)).await;
    let error = read(Bench::plain(&server.url()).api.pages("/apps", &Range::by("id"))).await.unwrap_err();
    assert_eq!((error.status(), server.heads().len()), (Some(416), 2));
    let server = Server::start(|number, _| if number == 0 { Reply::part("x", "[]") } else { Reply::status(416, "{}") }).await;
    let error = read(Bench::plain(&server.url()).api.pages("/apps", &Range::by("id"))).await.unwrap_err();
    assert_eq!((error.status(), server.heads().len()), (Some(416), 2));
}

#[tokio::test]
async fn a_list_is_a_stream_too() {
    let server =
        Server::start(|number, _| if number < 2 { Reply::part(&format!("id ]{number}.."), "[1]") } else { Reply::json("[2,3]") }).await;
    let bench = Bench::plain(&server.url());
    let parts: Vec<Part> = bench.api.pages("/apps", &Range::by("id")).into_stream().try_collect().await.unwrap();
    let objects = |part: &Part| matches!(part, Part::Page(page) if !page.objects.is_empty());
    assert!(parts.len() == 3 && parts.iter().all(objects), "{parts:?}");
}

#[tokio::test]
async fn after_an_error_a_list_goes_on_where_it_was() {
    let server = Server::start(|number, _| match number {
        0 => Reply::part("id ]a..", r#"[{"id":"a"}]"#),
        1 => Reply::status(403, r#"{"id":"forbidden","message":"Not now."}"#),
        _ => Reply::json(r#"[{"id":"b"}]"#),
    })
    .await;
    let bench = Bench::plain(&server.url());
    let mut pages = bench.api.pages("/apps", &Range::by("id"));
    assert!(matches!(pages.next().await, Ok(Some(Part::Page(page))) if !page.is_last()));
    assert!(matches!(pages.next().await, Err(ApiError::Forbidden(_))));
    assert!(matches!(pages.next().await, Ok(Some(Part::Page(page))) if page.is_last() && page.objects[0]["id"] == "b"));
    assert_eq!(pages.next().await, Ok(None));
}

#[tokio::test]
async fn each_run_counts_for_itself() {
    let server = Server::start(|number, _| match number {
        1 => Reply::status(500, "{}"),
        2 => Reply::status(429, "{}"),
        4 => Reply::status(304, ""),
        5 => Reply::status(404, "{}"),
        _ => Reply::json("[1234]"),
    })
    .await;
    let bench = Bench::plain(&server.url());
    bench.api.object("/a").await.unwrap();
    let own = Arc::new(ApiCounters::default());
    let run = bench.api.counted_by(Arc::clone(&own));
    run.object("/b").await.unwrap();
    run.pages("/c", &Range::by("id")).unless(Some("\"1\"")).next().await.unwrap();
    run.object("/d").await.unwrap_err();
    let counts = own.snapshot();
    assert_eq!((counts.requests, counts.retries, counts.rate_limited), (5, 2, 1));
    assert_eq!((counts.not_modified, counts.errors, counts.bytes), (1, 1, 12));
    // After the 429, and not before the second try of the 500.
    assert!(counts.waited > std::time::Duration::ZERO && counts.waited == bench.timer.waits()[1..].iter().sum());
    assert_eq!((run.counts(), bench.api.counts().requests), (counts, 1));
}
