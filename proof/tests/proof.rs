//! The harness itself: good runs are good, bad ones are found, and every run repeats.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use freshet_proof::{Fault, Mutant, Plan, run, run_lake, shrink};

/// Seeds tried in every run of the tests, and in the full tier: some twenty seconds, and some two hours.
const SEEDS: u64 = 300;
const SEEDS_FULL: u64 = 80_000;

#[test]
fn promises_hold_under_fire() {
    let is_full = std::env::var_os("FRESHET_FULL").is_some_and(|value| value == "1");
    let mut frames = 0;
    for seed in 0..if is_full { SEEDS_FULL } else { SEEDS } {
        let report = run(&Plan::of(seed), false);
        assert_eq!(report.problems, Vec::<String>::new(), "replay: cargo run -p freshet-proof -- --verbose --seed {seed}");
        frames += report.found.frames;
    }
    assert!(frames > SEEDS, "hardly anything was tested: {frames} frames");
}

#[test]
fn promises_hold_with_a_lake_on_disk() {
    for seed in 0..3 {
        let report = run_lake(&Plan::of(seed), false);
        assert_eq!(report.problems, Vec::<String>::new(), "replay: cargo run -p freshet-proof -- --verbose --level lake --seed {seed}");
        assert!(report.found.frames > 0, "seed {seed}: nothing was tested");
    }
}

/// `SEED FAULT,FAULT,…   # what it found`: each broke a promise once.
#[test]
fn bugs_that_were_found_stay_fixed() {
    let mut tried = 0;
    for line in include_str!("../seeds.txt").lines().map(|line| line.split('#').next().unwrap().trim()).filter(|line| !line.is_empty()) {
        let (seed, faults) = line.split_once(' ').unwrap();
        let faults: BTreeSet<Fault> = faults.trim().split(',').map(|name| name.parse().unwrap()).collect();
        let report = run(&Plan::of(seed.parse().unwrap()).with_faults(faults), false);
        assert_eq!(report.problems, Vec::<String>::new(), "{line}");
        tried += 1;
    }
    assert!(tried > 0);
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in [3, 17, 44, 1_000_003] {
        let (first, second) = (run(&Plan::of(seed), true), run(&Plan::of(seed), true));
        assert!(first.story.len() > 50, "seed {seed}: {} lines", first.story.len());
        assert!(first.story == second.story, "seed {seed}");
        assert_eq!(first.found, second.found, "seed {seed}");
    }
}

/// How many seeds it takes to find out that something is wrong with Freshet.
fn check(mutant: Mutant, within: u64, problem: &str) {
    let mut others = BTreeSet::new();
    let found = (0..within).find(|seed| {
        let report = run(&Plan::of(*seed).with_mutant(mutant), false);
        let is_found = report.problems.iter().any(|found| found.contains(problem));
        others.extend(report.problems);
        is_found
    });
    let seed = found.unwrap_or_else(|| panic!("{mutant:?} was not found within {within} seeds; there was {others:#?}"));
    let sound = run(&Plan::of(seed), false);
    assert_eq!(sound.problems, Vec::<String>::new(), "seed {seed} fails without {mutant:?} too");
}

#[test]
fn what_is_wrong_on_purpose_is_found() {
    check(Mutant::NoDedupe, 300, "and should have");
    check(Mutant::ForgetfulWindow, 600, "and should have");
    check(Mutant::NoSync, 100, "has not synced since");
    check(Mutant::NoSync, 300, "in no table");
    check(Mutant::EarlyAnswer, 100, "has not synced since");
    check(Mutant::EarlyMark, 100, "counts as consumed and is in no table");
    check(Mutant::EarlyMark, 300, "was acknowledged and is in no table");
    check(Mutant::BlindCommit, 100, "and should have");
    check(Mutant::LostRow, 100, "and should have");
    // It commits what is there already, is told so, and begins again for ever.
    check(Mutant::ForgottenCheckpoint, 100, "no rest after");
    check(Mutant::NoLoads, 100, "rows in _loads");
    check(Mutant::NoRaise, 600, "in no table");
}

#[test]
fn a_failure_shrinks_to_the_faults_that_it_needs() {
    let plan =
        (0..300).map(|seed| Plan::of(seed).with_mutant(Mutant::NoDedupe)).find(|plan| !run(plan, false).problems.is_empty()).unwrap();
    let small = shrink(&plan);
    assert!(!run(&small, false).problems.is_empty());
    assert!(small.faults.len() < plan.faults.len() && small.faults.len() <= 3, "{:?} of {:?}", small.faults, plan.faults);
}
