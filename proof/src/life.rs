//! One life of the process: the real spool, loader and intake, on the world's disk, clock and destination.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use freshet_core::{Clock, Destination, Inbox as _, InboxError, Position, Receipt};
use freshet_load::{Committer, Retry, SpoolLoader, tell_of_closures};
use freshet_spool::faulty_disk::FaultyDisk;
use freshet_spool::{AppendFile, Disk, Entry, ReadFile, Spool, SpoolReader, State, Turn, Writer};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;

use crate::Fault;
use crate::destination::Ground;
use crate::panics;
use crate::plan::Mutant;
use crate::time::Idle;
use crate::world::{Delivery, Event, Order, World};

/// What a new spool is called.
const INSTALL_ID: u128 = 0x00F0_0BA7;

/// Microseconds that a write and its sync take on a good day, and on a bad one.
const SYNC_US: (u64, u64) = (3_000, 2_000_000);

/// By then a notice of a closure is stored, on the slowest disk.
const NOTICE_WITHIN_US: u64 = 10_000_000;

/// How a life ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By force.
    Crash,
    /// By itself, because it could not begin.
    Exit,
    /// As it was told to.
    Stop,
    /// The run is stuck.
    Stuck,
}

/// What tasks tell the world.
enum Mail {
    Began,
    Exited(String),
    Answered { delivery: usize, request: Option<u64>, answer: Result<Receipt, InboxError> },
    RivalDone,
    Stopped,
}

#[derive(Clone, Default)]
struct Mailbox(Arc<Mutex<VecDeque<Mail>>>);

impl Mailbox {
    fn post(&self, mail: Mail) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(mail);
    }

    fn take(&self) -> Option<Mail> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// The parts of a process that the world has its hands on.
struct Process {
    spool: Arc<Spool>,
    writer: Option<Writer>,
    /// What the spool last said of itself.
    state: State,
    /// Uptime until which the writer is at the disk.
    busy_until: u64,
    /// When a disk that is full or failing is tried again.
    retry_at: Option<u64>,
    mailbox: Mailbox,
    end: watch::Sender<bool>,
    /// Deliveries that the spool has not answered.
    accepting: usize,
    has_begun: bool,
    is_ending: bool,
    /// Follows the spool, to know which frames lie behind which position.
    shadow: SpoolReader,
    frames: VecDeque<(Position, String)>,
    consumed: Position,
    rivals: Vec<Writer>,
    /// That the spool is closed (the largest number), or when it opened again.
    closed: Option<u64>,
}

impl World {
    /// Lives until the process ends.
    pub(crate) fn live(&mut self) -> End {
        self.life += 1;
        self.dead.store(false, Ordering::Relaxed);
        self.before_start();
        self.story.tell(|| format!("process {} starts", self.life));
        let idle = Idle::default();
        self.destination.begin_life();
        let Ok(runtime) = runtime(&idle, self.destination.pending().is_some()) else {
            self.story.accuse("no runtime".to_owned());
            return End::Stuck;
        };
        let end = runtime.block_on(self.lived(&idle));
        // Every task of the process ends here, wherever it was.
        drop(runtime);
        self.story.tell(|| format!("process {} ends: {end:?}", self.life));
        self.after_end(end == End::Crash);
        end
    }

    async fn lived(&mut self, idle: &Idle) -> End {
        let mut process = match self.begin() {
            Ok(process) => process,
            Err(problem) => {
                let is_dead = self.disk.is_dead();
                self.story.tell(|| format!("the spool cannot be opened: {problem}"));
                return if is_dead { End::Crash } else { End::Exit };
            }
        };
        loop {
            idle.await;
            while !self.dead.load(Ordering::Relaxed)
                && let Some(pending) = self.destination.pending().filter(|_| self.destination.is_busy())
            {
                // Real threads are at it: no simulated time passes.
                pending.notified().await;
            }
            if self.dead.load(Ordering::Relaxed) || self.disk.is_dead() {
                return End::Crash;
            }
            if let Some(mail) = process.mailbox.take() {
                match self.read(&mut process, mail) {
                    Some(end) => return end,
                    None => continue,
                }
            }
            if self.deliver(&mut process) | self.write(&mut process) {
                continue;
            }
            self.watch(&mut process);
            if self.stop(&mut process) || self.begin_rival(&mut process) || self.begin_maintenance() {
                continue;
            }
            if !self.step() {
                return End::Stuck;
            }
        }
    }

    /// Opens the spool and lets the process go.
    fn begin(&mut self) -> Result<Process, String> {
        let clock: Arc<dyn Clock> = Arc::new(self.timeline.clone());
        let disk: Arc<dyn Disk> = match self.plan.mutant {
            Some(Mutant::NoSync) => Arc::new(LyingDisk(self.disk.clone())),
            _ => Arc::new(self.disk.clone()),
        };
        let opened = Spool::on(disk, &self.plan.spool, Arc::clone(&clock), INSTALL_ID);
        let (spool, writer, recovery) = opened.map_err(|error| error.to_string())?;
        if self.disk.is_dead() {
            return Err("killed meanwhile".to_owned());
        }
        self.story.tell(|| {
            let (state, stats) = (spool.stats().state.as_str(), spool.stats());
            format!(
                "the spool is {state}: {} payloads, {} torn bytes, {} consumed, {} durable",
                recovery.records, recovery.torn_bytes, stats.consumed, stats.durable_end
            )
        });
        let spool = Arc::new(spool);
        let (end, ending) = watch::channel(false);
        let mailbox = Mailbox::default();
        tokio::spawn(run(Arc::clone(&spool), self.committer(), self.plan.clone(), clock, ending, mailbox.clone()));
        Ok(Process {
            shadow: spool.reader(),
            consumed: spool.stats().consumed,
            spool,
            writer: Some(writer),
            busy_until: 0,
            retry_at: None,
            state: State::Open,
            mailbox,
            end,
            accepting: 0,
            has_begun: false,
            is_ending: false,
            frames: VecDeque::new(),
            rivals: Vec::new(),
            closed: None,
        })
    }

    fn committer(&self) -> impl Fn(Retry) -> Committer + Send + use<> {
        let (destination, timeline) = (Arc::<dyn Ground>::clone(&self.destination) as Arc<dyn Destination>, self.timeline.clone());
        move |retry| Committer::new(Arc::clone(&destination), Arc::new(timeline.clone()), retry).on(Arc::new(timeline.clone()))
    }

    fn read(&mut self, process: &mut Process, mail: Mail) -> Option<End> {
        match mail {
            Mail::Began => {
                process.has_begun = true;
                self.story.tell(|| "the loader has begun, connections are taken".to_owned());
            }
            Mail::Answered { delivery, request, answer } => {
                process.accepting -= 1;
                self.answered(delivery, request, &answer);
            }
            Mail::RivalDone => self.story.tell(|| "the rival has loaded its copy".to_owned()),
            Mail::Exited(problem) => {
                self.story.tell(|| format!("the loader cannot begin: {problem}"));
                return Some(End::Exit);
            }
            Mail::Stopped => return Some(End::Stop),
        }
        None
    }

    /// Gives what has arrived to the spool, as the receiver does.
    fn deliver(&mut self, process: &mut Process) -> bool {
        let stats = process.spool.stats();
        if stats.state != process.state {
            self.story.tell(|| format!("the spool is {}, {} bytes in {} segments", stats.state.as_str(), stats.used_bytes, stats.segments));
            process.state = stats.state;
        }
        let is_open = stats.state == State::Open;
        self.note_closure(process, is_open);
        self.is_listening = process.has_begun && self.order == Order::Live && is_open;
        let arrived = std::mem::take(&mut self.arrived);
        let any = !arrived.is_empty();
        for (request, drain, frame) in arrived {
            let payload = self.wire.payload(drain, &frame, self.timeline.now());
            let number = self.deliveries.len();
            let (spool, mailbox, early) =
                (Arc::clone(&process.spool), process.mailbox.clone(), self.plan.mutant == Some(Mutant::EarlyAnswer));
            self.deliveries.push(Delivery {
                frame: frame.number,
                sent: frame,
                payload: payload.clone(),
                receipt: None,
                syncs: self.disk.syncs(),
            });
            process.accepting += 1;
            let task = tokio::spawn(async move {
                let told = Told { mailbox, delivery: number, request, is_told: false };
                if early {
                    told.tell(Ok(Receipt::Stored));
                    let _ = spool.accept(payload).await;
                } else {
                    told.tell(spool.accept(payload).await);
                }
            });
            if let Some(request) = request.and_then(|request| self.requests.get_mut(&request)) {
                request.task = Some(task.abort_handle());
            }
        }
        any
    }

    /// Counts the times that `_loss` has to tell of: surely, if the process then lived long enough to store a notice.
    fn note_closure(&mut self, process: &mut Process, is_open: bool) {
        let now = self.timeline.at();
        match (is_open, process.closed) {
            _ if !process.has_begun => {}
            (false, _) => process.closed = Some(u64::MAX),
            (true, Some(u64::MAX)) => {
                self.closures.1 += 1;
                process.closed = Some(now);
            }
            (true, Some(opened)) if now > opened + NOTICE_WITHIN_US && !process.is_ending => {
                self.closures.0 += 1;
                process.closed = None;
            }
            (true, _) => {}
        }
    }

    /// Lets the writer work when it is not at the disk.
    fn write(&mut self, process: &mut Process) -> bool {
        let now = self.timeline.at();
        if now < process.busy_until {
            return false;
        }
        process.rivals.retain_mut(|writer| !matches!(writer.turn(), Turn::Ended));
        let Some(writer) = &mut process.writer else { return false };
        match writer.turn() {
            Turn::Worked => {
                process.retry_at = None;
                let most = if self.is_disk_slow { SYNC_US.1 } else { SYNC_US.0 };
                let takes = 1 + self.chance.below(most);
                process.busy_until = now + takes;
                self.after(takes, Event::Writer);
                self.check_bound();
                true
            }
            Turn::Idle(limit) => {
                let Some(limit) = limit else {
                    process.retry_at = None;
                    return false;
                };
                if process.retry_at.is_some_and(|at| now >= at) {
                    process.retry_at = None;
                    writer.retry();
                    self.check_bound();
                    return true;
                }
                if process.retry_at.is_none() {
                    let limit = u64::try_from(limit.as_micros()).unwrap_or(u64::MAX);
                    process.retry_at = Some(now + limit);
                    self.after(limit, Event::Writer);
                }
                false
            }
            Turn::Ended => {
                process.writer = None;
                true
            }
        }
    }

    fn check_bound(&self) {
        let (bytes, most) = (self.disk.bytes_of(".seg"), self.plan.spool.max_bytes);
        if bytes > most {
            self.story.accuse(format!("the spool takes {bytes} bytes and may take {most}"));
        }
    }

    /// Nothing may be consumed before its rows are in the tables.
    fn watch(&mut self, process: &mut Process) {
        let stats = process.spool.stats();
        while process.shadow.position() < stats.durable_end {
            let Ok(Some(entry)) = process.shadow.try_next() else { break };
            if let Entry::Payload { position, payload } = entry
                && let Some(frame) = payload.frame_id
            {
                process.frames.push_back((position, frame));
            }
        }
        if stats.consumed < process.consumed {
            self.story.accuse(format!("the consumed mark went back from {} to {}", process.consumed, stats.consumed));
        }
        process.consumed = stats.consumed;
        while process.frames.front().is_some_and(|(position, _)| *position <= stats.consumed) {
            let Some((position, frame)) = process.frames.pop_front() else { break };
            if self.destination.has_frame(&frame) == Some(false) {
                self.story.accuse(format!("frame {frame} at {position} counts as consumed and is in no table"));
            }
        }
        if self.plan.mutant == Some(Mutant::EarlyMark) && self.chance.one_in(50) {
            let spool = Arc::clone(&process.spool);
            tokio::spawn(async move { spool.consumed(stats.durable_end).await });
        }
    }

    /// Carries out an order to stop, in flow order.
    fn stop(&mut self, process: &mut Process) -> bool {
        let is_time = self.order == Order::Stop && process.has_begun && process.accepting == 0 && !process.is_ending;
        if is_time {
            process.is_ending = true;
            self.story.tell(|| "no more connections; the loader is to end".to_owned());
            process.end.send_replace(true);
        }
        is_time
    }

    /// Lets the destination's tables be looked after.
    fn begin_maintenance(&mut self) -> bool {
        let is_due = std::mem::take(&mut self.is_maintenance_due);
        if is_due {
            self.tally.struck(Fault::Maintenance);
            tokio::spawn(self.destination.maintain());
        }
        is_due
    }

    /// Starts a second loader on a copy of the spool as it is now.
    fn begin_rival(&mut self, process: &mut Process) -> bool {
        if self.rivals_wanted == 0 || !self.is_listening {
            return false;
        }
        self.rivals_wanted -= 1;
        let clock: Arc<dyn Clock> = Arc::new(self.timeline.clone());
        let copy: Arc<dyn Disk> = Arc::new(self.disk.copy());
        let Ok((spool, writer, _)) = Spool::on(copy, &self.plan.spool, Arc::clone(&clock), INSTALL_ID) else { return false };
        self.tally.struck(Fault::Rival);
        process.rivals.push(writer);
        let (spool, mailbox) = (Arc::new(spool), process.mailbox.clone());
        let loader = SpoolLoader::new(Arc::clone(&spool), self.committer()(Retry::FOR_EVER), self.plan.packages, clock);
        tokio::spawn(async move {
            let (_end, ending) = watch::channel(true);
            loader.run(ending).await;
            spool.close().await;
            mailbox.post(Mail::RivalDone);
        });
        true
    }
}

/// The process: what `freshet run` does, between the receiver and the destination.
async fn run(
    spool: Arc<Spool>,
    committer: impl Fn(Retry) -> Committer,
    plan: crate::plan::Plan,
    clock: Arc<dyn Clock>,
    ending: watch::Receiver<bool>,
    mailbox: Mailbox,
) {
    let loader = |retry| SpoolLoader::new(Arc::clone(&spool), committer(retry), plan.packages, Arc::clone(&clock));
    let begun = match plan.mutant {
        Some(Mutant::NoRaise) => committer(Retry::SOON).prepare(&freshet_tables::TABLES).await.map_err(Into::into),
        _ => loader(Retry::SOON).begin().await,
    };
    if let Err(error) = begun {
        mailbox.post(Mail::Exited(error.to_string()));
        return;
    }
    mailbox.post(Mail::Began);
    let closures = tokio::spawn(tell_of_closures(Arc::clone(&spool), Arc::clone(&clock)));
    loader(Retry::FOR_EVER).run(ending).await;
    closures.abort();
    spool.close().await;
    mailbox.post(Mail::Stopped);
}

/// Sees to it that the end of a delivery is told, also when the connection goes away and takes it along.
struct Told {
    mailbox: Mailbox,
    delivery: usize,
    request: Option<u64>,
    is_told: bool,
}

impl Told {
    fn tell(mut self, answer: Result<Receipt, InboxError>) {
        self.is_told = true;
        self.mailbox.post(Mail::Answered { delivery: self.delivery, request: self.request, answer });
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        if !self.is_told {
            let answer = Err(InboxError::Stopped);
            self.mailbox.post(Mail::Answered { delivery: self.delivery, request: None, answer });
        }
    }
}

/// One thread, and no clock but ours, unless the destination is a real one.
fn runtime(idle: &Idle, is_real: bool) -> std::io::Result<Runtime> {
    let idle = idle.clone();
    let mut builder = Builder::new_current_thread();
    if is_real {
        builder.enable_time();
        let run = panics::of_this_thread();
        builder.on_thread_start(move || panics::work_for(run.clone()));
    }
    builder.on_thread_park(move || idle.reached()).build()
}

/// A disk whose syncs do nothing.
struct LyingDisk(FaultyDisk);

/// A file on it.
struct LyingFile(Box<dyn AppendFile>);

impl Disk for LyingDisk {
    fn list(&self) -> std::io::Result<Vec<String>> {
        self.0.list()
    }

    fn create(&self, name: &str) -> std::io::Result<Box<dyn AppendFile>> {
        Ok(Box::new(LyingFile(self.0.create(name)?)))
    }

    fn open(&self, name: &str) -> std::io::Result<Box<dyn ReadFile>> {
        self.0.open(name)
    }

    fn rename(&self, from: &str, to: &str) -> std::io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove(&self, name: &str) -> std::io::Result<()> {
        self.0.remove(name)
    }

    fn sync_directory(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self) -> std::io::Result<u64> {
        self.0.free_bytes()
    }
}

impl AppendFile for LyingFile {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
