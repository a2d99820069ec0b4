//! Drains that send keyed frames all the time, repeat some, and remember what was acknowledged.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use freshet_bench::client::{Connection, Delivery, Target, Troubles, frame_id};
use freshet_bench::generate::Options;
use freshet_bench::pool::{Body, bodies};
use freshet_bench::random::Random;
use freshet_bench::writer::Form;

use crate::http;
use crate::keys::BEGINNING_US;

/// Frames that a sender may still send again.
const REMEMBERED: usize = 30;

/// How senders behave.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    pub(crate) seed: u64,
    pub(crate) senders: u64,
    /// Messages in a frame.
    pub(crate) messages: u64,
    /// The longest pause between two frames of one sender.
    pub(crate) pause_max: Duration,
    /// How long a sender tries before it gives a frame up.
    pub(crate) patience: Duration,
}

impl Habits {
    /// Two who are in no great hurry: what the daemon writes to is a server on the same machine.
    pub(crate) fn beside_a_store(random: &mut Random) -> Self {
        let (pause_max, patience) = (Duration::from_millis(40), Duration::from_millis(400));
        Self { seed: random.bits(), senders: 2, messages: 8, pause_max, patience }
    }
}

/// Senders at work.
pub(crate) struct Senders {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Troubles>>,
}

/// What was sent, by key.
pub(crate) struct Sent {
    /// In frames that were acknowledged at least once.
    pub(crate) acknowledged: BTreeSet<u64>,
    /// In any frame.
    pub(crate) all: BTreeSet<u64>,
    /// Frames that were sent again after they had been acknowledged.
    pub(crate) repeats: u64,
    /// What the senders met with.
    pub(crate) troubles: Troubles,
}

struct Shared {
    address: SocketAddr,
    habits: Habits,
    stop: AtomicBool,
    next_key: AtomicU64,
    repeats: AtomicU64,
    acknowledged: Mutex<BTreeSet<u64>>,
    sent: Mutex<BTreeSet<u64>>,
}

/// A frame with its keys.
#[derive(Clone)]
struct Keyed {
    id: String,
    body: Body,
    first_key: u64,
}

impl Senders {
    pub(crate) fn start(address: SocketAddr, habits: Habits) -> Self {
        let shared = Arc::new(Shared {
            address,
            habits,
            stop: AtomicBool::new(false),
            next_key: AtomicU64::new(1),
            repeats: AtomicU64::new(0),
            acknowledged: Mutex::default(),
            sent: Mutex::default(),
        });
        let start = |number| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || shared.send(number))
        };
        Self { threads: (0..habits.senders).map(start).collect(), shared }
    }

    /// Keys acknowledged so far.
    pub(crate) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.lock().unwrap().len()
    }

    /// Lets each sender end the frame it is at.
    pub(crate) fn stop(self) -> Sent {
        self.shared.stop.store(true, Ordering::Relaxed);
        let mut troubles = Troubles::default();
        for thread in self.threads {
            troubles.add(thread.join().unwrap());
        }
        Sent {
            acknowledged: std::mem::take(&mut self.shared.acknowledged.lock().unwrap()),
            all: std::mem::take(&mut self.shared.sent.lock().unwrap()),
            repeats: self.shared.repeats.load(Ordering::Relaxed),
            troubles,
        }
    }
}

impl Shared {
    fn connection(&self, number: u64) -> Connection {
        let target = Target::parse(&format!("http://{}/drain/shop", self.address), Some(http::authorization())).unwrap();
        Connection::new(target, format!("d.00000000-0000-4000-a000-{number:012}"))
    }

    fn send(&self, number: u64) -> Troubles {
        let habits = self.habits;
        let mut random = Random::new(habits.seed ^ (number + 1).wrapping_mul(0x9E37_79B9));
        let options = Options { seed: random.bits(), form: Form::Frames, from_us: BEGINNING_US, step_us: 50_000, first_key: Some(0) };
        let pool = bodies(&options, 40, habits.messages);
        // The same drain over two connections, as when Logplex moves it to another shard.
        let (mut one, mut other) = (self.connection(number), self.connection(number));
        let mut remembered: VecDeque<Keyed> = VecDeque::new();
        let mut troubles = Troubles::default();
        while !self.stop.load(Ordering::Relaxed) {
            let frame = self.frame(random.pick(&(0..pool.len()).collect::<Vec<_>>()), &pool, &mut random);
            if random.chance(200) {
                let mut twins_troubles = Troubles::default();
                std::thread::scope(|scope| {
                    scope.spawn(|| self.deliver(&mut other, &frame, &mut twins_troubles));
                    self.deliver(&mut one, &frame, &mut troubles);
                });
                troubles.add(twins_troubles);
            } else {
                self.deliver(&mut one, &frame, &mut troubles);
            }
            remembered.push_back(frame);
            if remembered.len() > REMEMBERED {
                remembered.pop_front();
            }
            if random.chance(300) {
                let again = &remembered[random.below(remembered.len() as u64) as usize];
                self.deliver(if random.chance(500) { &mut one } else { &mut other }, again, &mut troubles);
                self.repeats.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(habits.pause_max.mul_f64(random.below(1000) as f64 / 1000.0));
        }
        troubles
    }

    fn frame(&self, index: usize, pool: &[Body], random: &mut Random) -> Keyed {
        let mut body = pool[index].clone();
        let first_key = self.next_key.fetch_add(body.keys(), Ordering::Relaxed);
        body.set_keys(first_key);
        self.sent.lock().unwrap().extend(first_key..first_key + body.keys());
        Keyed { id: frame_id(random), body, first_key }
    }

    fn deliver(&self, connection: &mut Connection, frame: &Keyed, troubles: &mut Troubles) {
        let deadline = Instant::now() + self.habits.patience;
        let delivery = connection.deliver(&frame.id, frame.body.messages(), frame.body.bytes(), deadline, troubles);
        if delivery == Delivery::Acknowledged {
            self.acknowledged.lock().unwrap().extend(frame.first_key..frame.first_key + frame.body.keys());
        }
    }
}
