//! Credentials of a profile, as the AWS command line keeps them: `~/.aws/credentials` and `~/.aws/config`.
//!
//! Keys and `credential_process` are read here. Every other kind (SSO, roles, MFA) is asked of the AWS command line itself, which
//! knows them all: `aws configure export-credentials`.

use std::fmt;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use freshet_core::Secret;
use ini::Ini;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::Mutex;

/// The storage option that names a profile.
pub(super) const OPTION: &str = "profile";

/// Keys in a file are read again after this time: other tools renew them there.
const READ_AGAIN: Duration = Duration::from_secs(300);

/// Credentials are fetched anew so long before their end.
const BEFORE_END: Duration = Duration::from_secs(300);

/// Time that a program may take that fetches credentials.
const FETCH_WITHIN: Duration = Duration::from_secs(60);

/// Which profile somebody asked for.
pub(super) struct Wanted {
    /// In the lake's own options.
    named: Option<String>,
    /// In the environment.
    usual: Option<String>,
}

/// What the lake's `options` and the environment say.
pub(super) fn wanted(options: &[(String, Secret)]) -> Wanted {
    let named = options.iter().find(|(name, _)| name == OPTION).map(|(_, value)| value.reveal().to_owned());
    let usual =
        ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"].into_iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    Wanted { named, usual }
}

impl Wanted {
    /// Whether the lake's own options name one, which then counts before keys in the environment.
    pub(super) fn is_named(&self) -> bool {
        self.named.is_some()
    }

    /// The profile to use; none when there is no sign of one. With keys in the environment only its region can matter.
    pub(super) fn profile(&self, has_keys: bool) -> Option<Result<Profile, String>> {
        match self.named.as_ref().or(self.usual.as_ref()) {
            Some(name) => match Profile::read(name) {
                // Keys do without it.
                Err(_) if has_keys && self.named.is_none() => None,
                found => Some(found),
            },
            None => Profile::read("default").ok().map(Ok),
        }
    }
}

/// One profile, as the files have it.
pub(super) struct Profile {
    name: String,
    values: Vec<(String, String)>,
}

impl Profile {
    fn read(name: &str) -> Result<Self, String> {
        let mut values = Vec::new();
        let in_config = if name == "default" { name.to_owned() } else { format!("profile {name}") };
        let mut is_there = false;
        for (variable, file, section) in
            [("AWS_SHARED_CREDENTIALS_FILE", "credentials", name), ("AWS_CONFIG_FILE", "config", in_config.as_str())]
        {
            let path = std::env::var_os(variable).map(PathBuf::from);
            let Some(path) = path.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".aws").join(file))) else { continue };
            if !path.exists() {
                continue;
            }
            // The parser's own words could hold a line of the file.
            let parsed = Ini::load_from_file(&path).map_err(|_| format!("{} is not a file of AWS profiles", path.display()))?;
            if let Some(found) = parsed.section(Some(section)) {
                is_there = true;
                values.extend(found.iter().map(|(key, value)| (key.to_owned(), value.to_owned())));
            }
        }
        if is_there {
            return Ok(Self { name: name.to_owned(), values });
        }
        Err(format!(
            "there is no AWS profile `{name}` in ~/.aws/credentials or ~/.aws/config: `aws configure list-profiles` names those there are"
        ))
    }

    fn value(&self, key: &str) -> Option<&str> {
        self.values.iter().find(|(name, value)| name == key && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.value("region")
    }

    /// Whether it says how to get credentials. One that was only configured with a region does not: a role of the machine is meant then.
    pub(super) fn has_credentials(&self) -> bool {
        let signs = [
            "aws_access_key_id",
            "credential_process",
            "credential_source",
            "login_session",
            "role_arn",
            "source_profile",
            "sso_account_id",
            "sso_session",
            "sso_start_url",
            "web_identity_token_file",
        ];
        signs.into_iter().any(|sign| self.value(sign).is_some())
    }

    fn keys(&self) -> Option<AwsCredential> {
        Some(AwsCredential {
            key_id: self.value("aws_access_key_id")?.to_owned(),
            secret_key: self.value("aws_secret_access_key")?.to_owned(),
            token: self.value("aws_session_token").map(str::to_owned),
        })
    }

    /// Fetches credentials, and says for how long they can be used.
    async fn fetch(&self) -> Result<(AwsCredential, Duration), String> {
        if let Some(keys) = self.keys() {
            return Ok((keys, READ_AGAIN));
        }
        let mut command = match self.value("credential_process") {
            Some(process) => {
                let mut command = Command::new("sh");
                command.arg("-c").arg(process);
                command
            }
            None => {
                let mut command = Command::new("aws");
                command.args(["configure", "export-credentials", "--format", "process", "--profile", &self.name]);
                command
            }
        };
        let running = command.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = match tokio::time::timeout(FETCH_WITHIN, running).await {
            Ok(Ok(output)) => output,
            Ok(Err(error)) => return Err(format!("cannot run `{}`: {error}", command.as_std().get_program().display())),
            Err(_) => return Err(format!("no credentials within {} s", FETCH_WITHIN.as_secs())),
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no credentials").trim().to_owned());
        }
        credentials(&output.stdout, Utc::now()).ok_or_else(|| "its answer has no credentials".to_owned())
    }
}

/// What a process that fetches credentials prints.
fn credentials(printed: &[u8], now: DateTime<Utc>) -> Option<(AwsCredential, Duration)> {
    let printed: Value = serde_json::from_slice(printed).ok()?;
    let text = |key: &str| printed[key].as_str().map(str::to_owned);
    let keys = AwsCredential { key_id: text("AccessKeyId")?, secret_key: text("SecretAccessKey")?, token: text("SessionToken") };
    let usable = match text("Expiration") {
        Some(end) => {
            (DateTime::parse_from_rfc3339(&end).ok()?.with_timezone(&Utc) - now).to_std().unwrap_or_default().saturating_sub(BEFORE_END)
        }
        None => READ_AGAIN,
    };
    Some((keys, usable))
}

/// The credentials of a profile, fetched anew before they end; one fetch for all who wait.
pub(super) struct ProfileCredentials {
    profile: Mutex<Profile>,
    kept: Mutex<Option<(Arc<AwsCredential>, tokio::time::Instant)>>,
}

impl ProfileCredentials {
    pub(super) fn new(profile: Profile) -> Self {
        Self { profile: Mutex::new(profile), kept: Mutex::default() }
    }
}

impl fmt::Debug for ProfileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ProfileCredentials")
    }
}

#[async_trait]
impl CredentialProvider for ProfileCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some((keys, until)) = kept.as_ref()
            && tokio::time::Instant::now() < *until
        {
            return Ok(Arc::clone(keys));
        }
        let mut profile = self.profile.lock().await;
        // Another tool may have renewed what is in the files.
        if let Ok(again) = Profile::read(&profile.name) {
            *profile = again;
        }
        let fetched = profile.fetch().await.map_err(|why| object_store::Error::Unauthenticated {
            path: String::new(),
            source: format!("AWS profile `{}`: {why}", profile.name).into(),
        })?;
        let keys = Arc::new(fetched.0);
        *kept = Some((Arc::clone(&keys), tokio::time::Instant::now() + fetched.1));
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_with_a_region_alone_has_no_credentials() {
        let profile = |key: &str, value: &str| Profile { name: "default".to_owned(), values: vec![(key.to_owned(), value.to_owned())] };
        for (key, value) in [("region", "eu-west-1"), ("output", "json"), ("aws_access_key_id", "")] {
            assert!(!profile(key, value).has_credentials(), "{key}");
        }
        for key in ["aws_access_key_id", "sso_session", "role_arn"] {
            assert!(profile(key, "x").has_credentials(), "{key}");
        }
    }

    #[test]
    fn what_a_process_prints_is_used_until_shortly_before_its_end() {
        let now = DateTime::parse_from_rfc3339("2026-11-23T12:00:00Z").unwrap().with_timezone(&Utc);
        let check = |printed: &str, expected: Option<(&str, u64)>| {
            let found = credentials(printed.as_bytes(), now).map(|(keys, usable)| (keys.key_id, usable.as_secs()));
            assert_eq!(found, expected.map(|(key, seconds)| (key.to_owned(), seconds)), "{printed}");
        };
        check(r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b"}"#, Some(("a", 300)));
        check(r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"2026-11-23T13:00:00+00:00"}"#, Some(("a", 3300)));
        check(r#"{"Version":1,"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"2026-11-23T11:00:00Z"}"#, Some(("a", 0)));
        check(r#"{"Version":1,"AccessKeyId":"a"}"#, None);
        check("no json", None);
    }
}
