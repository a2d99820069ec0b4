//! Everything outside the process, and the order in which things happen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use freshet_core::{Clock as _, InboxError, Payload, Receipt};
use freshet_spool::faulty_disk::{Crash, Dice, FaultyDisk};
use tokio::task::AbortHandle;

use crate::Fault;
use crate::destination::{Ground, SimDestination};
use crate::fault::Tally;
use crate::lake::LakeDestination;
use crate::plan::{Plan, dice};
use crate::run::Level;
use crate::sender::{Drain, Ending, Frame, Want};
use crate::story::Story;
use crate::time::{Due, Timeline};
use crate::wire::Wire;

/// How long Logplex waits for an answer.
const ANSWER_WITHIN_US: u64 = 5_000_000;

/// How long a frame is held back where no other comes, microseconds.
const HELD_BACK_US: u64 = 1_000_000;

/// A run that has not come to rest by then never will.
const SETTLE_WITHIN_US: u64 = 1_800_000_000;

/// Steps after which a run is taken for stuck.
const STEPS_MAX: u64 = 3_000_000;

/// What is due at some time.
pub(crate) enum Event {
    /// An app writes a line.
    Line(usize),
    /// A drain is asked what it wants.
    Sender(usize),
    /// A request reaches the process that was alive when it left.
    Arrive { request: u64, life: u64 },
    /// A request that arrived before arrives again.
    Again { drain: usize, frame: Frame },
    /// A sender gets to know how its request ended.
    Ended { request: u64, ending: Ending },
    /// Something goes wrong.
    Strike(Fault),
    /// It is well again.
    Heal(Fault),
    /// The process starts.
    Start,
    /// The writer has time again.
    Writer,
    /// Nothing goes wrong any more.
    Calm,
    /// Has everything arrived?
    Settled,
}

/// A request that its sender waits for.
pub(crate) struct Request {
    pub(crate) drain: usize,
    pub(crate) frame: Frame,
    pub(crate) task: Option<AbortHandle>,
}

/// Something that reached the spool.
pub(crate) struct Delivery {
    pub(crate) frame: usize,
    pub(crate) sent: Frame,
    pub(crate) payload: Payload,
    pub(crate) receipt: Option<Receipt>,
    /// Syncs of the disk when it arrived.
    pub(crate) syncs: u64,
}

/// An older copy of the data directory.
struct OldCopy {
    disk: FaultyDisk,
    /// The deliveries that it surely holds.
    holds: BTreeSet<usize>,
}

/// What is to become of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    #[default]
    Live,
    Stop,
}

/// The world.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) timeline: Timeline,
    pub(crate) story: Story,
    pub(crate) tally: Tally,
    /// The process is dead: whatever it still does has no effect.
    pub(crate) dead: Arc<AtomicBool>,
    pub(crate) destination: Arc<dyn Ground>,
    pub(crate) disk: FaultyDisk,
    pub(crate) wire: Wire,
    pub(crate) drains: Vec<Drain>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Times in which the spool was closed and that `_loss` must tell of: at least, and at most.
    pub(crate) closures: (u64, u64),
    /// Frames that a restored copy may have lost or doubled.
    pub(crate) excused: BTreeSet<usize>,
    pub(crate) life: u64,
    pub(crate) kills: u64,
    pub(crate) order: Order,
    /// The process takes connections.
    pub(crate) is_listening: bool,
    pub(crate) arrived: Vec<(Option<u64>, usize, Frame)>,
    pub(crate) is_disk_slow: bool,
    pub(crate) is_storm: bool,
    /// Everything has been sent and answered: what remains is to load it.
    pub(crate) is_settled: bool,
    pub(crate) rivals_wanted: u64,
    pub(crate) is_maintenance_due: bool,
    pub(crate) steps: u64,
    /// Ends of a calm life; the second one changes nothing any more.
    pub(crate) calm_ends: u32,
    pub(crate) chance: Dice,
    network: Dice,
    events: BTreeMap<Due, Event>,
    requests_made: u64,
    cut_power: bool,
    starts_cut: u64,
    copy: Option<OldCopy>,
    restore: bool,
}

impl World {
    pub(crate) fn new(plan: &Plan, level: Level, is_recorded: bool) -> Result<Self, String> {
        let timeline = Timeline::default();
        let story = Story::new(timeline.clone(), is_recorded);
        let (tally, dead) = (Tally::default(), Arc::new(AtomicBool::new(false)));
        let destination: Arc<dyn Ground> = match level {
            Level::Sim => Arc::new(SimDestination::new(plan, timeline.clone(), story.clone(), tally.clone(), Arc::clone(&dead))),
            Level::Lake => Arc::new(LakeDestination::new(plan, timeline.clone(), story.clone(), tally.clone(), Arc::clone(&dead))?),
        };
        let mut world = Self {
            plan: plan.clone(),
            story,
            dead,
            destination,
            disk: FaultyDisk::new(plan.seed ^ 0xD15C),
            wire: Wire::new(plan, tally.clone()),
            drains: (0..plan.drains).map(|index| Drain::new(plan, index)).collect(),
            requests: BTreeMap::new(),
            deliveries: Vec::new(),
            closures: (0, 0),
            excused: BTreeSet::new(),
            life: 0,
            kills: 0,
            order: Order::Live,
            is_listening: false,
            arrived: Vec::new(),
            is_disk_slow: false,
            is_storm: true,
            is_settled: false,
            rivals_wanted: 0,
            is_maintenance_due: false,
            steps: 0,
            calm_ends: 0,
            chance: dice(plan.seed, "life"),
            network: dice(plan.seed, "network"),
            events: BTreeMap::new(),
            requests_made: 0,
            cut_power: false,
            starts_cut: 0,
            copy: None,
            restore: false,
            timeline,
            tally,
        };
        world.schedule(level);
        Ok(world)
    }

    fn schedule(&mut self, level: Level) {
        self.after(0, Event::Start);
        self.after(self.plan.storm_us, Event::Calm);
        for drain in 0..self.drains.len() {
            self.after(self.plan.line_every_us, Event::Line(drain));
        }
        const AT_TIMES: [Fault; 16] = [
            Fault::Kill,
            Fault::KillAtWrite,
            Fault::PowerCut,
            Fault::KillAtStart,
            Fault::Stop,
            Fault::DiskFull,
            Fault::SyncError,
            Fault::SlowDisk,
            Fault::OldCopy,
            Fault::ClockForward,
            Fault::ClockBack,
            Fault::Burst,
            Fault::Outage,
            Fault::Refused,
            Fault::Rival,
            Fault::Maintenance,
        ];
        let planned: Vec<Fault> =
            AT_TIMES.into_iter().filter(|fault| self.plan.has(*fault) && (*fault != Fault::Maintenance || level == Level::Lake)).collect();
        for fault in planned {
            // Each fault has times of its own, so that leaving one out does not change the others.
            let mut dice = dice(self.plan.seed, fault.name());
            for _ in 0..=dice.below(4) {
                let at = dice.below(self.plan.storm_us);
                self.after(at, Event::Strike(fault));
            }
        }
    }

    pub(crate) fn after(&mut self, micros: u64, event: Event) {
        self.events.insert(self.timeline.due(micros), event);
    }

    /// Lets the next thing happen, whatever it is. False when the run is over or stuck.
    pub(crate) fn step(&mut self) -> bool {
        self.steps += 1;
        let at = self.timeline.at();
        if self.steps > STEPS_MAX || at > self.plan.storm_us + SETTLE_WITHIN_US {
            self.story.accuse(format!("no rest after {} steps and {} s", self.steps, at / 1_000_000));
            return false;
        }
        let event = self.events.first_key_value().map(|(due, _)| *due);
        let (sleeper, late) = (self.timeline.first_sleeper(), self.destination.first_late());
        match [event, sleeper, late].into_iter().flatten().min() {
            None => {
                self.story.accuse("everybody waits for ever".to_owned());
                return false;
            }
            first if first == sleeper => self.timeline.wake_first(),
            first if first == late => self.destination.land_late(),
            Some(due) => {
                self.timeline.pass(due);
                if let Some(event) = self.events.remove(&due) {
                    self.happen(event);
                }
            }
        }
        true
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Line(drain) => self.line(drain),
            Event::Sender(drain) => self.ask(drain),
            Event::Arrive { request, life } => self.arrive(request, life),
            Event::Again { drain, frame } => {
                if self.is_listening {
                    self.tally.struck(Fault::Duplicate);
                    self.arrived.push((None, drain, frame));
                }
            }
            Event::Ended { request, ending } => self.ended(request, ending),
            Event::Strike(fault) if self.is_storm => self.strike(fault),
            Event::Heal(fault) => self.heal(fault),
            Event::Calm => self.calm(),
            Event::Settled => self.settle(),
            Event::Strike(_) | Event::Start | Event::Writer => {}
        }
    }

    /// Lets time pass until the process starts. False when it never will.
    pub(crate) fn until_start(&mut self) -> bool {
        loop {
            let due = self.events.iter().find(|(_, event)| matches!(event, Event::Start)).map(|(due, _)| *due);
            match due {
                None => return false,
                Some(due) if self.events.keys().next() == Some(&due) && self.destination.first_late().is_none_or(|late| late > due) => {
                    self.step();
                    return true;
                }
                Some(_) if !self.step() => return false,
                Some(_) => {}
            }
        }
    }

    fn line(&mut self, drain: usize) {
        self.speak(drain);
        self.after(0, Event::Sender(drain));
        if self.is_storm {
            let wait = self.chance.below(2 * self.plan.line_every_us);
            self.after(wait, Event::Line(drain));
        }
    }

    fn speak(&mut self, drain: usize) {
        let now = self.timeline.now();
        let messages = self.wire.write(now);
        self.drains[drain].offer(now, messages);
    }

    fn ask(&mut self, drain: usize) {
        match self.drains[drain].want(self.timeline.at()) {
            Want::Nothing => {}
            Want::Wait(until) => {
                let wait = until.saturating_sub(self.timeline.at());
                self.after(wait, Event::Sender(drain));
            }
            Want::Connect => self.connect(drain),
        }
    }

    fn connect(&mut self, drain: usize) {
        let (trip, kind) = (200 + self.network.below(3_000), self.network.below(60));
        let chosen = match kind {
            0..4 => Some(Fault::Refuse),
            4..6 => Some(Fault::LoseRequest),
            _ => None,
        };
        let fault = chosen.filter(|fault| self.is_storm && self.plan.has(*fault));
        if !self.is_listening || fault == Some(Fault::Refuse) {
            if fault == Some(Fault::Refuse) && self.is_listening {
                self.tally.struck(Fault::Refuse);
            }
            self.drains[drain].refused(self.timeline.at() + trip);
            self.after(trip, Event::Sender(drain));
            return;
        }
        if self.is_storm && self.plan.has(Fault::Reorder) && self.network.one_in(20) && self.drains[drain].hold_back() {
            self.tally.struck(Fault::Reorder);
        }
        let Some(frame) = self.drains[drain].frame(self.timeline.now()) else {
            // The one frame there was is held back: until there is another.
            self.after(HELD_BACK_US, Event::Sender(drain));
            return;
        };
        let number = frame.number;
        self.requests_made += 1;
        let request = self.requests_made;
        self.requests.insert(request, Request { drain, frame, task: None });
        self.after(ANSWER_WITHIN_US, Event::Ended { request, ending: Ending::Unanswered });
        if fault == Some(Fault::LoseRequest) {
            self.tally.struck(Fault::LoseRequest);
            self.story.tell(|| format!("drain {drain}: request {request} with frame {number} is lost"));
            return;
        }
        self.story.tell(|| format!("drain {drain}: request {request} with frame {number}"));
        let life = self.life;
        self.after(trip, Event::Arrive { request, life });
    }

    fn arrive(&mut self, request: u64, life: u64) {
        let Some(Request { drain, frame, .. }) = self.requests.get(&request) else { return };
        let (drain, frame) = (*drain, frame.clone());
        if life != self.life {
            self.ended(request, Ending::Unanswered);
            return;
        }
        if self.network.one_in(15) && self.is_storm && self.plan.has(Fault::Duplicate) {
            let wait = if self.network.one_in(2) { self.network.below(2_000) } else { self.network.below(90_000_000) };
            self.after(wait, Event::Again { drain, frame: frame.clone() });
        }
        self.arrived.push((Some(request), drain, frame));
    }

    /// The spool has answered about a delivery.
    pub(crate) fn answered(&mut self, number: usize, request: Option<u64>, answer: &Result<Receipt, InboxError>) {
        let syncs = self.disk.syncs();
        let delivery = &mut self.deliveries[number];
        let frame = delivery.frame;
        self.story.tell(|| format!("spool: frame {frame}: {answer:?}"));
        if let Ok(receipt) = answer {
            delivery.receipt = Some(*receipt);
            if *receipt == Receipt::Stored && syncs == delivery.syncs {
                self.story.accuse(format!("frame {frame} was acknowledged and the disk has not synced since it arrived"));
            }
        }
        let Some(request) = request else { return };
        let trip = 200 + self.network.below(3_000);
        if answer.is_err() {
            self.after(trip, Event::Ended { request, ending: Ending::Unanswered });
        } else if self.network.one_in(15) && self.is_storm && self.plan.has(Fault::LoseAnswer) {
            self.tally.struck(Fault::LoseAnswer);
            self.story.tell(|| format!("the answer to request {request} is lost"));
        } else {
            self.after(trip, Event::Ended { request, ending: Ending::Answered(200) });
        }
    }

    /// The sender gets to know how its request ended; only the first ending counts.
    pub(crate) fn ended(&mut self, request: u64, ending: Ending) {
        let Some(Request { drain, frame, task }) = self.requests.remove(&request) else { return };
        if let Some(task) = task {
            // The connection is gone, and with it whoever served it.
            task.abort();
        }
        self.story.tell(|| format!("drain {drain}: request {request} with frame {} ended: {ending:?}", frame.number));
        self.drains[drain].ended(self.timeline.now(), self.timeline.at(), ending);
        self.after(0, Event::Sender(drain));
    }

    fn strike(&mut self, fault: Fault) {
        let mut dice = dice(self.plan.seed ^ self.steps, fault.name());
        let is_up = self.life_is_on();
        match fault {
            Fault::Kill | Fault::PowerCut if is_up => {
                self.cut_power |= fault == Fault::PowerCut;
                self.tally.struck(fault);
                if fault == Fault::PowerCut && dice.one_in(2) {
                    self.disk.die_after(dice.below(30));
                } else {
                    self.dead.store(true, Ordering::Relaxed);
                }
            }
            Fault::KillAtWrite if is_up => {
                self.tally.struck(fault);
                self.disk.die_after(dice.below(40));
            }
            Fault::KillAtStart => self.starts_cut += 1,
            Fault::Stop if is_up => {
                self.tally.struck(fault);
                self.order = Order::Stop;
            }
            Fault::DiskFull => {
                self.tally.struck(fault);
                self.disk.set_capacity(self.disk.used_bytes() + dice.below(9_000));
                self.after(1_000_000 + dice.below(10_000_000), Event::Heal(fault));
            }
            Fault::SyncError => {
                self.tally.struck(fault);
                self.disk.fail_syncs(1 + u32::try_from(dice.below(3)).unwrap_or(0));
            }
            Fault::SlowDisk => {
                self.tally.struck(fault);
                self.is_disk_slow = true;
                self.after(1_000_000 + dice.below(10_000_000), Event::Heal(fault));
            }
            Fault::OldCopy => self.old_copy(),
            Fault::ClockForward | Fault::ClockBack => {
                self.tally.struck(fault);
                let by = i64::try_from(dice.below(86_400_000_000)).unwrap_or(0);
                self.timeline.skew(if fault == Fault::ClockBack { -by } else { by });
            }
            Fault::Burst => {
                self.tally.struck(fault);
                for _ in 0..self.plan.buffer_messages * 2 {
                    self.speak(0);
                }
                self.after(0, Event::Sender(0));
            }
            Fault::Outage | Fault::Refused => {
                self.destination.set(fault, true);
                self.after(1_000_000 + dice.below(20_000_000), Event::Heal(fault));
            }
            Fault::Rival => self.rivals_wanted += 1,
            Fault::Maintenance => self.is_maintenance_due = true,
            _ => return,
        }
        self.story.tell(|| format!("fault: {fault}"));
    }

    fn life_is_on(&self) -> bool {
        !self.dead.load(Ordering::Relaxed) && !self.events.values().any(|event| matches!(event, Event::Start))
    }

    /// The first strike takes the copy, the second puts it in place of the directory.
    fn old_copy(&mut self) {
        if self.copy.is_none() && self.is_listening {
            // A copy of a disk that is failing may hold what was written in vain, which no copy of a healthy one does.
            let holds = (0..self.deliveries.len()).filter(|number| self.deliveries[*number].receipt.is_some()).collect();
            self.copy = Some(OldCopy { disk: self.disk.copy(), holds });
            let wait = 500_000 + self.chance.below(10_000_000);
            self.after(wait, Event::Strike(Fault::OldCopy));
        } else if self.copy.is_some() && self.life_is_on() {
            self.restore = true;
            self.dead.store(true, Ordering::Relaxed);
        }
    }

    fn heal(&mut self, fault: Fault) {
        match fault {
            Fault::DiskFull => self.disk.set_capacity(u64::MAX),
            Fault::SlowDisk => self.is_disk_slow = false,
            fault => self.destination.set(fault, false),
        }
        self.story.tell(|| format!("well again: {fault}"));
    }

    fn calm(&mut self) {
        self.story.tell(|| "nothing goes wrong from here on".to_owned());
        self.is_storm = false;
        self.is_disk_slow = false;
        self.starts_cut = 0;
        self.destination.calm();
        self.disk.heal();
        self.after(1_000_000, Event::Settled);
    }

    fn settle(&mut self) {
        let repeats = self.events.values().any(|event| matches!(event, Event::Again { .. } | Event::Line(_)));
        let is_sent = self.drains.iter().all(|drain| drain.counts().waiting == 0) && self.requests.is_empty() && !repeats;
        if is_sent && self.is_listening {
            self.is_settled = true;
            self.order = Order::Stop;
        } else {
            self.after(1_000_000, Event::Settled);
        }
    }

    /// Before the process starts: what the last end and the next start suffer.
    pub(crate) fn before_start(&mut self) {
        self.order = if self.is_settled { Order::Stop } else { Order::Live };
        if self.starts_cut > 0 {
            self.starts_cut -= 1;
            self.tally.struck(Fault::KillAtStart);
            self.cut_power = self.chance.one_in(2);
            self.disk.die_after(self.chance.below(30));
        }
    }

    /// After the process has ended.
    pub(crate) fn after_end(&mut self, is_crash: bool) {
        self.is_listening = false;
        self.arrived.clear();
        // Their connections are reset.
        let open: Vec<u64> = self.requests.keys().copied().collect();
        for request in open {
            self.ended(request, Ending::Unanswered);
        }
        if is_crash {
            self.kills += 1;
        }
        let cut_power = std::mem::take(&mut self.cut_power);
        self.disk.crash(if cut_power && is_crash { Crash::Power } else { Crash::Process });
        if std::mem::take(&mut self.restore)
            && let Some(copy) = self.copy.take()
        {
            // Nobody copies a directory back within the life of a request.
            while self.destination.first_late().is_some() {
                self.destination.land_late();
            }
            self.tally.struck(Fault::OldCopy);
            self.story.tell(|| "the data directory is replaced by an older copy".to_owned());
            self.disk = copy.disk;
            let lost = (0..self.deliveries.len()).filter(|number| !copy.holds.contains(number));
            let lost: Vec<usize> = lost.map(|number| self.deliveries[number].frame).collect();
            self.excused.extend(lost);
        }
        let wait = 50_000 + self.chance.below(3_000_000);
        self.after(wait, Event::Start);
    }
}
