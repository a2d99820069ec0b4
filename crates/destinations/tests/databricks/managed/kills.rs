//! Processes that die at any moment, and statements that outlive them.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use freshet_core::{CommitOutcome, Destination, DestinationError, Package};
use freshet_destinations::databricks::Statement;

use super::{FAULTS, TestTables};
use crate::conformance::rows::{KEYS, package};
use crate::conformance::{assert_rows, checkpoint, commit};
use crate::rigs::Rig;

/// Chance from a seed: xorshift.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Loads until `keys` keys are in, by processes that live for a random time each.
async fn load_and_die(test: &TestTables, dice: &mut Dice, keys: u64) -> u32 {
    let mut deaths = 0;
    loop {
        let tables = test.other();
        let life = async {
            tables.prepare(&KEYS).await?;
            let mut at = checkpoint(&tables, &KEYS, "a").await.unwrap_or_default();
            while at < keys {
                // Packages of another size each time: a later process cuts as it likes.
                let to = keys.min(at + 1 + at % 3);
                let rows = (at..to).map(|key| i64::try_from(key).unwrap());
                match tables.commit(&package(&KEYS, rows, &[("a", at, to)])).await? {
                    CommitOutcome::Committed(_) | CommitOutcome::AlreadyThere => at = to,
                    CommitOutcome::Overtaken => at = checkpoint(&tables, &KEYS, "a").await.unwrap_or_default(),
                }
            }
            Ok::<(), DestinationError>(())
        };
        // Dropped in the middle of whatever it was doing: what it had sent goes on without it.
        match tokio::time::timeout(Duration::from_millis(1 + dice.below(400)), life).await {
            Ok(ended) => {
                ended.unwrap();
                return deaths;
            }
            Err(_) => deaths += 1,
        }
        assert!(deaths < 2_000, "it comes to no end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_dies_at_any_moment_is_gone_on_with() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let rounds = if std::env::var_os("FRESHET_FULL").is_some() { 40 } else { 3 };
    for round in 0..rounds {
        rig.tell("settings", r#"{"statement_ms": [0, 60]}"#);
        if round % 2 == 1 {
            rig.tell("faults", &format!(r#"{{"seed": {round}, {FAULTS}}}"#));
        } else {
            rig.tell("faults", "{}");
        }
        let test = TestTables::fresh(&rig);
        let deaths = load_and_die(&test, &mut Dice(0x9E37_79B9_7F4A_7C15 ^ (round << 20)), 30).await;
        // Whatever is still on its way lands now, or does not.
        test.quiet().await;
        assert_rows(&test, &KEYS, 0..30).await;
        assert_eq!(checkpoint(&test.other(), &KEYS, "a").await, Some(30));
        eprintln!("round {round}: {deaths} deaths");
        assert!(deaths > 0, "nothing died");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_was_claimed_is_carried_to_its_end_by_whoever_comes() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&KEYS, 0..5, &[("a", 0, 5)])).await;
    // Dies when the claim is in the ledger and the rows are not in the table.
    let next = package(&KEYS, 5..9, &[("a", 5, 9)]);
    {
        let dying = test.other();
        dying.prepare(&KEYS).await.unwrap();
        assert_eq!(checkpoint(&dying, &KEYS, "a").await, Some(5));
        rig.tell("settings", r#"{"statement_ms": [300, 301]}"#);
        tokio::select! {
            ended = dying.commit(&next) => panic!("{ended:?}"),
            () = claimed(&test, 2) => {}
        }
    }
    rig.tell("settings", r#"{"statement_ms": [0, 0]}"#);
    let other = test.other();
    // A checkpoint that is told stands on rows that are there.
    assert_eq!(checkpoint(&other, &KEYS, "a").await, Some(9));
    assert_eq!(test.rows(&KEYS).iter().map(RecordBatch::num_rows).sum::<usize>(), 9);
    assert_eq!(other.commit(&next).await.unwrap(), CommitOutcome::AlreadyThere);
    assert_rows(&test, &KEYS, 0..9).await;
}

/// Waits until the table has `count` rows in the ledger.
async fn claimed(test: &TestTables, count: usize) {
    let is_claim = |each: &serde_json::Value| {
        let text = each["text"].as_str().unwrap_or_default();
        each["state"] == "SUCCEEDED" && text.starts_with("MERGE INTO") && text.contains(&test.schema)
    };
    while test.state()["executed"].as_array().unwrap().iter().filter(|each| is_claim(each)).count() < count {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Lets a process die whose statements with these words are on their way, and begin in half a second.
async fn dies_with_on_its_way(test: &TestTables, words: &str, package: &Package) {
    let dying = test.other();
    dying.prepare(&KEYS).await.unwrap();
    test.rig.tell("faults", &format!(r#"{{"zombie": 1, "zombie_ms": [700, 900], "only": "{words}"}}"#));
    let ended = tokio::time::timeout(Duration::from_millis(300), dying.commit(package)).await;
    assert!(ended.is_err() && test.state()["busy"] != 0, "{ended:?}");
    test.rig.tell("faults", "{}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_come_late_bring_nothing_back() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&KEYS, 0..5, &[("a", 0, 5)])).await;
    dies_with_on_its_way(&test, "REPLACE WHERE", &package(&KEYS, 5..9, &[("a", 5, 9)])).await;
    assert_eq!(checkpoint(&test.other(), &KEYS, "a").await, Some(9));
    test.sql("DELETE FROM SCHEMA.`_keys` WHERE `key` = 6").await;
    assert!(test.state()["busy"] != 0, "it has come before");
    assert_rows(&test, &KEYS, (0..6).chain(7..9)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_claim_that_comes_late_counts_once_or_not_at_all() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    // Another process has gone on meanwhile, with the same package or with another; or nobody has.
    for goes_on in [Some(9), Some(7), None] {
        let test = TestTables::fresh(&rig);
        commit(&test.tables, &package(&KEYS, 0..5, &[("a", 0, 5)])).await;
        dies_with_on_its_way(&test, "AS l USING", &package(&KEYS, 5..9, &[("a", 5, 9)])).await;
        let other = test.other();
        if let Some(to) = goes_on {
            commit(&other, &package(&KEYS, 5..to, &[("a", 5, to.unsigned_abs())])).await;
        }
        assert!(test.state()["busy"] != 0, "it has come before");
        test.quiet().await;
        let at = checkpoint(&other, &KEYS, "a").await;
        assert_eq!(at, Some(goes_on.unwrap_or(9).unsigned_abs()));
        assert_rows(&test, &KEYS, 0..goes_on.unwrap_or(9)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_person_erased_stay_erased() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&KEYS, 0..5, &[("a", 0, 5)])).await;
    test.sql("DELETE FROM SCHEMA.`_keys` WHERE `key` >= 0").await;
    let other = test.other();
    assert_eq!(checkpoint(&other, &KEYS, "a").await, Some(5));
    commit(&other, &package(&KEYS, 5..7, &[("a", 5, 7)])).await;
    test.sql("DELETE FROM SCHEMA.`_keys` WHERE `key` = 5").await;
    // As a process leaves it that is killed before its mark: some of the rows are there, so all were.
    let workspace = super::workspace(&rig);
    let newest = format!("SELECT `folder` FROM `main`.`{}`.`_freshet_ledger` ORDER BY `version` DESC LIMIT 1", test.schema);
    let folder = workspace.run(&Statement::new(newest)).await.unwrap().value("folder").unwrap().to_owned();
    workspace.delete_file(&format!("{folder}/landed")).await.unwrap();
    assert_eq!(checkpoint(&test.other(), &KEYS, "a").await, Some(7));
    assert_rows(&test, &KEYS, [6]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_whose_files_and_rows_are_both_gone_is_told_of() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&KEYS, 0..5, &[("a", 0, 5)])).await;
    test.sql("DELETE FROM SCHEMA.`_keys` WHERE `key` >= 0").await;
    let workspace = super::workspace(&rig);
    workspace.delete_folder(&format!("/Volumes/main/{}/freshet/_keys", test.schema)).await.unwrap();
    let error = test.other().checkpoint(&KEYS, &[freshet_core::ShardId::new("a")]).await.unwrap_err();
    assert!(matches!(&error, DestinationError::Refused { problem } if problem.contains("5 rows")), "{error:?}");
    // The advice helps.
    let problem = error.to_string();
    let folder = problem.split_whitespace().find(|word| word.starts_with("/Volumes/")).unwrap().trim_end_matches(',');
    workspace.put_file(&format!("{folder}/landed"), bytes::Bytes::new()).await.unwrap();
    assert_eq!(checkpoint(&test.other(), &KEYS, "a").await, Some(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_dropped_is_made_anew_and_empty() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = TestTables::fresh(&rig);
    commit(&test.tables, &package(&KEYS, 0..5, &[("a", 0, 5)])).await;
    test.sql("DROP TABLE SCHEMA.`_keys`").await;
    assert_eq!(checkpoint(&test.tables, &KEYS, "a").await, None);
    assert_eq!(test.tables.history(&KEYS, None).await.unwrap(), vec![]);
    let again = commit(&test.tables, &package(&KEYS, 0..5, &[("a", 0, 5)])).await;
    assert_eq!(again.version, 2, "the ledger has one row for each");
    assert_eq!(test.other().history(&KEYS, None).await.unwrap(), vec![again]);
    assert_rows(&test, &KEYS, 0..5).await;
}
