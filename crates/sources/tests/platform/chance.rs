//! Whatever goes wrong, as long as it ends: a list has every object that was there from its first page to its last, once.

use std::collections::{BTreeMap, BTreeSet};

use freshet_fake_heroku::Actor;
use freshet_sources::platform::Range;
use serde_json::Map;

use super::*;

/// Lists that are read.
const ROUNDS: u64 = 60;

/// Apps at the beginning of each.
const APPS: usize = 40;

/// Numbers that follow from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn apps(fake: &FakeHeroku) -> BTreeSet<String> {
    fake.apps().into_iter().map(|(id, _)| id).collect()
}

fn create(fake: &FakeHeroku, owner: &Actor) {
    fake.world().create_app(owner, &Map::new()).unwrap();
}

/// Takes away an app that nobody uses; those that do something stay.
fn destroy(fake: &FakeHeroku, owner: &Actor, busy: &BTreeSet<String>, chance: &mut Chance) {
    let idle: Vec<String> = apps(fake).difference(busy).cloned().collect();
    if !idle.is_empty() {
        let app = &idle[chance.below(idle.len() as u64) as usize];
        fake.world().destroy_app(owner, app).unwrap();
    }
}

#[tokio::test]
async fn every_object_is_given_once() {
    let fake = standing(3, |_| ()).await;
    let owner = fake.world().people()[0].clone();
    let busy = apps(&fake);
    let (mut vanished, mut retries) = (0, 0);
    for seed in 0..ROUNDS {
        let mut chance = Chance(seed);
        while apps(&fake).len() < APPS {
            create(&fake, &owner);
        }
        let bench = Bench::new(&fake.url(), |options| {
            options.seed = seed;
            // Faults that end must end before the client gives up.
            options.limits.tries_max = 40;
        });
        let faults = [
            Fault::Api429,
            Fault::Api500,
            Fault::Api503,
            Fault::ApiTruncated,
            Fault::ApiReset,
            Fault::ApiUnknownField,
            Fault::ApiOtherType,
            Fault::ApiVanish,
        ];
        let strikes = faults.map(|fault| {
            let probability = chance.below(60) as f64 / 100.0;
            (fault, Strike { probability, times: Some(chance.below(8)) })
        });
        fake.faults().set(BTreeMap::from(strikes));
        let struck = |fault| fake.faults().struck().get(&fault).copied().unwrap_or_default();
        let vanished_before = struck(Fault::ApiVanish);

        let before = apps(&fake);
        let mut given: Vec<String> = Vec::new();
        let mut ever = before.clone();
        let mut throughout = before;
        let mut pages = bench.api.pages("/apps", &Range::by("id").max(1 + chance.below(9) as u16));
        while let Some(part) = pages.next().await.unwrap_or_else(|error| panic!("seed {seed}: {error}")) {
            let Part::Page(page) = part else { panic!("seed {seed}: nobody asked whether it was modified") };
            given.extend(ids(&[page]));
            match chance.below(4) {
                0 => create(&fake, &owner),
                1 => destroy(&fake, &owner, &busy, &mut chance),
                _ => {}
            }
            let now = apps(&fake);
            throughout.retain(|app| now.contains(app));
            ever.extend(now);
        }

        let once: BTreeSet<String> = given.iter().cloned().collect();
        assert_eq!(once.len(), given.len(), "seed {seed}: something was given twice");
        let missing: Vec<_> = throughout.difference(&once).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?} was not given");
        assert!(once.is_subset(&ever), "seed {seed}: something was given that was not there");
        vanished += struck(Fault::ApiVanish) - vanished_before;
        retries += bench.api.counts().retries;
    }
    // Or nothing was proven.
    assert!(vanished > ROUNDS / 4 && retries > 5 * ROUNDS, "{vanished} vanished, {retries} retries");
}
