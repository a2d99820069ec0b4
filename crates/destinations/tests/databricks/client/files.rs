//! Files in volumes.

use bytes::Bytes;
use freshet_destinations::databricks::WorkspaceError;
use serde_json::json;

use super::server::{Reply, Server};
use super::{Bench, check_words};

const FILE: &str = "/Volumes/main/heroku/_freshet/a b/0.parquet";

#[tokio::test]
async fn a_file_is_put_whole() {
    let server = Server::start(|number, _| if number == 0 { Reply::Cut } else { Reply::nothing(204) }).await;
    let bytes = Bytes::from(vec![7_u8; 300_000]);
    Bench::plain(&server).workspace.put_file(FILE, bytes.clone()).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 2, "the first answer was lost");
    for request in requests {
        assert_eq!(request.line, "PUT /api/2.0/fs/files/Volumes/main/heroku/_freshet/a%20b/0.parquet?overwrite=true");
        assert_eq!(request.header("content-type"), "application/octet-stream");
        assert_eq!(request.body, bytes);
    }
}

#[tokio::test]
async fn missing_folders_are_made() {
    let server = Server::start(|number, _| match number {
        0 => Reply::error(404, "NOT_FOUND", "The parent directory does not exist."),
        _ => Reply::nothing(204),
    })
    .await;
    Bench::plain(&server).workspace.put_file(FILE, Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(server.lines()[1], "PUT /api/2.0/fs/directories/Volumes/main/heroku/_freshet/a%20b");
    assert!(server.lines()[2].starts_with("PUT /api/2.0/fs/files/"));

    // It is the volume that is missing.
    let server = Server::start(|_, _| Reply::error(404, "NOT_FOUND", "Volume 'main.heroku._freshet' does not exist.")).await;
    let error = Bench::plain(&server).workspace.put_file(FILE, Bytes::from_static(b"x")).await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Missing { .. }), "{error:?}");
    check_words(&error, "does not exist");
}

#[tokio::test]
async fn files_are_looked_for() {
    let server = Server::start(|number, _| Reply::nothing(if number == 0 { 200 } else { 404 })).await;
    let workspace = Bench::plain(&server).workspace;
    assert!(workspace.has_file(FILE).await.unwrap());
    assert!(!workspace.has_file(FILE).await.unwrap());
    assert!(workspace.file(FILE).await.unwrap().is_none());
    assert!(server.lines()[0].starts_with("HEAD /api/2.0/fs/files/"));
    assert!(workspace.has_file("/Volumes/main/heroku/_freshet/../other/x").await.is_err());
    assert_eq!(server.lines().len(), 3, "a path that leads elsewhere is not asked for");
}

#[tokio::test]
async fn folders_are_listed_page_by_page_and_deleted_from_below() {
    let server = Server::start(|_, request| {
        let entry = |path: &str, is_directory: bool| json!({ "path": format!("/Volumes/c/s/v/{path}"), "is_directory": is_directory, "file_size": 3 });
        match request.line.as_str() {
            "GET /api/2.0/fs/directories/Volumes/c/s/v/top" => {
                Reply::json(json!({ "contents": [entry("top/1", false), entry("top/sub/", true)], "next_page_token": "p2" }))
            }
            "GET /api/2.0/fs/directories/Volumes/c/s/v/top?page_token=p2" => Reply::json(json!({ "contents": [entry("top/2", false)] })),
            "GET /api/2.0/fs/directories/Volumes/c/s/v/top/sub" => Reply::json(json!({ "contents": [entry("top/sub/3", false)] })),
            "GET /api/2.0/fs/directories/Volumes/c/s/v/none" => Reply::error(404, "NOT_FOUND", "no"),
            // Somebody else was faster.
            "DELETE /api/2.0/fs/files/Volumes/c/s/v/top/2" => Reply::error(404, "NOT_FOUND", "no"),
            line if line.starts_with("DELETE ") => Reply::nothing(204),
            other => panic!("{other}"),
        }
    })
    .await;
    let workspace = Bench::plain(&server).workspace;
    assert_eq!(workspace.list_folder("/Volumes/c/s/v/none").await.unwrap(), None);
    workspace.delete_folder("/Volumes/c/s/v/none").await.unwrap();
    let entries = workspace.list_folder("/Volumes/c/s/v/top").await.unwrap().unwrap();
    let names: Vec<(&str, bool)> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_folder)).collect();
    assert_eq!(names, [("1", false), ("sub", true), ("2", false)]);
    workspace.delete_folder("/Volumes/c/s/v/top/").await.unwrap();
    let deleted: Vec<String> =
        server.lines().into_iter().filter_map(|line| Some(line.strip_prefix("DELETE /api/2.0/fs/")?.to_owned())).collect();
    let expected = [
        "files/Volumes/c/s/v/top/1",
        "files/Volumes/c/s/v/top/2",
        "files/Volumes/c/s/v/top/sub/3",
        "directories/Volumes/c/s/v/top/sub",
        "directories/Volumes/c/s/v/top",
    ];
    assert_eq!(deleted, expected);
}

#[tokio::test]
async fn who_may_not_write_is_told_the_grant() {
    let server = Server::start(|_, request| match request.line.as_str() {
        "GET /api/2.0/preview/scim/v2/Me" => Reply::json(json!({ "userName": "6f1c0b4e-sp" })),
        _ => Reply::error(403, "PERMISSION_DENIED", "No."),
    })
    .await;
    let error = Bench::plain(&server).workspace.put_file(FILE, Bytes::from_static(b"x")).await.unwrap_err();
    check_words(&error, "GRANT WRITE VOLUME ON VOLUME `main`.`heroku`.`_freshet` TO `6f1c0b4e-sp`;");
    let error: freshet_core::DestinationError = error.into();
    assert!(matches!(error, freshet_core::DestinationError::NotPermitted { .. }), "{error:?}");
}
