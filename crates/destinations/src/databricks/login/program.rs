//! Tokens of people who are logged in with a program on this machine.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chrono::{DateTime, Utc};
use freshet_core::Secret;
use serde_json::Value;
use tokio::process::Command;

use super::fetch::Fetched;

/// The id by which Microsoft Entra knows Azure Databricks, in every cloud.
pub(super) const AZURE_DATABRICKS: &str = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d";

/// Time that a program may take.
const WITHIN: Duration = Duration::from_secs(30);

/// Characters of a program's complaint that are kept.
const COMPLAINT_CHARS_MAX: usize = 300;

/// The token that `databricks auth token` prints.
///
/// # Errors
/// There is no such program, or nobody is logged in; with what to do.
pub(super) async fn of_databricks(program: &Path, host: &str, profile: Option<&str>) -> Result<Fetched, String> {
    let mut arguments = vec!["auth", "token"];
    match profile {
        Some(profile) => arguments.extend(["--profile", profile]),
        None => arguments.extend(["--host", host]),
    }
    let printed = printed(program, &arguments).await.map_err(|why| format!("{why}; log in with:  databricks auth login --host {host}"))?;
    let ends = printed["expiry"].as_str().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    fetched(&printed["access_token"], ends.map(|ends| ends.with_timezone(&Utc)))
}

/// The token that `az account get-access-token` prints.
///
/// # Errors
/// There is no such program, or nobody is logged in; with what to do.
pub(super) async fn of_azure(program: &Path, tenant: Option<&str>) -> Result<Fetched, String> {
    let mut arguments = vec!["account", "get-access-token", "--resource", AZURE_DATABRICKS, "--output", "json"];
    arguments.extend(tenant.into_iter().flat_map(|tenant| ["--tenant", tenant]));
    let printed = printed(program, &arguments).await.map_err(|why| format!("{why}; log in with:  az login"))?;
    // Older versions tell the local time only, which ends somewhere near.
    let ends = printed["expires_on"].as_i64().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    fetched(&printed["accessToken"], ends)
}

fn fetched(token: &Value, ends: Option<DateTime<Utc>>) -> Result<Fetched, String> {
    let token = token.as_str().filter(|token| !token.is_empty()).ok_or("it printed no token")?;
    let lives = ends.map(|ends| (ends - Utc::now()).to_std().unwrap_or_default());
    // Without a word on its end it is asked for again after a while: the program has its own memory.
    Ok(Fetched { token: Secret::new(token.to_owned()), lives: Some(lives.unwrap_or(Duration::from_secs(600))) })
}

/// The JSON that a program prints.
async fn printed(program: &Path, arguments: &[&str]) -> Result<Value, String> {
    let name = program.file_name().map_or_else(|| program.display().to_string(), |name| name.to_string_lossy().into_owned());
    let mut command = Command::new(program);
    command.args(arguments.iter().map(OsStr::new)).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, command.output())
        .await
        .map_err(|_| format!("`{name}` did not end within {} s", WITHIN.as_secs()))?
        .map_err(|error| format!("`{name}` cannot be run: {error}"))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        let complaint: String = complaint.trim().chars().take(COMPLAINT_CHARS_MAX).collect();
        return Err(format!("`{name}` says: {complaint}"));
    }
    serde_json::from_slice(&output.stdout).map_err(|_| format!("`{name}` printed no JSON"))
}
