//! The task of a subscription: it makes the requests.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use hyper::{Method, Request};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::notice::{Notice, signature};
use super::record::{self, Attempt, Subscription};
use super::{WebhookCounts, WebhookPace, lock};
use crate::client::{Client, NoAnswer, Version};
use crate::faults::{Fault, Faults};
use crate::world::{Chance, World};

/// How many `notify` notices of one subscription are on their way at the same time.
pub(super) const AT_ONCE_MAX: usize = 8;

/// One notice for one subscription.
pub(super) struct Delivery {
    pub(super) id: String,
    pub(super) notice: Arc<Notice>,
    /// When the event was told of: patience counts from here, also while it waits for its turn.
    pub(super) made: Instant,
    /// As it was when the event happened.
    pub(super) subscription: Subscription,
}

/// What a task needs to deliver.
#[derive(Clone)]
pub(super) struct Deliverer {
    pub(super) client: Arc<Client>,
    pub(super) chance: Chance,
    pub(super) faults: Faults,
    pub(super) world: Arc<Mutex<World>>,
    pub(super) pace: WebhookPace,
}

/// A try that failed.
struct Failure {
    code: Option<u16>,
    error_class: Option<&'static str>,
    text: String,
}

impl Deliverer {
    /// Delivers what comes through the queue, until it is closed.
    pub(super) async fn run(self, mut queue: mpsc::Receiver<Delivery>, counts: Arc<Mutex<WebhookCounts>>) {
        let mut flying = JoinSet::new();
        while let Some(delivery) = queue.recv().await {
            if delivery.subscription.is_sync {
                self.deliver(&delivery, &counts).await;
                continue;
            }
            if flying.len() >= AT_ONCE_MAX {
                flying.join_next().await;
            }
            let (deliverer, counts) = (self.clone(), Arc::clone(&counts));
            flying.spawn(async move { deliverer.deliver(&delivery, &counts).await });
        }
        while flying.join_next().await.is_some() {}
    }

    /// Notes a delivery that is to be made.
    pub(super) fn note_created(&self, delivery: &Delivery) {
        record::delivery(&mut lock(&self.world), &delivery.id, &delivery.notice, &delivery.subscription);
    }

    /// Notes a delivery that will not be made.
    pub(super) fn note_given_up(&self, delivery: &Delivery) {
        record::given_up(&mut lock(&self.world), &delivery.id);
    }

    /// Tries until the notice is taken, or no more tries are due.
    async fn deliver(&self, delivery: &Delivery, counts: &Mutex<WebhookCounts>) {
        let ends = delivery.made + self.pace.gives_up_after;
        let mut pause = self.pace.first_pause;
        for number in 1.. {
            let begun = lock(&self.world).now;
            let result = self.request(delivery, number, counts).await;
            let tries_again = result.is_err() && delivery.subscription.is_sync && Instant::now() < ends;
            self.note(delivery, number, begun, &result, tries_again.then_some(pause));
            if !tries_again {
                if result.is_ok() && self.faults.strikes(Fault::WebhookDuplicate) {
                    // Whatever comes of it: the notice was taken.
                    let _ = self.request(delivery, number + 1, counts).await;
                }
                let mut counts = lock(counts);
                // Zero when the subscription was taken back this moment: then it is counted as dropped already.
                if counts.waiting > 0 {
                    counts.waiting -= 1;
                    match result {
                        Ok(_) => counts.acknowledged += 1,
                        Err(_) => counts.dropped += 1,
                    }
                }
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(self.pace.longest_pause);
        }
    }

    /// One try: `Ok` with the status where that is 2xx.
    async fn request(&self, delivery: &Delivery, number: u64, counts: &Mutex<WebhookCounts>) -> Result<u16, Failure> {
        let subscription = delivery.subscription.now(&lock(&self.world));
        let body = delivery.notice.body(&subscription.id, &delivery.id, &self.attempt_id(delivery, number));
        let secret = match self.faults.strikes(Fault::WebhookBadSignature) {
            true => format!("not {}", subscription.secret),
            false => subscription.secret.clone(),
        };
        lock(counts).requests += 1;
        let result = match request(&subscription, signature(&secret, &body), body) {
            Ok(request) => match self.client.send(Version::Http1, request, self.pace.answer_within).await {
                Ok(answer) if answer.status.is_success() => Ok(answer.status.as_u16()),
                Ok(answer) => Err(Failure {
                    code: Some(answer.status.as_u16()),
                    error_class: None,
                    text: format!("answered {}", answer.status.as_u16()),
                }),
                Err(error) => Err(Failure { code: None, error_class: Some(class(&error)), text: error.to_string() }),
            },
            Err(error) => Err(Failure { code: None, error_class: Some("InvalidURI"), text: error.to_string() }),
        };
        lock(counts).trouble = result.as_ref().err().map(|failure| failure.text.clone()).unwrap_or_default();
        result
    }

    fn note(&self, delivery: &Delivery, number: u64, begun: Timestamp, result: &Result<u16, Failure>, pause: Option<Duration>) {
        let mut world = lock(&self.world);
        let next = |pause| world.now.checked_add(SignedDuration::try_from(pause).unwrap_or_default()).unwrap_or(world.now);
        let attempt = Attempt {
            id: &self.attempt_id(delivery, number),
            number,
            begun,
            code: match result {
                Ok(code) => Some(*code),
                Err(failure) => failure.code,
            },
            error_class: result.as_ref().err().and_then(|failure| failure.error_class),
            has_succeeded: result.is_ok(),
            next: pause.map(next),
        };
        record::attempt(&mut world, &delivery.id, &attempt);
    }

    /// From the seed, in whatever order the tries happen to be made.
    fn attempt_id(&self, delivery: &Delivery, number: u64) -> String {
        self.chance.of(&format!("{}/{number}", delivery.id)).uuid()
    }
}

fn request(subscription: &Subscription, signature: String, body: Bytes) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(&subscription.url)
        .header(CONTENT_TYPE, "application/json")
        .header(USER_AGENT, "Heroku-Webhooks")
        .header("Heroku-Webhook-Hmac-SHA256", signature);
    if let Some(authorization) = &subscription.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    request.body(Full::new(body))
}

/// An error's name, in the manner of the language that Heroku's own sender is written in.
fn class(error: &NoAnswer) -> &'static str {
    match error {
        NoAnswer::Connection(_) => "Errno::ECONNREFUSED",
        NoAnswer::TimedOut(_) => "Net::ReadTimeout",
        NoAnswer::Body(_) => "EOFError",
    }
}
