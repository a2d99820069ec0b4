//! The Platform API's client, and what follows log sessions, against the fake Heroku with its faults, and against servers that behave worse.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod chance;
mod fake;
mod lists;
mod oauth;
mod rate;
mod server;
mod session;
mod time;
mod ugly;

use std::collections::BTreeMap;
use std::sync::Arc;

use freshet_core::Secret;
use freshet_fake_heroku::{FakeHeroku, FakeOptions, Fault, Strike};
use freshet_sources::platform::{Api, ApiError, ApiLimits, ApiOptions, Page, Pages, Part};
use serde_json::Value;
use time::JumpingTimer;

/// Long enough, and nowhere else in any answer.
const TOKEN: &str = "HRKU-5ecr3t-token";

/// A client on a time that passes only by its own waits.
struct Bench {
    api: Api,
    timer: Arc<JumpingTimer>,
}

impl Bench {
    fn new(url: &str, adjust: impl FnOnce(&mut ApiOptions)) -> Self {
        let timer = Arc::new(JumpingTimer::default());
        let mut options = ApiOptions {
            seed: 7,
            timer: timer.clone(),
            limits: ApiLimits { reserve_percent: 0, ..ApiLimits::default() },
            ..ApiOptions::new(url, Some(Secret::new(TOKEN.to_owned()).into()))
        };
        adjust(&mut options);
        Self { api: Api::new(options).unwrap(), timer }
    }

    fn plain(url: &str) -> Self {
        Self::new(url, |_| ())
    }
}

/// All pages of a list that has changed.
async fn read(mut pages: Pages) -> Result<Vec<Page>, ApiError> {
    let mut all = Vec::new();
    while let Some(part) = pages.next().await? {
        match part {
            Part::Page(page) => all.push(page),
            Part::NotModified => panic!("nobody asked whether it was modified"),
        }
    }
    assert!(all.iter().rev().skip(1).all(|page| !page.is_last()) && all.last().is_some_and(Page::is_last));
    Ok(all)
}

/// The ids on `pages`, in their order.
fn ids(pages: &[Page]) -> Vec<String> {
    pages.iter().flat_map(|page| &page.objects).map(|object| object["id"].as_str().unwrap().to_owned()).collect()
}

/// What was said of an error must help, and never show the token.
fn check_words(error: &ApiError, words: &str) {
    let text = format!("{error}\n{error:?}\n{}", error.reason());
    assert!(text.contains(words), "{words:?} is not in {text}");
    assert!(!text.contains("5ecr3t"), "{text}");
}

/// A company of `apps` whose story stands still.
async fn standing(apps: usize, adjust: impl FnOnce(&mut FakeOptions)) -> FakeHeroku {
    let mut options = FakeOptions { apps, lines_per_second: 0.0, is_paused: true, rate_limit: 1_000_000, ..FakeOptions::default() };
    adjust(&mut options);
    FakeHeroku::start(options).await.unwrap()
}

fn strike(fake: &FakeHeroku, strikes: &[(Fault, u64)]) {
    let strikes = strikes.iter().map(|(fault, times)| (*fault, Strike { probability: 1.0, times: Some(*times) }));
    fake.faults().set(BTreeMap::from_iter(strikes));
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
