//! Making a drain secret and keeping it in a file.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use freshet_core::Secret;

/// 32 characters that need no escape in a URL, with 122 bits of the system's own randomness in them.
#[must_use]
pub(crate) fn random() -> Secret {
    Secret::new(uuid::Uuid::new_v4().simple().to_string())
}

/// Writes a new secret to `path`, for its owner's eyes only. One that is there stays, for drains use it: says whether there was one.
///
/// # Errors
/// The file cannot be written.
pub(crate) fn keep_in(path: &Path) -> anyhow::Result<bool> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match made {
        Ok(mut file) => {
            let written = writeln!(file, "{}", random().reveal()).and_then(|()| file.sync_all());
            written.with_context(|| format!("the secret cannot be written to {}", path.display()))?;
            Ok(false)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(true),
        Err(error) => Err(error).with_context(|| format!("the secret cannot be written to {}", path.display())),
    }
}

/// The secret in a file's `text`, if Logplex can send it as written.
#[must_use]
pub(crate) fn usable(text: &str) -> Option<Secret> {
    let text = text.trim_end();
    let is_usable = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte));
    is_usable.then(|| Secret::new(text.to_owned()))
}
