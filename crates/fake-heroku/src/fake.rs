//! The whole of it: a world, its front doors, and the task that carries what happens from one to the others.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::clock::StoryClock;
use crate::faults::{Fault, Faults, Strike};
use crate::logplex::{DrainCounts, Logplex, LogplexOptions};
use crate::platform::{Api, ApiOptions, OAuthOptions};
use crate::server;
use crate::telemetry::Telemetry;
use crate::webhooks::Webhooks;
use crate::world::{Action, Change, Event, Refusal, World, WorldOptions};

/// How often the story is told on.
const TELL_EVERY: Duration = Duration::from_millis(20);

/// What a fake Heroku is made from.
#[derive(Clone, Debug)]
pub struct FakeOptions {
    /// Address and port to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where all chance comes from.
    pub seed: u64,
    /// How much faster than ours the story's time runs.
    pub speed: f64,
    /// How many apps the company has.
    pub apps: usize,
    /// How many releases each of them has at the beginning, at least.
    pub releases: usize,
    /// Log lines per second of our time, on the average of a story's day, of all apps together.
    pub lines_per_second: f64,
    /// When the story begins. It never overtakes our own time; when it gets there it goes on at our speed.
    pub begins_at: Timestamp,
    /// Whether the story waits for [`FakeHeroku::begin`]: what is done before is done before its first line.
    pub is_paused: bool,
    /// The only API token that is taken, beside those of `oauth`; without either, any is.
    pub token: Option<String>,
    /// An OAuth client that can fetch tokens.
    pub oauth: Option<OAuthOptions>,
    /// API requests per hour; a sixtieth of it comes back each minute. Heroku has 4,500.
    pub rate_limit: u32,
    /// The code that API requests must have in `Heroku-Two-Factor-Code`; without one, no second factor is asked for.
    pub two_factor: Option<String>,
    /// Whether the API is down for maintenance.
    pub maintenance: bool,
    /// Faults in force from the beginning.
    pub faults: BTreeMap<Fault, Strike>,
    /// Whether each acknowledged message is remembered, for tests that count by key. It takes memory without end.
    pub record: bool,
}

impl Default for FakeOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            seed: 1,
            speed: 1.0,
            apps: 4,
            releases: 0,
            lines_per_second: 50.0,
            begins_at: Timestamp::now(),
            is_paused: false,
            token: None,
            oauth: None,
            rate_limit: 4500,
            two_factor: None,
            maintenance: false,
            faults: BTreeMap::new(),
            record: false,
        }
    }
}

/// A Heroku that runs until it is dropped.
pub struct FakeHeroku {
    shared: Shared,
    address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

/// What the front doors share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) clock: Arc<Mutex<StoryClock>>,
    pub(crate) logplex: Logplex,
    pub(crate) webhooks: Webhooks,
    pub(crate) telemetry: Telemetry,
    pub(crate) faults: Faults,
    pub(crate) lines: Arc<AtomicU64>,
    /// How often the story has been told on.
    told: Arc<AtomicU64>,
}

impl FakeHeroku {
    /// Founds the company and opens its front doors.
    ///
    /// # Errors
    /// The port is taken.
    pub async fn start(options: FakeOptions) -> io::Result<Self> {
        let listener = TcpListener::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let faults = Faults::new(options.seed);
        faults.set(options.faults.clone());
        let world = WorldOptions {
            seed: options.seed,
            apps: options.apps,
            releases: options.releases,
            begins_at: options.begins_at,
            lines_per_second: options.lines_per_second / options.speed,
        };
        let founded = tokio::task::spawn_blocking(move || World::new(&world)).await.map_err(io::Error::other)?;
        let world = Arc::new(Mutex::new(founded));
        // Frame ids are never the same twice, as Heroku's are not: a receiver takes a repeated one for a repeated frame.
        let run = u64::try_from(Timestamp::now().as_nanosecond().rem_euclid(1 << 62)).unwrap_or_default();
        let logplex = LogplexOptions { record: options.record, ..LogplexOptions::new(options.seed ^ run) };
        let logplex = Logplex::with_options(logplex, faults.clone());
        let clock = if options.is_paused { StoryClock::waiting } else { StoryClock::new };
        let clock = clock(options.begins_at, options.speed);
        let shared = Shared {
            webhooks: Webhooks::new(faults.clone(), Arc::clone(&world)),
            telemetry: Telemetry::new(faults.clone(), Arc::clone(&world)),
            clock: Arc::new(Mutex::new(clock)),
            world,
            logplex,
            faults,
            lines: Arc::default(),
            told: Arc::default(),
        };
        let api = ApiOptions {
            base_url: format!("http://{address}"),
            token: options.token,
            oauth: options.oauth,
            rate_limit: options.rate_limit,
            two_factor: options.two_factor,
            maintenance: options.maintenance,
        };
        let api = Api::new(api, Arc::clone(&shared.world), shared.logplex.clone(), shared.faults.clone());
        let tasks = vec![tokio::spawn(shared.clone().tell()), tokio::spawn(server::run(listener, shared.clone(), Arc::new(api)))];
        Ok(Self { shared, address, tasks })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base of its API, `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Id and name of each app.
    #[must_use]
    pub fn apps(&self) -> Vec<(String, String)> {
        lock(&self.shared.world).objects().all("app").map(|app| (text(&app["id"]), text(&app["name"]))).collect()
    }

    /// Adds a log drain to an app (by id or name), as `heroku drains:add` does. Answers with the drain's id.
    ///
    /// # Errors
    /// There is no such app, the URL is no drain's, or the app has it already.
    pub fn add_drain(&self, app: &str, url: &str) -> Result<String, Refusal> {
        let mut world = lock(&self.shared.world);
        let found = world.objects().find("app", None, app).map(|app| text(&app["id"])).ok_or_else(|| Refusal::not_found("app"))?;
        let owner = world.owner().cloned().ok_or_else(|| Refusal::not_found("account"))?;
        world.add_log_drain(&owner, &found, url).map(|drain| text(&drain["id"]))
    }

    /// What each drain has done.
    #[must_use]
    pub fn drains(&self) -> Vec<DrainCounts> {
        self.shared.logplex.counts()
    }

    /// The drains and sessions themselves.
    #[must_use]
    pub fn logplex(&self) -> &Logplex {
        &self.shared.logplex
    }

    /// The faults in force.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// The company.
    pub fn world(&self) -> MutexGuard<'_, World> {
        lock(&self.shared.world)
    }

    /// How late it is in the story.
    #[must_use]
    pub fn story_time(&self) -> Timestamp {
        lock(&self.shared.clock).now()
    }

    /// Lines that the story has told so far.
    #[must_use]
    pub fn lines(&self) -> u64 {
        self.shared.lines.load(Relaxed)
    }

    /// Waits until all that was told has reached the drains, and no drain has anything waiting, or `within` is over; says
    /// whether that came true. Of use while the story is paused.
    pub async fn settled(&self, within: Duration) -> bool {
        self.shared.settled(within).await
    }

    /// Stops the story; drains, webhooks and the API go on.
    pub fn pause(&self) {
        lock(&self.shared.clock).pause();
    }

    /// Begins a story that was made paused, unless somebody has paused it at the control endpoint meanwhile.
    pub fn begin(&self) {
        lock(&self.shared.clock).begin();
    }
}

impl Drop for FakeHeroku {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl Shared {
    /// Tells the story on, and carries what happens to the front doors, until aborted.
    async fn tell(self) {
        let mut ticks = tokio::time::interval(TELL_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let now = lock(&self.clock).now();
            let world = Arc::clone(&self.world);
            // A story that runs a thousand times faster than ours has much to tell in one tick.
            let told = tokio::task::spawn_blocking(move || {
                let mut world = lock(&world);
                world.advance(now);
                world.take_events()
            });
            let Ok(events) = told.await else { return };
            for event in &events {
                self.carry(event);
            }
            self.told.fetch_add(1, Relaxed);
        }
    }

    pub(crate) async fn settled(&self, within: Duration) -> bool {
        let begun = Instant::now();
        // The telling that is under way, and one that began after we asked.
        let told = self.told.load(Relaxed) + 2;
        while self.told.load(Relaxed) < told {
            if begun.elapsed() > within {
                return false;
            }
            tokio::time::sleep(TELL_EVERY).await;
        }
        self.logplex.settled(within.saturating_sub(begun.elapsed())).await
    }

    fn carry(&self, event: &Event) {
        match event {
            Event::Line(line) => {
                self.logplex.take(line);
                self.telemetry.line(line);
                self.lines.fetch_add(1, Relaxed);
            }
            Event::Changed(change) => {
                self.attach(change);
                self.webhooks.changed(change);
            }
            Event::Measured(measure) => self.telemetry.measured(measure),
        }
    }

    /// Begins and ends drains as their objects come and go.
    fn attach(&self, change: &Change) {
        match (change.resource, change.action) {
            ("log-drain", Action::Create) => self.attach_log_drain(&change.data),
            // Another address, or the first that somebody gives to a space's drain. A drain also changes when its app is renamed.
            ("log-drain", Action::Update) if ["url", "_space"].iter().any(|field| change.previous.get(*field).is_some()) => {
                self.logplex.remove_drain(&change.id);
                self.attach_log_drain(&change.data);
            }
            ("log-drain", Action::Destroy) => self.logplex.remove_drain(&change.id),
            ("app", Action::Create) => {
                let drain = lock(&self.world).space_drain(&text(&change.data["space"]["id"]));
                drain.iter().for_each(|drain| self.attach_log_drain(drain));
            }
            ("telemetry-drain", Action::Create | Action::Update) => {
                for app in self.covered_by(&change.data["owner"]) {
                    // The API has refused what no drain can be made of.
                    let _ = self.telemetry.add(&change.id, &app, &change.data["exporter"], &change.data["signals"]);
                }
            }
            ("telemetry-drain", Action::Destroy) => self.telemetry.remove(&change.id),
            ("app", Action::Destroy) => self.logplex.forget(&change.id),
            _ => {}
        }
    }

    /// Begins what is missing of a log drain: it may have the lines of some of its apps already.
    fn attach_log_drain(&self, drain: &Value) {
        let [id, token, url] = ["id", "token", "url"].map(|field| text(&drain[field]));
        let apps: Vec<_> =
            lock(&self.world).apps_of_drain(drain).into_iter().map(|app| (text(&app["id"]), app["space"].is_object())).collect();
        for (app, is_private) in apps {
            match is_private {
                _ if self.logplex.has_drain(&id, &app) => {}
                true => self.logplex.add_private_drain(&id, &token, &app, &url),
                false => self.logplex.add_drain(&id, &token, &app, &url),
            }
        }
    }

    /// The apps whose signals go to a telemetry drain: its own, or all of its space.
    fn covered_by(&self, owner: &Value) -> Vec<String> {
        if owner["type"] != "space" {
            return vec![text(&owner["id"])];
        }
        let world = lock(&self.world);
        world.objects().all("app").filter(|app| app["space"]["id"] == owner["id"]).map(|app| text(&app["id"])).collect()
    }
}

/// The lock, also after a panic of whoever held it.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
