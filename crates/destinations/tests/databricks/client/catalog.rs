//! What Unity Catalog says.

use std::time::{Duration, SystemTime};

use freshet_core::{ColumnType, Secret};
use freshet_destinations::databricks::{
    CloudKey, ColumnSpec, ExternalTable, PathOperation, Registered, Securable, TableName, TableOperation, WorkspaceError,
};
use serde_json::{Value, json};

use super::server::{Reply, Server};
use super::{Bench, check_words};

fn table(name: &str) -> Value {
    json!({ "catalog_name": "c", "schema_name": "s", "name": name, "table_id": "t-1", "table_type": "EXTERNAL", "data_source_format": "DELTA",
            "storage_location": "s3://b/p", "columns": [{ "name": "x", "type_text": "bigint", "position": 0 }] })
}

#[tokio::test]
async fn tables_are_found_and_listed_to_the_last_page() {
    let server = Server::start(|_, request| match request.line.as_str() {
        "GET /api/2.1/unity-catalog/tables/c.s.logs" => Reply::json(table("logs")),
        "GET /api/2.1/unity-catalog/tables/c.s.none" => Reply::error(404, "TABLE_DOES_NOT_EXIST", "no"),
        "GET /api/2.1/unity-catalog/tables?catalog_name=c&schema_name=s&max_results=50" => {
            Reply::json(json!({ "tables": [table("a")], "next_page_token": "a/b+" }))
        }
        // A page may be empty and not the last.
        "GET /api/2.1/unity-catalog/tables?catalog_name=c&schema_name=s&max_results=50&page_token=a%2Fb%2B" => {
            Reply::json(json!({ "next_page_token": "3" }))
        }
        "GET /api/2.1/unity-catalog/tables?catalog_name=c&schema_name=s&max_results=50&page_token=3" => {
            Reply::json(json!({ "tables": [table("b")], "next_page_token": "" }))
        }
        other => panic!("{other}"),
    })
    .await;
    let workspace = Bench::plain(&server).workspace;
    let found = workspace.table(&TableName::new("c", "s", "logs")).await.unwrap().unwrap();
    assert_eq!((found.table_id.as_str(), found.storage_location.as_deref()), ("t-1", Some("s3://b/p")));
    assert_eq!(workspace.table(&TableName::new("c", "s", "none")).await.unwrap(), None);
    let names: Vec<String> = workspace.tables("c", "s").await.unwrap().into_iter().map(|table| table.name.table).collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn an_external_table_is_registered_once() {
    let server = Server::start(|number, _| match number {
        0 => Reply::json(table("logs")),
        1 => Reply::error(400, "TABLE_ALREADY_EXISTS", "Table 'c.s.logs' already exists"),
        _ => Reply::error(403, "PERMISSION_DENIED", "User does not have CREATE TABLE on Schema 'c.s'."),
    })
    .await;
    let workspace = Bench::plain(&server).workspace;
    let external = ExternalTable {
        name: TableName::new("c", "s", "logs"),
        storage_location: "s3://b/p".to_owned(),
        columns: vec![ColumnSpec {
            name: "tags".to_owned(),
            column_type: ColumnType::TextMap,
            comment: "Tags.".to_owned(),
            partition_index: None,
        }],
        comment: Some("Lines.".to_owned()),
        properties: vec![("k".to_owned(), "v".to_owned())],
    };
    let made = workspace.create_external_table(&external).await.unwrap();
    assert!(matches!(made, Registered::Made(table) if table.table_id == "t-1"));
    assert_eq!(workspace.create_external_table(&external).await.unwrap(), Registered::AlreadyThere);
    let error = workspace.create_external_table(&external).await.unwrap_err();
    check_words(&error, "GRANT CREATE TABLE ON SCHEMA `c`.`s` TO");
    let body = server.requests()[0].json();
    assert_eq!(
        (body["table_type"].as_str(), body["comment"].as_str(), body["properties"]["k"].as_str()),
        (Some("EXTERNAL"), Some("Lines."), Some("v"))
    );
    let column = &body["columns"][0];
    assert_eq!((column["type_name"].as_str(), column["type_text"].as_str()), (Some("MAP"), Some("map<string,string>")));
    let field: Value = serde_json::from_str(column["type_json"].as_str().unwrap()).unwrap();
    assert_eq!(field["type"], json!({ "type": "map", "keyType": "string", "valueType": "string", "valueContainsNull": true }));
}

#[tokio::test]
async fn credentials_are_lent() {
    let server = Server::start(|number, _| match number {
        0 => Reply::json(json!({
            "expiration_time": 1_800_000_000_000_u64,
            "aws_temp_credentials": { "access_key_id": "AK", "secret_access_key": "5ecr3t-a", "session_token": "5ecr3t-b", "access_point": "" },
        })),
        1 => Reply::json(json!({ "expiration_time": 1_800_000_000_000_u64, "azure_user_delegation_sas": { "sas_token": "5ecr3t-c" } })),
        _ => Reply::error(403, "PERMISSION_DENIED", "User does not have EXTERNAL USE SCHEMA on Schema 'c.s'."),
    })
    .await;
    let workspace = Bench::plain(&server).workspace;
    let lent = workspace.path_credentials("s3://b/p", PathOperation::ReadWrite).await.unwrap();
    let secret = |text: &str| Secret::new(text.to_owned());
    let expected = CloudKey::Aws {
        access_key_id: "AK".to_owned(),
        secret_access_key: secret("5ecr3t-a"),
        session_token: secret("5ecr3t-b"),
        access_point: None,
    };
    assert_eq!((lent.key.clone(), lent.expires_at), (expected, SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)));
    assert!(!format!("{lent:?}").contains("5ecr3t"));
    assert_eq!(
        workspace.table_credentials(&TableName::new("c", "s", "logs"), "t-1", TableOperation::Read).await.unwrap().key,
        CloudKey::AzureSas(secret("5ecr3t-c"))
    );
    let error = workspace.table_credentials(&TableName::new("c", "s", "logs"), "t-1", TableOperation::ReadWrite).await.unwrap_err();
    check_words(&error, "GRANT EXTERNAL USE SCHEMA ON SCHEMA `c`.`s` TO");
    let asked: Vec<Value> = server.requests().iter().take(3).map(super::server::Request::json).collect();
    assert_eq!(asked[0], json!({ "url": "s3://b/p", "operation": "PATH_READ_WRITE", "dry_run": false }));
    assert_eq!(asked[1], json!({ "table_id": "t-1", "operation": "READ" }));
}

#[tokio::test]
async fn volumes_and_schemas_are_made_once() {
    let server = Server::start(|_, request| match request.line.as_str() {
        "GET /api/2.1/unity-catalog/volumes/c.s.v" => Reply::json(json!({ "owner": "me", "volume_type": "MANAGED" })),
        "GET /api/2.1/unity-catalog/schemas/c.s" => Reply::error(404, "SCHEMA_DOES_NOT_EXIST", "no"),
        "GET /api/2.1/unity-catalog/catalogs/c" => Reply::error(404, "CATALOG_DOES_NOT_EXIST", "no"),
        "POST /api/2.1/unity-catalog/volumes" => Reply::error(409, "VOLUME_ALREADY_EXISTS", "there"),
        "POST /api/2.1/unity-catalog/schemas" => Reply::json(json!({ "full_name": "c.s" })),
        other => panic!("{other}"),
    })
    .await;
    let workspace = Bench::plain(&server).workspace;
    assert_eq!(workspace.volume("c", "s", "v").await.unwrap().unwrap().owner.as_deref(), Some("me"));
    assert_eq!(workspace.schema("c", "s").await.unwrap(), None);
    assert!(!workspace.has_catalog("c").await.unwrap());
    workspace.create_volume("c", "s", "v", "Files on their way.").await.unwrap();
    workspace.create_schema("c", "s", "What Heroku says.").await.unwrap();
    assert_eq!(
        server.requests()[3].json(),
        json!({ "catalog_name": "c", "schema_name": "s", "name": "v", "volume_type": "MANAGED", "comment": "Files on their way." })
    );
}

#[tokio::test]
async fn rights_are_told() {
    let server = Server::start(|_, _| {
        Reply::json(json!({ "privilege_assignments": [
            { "principal": "svc", "privileges": [{ "privilege": "USE_SCHEMA", "inherited_from_type": "CATALOG" }, { "privilege": "CREATE_TABLE" }] },
        ] }))
    })
    .await;
    let workspace = Bench::plain(&server).workspace;
    let privileges = workspace.privileges(&Securable::Schema("c.s".to_owned()), "svc").await.unwrap();
    assert!(privileges.have("USE SCHEMA") && privileges.have("CREATE TABLE") && !privileges.have("CREATE VOLUME"));
    assert_eq!(server.lines(), ["GET /api/2.1/unity-catalog/effective-permissions/schema/c.s?principal=svc"]);
}

#[tokio::test]
async fn who_we_are_is_said_and_a_bad_token_too() {
    let server = Server::start(|number, _| match number {
        0 => Reply::json(json!({ "userName": "ada@example.com" })),
        1 => Reply::json(json!({ "id": "1" })),
        _ => Reply::error(401, "", "Credential dapi-5ecr3t-token was not sent or was of an unsupported type"),
    })
    .await;
    let workspace = Bench::plain(&server).workspace;
    assert_eq!(workspace.who().await.unwrap(), "ada@example.com");
    check_words(&workspace.who().await.unwrap_err(), "has no `userName`");
    let error = workspace.who().await.unwrap_err();
    assert!(matches!(error, WorkspaceError::Login { .. }), "{error:?}");
    check_words(&error, "the token is not taken");
    assert_eq!(server.lines().len(), 3, "a token that was made by hand is not tried twice");
}
