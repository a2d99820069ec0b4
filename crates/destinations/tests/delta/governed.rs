//! A lake on S3 that a catalog governs: keys come from it, table by table, and it is told of every table and column.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use freshet_core::{Clock, Destination, DestinationError, Micros, Secret, SystemClock};
use freshet_destinations::delta::{
    Catalog, CompactionOptions, KeyKind, Keys, Lake, LakeOptions, Leased, Shape, VacuumOptions, probe_governed,
};

use crate::conformance::rows::{EVENTS, KEYS, WIDER_EVENTS, package};
use crate::conformance::{self, assert_rows, commit};
use crate::rigs::Rig;
use crate::stores::StoreLake;

/// A catalog that notes what it is asked and told.
#[derive(Debug, Default)]
struct TestCatalog {
    published: Mutex<BTreeMap<String, Vec<String>>>,
    keys_of: Mutex<BTreeMap<String, usize>>,
    refused: Mutex<Option<String>>,
    keys: AtomicUsize,
}

#[async_trait]
impl Catalog for TestCatalog {
    async fn tables(&self) -> Result<Vec<String>, DestinationError> {
        Ok(self.published.lock().unwrap().keys().cloned().collect())
    }

    async fn keys(&self, name: &str) -> Result<Keys, DestinationError> {
        if self.refused.lock().unwrap().as_deref() == Some(name) {
            return Err(DestinationError::NotPermitted { problem: "no keys. GRANT EXTERNAL USE SCHEMA would help.".to_owned() });
        }
        *self.keys_of.lock().unwrap().entry(name.to_owned()).or_default() += 1;
        let kind = KeyKind::Aws {
            access_key_id: format!("vended-{}", self.keys.fetch_add(1, Ordering::SeqCst)),
            secret_access_key: Secret::new("vended".to_owned()),
            session_token: Some(Secret::new("session".to_owned())),
        };
        // So short that many are fetched while a test runs.
        Ok(Keys { kind, end: Micros(SystemClock.now().0 + 400_000) })
    }

    async fn publish(&self, name: &str, shape: &Shape) -> Result<(), DestinationError> {
        let described = shape.columns.iter().map(|column| format!("{} {}", column.name, column.sql_type)).collect();
        self.published.lock().unwrap().insert(name.to_owned(), described);
        Ok(())
    }
}

/// What reaches the rig without any key of its own.
fn options(rig: &Rig, catalog: &Arc<TestCatalog>) -> LakeOptions {
    let storage = rig.options().into_iter().filter(|(name, _)| !name.contains("key")).collect();
    LakeOptions { storage, catalog: Some(Arc::clone(catalog) as _), ..LakeOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms_with_keys_of_a_catalog() {
    let Some(rig) = Rig::s3() else { return };
    let catalog = Arc::new(TestCatalog::default());
    conformance::run(|| Box::new(StoreLake::with_options(&rig, options(&rig, &catalog)))).await;
    let asked: Vec<String> = catalog.keys_of.lock().unwrap().keys().cloned().collect();
    assert_eq!(asked, [KEYS.name, EVENTS.name], "keys are asked for tables and for nothing else");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalog_is_told_of_tables_and_of_columns() {
    let Some(rig) = Rig::s3() else { return };
    let catalog = Arc::new(TestCatalog::default());
    let lake = StoreLake::with_options(&rig, options(&rig, &catalog));
    assert_eq!(lake.lake.tables().await.unwrap(), Vec::<String>::new());
    lake.lake.prepare(&EVENTS).await.unwrap();
    lake.lake.prepare(&KEYS).await.unwrap();
    assert_eq!(lake.lake.tables().await.unwrap(), [KEYS.name, EVENTS.name]);
    let columns = |name: &str| catalog.published.lock().unwrap()[name].clone();
    assert_eq!(columns(KEYS.name), ["key BIGINT", "app STRING"]);
    assert!(!columns(EVENTS.name).contains(&"later STRING".to_owned()));
    lake.lake.prepare(&WIDER_EVENTS).await.unwrap();
    assert!(columns(EVENTS.name).contains(&"later STRING".to_owned()));
    // Another process, of the version before: it tells what is there, not what it knows of.
    Lake::open(&lake.url, options(&rig, &catalog)).unwrap().prepare(&EVENTS).await.unwrap();
    assert!(columns(EVENTS.name).contains(&"later STRING".to_owned()));
    probe_governed(lake.lake.place()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn upkeep_works_with_keys_that_change() {
    let Some(rig) = Rig::s3() else { return };
    let catalog = Arc::new(TestCatalog::default());
    let lake = StoreLake::with_options(&rig, options(&rig, &catalog));
    for table in [&KEYS, &EVENTS] {
        lake.lake.prepare(table).await.unwrap();
        for at in 0..6_u64 {
            commit(&lake.lake, &package(table, [i64::try_from(at).unwrap()], &[("a", at, at + 1)])).await;
        }
        let all = CompactionOptions { all: true, ..CompactionOptions::default() };
        let Leased::Done(merged) = lake.lake.compact(table.name, &all).await.unwrap() else { panic!("held") };
        assert!(merged.files_after < merged.files_before, "{merged:?}");
        let at_once = VacuumOptions { retention: Duration::ZERO, force: true, ..VacuumOptions::default() };
        let Leased::Done(vacuum) = lake.lake.vacuum(table.name, &at_once).await.unwrap() else { panic!("held") };
        assert!(vacuum.files >= 6, "{vacuum:?}");
        assert_rows(&lake, table, 0..6).await;
    }
    assert!(catalog.keys.load(Ordering::SeqCst) > 2, "no keys were renewed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_catalog_refuses_is_said_in_its_words() {
    let Some(rig) = Rig::s3() else { return };
    let catalog = Arc::new(TestCatalog::default());
    let lake = StoreLake::with_options(&rig, options(&rig, &catalog));
    lake.lake.prepare(&KEYS).await.unwrap();
    *catalog.refused.lock().unwrap() = Some(EVENTS.name.to_owned());
    let error = lake.lake.prepare(&EVENTS).await.unwrap_err();
    assert!(matches!(&error, DestinationError::NotPermitted { problem } if problem.contains("GRANT EXTERNAL USE SCHEMA")), "{error:?}");
    // The others go on.
    commit(&lake.lake, &package(&KEYS, 0..3, &[("a", 0, 1)])).await;
    *catalog.refused.lock().unwrap() = None;
    lake.lake.prepare(&EVENTS).await.unwrap();
    assert!(Lake::open("./folder", options(&rig, &catalog)).is_err(), "no catalog has keys to a folder");
}
