//! The rate limit, and how many requests there are at one time.

use std::sync::Mutex;
use std::time::Duration;

use freshet_sources::platform::{Range, Timer as _};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::*;
use crate::server::{Reply, Server};

/// A bucket as Heroku's, on the client's own time.
struct Bucket {
    per_hour: f64,
    left: f64,
    filled_at: Duration,
    least: f64,
}

impl Bucket {
    /// Takes one; says what is left.
    fn take(&mut self, now: Duration) -> Option<u32> {
        self.left = (self.left + (now - self.filled_at).as_secs_f64() * self.per_hour / 3_600.0).min(self.per_hour);
        self.filled_at = now;
        if self.left < 1.0 {
            return None;
        }
        self.left -= 1.0;
        self.least = self.least.min(self.left);
        Some(self.left as u32)
    }
}

/// A server with a bucket; `others` says how many requests somebody else makes before the one with this number.
async fn limited(timer: &Arc<JumpingTimer>, bucket: &Arc<Mutex<Bucket>>, others: fn(usize) -> u32, tells: bool) -> Server {
    let (timer, bucket) = (Arc::clone(timer), Arc::clone(bucket));
    Server::start(move |number, _| {
        let mut bucket = bucket.lock().unwrap();
        for _ in 0..others(number) {
            let _ = bucket.take(timer.now());
        }
        let taken = bucket.take(timer.now());
        let headers = if tells { vec![("RateLimit-Remaining", taken.unwrap_or(0).to_string())] } else { Vec::new() };
        match taken {
            Some(_) => Reply::Answer(200, headers, "[]".to_owned()),
            None => Reply::Answer(429, headers, r#"{"id":"rate_limit","message":"Wait."}"#.to_owned()),
        }
    })
    .await
}

/// A client that thinks that it has `per_hour`, and a server that gives as much and has `left` of it.
async fn rationed(
    per_hour: u32,
    left: f64,
    reserve_percent: u8,
    others: fn(usize) -> u32,
    tells: bool,
) -> (Bench, Server, Arc<Mutex<Bucket>>) {
    let timer = Arc::new(JumpingTimer::default());
    let bucket = Bucket { per_hour: f64::from(per_hour), left, filled_at: Duration::ZERO, least: left };
    let bucket = Arc::new(Mutex::new(bucket));
    let server = limited(&timer, &bucket, others, tells).await;
    let mut bench = Bench::new(&server.url(), |options| {
        options.timer = timer.clone();
        options.limits.requests_per_hour = per_hour;
        options.limits.reserve_percent = reserve_percent;
    });
    bench.timer = timer;
    (bench, server, bucket)
}

async fn ask(bench: &Bench, times: u32) {
    for _ in 0..times {
        bench.api.object("/account").await.unwrap();
    }
}

#[tokio::test]
async fn it_slows_down_before_429_and_leaves_the_reserve() {
    let (bench, _server, bucket) = rationed(600, 600.0, 20, |_| 0, true).await;
    ask(&bench, 480).await;
    assert_eq!(bench.timer.now(), Duration::ZERO);
    ask(&bench, 60).await;
    // Six seconds for each.
    let (now, counts) = (bench.timer.now(), bench.api.counts());
    assert!(now > Duration::from_secs(350) && now < Duration::from_secs(370), "{now:?}");
    assert_eq!((counts.requests, counts.retries, counts.rate_limited, counts.waited), (540, 0, 0, now));
    assert!(bucket.lock().unwrap().least >= 119.0);
}

#[tokio::test]
async fn it_learns_what_others_take() {
    // Somebody takes 300 at once, when we have made ten.
    let (bench, _server, bucket) = rationed(600, 600.0, 20, |number| if number == 10 { 300 } else { 0 }, true).await;
    ask(&bench, 180).await;
    assert_eq!(bench.timer.now(), Duration::ZERO);
    ask(&bench, 10).await;
    assert!(bench.timer.now() > Duration::from_secs(50));
    assert_eq!(bench.api.counts().rate_limited, 0);
    assert!(bucket.lock().unwrap().least >= 119.0);
}

#[tokio::test]
async fn a_429_is_waited_out() {
    for tells in [true, false] {
        // The account is empty when we come, and nobody has told us.
        let (bench, _server, _bucket) = rationed(600, 0.0, 0, |_| 0, tells).await;
        ask(&bench, 20).await;
        let (now, counts) = (bench.timer.now(), bench.api.counts());
        assert!(now >= Duration::from_secs(20 * 6) && now < Duration::from_secs(200), "{tells} {now:?}");
        assert!(counts.rate_limited >= 1 && counts.rate_limited < 10 && counts.errors == 0, "{tells} {counts:?}");
        assert_eq!(counts.retries, counts.rate_limited);
    }
}

#[tokio::test]
async fn patience_ends() {
    // It never gets better, and what it says is no help.
    let server = Server::always(|| {
        Reply::Answer(429, vec![("RateLimit-Remaining", "4000".to_owned())], r#"{"id":"rate_limit","message":"Wait."}"#.to_owned())
    })
    .await;
    let bench = Bench::plain(&server.url());
    let error = bench.api.object("/account").await.unwrap_err();
    assert!(matches!(&error, ApiError::RateLimited { refusal: Some(refusal), .. } if refusal.id == "rate_limit"), "{error:?}");
    check_words(&error, "/account has waited 1");
    check_words(&error, "429 rate_limit: Wait.");
    let (asked, limits) = (server.heads().len(), ApiLimits::default());
    assert!(bench.timer.now() <= limits.patience && bench.timer.now() > limits.patience - limits.backoff_max, "{:?}", bench.timer.now());
    // Not a hundred times a minute.
    assert!(asked > 30 && asked < 200, "{asked}");

    // Who has none hears at once, and so does the next, who is not even sent.
    let server = Server::always(|| Reply::status(429, r#"{"id":"rate_limit","message":"Wait."}"#)).await;
    let bench = Bench::new(&server.url(), |options| options.limits.patience = Duration::ZERO);
    for _ in 0..3 {
        let error = read(bench.api.pages("/apps", &Range::by("id"))).await.unwrap_err();
        assert!(matches!(error, ApiError::RateLimited { .. }) && error.is_temporary(), "{error:?}");
    }
    assert_eq!((server.heads().len(), bench.timer.now()), (1, Duration::ZERO));

    // The reserve alone may be longer than that; then nobody has said 429.
    let (bench, server, _bucket) = rationed(600, 600.0, 20, |_| 0, true).await;
    let impatient = Bench::new(&server.url(), |options| {
        options.limits.requests_per_hour = 600;
        options.limits.reserve_percent = 99;
        options.limits.patience = Duration::from_secs(5);
    });
    ask(&impatient, 6).await;
    let error = impatient.api.object("/account").await.unwrap_err();
    assert!(matches!(error, ApiError::RateLimited { refusal: None, .. }) && error.status().is_none(), "{error:?}");
    assert_eq!((error.reason().as_str(), bench.api.counts().requests), ("the rate limit is used up", 0));
}

#[tokio::test]
async fn what_is_left_can_be_asked_for_free() {
    let server = Server::start(|_, head| match head.starts_with("GET /account/rate-limits ") {
        true => Reply::json(r#"{"remaining":3}"#),
        false => Reply::json("{}"),
    })
    .await;
    let bench = Bench::plain(&server.url());
    assert_eq!(bench.api.requests_left().await, Ok(Some(3)));
    ask(&bench, 3).await;
    assert_eq!(bench.timer.waits(), [Duration::ZERO; 0]);
    ask(&bench, 1).await;
    assert_eq!(bench.timer.waits().len(), 1);
    // It is answered even while nothing else may be asked.
    let empty = Server::start(|number, _| if number == 0 { Reply::status(429, "{}") } else { Reply::json("{}") }).await;
    let bench = Bench::new(&empty.url(), |options| options.limits.patience = Duration::ZERO);
    bench.api.object("/account").await.unwrap_err();
    assert_eq!(bench.api.requests_left().await, Ok(None));
    assert_eq!(bench.timer.now(), Duration::ZERO);
    // A refusal of it is one as any other, with an end.
    let server = Server::always(|| Reply::status(429, "{}")).await;
    let bench = Bench::new(&server.url(), |options| options.limits.tries_max = 3);
    assert!(matches!(bench.api.requests_left().await, Err(ApiError::RateLimited { .. })));
    assert_eq!(server.heads().len(), 3);
}

#[tokio::test]
async fn so_many_at_once_and_no_more() {
    // Each four are answered together: were there fewer, nobody would be answered; were there more, they would be counted.
    let barrier = Arc::new(Barrier::new(4));
    let server = Server::always(move || Reply::Together(Arc::clone(&barrier), Box::new(Reply::json("[]")))).await;
    let bench = Bench::plain(&server.url());
    let mut tasks = JoinSet::new();
    for _ in 0..40 {
        let api = bench.api.clone();
        tasks.spawn(async move { api.object("/account").await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap().unwrap();
    }
    assert_eq!((server.heads().len(), server.most_at_once()), (40, 4));
}

#[tokio::test]
async fn a_crowd_shares_one_budget() {
    let (bench, _server, bucket) = rationed(600, 600.0, 20, |_| 0, true).await;
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let api = bench.api.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                api.object("/account").await.unwrap();
            }
        });
    }
    // Whoever is dropped while it waits takes nothing with it.
    let waiting = bench.api.clone();
    assert!(tokio::time::timeout(Duration::ZERO, waiting.object("/account")).await.is_err());
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let counts = bench.api.counts();
    assert_eq!((counts.rate_limited, counts.errors), (0, 0), "{counts:?}");
    assert!(counts.requests >= 500 && bucket.lock().unwrap().least >= 115.0, "{}", bucket.lock().unwrap().least);
    assert!(bench.timer.now() >= Duration::from_secs(19 * 6), "{:?}", bench.timer.now());
}
