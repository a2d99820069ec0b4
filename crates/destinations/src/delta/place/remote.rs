//! The stores behind the URLs, each with what its own tools take from the environment.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use freshet_core::{Clock, DestinationError, Secret};
use hdfs_native_object_store::HdfsObjectStoreBuilder;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::{AzureConfigKey, MicrosoftAzureBuilder};
use object_store::client::SpawnedReqwestConnector;
use object_store::gcp::{GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::{ClientConfigKey, ObjectStore, RetryConfig};
use tokio::runtime::Handle;
use url::Url;

use super::aws_profile::{self, ProfileCredentials};
use crate::delta::catalog::{Catalog, FromKeys, TableKeys};

/// Schemes of URLs that a lake can be at.
pub(super) const SCHEMES: [&str; 9] = ["s3", "s3a", "abfss", "abfs", "az", "azure", "adl", "gs", "hdfs"];

/// Whether URLs of this scheme have the name of a container before the `@`, where others would have a user's.
pub(super) fn has_container(scheme: &str) -> bool {
    matches!(scheme, "abfss" | "abfs" | "az" | "azure" | "adl")
}

/// Time after which a request that keeps failing is given up; whoever asked tries again with fresh knowledge.
const RETRY_WITHIN: Duration = Duration::from_secs(60);

/// Times that a request is sent again before it is given up.
const RETRIES: usize = 6;

/// Whose table a store is to have keys for.
pub(super) struct Governed {
    pub(super) catalog: Arc<dyn Catalog>,
    pub(super) table: String,
    pub(super) clock: Arc<dyn Clock>,
}

impl Governed {
    fn keys<Credential: FromKeys>(self) -> Arc<TableKeys<Credential>> {
        Arc::new(TableKeys::new(self.catalog, &self.table, self.clock))
    }
}

/// The store at `url`, reached with `options`, and the environment where they say nothing. Keys that a catalog hands out count before all
/// others.
pub(super) fn store(url: &Url, options: &[(String, Secret)], governed: Option<Governed>) -> Result<Arc<dyn ObjectStore>, DestinationError> {
    match url.scheme() {
        "s3" | "s3a" => s3(url, options, governed),
        "gs" => gcs(url, options, governed),
        "hdfs" if governed.is_some() => Err(refused(url, "no catalog hands out keys to HDFS")),
        "hdfs" => hdfs(url, options),
        _ => azure(url, options, governed),
    }
}

fn retries() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_WITHIN, ..RetryConfig::default() }
}

/// Connections belong to the runtime that lives as long as the program, whoever asks: files are encoded in short-lived ones.
fn connector() -> Option<SpawnedReqwestConnector> {
    Handle::try_current().ok().map(SpawnedReqwestConnector::new)
}

fn s3(url: &Url, options: &[(String, Secret)], governed: Option<Governed>) -> Result<Arc<dyn ObjectStore>, DestinationError> {
    let wanted = aws_profile::wanted(options);
    let mut builder = AmazonS3Builder::from_env().with_url(url.as_str()).with_retry(retries());
    if let Some(connector) = connector() {
        builder = builder.with_http_connector(connector);
    }
    for (name, value) in options.iter().filter(|(name, _)| name != aws_profile::OPTION) {
        let key: AmazonS3ConfigKey =
            name.parse().map_err(|_| unknown(url, name, "region, endpoint, access_key_id, secret_access_key, profile"))?;
        builder = builder.with_config(key, value.reveal());
    }
    let value_of = |builder: &AmazonS3Builder, key| builder.get_config_value(&key).filter(|value| !value.is_empty());
    let has_keys = [AmazonS3ConfigKey::AccessKeyId, AmazonS3ConfigKey::WebIdentityTokenFile, AmazonS3ConfigKey::SkipSignature]
        .into_iter()
        .any(|key| value_of(&builder, key).is_some());
    if let Some(profile) = wanted.profile(has_keys) {
        let profile = profile.map_err(|problem| refused(url, &problem))?;
        if value_of(&builder, AmazonS3ConfigKey::Region).is_none()
            && let Some(region) = profile.region()
        {
            builder = builder.with_region(region);
        }
        if wanted.is_named() || (!has_keys && profile.has_credentials()) {
            builder = builder.with_credentials(Arc::new(ProfileCredentials::new(profile)));
        }
    }
    if let Some(governed) = governed {
        builder = builder.with_credentials(governed.keys());
    }
    if let Some(endpoint) = value_of(&builder, AmazonS3ConfigKey::Endpoint).or_else(|| value_of(&builder, AmazonS3ConfigKey::S3Endpoint))
        && endpoint.starts_with("http://")
    {
        builder = builder.with_allow_http(true);
    }
    builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>).map_err(|error| refused(url, &error.to_string()))
}

fn azure(url: &Url, options: &[(String, Secret)], governed: Option<Governed>) -> Result<Arc<dyn ObjectStore>, DestinationError> {
    let mut builder = MicrosoftAzureBuilder::from_env().with_url(url.as_str()).with_retry(retries());
    if let Some(connector) = connector() {
        builder = builder.with_http_connector(connector);
    }
    for (name, value) in options {
        let key: AzureConfigKey =
            name.parse().map_err(|_| unknown(url, name, "account_name, access_key, sas_token, client_id, client_secret, tenant_id"))?;
        builder = builder.with_config(key, value.reveal());
    }
    if let Some(governed) = governed {
        builder = builder.with_credentials(governed.keys());
    }
    let is_plain = builder.get_config_value(&AzureConfigKey::Endpoint).is_some_and(|endpoint| endpoint.starts_with("http://"));
    if is_plain {
        builder = builder.with_allow_http(true);
    }
    builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>).map_err(|error| refused(url, &error.to_string()))
}

fn gcs(url: &Url, options: &[(String, Secret)], governed: Option<Governed>) -> Result<Arc<dyn ObjectStore>, DestinationError> {
    let mut builder = GoogleCloudStorageBuilder::new().with_url(url.as_str()).with_retry(retries());
    if let Some(connector) = connector() {
        builder = builder.with_http_connector(connector);
    }
    let mut set = |key: GoogleConfigKey, value: &str| builder = std::mem::take(&mut builder).with_config(key, value);
    for (key, value) in google_environment(std::env::vars_os()) {
        set(key, &value);
    }
    for (name, value) in options {
        let key: GoogleConfigKey = name.parse().map_err(|_| unknown(url, name, "service_account_key, service_account_path"))?;
        set(key, value.reveal());
    }
    if let Some(governed) = governed {
        builder = builder.with_credentials(governed.keys());
    }
    let is_plain = builder.get_config_value(&GoogleConfigKey::BaseUrl).is_some_and(|base| base.starts_with("http://"));
    if is_plain {
        builder = builder.with_config(GoogleConfigKey::Client(ClientConfigKey::AllowHttp), "true");
    }
    builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>).map_err(|error| refused(url, &error.to_string()))
}

/// What Google's own tools take from the environment. A platform without files has the key itself where others have its path.
fn google_environment(variables: impl Iterator<Item = (OsString, OsString)>) -> Vec<(GoogleConfigKey, String)> {
    let known = |(name, value): (OsString, OsString)| {
        let (name, value) = (name.into_string().ok()?, value.into_string().ok()?);
        let is_key = value.trim_start().starts_with('{');
        match name.as_str() {
            "GOOGLE_APPLICATION_CREDENTIALS" | "GOOGLE_CREDENTIALS" if is_key => Some((GoogleConfigKey::ServiceAccountKey, value)),
            "SERVICE_ACCOUNT" => Some((GoogleConfigKey::ServiceAccount, value)),
            name if name.starts_with("GOOGLE_") => Some((name.to_ascii_lowercase().parse().ok()?, value)),
            _ => None,
        }
    };
    variables.filter_map(known).collect()
}

/// Options are those of Hadoop's own configuration, such as `dfs.ha.namenodes.NAME`; the files in `$HADOOP_CONF_DIR` count too.
fn hdfs(url: &Url, options: &[(String, Secret)]) -> Result<Arc<dyn ObjectStore>, DestinationError> {
    let mut of_node = url.clone();
    of_node.set_path("");
    let config = options.iter().map(|(name, value)| (name.clone(), value.reveal().to_owned()));
    let mut builder = HdfsObjectStoreBuilder::new().with_url(of_node.as_str()).with_config(config);
    if let Ok(runtime) = Handle::try_current() {
        builder = builder.with_io_runtime(runtime);
    }
    builder.build().map(|store| Arc::new(store) as Arc<dyn ObjectStore>).map_err(|error| refused(url, &error.to_string()))
}

fn unknown(url: &Url, name: &str, known: &str) -> DestinationError {
    refused(url, &format!("the storage option `{name}` is not known for {}://; the usual ones are {known}", url.scheme()))
}

fn refused(url: &Url, why: &str) -> DestinationError {
    super::refused(url.as_str(), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_google_key_may_stand_where_its_path_would() {
        let found = |name: &str, value: &str| google_environment([(OsString::from(name), OsString::from(value))].into_iter());
        let is = |name: &str, value: &str, key: GoogleConfigKey| assert_eq!(found(name, value), [(key, value.to_owned())], "{name}");
        is("GOOGLE_APPLICATION_CREDENTIALS", "{\"type\":\"service_account\"}", GoogleConfigKey::ServiceAccountKey);
        is("GOOGLE_CREDENTIALS", " {}", GoogleConfigKey::ServiceAccountKey);
        is("GOOGLE_APPLICATION_CREDENTIALS", "/etc/key.json", GoogleConfigKey::ApplicationCredentials);
        is("GOOGLE_SERVICE_ACCOUNT_KEY", "{}", GoogleConfigKey::ServiceAccountKey);
        is("SERVICE_ACCOUNT", "/etc/key.json", GoogleConfigKey::ServiceAccount);
        for (name, value) in [("GOOGLE_CREDENTIALS", "/etc/key.json"), ("GOOGLE_CLOUD_PROJECT", "x"), ("AWS_REGION", "x")] {
            assert_eq!(found(name, value), [], "{name}");
        }
    }
}
