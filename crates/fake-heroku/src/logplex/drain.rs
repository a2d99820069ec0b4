//! A drain: its machine, and the task that drives it over the network.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::DrainCounts;
use super::clock::StoryClock;
use super::dial::Dialer;
use super::frame::{Form, Message};
use super::https::{Connection, Sender};
use super::machine::{BUFFER_MESSAGES_MAX, Frame, Machine, Outcome, SHRUNK_BUFFER_MESSAGES_MAX, Verdict};
use super::tamper::{Manner, manner, tampered};
use super::target::Target;
use crate::faults::{Fault, Faults};
use crate::world::Chance;

/// How long a frame that is held back waits for another to go before it.
const HELD_BACK_MAX: Duration = Duration::from_millis(200);
/// Without a success for so long, the buffer shrinks (`SHRINK_TIMEOUT`).
const SHRINK_AFTER: Duration = Duration::from_secs(5 * 60);
/// The pause before a new connection is a multiple of this (`http_reconnect_time`).
const RECONNECT_PAUSE: Duration = Duration::from_millis(10);
/// After so many failed attempts the pauses stop growing (`http_max_retries`).
const RECONNECT_SLOTS_MAX: u64 = 10;

/// A drain that was added. Its task ends when it is dropped.
pub(super) struct Drain {
    id: String,
    token: String,
    pub(super) app: String,
    mailbox: Arc<Mailbox>,
    task: Option<JoinHandle<()>>,
}

/// What a drain shares with its task.
pub(super) struct Mailbox {
    machine: Mutex<Machine>,
    news: Notify,
    trouble: Mutex<String>,
}

/// Everything that the task of a drain needs beside its mailbox.
pub(super) struct Means {
    pub(super) dialer: Dialer,
    pub(super) faults: Faults,
    pub(super) clock: Arc<StoryClock>,
    pub(super) request_timeout: Duration,
    pub(super) idle_timeout: Duration,
    /// What a fault does exactly, and how long a pause is.
    pub(super) chance: Chance,
}

impl Drain {
    /// Starts a drain; one whose URL leads nowhere keeps its messages waiting for ever, as it does with Logplex.
    pub(super) fn start(id: &str, app: &str, sender: Sender, target: Result<Target, String>, record: bool, means: Means) -> Self {
        let token = sender.token.clone();
        let is_syslog = target.as_ref().is_ok_and(Target::is_syslog);
        let form = if is_syslog { Form::Syslog { token: token.clone() } } else { Form::Https };
        let machine = Machine::new(form, means.chance.of("frame ids"), record);
        let trouble = target.as_ref().err().cloned().unwrap_or_default();
        let mailbox = Arc::new(Mailbox { machine: Mutex::new(machine), news: Notify::new(), trouble: Mutex::new(trouble) });
        let task = target.ok().map(|target| {
            let driver = Driver {
                mailbox: Arc::clone(&mailbox),
                sender,
                target,
                means,
                connection: None,
                reconnects: Reconnects::default(),
                last_good: None,
                is_shrunk: false,
            };
            tokio::spawn(driver.run())
        });
        Self { id: id.to_owned(), token, app: app.to_owned(), mailbox, task }
    }

    /// Looks at the machine, or acts on it.
    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        self.mailbox.machine()
    }

    /// Takes messages in, in order.
    pub(super) fn offer(&self, messages: impl IntoIterator<Item = Message>, clock: &StoryClock) {
        let mut machine = self.machine();
        for message in messages {
            machine.offer(message, clock.now());
        }
        drop(machine);
        self.mailbox.news.notify_one();
    }

    /// Ends it: what waits is gone.
    pub(super) fn close(&self, clock: &StoryClock) {
        if let Some(task) = &self.task {
            task.abort();
        }
        self.machine().close(clock.now());
        self.mailbox.set_trouble("removed".to_owned());
    }

    pub(super) fn counts(&self) -> DrainCounts {
        DrainCounts {
            id: self.id.clone(),
            token: self.token.clone(),
            app: self.app.clone(),
            account: self.machine().counts(),
            trouble: self.mailbox.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Mailbox {
    fn machine(&self) -> MutexGuard<'_, Machine> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_trouble(&self, trouble: String) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// The task of a drain.
struct Driver {
    mailbox: Arc<Mailbox>,
    sender: Sender,
    target: Target,
    means: Means,
    connection: Option<Connection>,
    reconnects: Reconnects,
    /// The last success.
    last_good: Option<Instant>,
    is_shrunk: bool,
}

impl Driver {
    async fn run(mut self) {
        loop {
            self.wait_for_work().await;
            if self.target.is_syslog() && self.connection.as_mut().is_some_and(Connection::was_closed) {
                self.connection = None;
            }
            if let Err(error) = self.connect().await {
                self.mailbox.set_trouble(format!("no connection: {error}"));
                self.shrink_if_long_bad();
                let pause = self.reconnects.pause(&mut self.means.chance);
                sleep(pause).await;
                continue;
            }
            if self.mailbox.machine().can_hold_back() && self.means.faults.strikes(Fault::DrainReorder) {
                self.mailbox.machine().hold_back();
                continue;
            }
            let frame = self.mailbox.machine().next(self.means.clock.now());
            if let Some(frame) = frame {
                self.send(&frame).await;
            }
        }
    }

    /// Returns when there is a frame to send. A connection that is not used for long is closed meanwhile.
    async fn wait_for_work(&mut self) {
        loop {
            let (has_next, is_holding_back) = {
                let machine = self.mailbox.machine();
                (machine.has_next(), machine.is_holding_back())
            };
            if has_next {
                return;
            }
            let longest = if is_holding_back { HELD_BACK_MAX } else { self.means.idle_timeout };
            if timeout(longest, self.mailbox.news.notified()).await.is_err() {
                if is_holding_back {
                    self.mailbox.machine().release();
                } else {
                    self.connection = None;
                }
            }
        }
    }

    async fn connect(&mut self) -> io::Result<()> {
        if self.connection.is_none() {
            self.connection = Some(Connection::new(self.means.dialer.dial(&self.target).await?));
            self.reconnects = Reconnects::default();
        }
        Ok(())
    }

    async fn send(&mut self, frame: &Frame) {
        let is_http = !self.target.is_syslog();
        let manner = manner(&self.means.faults, &mut self.means.chance, is_http, self.means.request_timeout);
        let tampered = tampered(frame, &self.means.faults, &mut self.means.chance, is_http);
        let request = if is_http { self.sender.request(&self.target, &frame.id, &tampered) } else { tampered.body };
        let outcome = self.exchange(&request, &manner).await;
        let verdict = self.mailbox.machine().answered(outcome, self.means.clock.now());
        match outcome {
            Outcome::Answered(200..=299) => self.succeeded(),
            Outcome::Answered(status) => self.failed(format!("answered {status}")),
            Outcome::Unanswered { .. } => self.failed("no answer".to_owned()),
        }
        if verdict == Verdict::Delivered && is_http && self.means.faults.strikes(Fault::DrainDuplicate) {
            self.send_once_more(&request).await;
        }
    }

    /// Sends a delivered frame again. Whatever is answered: it was delivered already.
    async fn send_once_more(&mut self, request: &[u8]) {
        if self.connect().await.is_ok() {
            self.mailbox.machine().sent_once_more();
            self.exchange(request, &Manner::Plain).await;
        }
    }

    /// One request. The connection is kept where Logplex keeps it: after an answer that is no reason to try again.
    async fn exchange(&mut self, request: &[u8], manner: &Manner) -> Outcome {
        let Some(mut connection) = self.connection.take() else { return Outcome::Unanswered { sent_whole: false } };
        if self.target.is_syslog() {
            let written = connection.write(request, manner, self.means.request_timeout).await;
            self.connection = written.then_some(connection);
            // Nobody answers: what was written has arrived as far as anybody knows. Of the rest, a part may have.
            return if written { Outcome::Answered(200) } else { Outcome::Unanswered { sent_whole: true } };
        }
        let outcome = connection.exchange(request, manner, self.means.request_timeout).await;
        let keeps = matches!(outcome, Outcome::Answered(200..=299 | 400..=428 | 430..=499));
        if keeps && connection.is_reusable() && !self.sender.is_private {
            self.connection = Some(connection);
        }
        outcome
    }

    fn succeeded(&mut self) {
        self.mailbox.set_trouble(String::new());
        self.last_good = Some(Instant::now());
        if std::mem::take(&mut self.is_shrunk) {
            self.mailbox.machine().resize(BUFFER_MESSAGES_MAX, self.means.clock.now());
        }
    }

    fn failed(&mut self, trouble: String) {
        self.mailbox.set_trouble(trouble);
        if self.connection.is_none() {
            self.shrink_if_long_bad();
        }
    }

    /// A drain that never worked is spared.
    fn shrink_if_long_bad(&mut self) {
        if !self.is_shrunk && self.last_good.is_some_and(|good| good.elapsed() > SHRINK_AFTER) {
            self.is_shrunk = true;
            self.mailbox.machine().resize(SHRUNK_BUFFER_MESSAGES_MAX, self.means.clock.now());
        }
    }
}

/// Attempts to connect since the last that worked.
#[derive(Default)]
struct Reconnects(u64);

impl Reconnects {
    /// How long to wait after one that failed: up to 5 s, by chance and longer with each (`backoff_slot`).
    fn pause(&mut self, chance: &mut Chance) -> Duration {
        let slots = self.0.min(RECONNECT_SLOTS_MAX);
        self.0 += 1;
        let slot = if slots == 0 { 0 } else { chance.between(1, slots) };
        RECONNECT_PAUSE * (((1 << slot) - 1) / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// (2^slot - 1) / 2 times 10 ms, where slot is by chance one of 1 to the number of failures before, 10 at most.
    #[test]
    fn pauses_grow_and_stop_growing() {
        let mut chance = Chance::new(1);
        let mut longest_ms = [0; 20];
        for _ in 0..200 {
            let mut reconnects = Reconnects::default();
            for longest in &mut longest_ms {
                *longest = reconnects.pause(&mut chance).as_millis().max(*longest);
            }
        }
        assert_eq!(longest_ms[..12], [0, 0, 10, 30, 70, 150, 310, 630, 1270, 2550, 5110, 5110]);
        assert_eq!(longest_ms[19], 5110);
    }
}
