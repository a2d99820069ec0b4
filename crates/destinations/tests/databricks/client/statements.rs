//! Statements: their states, what is run again and what is not.

use std::time::Duration;

use freshet_destinations::databricks::{Rows, Statement, WarehouseState, WorkspaceError};
use serde_json::{Value, json};

use super::server::{Reply, Request, Server};
use super::{Bench, check_words};

const SUBMIT: &str = "POST /api/2.0/sql/statements";
const LOOK: &str = "GET /api/2.0/sql/statements/s1";

fn state(state: &str) -> Reply {
    Reply::json(json!({ "statement_id": "s1", "status": { "state": state } }))
}

fn failed(code: &str, message: &str) -> Reply {
    let error = json!({ "error_code": code, "message": message });
    Reply::json(json!({ "statement_id": "s1", "status": { "state": "FAILED", "error": error } }))
}

/// The one row `1` of the column `x`.
fn one() -> Value {
    json!({
        "statement_id": "s1",
        "status": { "state": "SUCCEEDED" },
        "manifest": { "schema": { "columns": [{ "name": "x" }] }, "total_row_count": 1 },
        "result": { "data_array": [["1"]] },
    })
}

fn select() -> Statement {
    Statement::new("SELECT 1 AS x").tagged("load_id", "0af3")
}

/// What comes of `SELECT 1` when the server answers so.
async fn run(answer: impl FnMut(usize, &Request) -> Reply + Send + 'static) -> (Result<Rows, WorkspaceError>, Server, Bench) {
    let server = Server::start(answer).await;
    let bench = Bench::plain(&server);
    let ended = bench.workspace.run(&select()).await;
    (ended, server, bench)
}

#[tokio::test]
async fn a_statement_is_submitted_as_the_api_wants_it() {
    let (ended, server, _) = run(|_, _| Reply::json(one())).await;
    assert_eq!(ended.unwrap(), Rows { columns: vec!["x".into()], rows: vec![vec![Some("1".into())]] });
    let [request] = server.requests().try_into().unwrap();
    assert_eq!(request.line, SUBMIT);
    assert_eq!(request.header("authorization"), format!("Bearer {}", super::TOKEN));
    assert!(request.header("user-agent").starts_with("freshet/"), "{}", request.head);
    assert_eq!(
        request.json(),
        json!({ "statement": "SELECT 1 AS x", "warehouse_id": "wh1", "wait_timeout": "30s", "on_wait_timeout": "CONTINUE",
                "disposition": "INLINE", "format": "JSON_ARRAY", "query_tags": [{ "key": "load_id", "value": "0af3" }] })
    );
}

#[tokio::test]
async fn a_cold_warehouse_is_waited_for() {
    let (ended, server, bench) = run(|number, _| match number {
        0..=90 => state("PENDING"),
        91..=95 => state("RUNNING"),
        _ => Reply::json(one()),
    })
    .await;
    assert_eq!(ended.unwrap().value("x"), Some("1"));
    assert_eq!((server.count(SUBMIT), server.count(LOOK)), (1, 96));
    let waits = bench.timer.waits();
    assert!(bench.waited() > Duration::from_secs(400) && waits.iter().all(|wait| *wait <= Duration::from_secs(5)), "{waits:?}");
}

#[tokio::test]
async fn what_does_not_end_is_cancelled() {
    let server = Server::start(|_, _| state("RUNNING")).await;
    let bench = Bench::new(&server, |options| options.limits.statement_within = Duration::from_secs(60));
    let error = bench.workspace.run(&select()).await.unwrap_err();
    assert!(matches!(&error, WorkspaceError::Slow { within_s: 60, state, .. } if state == "RUNNING"), "{error:?}");
    assert!(error.is_transient());
    assert_eq!(bench.waited(), Duration::from_secs(60));
    assert_eq!(server.lines().last().unwrap(), "POST /api/2.0/sql/statements/s1/cancel");
    assert_eq!(server.lines().iter().filter(|line| *line == SUBMIT).count(), 1, "not begun again");
}

#[tokio::test]
async fn a_failure_that_stays_is_told_at_once() {
    let (ended, server, _) = run(|_, _| failed("BAD_REQUEST", "[PARSE_SYNTAX_ERROR] near ';' and dapi-5ecr3t-token")).await;
    let error = ended.unwrap_err();
    assert!(!error.is_transient());
    check_words(&error, "cannot run `SELECT 1 AS x`: Databricks says BAD_REQUEST: [PARSE_SYNTAX_ERROR]");
    assert_eq!(server.lines(), [SUBMIT]);
}

#[tokio::test]
async fn a_failure_that_passes_is_run_again() {
    for (code, message) in [
        ("ABORTED", "somebody was faster"),
        ("TEMPORARILY_UNAVAILABLE", "soon"),
        ("RESOURCE_EXHAUSTED", "too many"),
        ("DEADLINE_EXCEEDED", "too slow"),
        ("IO_ERROR", "disk"),
        ("BAD_REQUEST", "[DELTA_CONCURRENT_APPEND] ConcurrentAppendException: files were added"),
    ] {
        let (ended, server, _) = run(move |number, _| if number < 2 { failed(code, message) } else { Reply::json(one()) }).await;
        assert!(ended.is_ok(), "{code}: {ended:?}");
        assert_eq!(server.lines(), [SUBMIT; 3], "{code}");
    }
}

#[tokio::test]
async fn there_is_an_end_to_running_it_again() {
    let (ended, server, bench) = run(|_, _| failed("ABORTED", "always somebody else")).await;
    let error = ended.unwrap_err();
    assert!(error.is_transient());
    check_words(&error, "ABORTED");
    assert_eq!(server.count(SUBMIT), 8);
    assert!(bench.waited() < Duration::from_secs(300));
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again() {
    // The first request landed, and only its answer is lost; then a look at the second is lost as well.
    let (ended, server, _) = run(|number, _| match number {
        0 | 2 => Reply::Cut,
        1 => state("RUNNING"),
        _ => Reply::json(one()),
    })
    .await;
    assert_eq!(ended.unwrap().value("x"), Some("1"));
    assert_eq!(server.lines(), [SUBMIT, SUBMIT, LOOK, LOOK]);
}

#[tokio::test]
async fn a_statement_that_is_forgotten_runs_again() {
    let (ended, server, _) = run(|number, _| match number {
        0 => state("PENDING"),
        1 => Reply::error(404, "RESOURCE_DOES_NOT_EXIST", "no such statement"),
        2 => state("CLOSED"),
        _ => Reply::json(one()),
    })
    .await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(server.lines(), [SUBMIT, LOOK, SUBMIT, SUBMIT]);
}

#[tokio::test]
async fn what_somebody_cancelled_is_left_to_the_caller() {
    let (ended, server, _) = run(|_, _| state("CANCELED")).await;
    let error = ended.unwrap_err();
    assert!(error.is_transient());
    check_words(&error, "somebody cancelled it");
    assert_eq!(server.lines(), [SUBMIT]);
}

#[tokio::test]
async fn a_busy_workspace_says_how_long_to_wait() {
    let busy = |seconds: &str| Reply::Answer(429, vec![("Retry-After", seconds.to_owned())], "{\"message\":\"slow down\"}".to_owned());
    let (ended, _, bench) = run(move |number, _| if number == 0 { busy("7") } else { Reply::json(one()) }).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(bench.timer.waits(), [Duration::from_secs(7)]);

    // It says nothing: longer each time, and never for long.
    let (ended, _, bench) = run(|number, _| if number < 3 { Reply::nothing(503) } else { Reply::json(one()) }).await;
    assert!(ended.is_ok(), "{ended:?}");
    assert_eq!(bench.timer.waits().len(), 3);
    assert!(bench.waited() < Duration::from_secs(5), "{:?}", bench.timer.waits());

    // Longer than anybody waits.
    let (ended, server, bench) = run(move |_, _| busy("3600")).await;
    let error = ended.unwrap_err();
    assert!(error.is_transient());
    check_words(&error, "HTTP 429");
    // The statement is not run again either.
    assert_eq!((server.lines().len(), bench.waited()), (1, Duration::ZERO));
}

#[tokio::test]
async fn rows_come_in_chunks() {
    let answer = |_: usize, request: &Request| match request.line.as_str() {
        SUBMIT => {
            let mut first = one();
            first["manifest"]["total_row_count"] = json!(3);
            first["result"] = json!({ "data_array": [["1"], [null]], "next_chunk_index": 1 });
            Reply::json(first)
        }
        "GET /api/2.0/sql/statements/s1/result/chunks/1" => Reply::json(json!({ "chunk_index": 1, "data_array": [["3"]] })),
        other => panic!("{other}"),
    };
    let (ended, _, _) = run(answer).await;
    assert_eq!(ended.unwrap().column("X"), Some(vec![Some("1"), None, Some("3")]));
}

#[tokio::test]
async fn a_result_that_is_not_whole_is_none() {
    for (change, words) in
        [(json!({ "total_row_count": 2 }), "1 rows came, but there are 2"), (json!({ "total_row_count": 1, "truncated": true }), "cut off")]
    {
        let (ended, _, _) = run(move |_, _| {
            let mut answer = one();
            answer["manifest"] = change.clone();
            Reply::json(answer)
        })
        .await;
        check_words(&ended.unwrap_err(), words);
    }
    let (ended, _, _) = run(|_, _| Reply::Answer(200, Vec::new(), "<html>".to_owned())).await;
    check_words(&ended.unwrap_err(), "no JSON");
    let (ended, _, _) = run(|_, _| Reply::Answer(302, vec![("Location", "/login".to_owned())], String::new())).await;
    check_words(&ended.unwrap_err(), "sends us elsewhere");
}

#[tokio::test]
async fn a_statement_without_rows_has_none() {
    let (ended, _, _) = run(|_, _| {
        Reply::json(json!({ "statement_id": "s1", "status": { "state": "SUCCEEDED" }, "manifest": { "schema": { "column_count": 0 }, "total_row_count": 0 }, "result": {} }))
    })
    .await;
    assert_eq!(ended.unwrap(), Rows::default());
}

#[tokio::test]
async fn a_missing_right_is_named() {
    let (ended, _, _) = run(|_, _| {
        let error = json!({ "error_code": "BAD_REQUEST", "message": "[INSUFFICIENT_PERMISSIONS] Insufficient privileges:\nUser does not have MODIFY on Table 'main.heroku.logs'. SQLSTATE: 42501" });
        Reply::json(json!({ "statement_id": "s1", "status": { "state": "FAILED", "sql_state": "42501", "error": error } }))
    })
    .await;
    let error = ended.unwrap_err();
    check_words(&error, "GRANT MODIFY ON TABLE `main`.`heroku`.`logs` TO `who Freshet logs in as`;");
    assert!(matches!(error, WorkspaceError::Denied { .. }));
}

#[tokio::test]
async fn the_only_warehouse_is_found() {
    let server = Server::start(|_, request| match request.line.as_str() {
        "GET /api/2.0/sql/warehouses" => Reply::json(json!({ "warehouses": [{ "id": "ab12", "name": "Small", "state": "STOPPED" }] })),
        SUBMIT => Reply::json(one()),
        "GET /api/2.0/sql/warehouses/ab12" => Reply::json(
            json!({ "id": "ab12", "name": "Small", "state": "RUNNING", "auto_stop_mins": 10, "enable_serverless_compute": true }),
        ),
        other => panic!("{other}"),
    })
    .await;
    let bench = Bench::new(&server, |options| options.warehouse = None);
    for _ in 0..2 {
        bench.workspace.run(&select()).await.unwrap();
    }
    assert_eq!(server.count("GET /api/2.0/sql/warehouses"), 1, "asked once");
    assert_eq!(server.requests()[1].json()["warehouse_id"], "ab12");
    let warehouse = bench.workspace.warehouse().await.unwrap();
    assert_eq!((warehouse.state, warehouse.auto_stop_minutes, warehouse.is_serverless), (WarehouseState::Running, Some(10), true));
}

#[tokio::test]
async fn of_several_warehouses_one_has_to_be_named() {
    let several =
        json!({ "warehouses": [{ "id": "a1", "name": "Small", "state": "STOPPED" }, { "id": "b2", "name": "Large", "state": "RUNNING" }] });
    for (list, words) in [(several, "warehouse = \"b2\"   # Large"), (json!({}), "shows no SQL warehouse")] {
        let server = Server::start(move |_, _| Reply::json(list.clone())).await;
        let bench = Bench::new(&server, |options| options.warehouse = None);
        check_words(&bench.workspace.run(&select()).await.unwrap_err(), words);
    }
}
