//! An inbox that does as it is told, and a receiver in front of it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use freshet_core::{Clock, Inbox, InboxError, Micros, Payload, Receipt, Secret, Source, SourceError, SourceKind};
use freshet_sources::drain::{DrainLimits, DrainOptions, DrainReceiver, DrainStats, Page, TlsFiles};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// With which webhooks are signed.
pub(crate) const WEBHOOK_SECRET: &str = "open sesame";

pub(crate) struct ScriptedInbox {
    stored: Mutex<Vec<Payload>>,
    /// Calls of `accept`, finished or not.
    offered: AtomicUsize,
    /// How `accept` ends.
    script: watch::Sender<Script>,
    open: watch::Sender<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    Store,
    /// Wait until the script changes.
    Wait,
    FailFull,
    FailDisk,
}

impl ScriptedInbox {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            stored: Mutex::default(),
            offered: AtomicUsize::new(0),
            script: watch::channel(Script::Store).0,
            open: watch::channel(true).0,
        })
    }

    pub(crate) fn stored(&self) -> Vec<Payload> {
        self.stored.lock().unwrap().clone()
    }

    pub(crate) fn offered(&self) -> usize {
        self.offered.load(SeqCst)
    }

    pub(crate) fn script(&self, script: Script) {
        self.script.send_replace(script);
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    fn keep(&self, payload: Payload) -> Receipt {
        let mut stored = self.stored.lock().unwrap();
        let key = |payload: &Payload| match payload.source {
            SourceKind::Webhook => payload.frame_id.clone().map(|id| (String::new(), id)),
            _ => payload.drain_token.clone().zip(payload.frame_id.clone()),
        };
        if key(&payload).is_some() && stored.iter().any(|other| key(other) == key(&payload)) {
            return Receipt::Repeated;
        }
        stored.push(payload);
        Receipt::Stored
    }
}

#[async_trait]
impl Inbox for ScriptedInbox {
    async fn accept(&self, payload: Payload) -> Result<Receipt, InboxError> {
        self.offered.fetch_add(1, SeqCst);
        let script = *self.script.subscribe().wait_for(|script| *script != Script::Wait).await.unwrap();
        match script {
            Script::FailFull => Err(InboxError::Full),
            Script::FailDisk => Err(InboxError::Disk("no space left on device".into())),
            Script::Store | Script::Wait => Ok(self.keep(payload)),
        }
    }

    async fn opened(&self) {
        self.open.subscribe().wait_for(|open| *open).await.unwrap();
    }

    async fn closed(&self) {
        self.open.subscribe().wait_for(|open| !*open).await.unwrap();
    }
}

/// Moves on by a millisecond each time it is asked.
#[derive(Default)]
struct TickingClock(AtomicI64);

impl Clock for TickingClock {
    fn now(&self) -> Micros {
        Micros(self.0.fetch_add(1000, SeqCst))
    }
}

/// A running receiver. Dropping it cuts everything off.
pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    pub(crate) stats: Arc<DrainStats>,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), SourceError>>,
}

/// Limits that a test does not have to wait long for.
pub(crate) fn limits() -> DrainLimits {
    DrainLimits {
        body_bytes_max: 4 * 1024 * 1024,
        head_timeout: Duration::from_millis(400),
        body_timeout: Duration::from_millis(800),
        idle_timeout: Duration::from_secs(20),
        ..DrainLimits::default()
    }
}

pub(crate) fn options(limits: DrainLimits, tls: Option<TlsFiles>) -> DrainOptions {
    let secrets = vec![Secret::new("old-secret".into()), Secret::new("s3cret".into())];
    let webhook_secrets = vec![Secret::new("older".into()), Secret::new(WEBHOOK_SECRET.into())];
    DrainOptions { listen: "127.0.0.1:0".parse().unwrap(), secrets, webhook_secrets, told: None, tls, limits }
}

fn page(path: &str) -> Option<Page> {
    let page = |status, body| Page { status, content_type: "text/plain", body: Bytes::from_static(body) };
    match path {
        "/healthz" => Some(page(200, b"ok\n")),
        "/readyz" => Some(page(503, b"starting\n")),
        _ => None,
    }
}

impl Receiver {
    pub(crate) fn start(inbox: &Arc<ScriptedInbox>) -> Self {
        Self::start_with(inbox, options(limits(), None))
    }

    pub(crate) fn start_with(inbox: &Arc<ScriptedInbox>, options: DrainOptions) -> Self {
        let stats = Arc::new(DrainStats::default());
        let receiver = DrainReceiver::bind(options, Arc::new(TickingClock::default()), Arc::clone(&stats), Arc::new(page)).unwrap();
        let address = receiver.local_addr();
        let (stop, stopped) = oneshot::channel();
        let inbox: Arc<dyn Inbox> = Arc::<ScriptedInbox>::clone(inbox);
        let running = tokio::spawn(async move { receiver.run(inbox, Box::pin(async move { drop(stopped.await) })).await });
        Self { address, stats, stop: Some(stop), running }
    }

    /// Tells the receiver to stop, without waiting for it.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until the receiver has returned by itself.
    pub(crate) async fn stopped(mut self) {
        self.stop();
        tokio::time::timeout(Duration::from_secs(5), &mut self.running).await.expect("it returns").unwrap().unwrap();
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.running.abort();
    }
}

/// Waits until `condition` holds, for at most five seconds.
pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    for _ in 0..500 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never happened: {what}");
}
