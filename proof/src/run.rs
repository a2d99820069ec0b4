//! One run, from the first start to the last check, and the search for a smaller one that fails as well.

use std::collections::BTreeMap;
use std::panic::catch_unwind;

use crate::Fault;
use crate::check::{Found, check};
use crate::life::End;
use crate::panics;
use crate::plan::Plan;
use crate::sender::Drain;
use crate::world::World;

/// How a run went.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Its seed.
    pub seed: u64,
    /// Things that happened.
    pub events: u64,
    /// What happened, in order, when the run was recorded.
    pub story: Vec<String>,
    /// Broken promises; none in a good run.
    pub problems: Vec<String>,
    /// Starts of the process.
    pub lives: u64,
    /// Ends of the process by force.
    pub kills: u64,
    /// Simulated seconds.
    pub seconds: u64,
    /// Messages that apps wrote.
    pub messages: u64,
    /// Messages that Logplex gave up: its buffer was full, or three tries failed. L10 lines tell of them.
    pub dropped: u64,
    /// What the tables hold.
    pub found: Found,
    /// How often each fault struck.
    pub struck: BTreeMap<Fault, u64>,
}

/// What the rows go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Level {
    /// A destination in memory: everything follows from the seed.
    Sim,
    /// A lake on disk. What goes wrong follows from the seed; which of two threads is first does not.
    Lake,
}

/// Runs `plan`. Only a recorded run keeps its story.
#[must_use]
pub fn run(plan: &Plan, is_recorded: bool) -> Report {
    run_on(plan, Level::Sim, is_recorded)
}

/// Runs `plan` with a lake on disk, shortened: a real commit takes a thousand times as long.
#[must_use]
pub fn run_lake(plan: &Plan, is_recorded: bool) -> Report {
    let mut plan = plan.clone();
    plan.storm_us = plan.storm_us.min(15_000_000);
    plan.packages.age_max_us = plan.packages.age_max_us.max(1_000_000);
    plan.packages.rows_max = plan.packages.rows_max.max(200);
    run_on(&plan, Level::Lake, is_recorded)
}

/// A panic anywhere, also in a task that tokio catches, is a broken promise.
fn run_on(plan: &Plan, level: Level, is_recorded: bool) -> Report {
    panics::watch();
    let mut report = catch_unwind(|| live(plan, level, is_recorded)).unwrap_or_else(|_| Report { seed: plan.seed, ..Report::default() });
    report.problems.extend(panics::take());
    report
}

fn live(plan: &Plan, level: Level, is_recorded: bool) -> Report {
    let mut world = match World::new(plan, level, is_recorded) {
        Ok(world) => world,
        Err(problem) => return Report { seed: plan.seed, problems: vec![problem], ..Report::default() },
    };
    while world.until_start() {
        match world.live() {
            End::Stuck => break,
            End::Stop if world.is_settled => {
                world.calm_ends += 1;
                // The last life begins and ends and changes nothing.
                if world.calm_ends == 2 {
                    break;
                }
            }
            End::Stop | End::Crash | End::Exit => {}
        }
    }
    while world.destination.first_late().is_some() {
        world.destination.land_late();
    }
    let found = match world.destination.tables() {
        Ok(tables) if world.calm_ends == 2 => check(&world, &tables),
        Ok(_) => {
            world.story.accuse("the run ended before it could be checked".to_owned());
            Found::default()
        }
        Err(problem) => {
            world.story.accuse(format!("the tables cannot be read: {problem}"));
            Found::default()
        }
    };
    report(&world, found)
}

fn report(world: &World, found: Found) -> Report {
    let (events, story, problems) = world.story.end();
    let counts = || world.drains.iter().map(Drain::counts);
    Report {
        seed: world.plan.seed,
        events,
        story,
        problems,
        lives: world.life,
        kills: world.kills,
        seconds: world.timeline.at() / 1_000_000,
        messages: counts().map(|counts| counts.sent).sum(),
        dropped: counts().map(|counts| counts.dropped).sum(),
        found,
        struck: world.tally.counts(),
    }
}

/// Leaves out one fault after the other as long as the run still fails.
#[must_use]
pub fn shrink(plan: &Plan) -> Plan {
    let mut smallest = plan.clone();
    loop {
        let smaller = smallest.faults.iter().find_map(|fault| {
            let mut faults = smallest.faults.clone();
            faults.remove(fault);
            let plan = smallest.clone().with_faults(faults);
            (!run(&plan, false).problems.is_empty()).then_some(plan)
        });
        match smaller {
            Some(plan) => smallest = plan,
            None => return smallest,
        }
    }
}
