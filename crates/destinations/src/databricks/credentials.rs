//! Credentials for a cloud's storage that Unity Catalog lends for about an hour.

use std::fmt;
use std::time::{Duration, SystemTime};

use freshet_core::Secret;
use serde_json::{Value, json};

use super::Workspace;
use super::call::Call;
use super::catalog::TableName;
use super::error::WorkspaceError;
use super::grants::{Grant, Securable};

/// What is to be done below a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathOperation {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
    /// Make a new external table.
    CreateTable,
}

/// What is to be done with a table's files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableOperation {
    /// Read.
    Read,
    /// Read and write.
    ReadWrite,
}

/// Credentials and how long they are good.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// What opens the storage.
    pub key: CloudKey,
    /// The path they are for, where that is told.
    pub url: Option<String>,
    /// When they end.
    pub expires_at: SystemTime,
}

/// What opens a cloud's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CloudKey {
    /// Of Amazon S3.
    Aws {
        /// Its public half.
        access_key_id: String,
        /// Its secret half.
        secret_access_key: Secret,
        /// What makes it temporary.
        session_token: Secret,
        /// The access point to go through, if any.
        access_point: Option<String>,
    },
    /// Of Azure: a shared access signature, without `?`.
    AzureSas(Secret),
    /// Of Azure: a token of Microsoft Entra.
    AzureToken(Secret),
    /// Of Google Cloud Storage.
    GcpToken(Secret),
    /// Of Cloudflare R2, used as those of S3.
    R2 {
        /// Its public half.
        access_key_id: String,
        /// Its secret half.
        secret_access_key: Secret,
        /// What makes it temporary.
        session_token: Secret,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may be one that is signed.
        f.debug_struct("Credentials").field("key", &self.key).field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

impl Credentials {
    fn of(value: &Value) -> Option<Self> {
        let expires_ms = value["expiration_time"].as_u64().or_else(|| value["expiration_time"].as_str()?.parse().ok())?;
        let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let secret = |value: &Value| text(value).map(Secret::new);
        let aws =
            |value: &Value| Some((text(&value["access_key_id"])?, secret(&value["secret_access_key"])?, secret(&value["session_token"])?));
        let r2 = aws(&value["r2_temp_credentials"]);
        let key = if let Some((access_key_id, secret_access_key, session_token)) = aws(&value["aws_temp_credentials"]) {
            let access_point = text(&value["aws_temp_credentials"]["access_point"]);
            CloudKey::Aws { access_key_id, secret_access_key, session_token, access_point }
        } else if let Some((access_key_id, secret_access_key, session_token)) = r2 {
            CloudKey::R2 { access_key_id, secret_access_key, session_token }
        } else if let Some(token) = secret(&value["azure_user_delegation_sas"]["sas_token"]) {
            CloudKey::AzureSas(Secret::new(token.reveal().trim_start_matches('?').to_owned()))
        } else if let Some(token) = secret(&value["azure_aad"]["aad_token"]) {
            CloudKey::AzureToken(token)
        } else {
            CloudKey::GcpToken(secret(&value["gcp_oauth_token"]["oauth_token"])?)
        };
        let expires_at = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(expires_ms))?;
        Some(Self { key, url: text(&value["url"]), expires_at })
    }
}

impl Workspace {
    /// Credentials for what lies below `url` and belongs to no table of the catalog, or to an external one.
    ///
    /// # Errors
    /// See [`WorkspaceError`]. The rights that are named on an external location name the URL: which location has it, we may not see.
    pub async fn path_credentials(&self, url: &str, operation: PathOperation) -> Result<Credentials, WorkspaceError> {
        let operation = match operation {
            PathOperation::Read => "PATH_READ",
            PathOperation::ReadWrite => "PATH_READ_WRITE",
            PathOperation::CreateTable => "PATH_CREATE_TABLE",
        };
        let body = json!({ "url": url, "operation": operation, "dry_run": false });
        let call = Call::post(&format!("get credentials for {url}"), "/api/2.0/unity-catalog/temporary-path-credentials", body);
        let on = || Securable::ExternalLocation(url.to_owned());
        let call = call.needing(Grant::new("EXTERNAL USE LOCATION", on()));
        let call = if operation == "PATH_CREATE_TABLE" { call.needing(Grant::new("CREATE EXTERNAL TABLE", on())) } else { call };
        self.credentials(&call).await
    }

    /// Credentials for the files of the table `name`, which has the catalog's id `table_id`.
    ///
    /// # Errors
    /// See [`WorkspaceError`].
    pub async fn table_credentials(
        &self,
        name: &TableName,
        table_id: &str,
        operation: TableOperation,
    ) -> Result<Credentials, WorkspaceError> {
        let (operation, privileges) = match operation {
            TableOperation::Read => ("READ", &["SELECT"][..]),
            TableOperation::ReadWrite => ("READ_WRITE", &["SELECT", "MODIFY"][..]),
        };
        let body = json!({ "table_id": table_id, "operation": operation });
        let doing = format!("get credentials for table {}", name.full());
        let call = Call::post(&doing, "/api/2.0/unity-catalog/temporary-table-credentials", body)
            .needing(Grant::new("EXTERNAL USE SCHEMA", Securable::Schema(format!("{}.{}", name.catalog, name.schema))));
        let needing = |call: Call, privilege: &&'static str| call.needing(Grant::new(privilege, Securable::Table(name.full())));
        self.credentials(&privileges.iter().fold(call, needing)).await
    }

    async fn credentials(&self, call: &Call) -> Result<Credentials, WorkspaceError> {
        let value = self.value(call).await?;
        Credentials::of(&value).ok_or_else(|| WorkspaceError::broken(&call.doing, "the answer has no credentials that this version knows"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cloud_has_its_own() {
        let of = |kind: &str, key: Value| {
            let mut value = json!({ "expiration_time": 1_700_000_000_000_u64, "url": "s3://b/p" });
            value[kind] = key;
            Credentials::of(&value).map(|credentials| {
                assert!(!format!("{credentials:?}").contains("hush"));
                assert_eq!(credentials.expires_at, SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000));
                credentials.key
            })
        };
        let hush = || Secret::new("hush".to_owned());
        let pair = json!({ "access_key_id": "AK", "secret_access_key": "hush", "session_token": "hush" });
        let access_key_id = "AK".to_owned();
        assert_eq!(
            of("aws_temp_credentials", pair.clone()),
            Some(CloudKey::Aws {
                access_key_id: access_key_id.clone(),
                secret_access_key: hush(),
                session_token: hush(),
                access_point: None
            })
        );
        assert_eq!(of("r2_temp_credentials", pair), Some(CloudKey::R2 { access_key_id, secret_access_key: hush(), session_token: hush() }));
        assert_eq!(of("azure_user_delegation_sas", json!({ "sas_token": "?hush" })), Some(CloudKey::AzureSas(hush())));
        assert_eq!(of("azure_aad", json!({ "aad_token": "hush" })), Some(CloudKey::AzureToken(hush())));
        assert_eq!(of("gcp_oauth_token", json!({ "oauth_token": "hush" })), Some(CloudKey::GcpToken(hush())));
        assert_eq!(of("new_cloud", json!({ "x": "hush" })), None);
    }
}
