//! Webhooks: what happens to an app's objects is told to the addresses that subscribed to it.
//!
//! A subscription is an `app-webhook` object of the world. Two of its fields are never shown by the API: `_secret`, with
//! which notices are signed, and `_authorization`, which they carry as a header.
//!
//! Each subscription has one task, which delivers its notices: `notify` tries each once, several side by side; `sync` tries
//! each until it is taken, in order, and the later ones wait. What happened to whom is in the world as `app-webhook-event` and
//! `app-webhook-delivery` objects, so that the API can tell.

mod deliver;
mod notice;
mod record;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use crate::client::Client;
use crate::faults::Faults;
use crate::world::{Action, Chance, Change, World};
use deliver::{Deliverer, Delivery};
use notice::Notice;
use record::Subscription;

/// The most notices that wait for one subscription; what comes on top is dropped.
const WAITING_MAX: usize = 10_000;
/// Subscriptions that are gone whose counts are kept; one more, and the oldest goes.
const GONE_KEPT: usize = 1_000;
/// How often [`Webhooks::settled`] looks.
const LOOK: Duration = Duration::from_millis(5);

/// What one subscription has been told so far. `sent` = `acknowledged` + `dropped` + `waiting`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WebhookCounts {
    /// The subscription's id.
    pub webhook: String,
    /// The id of its app.
    pub app: String,
    /// Notices that were meant for it.
    pub sent: u64,
    /// Notices that were answered 2xx.
    pub acknowledged: u64,
    /// Notices given up: refused or failed where one try is made, or for too long, or too many waited, or the subscription is gone.
    pub dropped: u64,
    /// Notices that wait or are on their way.
    pub waiting: u64,
    /// Requests made, repeats included.
    pub requests: u64,
    /// Why the last try failed, in words; empty after one that did not.
    pub trouble: String,
}

/// How patient deliveries are, in wall time.
#[derive(Clone, Copy, Debug)]
pub struct WebhookPace {
    /// The pause before the second try of a `sync` notice; it doubles from try to try. (Heroku's pauses are not published.)
    pub first_pause: Duration,
    /// The longest pause.
    pub longest_pause: Duration,
    /// After this time, counted from what it tells of, a `sync` notice is tried once more at most (Heroku: 72 hours).
    pub gives_up_after: Duration,
    /// How long an answer may take. (Heroku's limit is not published.)
    pub answer_within: Duration,
}

impl Default for WebhookPace {
    fn default() -> Self {
        Self {
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(600),
            gives_up_after: Duration::from_secs(72 * 3600),
            answer_within: Duration::from_secs(10),
        }
    }
}

/// All subscriptions. Clones share them; when the last one goes, what was not delivered is lost.
#[derive(Clone)]
pub struct Webhooks(Arc<Inner>);

struct Inner {
    deliverer: Deliverer,
    state: Mutex<State>,
}

struct State {
    chance: Chance,
    hooks: BTreeMap<String, Hook>,
    /// What was told to subscriptions that are gone, [`GONE_KEPT`] at most. What still waits for them is told, and counted.
    gone: VecDeque<Arc<Mutex<WebhookCounts>>>,
    /// The ends of subscriptions that went with their app: they are still told that it went.
    leaving: Vec<Change>,
    tasks: JoinSet<()>,
}

/// A subscription that was told something.
struct Hook {
    queue: mpsc::Sender<Delivery>,
    task: AbortHandle,
    counts: Arc<Mutex<WebhookCounts>>,
}

impl Webhooks {
    /// Tells what happens in `world`. To be made and used inside a tokio runtime.
    #[must_use]
    pub fn new(faults: Faults, world: Arc<Mutex<World>>) -> Self {
        Self::paced(faults, world, WebhookPace::default())
    }

    /// The same, with another patience.
    #[must_use]
    pub fn paced(faults: Faults, world: Arc<Mutex<World>>, pace: WebhookPace) -> Self {
        let chance = lock(&world).chance.of("webhooks");
        // No connection is kept: a notice that is tried only once must not be lost to one that the receiver has just closed.
        let deliverer = Deliverer { client: Arc::new(Client::new(0)), chance: chance.clone(), faults, world, pace };
        Self(Arc::new(Inner {
            deliverer,
            state: Mutex::new(State { chance, hooks: BTreeMap::new(), gone: VecDeque::new(), leaving: Vec::new(), tasks: JoinSet::new() }),
        }))
    }

    /// Tells the subscriptions concerned. In order of the events, and not while the world is locked.
    pub fn changed(&self, change: &Change) {
        let mut state = lock(&self.0.state);
        if change.resource == "app-webhook" && change.action == Action::Destroy {
            state.forget(&self.0.deliverer, change);
        }
        if let Some((notice, subscriptions)) = self.notice(change, &mut state) {
            let (notice, made) = (Arc::new(notice), Instant::now());
            for subscription in subscriptions {
                let delivery = Delivery { id: state.chance.uuid(), notice: Arc::clone(&notice), made, subscription };
                state.send(&self.0.deliverer, delivery);
            }
        }
        if change.resource == "app" && change.action == Action::Destroy {
            state.forget_app(&change.id);
        }
    }

    /// The subscriptions' counts; last, those of the subscriptions that went latest.
    #[must_use]
    pub fn counts(&self) -> Vec<WebhookCounts> {
        let state = lock(&self.0.state);
        state.hooks.values().map(|hook| &hook.counts).chain(&state.gone).map(|counts| lock(counts).clone()).collect()
    }

    /// Waits until nothing waits to be delivered, or `within` is over; says whether that came true.
    pub async fn settled(&self, within: Duration) -> bool {
        let all = async {
            while self.counts().iter().any(|counts| counts.waiting > 0) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(within, all).await.is_ok()
    }

    /// What is told of a change, and to whom; the world then has the event.
    fn notice(&self, change: &Change, state: &mut State) -> Option<(Notice, Vec<Subscription>)> {
        let include = notice::entity(change.resource)?;
        let mut world = lock(&self.0.deliverer.world);
        let subscriptions = record::subscriptions(&world, change, include, &state.leaving);
        if subscriptions.is_empty() {
            return None;
        }
        let notice = Notice::new(change, include, &mut state.chance);
        record::event(&mut world, &notice, change);
        Some((notice, subscriptions))
    }
}

impl State {
    fn send(&mut self, deliverer: &Deliverer, delivery: Delivery) {
        let subscription = &delivery.subscription;
        if !self.hooks.contains_key(&subscription.id) {
            let (queue, waiting) = mpsc::channel(WAITING_MAX);
            let counts = WebhookCounts { webhook: subscription.id.clone(), app: subscription.app.clone(), ..WebhookCounts::default() };
            let counts = Arc::new(Mutex::new(counts));
            while self.tasks.try_join_next().is_some() {}
            let task = self.tasks.spawn(deliverer.clone().run(waiting, Arc::clone(&counts)));
            self.hooks.insert(subscription.id.clone(), Hook { queue, task, counts });
        }
        let Some(hook) = self.hooks.get(&subscription.id) else { return };
        deliverer.note_created(&delivery);
        // Counted before it is sent: the task may be done with it at once.
        let mut counts = lock(&hook.counts);
        counts.sent += 1;
        counts.waiting += 1;
        if let Err(refused) = hook.queue.try_send(delivery) {
            counts.waiting -= 1;
            counts.dropped += 1;
            counts.trouble = "too many notices wait".to_owned();
            drop(counts);
            deliverer.note_given_up(&refused.into_inner());
        }
    }

    /// Ends a subscription that was taken back. One that went with its app gets what waits, and that the app went.
    fn forget(&mut self, deliverer: &Deliverer, change: &Change) {
        let app_lives = change.app.as_ref().is_some_and(|app| lock(&deliverer.world).objects.get("app", app).is_some());
        if !app_lives {
            self.leaving.push(change.clone());
        } else if let Some(hook) = self.hooks.remove(&change.id) {
            hook.task.abort();
            let mut counts = lock(&hook.counts);
            counts.dropped += std::mem::take(&mut counts.waiting);
            drop(counts);
            self.keep(hook.counts);
        }
    }

    /// Ends the subscriptions of an app that went. Their tasks end when they have told what waits.
    fn forget_app(&mut self, app: &str) {
        self.leaving.retain(|went| went.app.as_deref() != Some(app));
        let theirs: Vec<String> =
            self.hooks.iter().filter(|(_, hook)| lock(&hook.counts).app == app).map(|(webhook, _)| webhook.clone()).collect();
        for webhook in theirs {
            if let Some(hook) = self.hooks.remove(&webhook) {
                self.keep(hook.counts);
            }
        }
    }

    /// Keeps the counts of a subscription that is gone.
    fn keep(&mut self, counts: Arc<Mutex<WebhookCounts>>) {
        if self.gone.len() >= GONE_KEPT {
            self.gone.pop_front();
        }
        self.gone.push_back(counts);
    }
}

/// A poisoned lock is as good as any here: every change under it is a single one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
