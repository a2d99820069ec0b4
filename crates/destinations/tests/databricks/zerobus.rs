//! Log lines by Zerobus, against a simulator that follows the documented contract: they may come twice, and are never lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use freshet_core::{
    ColumnDef, ColumnType, CommitOutcome, Committed, Destination as _, DestinationError, Package, Secret, ShardId, TableDef, TableKind,
};
use freshet_destinations::databricks::login::Login;
use freshet_destinations::databricks::{
    Managed, ManagedOptions, Workspace, WorkspaceError, WorkspaceLimits, WorkspaceOptions, Zerobus, ZerobusOptions,
};
use futures::future::BoxFuture;

use crate::conformance::rows::{EVENTS, KEYS, keys_of, package};
use crate::conformance::{self, Subject};
use crate::managed::TestTables;
use crate::rigs::Rig;

const fn column(name: &'static str, column_type: ColumnType) -> ColumnDef {
    ColumnDef { name, column_type, nullable: true, comment: "a column" }
}

/// A table whose rows all go by Zerobus.
static LINES: TableDef = TableDef {
    name: "lines",
    comment: "one row per key",
    kind: TableKind::Log,
    columns: &[
        column("ts", ColumnType::Timestamp),
        column("key", ColumnType::Long),
        column("status", ColumnType::Int),
        column("tls", ColumnType::Boolean),
        column("date", ColumnType::Date),
        column("message", ColumnType::Text),
        column("names", ColumnType::TextList),
        column("extra", ColumnType::TextMap),
    ],
};

/// Managed tables in a schema of their own, and Zerobus before them.
struct Stream {
    tables: TestTables,
    zerobus: Zerobus,
}

impl Stream {
    fn fresh(rig: &Arc<Rig>) -> Self {
        let tables = TestTables::fresh(rig);
        Self { zerobus: open(rig, &tables.schema, 40).unwrap(), tables }
    }

    /// As another process would open it.
    fn other(&self) -> Zerobus {
        open(&self.tables.rig, &self.tables.schema, 40).unwrap()
    }

    /// The keys in a table, each with how often it is there.
    async fn counts(&self, table: &'static TableDef) -> BTreeMap<i64, usize> {
        let mut counts = BTreeMap::new();
        for key in self.read(table).await.iter().flat_map(keys_of) {
            *counts.entry(key).or_default() += 1;
        }
        counts
    }

    fn statements(&self) -> usize {
        self.tables.state()["executed"].as_array().unwrap().len()
    }
}

impl Subject for Stream {
    fn destination(&self) -> &dyn freshet_core::Destination {
        &self.zerobus
    }

    fn read(&self, table: &'static TableDef) -> BoxFuture<'_, Vec<RecordBatch>> {
        self.tables.read(table)
    }
}

fn principal() -> Login {
    Login::ServicePrincipal { client_id: "client-of-the-test".to_owned(), client_secret: Secret::new("secret-of-the-test".to_owned()) }
}

fn open(rig: &Rig, schema: &str, tries_max: u32) -> Result<Zerobus, WorkspaceError> {
    open_as(rig, schema, tries_max, principal())
}

fn open_as(rig: &Rig, schema: &str, tries_max: u32, login: Login) -> Result<Zerobus, WorkspaceError> {
    let options = ZerobusOptions { request_bytes: 20_000, ..ZerobusOptions::new(&rig.url(), "1234567890123456") };
    Zerobus::new(open_managed(rig, schema, tries_max, login)?, &options)
}

fn open_managed(rig: &Rig, schema: &str, tries_max: u32, login: Login) -> Result<Managed, WorkspaceError> {
    let (backoff_first, backoff_max) = (Duration::from_millis(5), Duration::from_millis(100));
    let look = Duration::from_millis(10);
    let limits =
        WorkspaceLimits { tries_max, backoff_first, backoff_max, look_first: look, look_max: 5 * look, ..WorkspaceLimits::default() };
    let options = WorkspaceOptions { limits, seed: 1, ..WorkspaceOptions::new(&rig.url(), Some("0123456789abcdef".to_owned()), login) };
    Ok(Managed::new(Workspace::connect(options)?, ManagedOptions::new("main", schema)))
}

/// A package of a part of a shard, one row for each position.
fn part(from: u64, to: u64) -> Package {
    package(&LINES, i64::try_from(from).unwrap()..i64::try_from(to).unwrap(), &[("a", from, to)])
}

async fn commit(zerobus: &Zerobus, package: &Package) -> Committed {
    conformance::commit(zerobus, package).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_every_kind_arrive() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"zerobus_ms": [100, 300]}"#);
    let test = Stream::fresh(&rig);
    test.zerobus.prepare(&EVENTS).await.unwrap();
    assert_eq!(conformance::checkpoint(&test.zerobus, &EVENTS, "a").await, None);
    let first = package(&EVENTS, 0..40, &[("a", 0, 40)]);
    let committed = commit(&test.zerobus, &first).await;
    assert_eq!((committed.rows, committed.load_id), (40, format!("zerobus/{}", first.load_id)));
    assert_eq!(conformance::checkpoint(&test.zerobus, &EVENTS, "a").await, Some(40));
    assert_eq!(test.zerobus.commit(&first).await.unwrap(), CommitOutcome::AlreadyThere);
    assert_eq!(test.zerobus.commit(&package(&EVENTS, 20..60, &[("a", 20, 60)])).await.unwrap(), CommitOutcome::Overtaken);
    commit(&test.zerobus, &package(&EVENTS, 40..150, &[("a", 40, 150)])).await;
    conformance::assert_rows(&test, &EVENTS, 0..150).await;

    // Those were in part more than JSON can say. Of these, all go by Zerobus.
    test.zerobus.prepare(&LINES).await.unwrap();
    let statements = test.statements();
    commit(&test.zerobus, &part(0, 150)).await;
    assert_eq!(test.statements(), statements);
    conformance::assert_rows(&test, &LINES, 0..150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_under_faults_and_what_comes_twice_is_known() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"zerobus_ms": [0, 100], "token_seconds": 1}"#);
    let mut doubled = 0;
    for seed in [1, 2, 3] {
        let test = Stream::fresh(&rig);
        test.zerobus.prepare(&LINES).await.unwrap();
        rig.tell("faults", &format!(r#"{{"seed": {seed}, "throttled": 0.05, "unavailable": 0.1, "cut_before": 0.1, "cut_after": 0.15}}"#));
        for number in 0..20 {
            commit(&test.zerobus, &part(number * 10, number * 10 + 10)).await;
        }
        rig.tell("faults", "{}");
        let counts = test.counts(&LINES).await;
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), (0..200).collect::<Vec<_>>());
        doubled += counts.values().filter(|&&count| count > 1).count();
        // Whoever asks for them once gets them once.
        test.tables.sql("CREATE TABLE IF NOT EXISTS SCHEMA.`once` (`key` BIGINT) USING DELTA").await;
        test.tables
            .sql(
                "INSERT INTO SCHEMA.`once` SELECT `key` FROM (SELECT `key`, row_number() OVER (PARTITION BY `_load_id`, `key` ORDER BY \
                  `key`) AS `n` FROM SCHEMA.`lines`) AS `e` WHERE `n` = 1",
            )
            .await;
        static ONCE: TableDef = TableDef { name: "once", columns: &[column("key", ColumnType::Long)], ..LINES };
        assert_eq!(test.tables.rows(&ONCE).iter().map(RecordBatch::num_rows).sum::<usize>(), 200);
    }
    assert!(doubled > 0, "no answer was lost, so nothing was proven");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_process_begins_where_the_spool_says() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = Stream::fresh(&rig);
    test.zerobus.prepare(&LINES).await.unwrap();
    commit(&test.zerobus, &part(0, 10)).await;
    let other = test.other();
    other.prepare(&LINES).await.unwrap();
    assert_eq!(conformance::checkpoint(&other, &LINES, "a").await, None);
    commit(&other, &part(0, 10)).await;
    commit(&other, &part(10, 20)).await;
    let counts = test.counts(&LINES).await;
    assert_eq!(counts, (0..20).map(|key| (key, if key < 10 { 2 } else { 1 })).collect());
    // Loads by the warehouse go on beside them, and count.
    let managed = test.tables.other();
    conformance::commit(&managed, &package(&LINES, 100..110, &[("file", 0, 10)])).await;
    assert_eq!(conformance::checkpoint(&test.other(), &LINES, "file").await, Some(10));
    assert_eq!(test.counts(&LINES).await.len(), 30);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_warehouse_sleeps_while_lines_come() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = Stream::fresh(&rig);
    let loads = [ShardId::new("freshet/loads/lines")];
    test.zerobus.prepare(&LINES).await.unwrap();
    test.zerobus.prepare(&KEYS).await.unwrap();
    // As the loader goes about it, round by round.
    conformance::checkpoint(&test.zerobus, &LINES, "a").await;
    let round = async |number: u64| {
        commit(&test.zerobus, &part(number, number + 1)).await;
        let after = test.zerobus.checkpoint(&KEYS, &loads).await.unwrap()[0];
        test.zerobus.history(&LINES, after.map(|after| i64::try_from(after).unwrap())).await.unwrap()
    };
    round(0).await;
    let before = test.statements();
    for number in 1..10 {
        assert_eq!(round(number).await, vec![]);
    }
    assert_eq!(test.statements(), before, "{}", test.tables.state()["executed"]);

    // What the warehouse writes is asked for again, once.
    commit(&test.zerobus, &package(&KEYS, 0..3, &[("freshet/loads/lines", 0, 3)])).await;
    assert_eq!(test.zerobus.checkpoint(&KEYS, &loads).await.unwrap(), [Some(3)]);
    assert_eq!(test.other().checkpoint(&KEYS, &loads).await.unwrap(), [Some(3)], "it is in the ledger");
    assert_eq!(test.counts(&KEYS).await, (0..3).map(|key| (key, 1)).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_on_the_table_itself_are_granted() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    for who_denies in ["token", "insert"] {
        rig.tell("settings", &format!(r#"{{"zerobus_denies": "{who_denies}"}}"#));
        let test = Stream::fresh(&rig);
        test.zerobus.prepare(&LINES).await.unwrap();
        commit(&test.zerobus, &part(0, 10)).await;
        assert_eq!(test.counts(&LINES).await.len(), 10, "{who_denies}");

        // A failure that passes is no answer: it is tried again.
        let test = Stream::fresh(&rig);
        test.zerobus.prepare(&LINES).await.unwrap();
        let impatient = open(&rig, &test.tables.schema, 1).unwrap();
        rig.tell("faults", r#"{"failed_before": 1, "only": "GRANT "}"#);
        let error = impatient.commit(&part(0, 10)).await.unwrap_err();
        assert!(error.is_transient(), "{who_denies}: {error:?}");
        rig.tell("faults", "{}");
        commit(&impatient, &part(0, 10)).await;
        assert_eq!(test.counts(&LINES).await.len(), 10, "{who_denies}");

        // Of somebody else's table it is said what that person has to do, and not asked over and over.
        let test = Stream::fresh(&rig);
        test.zerobus.prepare(&LINES).await.unwrap();
        rig.tell("settings", r#"{"may_grant": false}"#);
        for _ in 0..3 {
            let error = test.zerobus.commit(&part(0, 10)).await.unwrap_err();
            let DestinationError::NotPermitted { problem } = &error else { panic!("{who_denies}: {error:?}") };
            let grant = format!("GRANT SELECT, MODIFY ON TABLE `main`.`{}`.`lines` TO", test.tables.schema);
            assert!(problem.contains(&grant), "{who_denies}: {problem}");
        }
        let executed = test.tables.state()["executed"].to_string();
        assert_eq!(executed.matches(&format!("GRANT SELECT, MODIFY ON TABLE `main`.`{}`", test.tables.schema)).count(), 1, "{executed}");
        rig.tell("settings", r#"{"may_grant": true}"#);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_dropped_is_made_anew() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"zerobus_denies": "insert"}"#);
    let test = Stream::fresh(&rig);
    test.zerobus.prepare(&LINES).await.unwrap();
    commit(&test.zerobus, &part(0, 10)).await;
    assert_eq!(test.counts(&LINES).await.len(), 10);
    test.tables.sql("DROP TABLE SCHEMA.`lines`").await;
    commit(&test.zerobus, &part(10, 20)).await;
    assert_eq!(test.counts(&LINES).await, (10..20).map(|key| (key, 1)).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_refused_come_by_the_warehouse() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    rig.tell("settings", r#"{"zerobus_refuses": "na\u00efve"}"#);
    let test = Stream::fresh(&rig);
    test.zerobus.prepare(&LINES).await.unwrap();
    for number in 0..4 {
        commit(&test.zerobus, &part(number * 50, number * 50 + 50)).await;
    }
    conformance::assert_rows(&test, &LINES, 0..200).await;
    let executed = test.tables.state()["executed"].to_string();
    assert!(executed.contains(&format!("INSERT INTO `main`.`{}`.`lines` SELECT", test.tables.schema)), "{executed}");
}

#[tokio::test]
async fn a_wrong_number_of_the_workspace_is_no_missing_right() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let tables = TestTables::fresh(&rig);
    tables.tables.prepare(&LINES).await.unwrap();
    let managed = open_managed(&rig, &tables.schema, 1, principal()).unwrap();
    let zerobus = Zerobus::new(managed, &ZerobusOptions::new(&rig.url(), "99")).unwrap();
    let error = zerobus.log_in("lines").await.unwrap_err();
    assert!(matches!(&error, WorkspaceError::Login { why, .. } if why.contains("the workspace's number for Zerobus")), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_package_that_is_broken_off_goes_on_where_it_was() {
    let Some(rig) = Rig::databricks().map(Arc::new) else { return };
    let test = Stream::fresh(&rig);
    test.zerobus.prepare(&LINES).await.unwrap();
    let impatient = open(&rig, &test.tables.schema, 1).unwrap();
    let large = part(0, 200);
    // Each that fails has not landed, so none has reason to come twice.
    rig.tell("faults", r#"{"seed": 5, "unavailable": 0.3, "cut_before": 0.3}"#);
    let mut failures = 0;
    while let Err(error) = impatient.commit(&large).await {
        assert!(error.is_transient(), "{error:?}");
        failures += 1;
    }
    rig.tell("faults", "{}");
    let requests = test.tables.state()["requests"]["POST zerobus"].as_u64().unwrap();
    assert!(failures > 0 && requests > failures + 2, "{failures} failures, {requests} requests");
    assert_eq!(test.counts(&LINES).await, (0..200).map(|key| (key, 1)).collect());
}

#[tokio::test]
async fn only_a_service_principal_will_do() {
    let Some(rig) = Rig::databricks() else { return };
    let Err(error) = open_as(&rig, "s", 1, Login::Token(Secret::new("dapi-of-the-test".to_owned()))) else { panic!("a token will do") };
    assert!(matches!(&error, WorkspaceError::Settings(why) if why.contains("`client_id` and `client_secret`, not pat")), "{error}");
}
