//! The API, asked without sockets.

mod belongings;
mod protocol;
mod shapes;
mod walks;

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::BodyExt as _;

use super::*;
use crate::faults::Strike;
use crate::world::{Action, Actor, Event, WorldOptions};

/// An API with its world, and what a client would do with it.
struct Bench {
    api: Api,
    world: Arc<Mutex<World>>,
    owner: Actor,
}

/// What came back.
struct Reply {
    status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn list(&self) -> &[Value] {
        self.body.as_array().unwrap_or_else(|| panic!("no list: {}", self.body))
    }
}

const BEGINS_AT: &str = "2026-11-22T10:00:00Z";

impl Bench {
    /// A company of a few apps: `shop` and three more on Cedar, `spruce` on Fir.
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(adjust: impl FnOnce(&mut ApiOptions)) -> Self {
        let options = WorldOptions { seed: 7, apps: 0, releases: 0, begins_at: BEGINS_AT.parse().unwrap(), lines_per_second: 0.0 };
        let mut world = World::still(&options);
        let owner = world.people()[0].clone();
        for (name, generation) in [("shop", "cedar"), ("billing", "cedar"), ("search", "cedar"), ("spruce", "fir")] {
            let team = if name == "billing" { Value::Null } else { "harbor-goods".into() };
            let wanted = serde_json::json!({ "name": name, "generation": generation, "team": team, "space": null });
            let app = world.create_app(&owner, wanted.as_object().unwrap()).unwrap();
            let id = app["id"].as_str().unwrap();
            world.build(&owner, id, "0123456789abcdef", true).unwrap();
            world.create_addon(&owner, id, "heroku-postgresql:standard-0", None, None).unwrap();
        }
        // The builds end, the dynos come up.
        world.advance("2026-11-22T10:05:00Z".parse().unwrap());
        world.furnish_platform();
        world.take_events();
        Self::over(world, owner, adjust)
    }

    /// A company of five apps with its story, ten minutes into it.
    fn with_story() -> Self {
        let options = WorldOptions { seed: 3, apps: 5, releases: 0, begins_at: BEGINS_AT.parse().unwrap(), lines_per_second: 1.0 };
        let mut world = World::new(&options);
        world.advance("2026-11-22T10:10:00Z".parse().unwrap());
        let owner = world.people()[0].clone();
        Self::over(world, owner, |_| ())
    }

    fn over(world: World, owner: Actor, adjust: impl FnOnce(&mut ApiOptions)) -> Self {
        let mut options = ApiOptions {
            base_url: "http://127.0.0.1:1".to_owned(),
            token: None,
            oauth: None,
            rate_limit: 1_000_000,
            two_factor: None,
            maintenance: false,
        };
        adjust(&mut options);
        let (world, faults) = (Arc::new(Mutex::new(world)), Faults::new(1));
        let api = Api::new(options, Arc::clone(&world), Logplex::new(1, faults.clone()), faults);
        Self { api, world, owner }
    }

    /// Asks with the headers of a client in order, and `headers` over them.
    async fn ask_with(&self, method: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> Reply {
        let (status, headers, body) = self.ask_raw(method, path, body, headers).await;
        let body = body.unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        Reply { status, headers, body }
    }

    async fn ask_raw(&self, method: &str, path: &str, body: &Value, headers: &[(&str, &str)]) -> (u16, HeaderMap, std::io::Result<Bytes>) {
        let mut all = BTreeMap::from([("authorization", "Bearer secret"), ("accept", "application/vnd.heroku+json; version=3")]);
        all.extend(headers.iter().copied());
        let mut request = hyper::Request::builder().method(method).uri(path);
        for (name, value) in all.into_iter().filter(|(_, value)| !value.is_empty()) {
            request = request.header(name, value);
        }
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let (head, body) = self.api.answer(request.body(body).unwrap()).await.into_parts();
        (head.status.as_u16(), head.headers, body.collect().await.map(http_body_util::Collected::to_bytes))
    }

    async fn ask(&self, method: &str, path: &str, body: Value) -> Reply {
        self.ask_with(method, path, &body, &[]).await
    }

    async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, Value::Null).await
    }

    /// Lets the story go on until so many seconds after its beginning.
    fn advance(&self, seconds: i64) {
        let begins_at: Timestamp = BEGINS_AT.parse().unwrap();
        self.world.lock().unwrap().advance(begins_at + jiff::SignedDuration::from_secs(seconds));
    }

    /// What happened since the last time: the lines as `PROCESS: TEXT`, the changes as `ACTION RESOURCE`.
    fn news(&self) -> (Vec<String>, Vec<String>) {
        let (mut lines, mut changes) = (Vec::new(), Vec::new());
        for event in self.world.lock().unwrap().take_events() {
            match event {
                Event::Line(line) => lines.push(format!("{}: {}", line.process, String::from_utf8_lossy(&line.text))),
                Event::Changed(change) => changes.push(format!("{} {}", change.action.as_str(), change.resource)),
                Event::Measured(_) => {}
            }
        }
        (lines, changes)
    }

    fn strike(&self, fault: Fault, times: u64) {
        self.api.faults.set(BTreeMap::from([(fault, Strike { probability: 1.0, times: Some(times) })]));
    }

    /// How often something happened to objects of a resource, by the journal.
    fn journal(&self, resource: &str, action: Action) -> usize {
        let world = self.world.lock().unwrap();
        world.objects().journal().iter().filter(|entry| entry.resource == resource && entry.action == action).count()
    }
}
