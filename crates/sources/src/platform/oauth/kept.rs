//! The file with a refresh token that took the place of the configured one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use freshet_core::Secret;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::platform::archive::hex;

/// The token in `file`, if it came in place of `configured`: else somebody has configured another one since.
pub(super) fn read(file: &Path, configured: &Secret) -> Option<Secret> {
    let bytes = match fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) => {
            if error.kind() != io::ErrorKind::NotFound {
                tracing::warn!(file = %file.display(), %error, "kept refresh token cannot be read, the configured one is used");
            }
            return None;
        }
    };
    let value: Value = serde_json::from_slice(&bytes).ok()?;
    let token = value["refresh_token"].as_str().filter(|_| value["in_place_of"] == hash(configured))?;
    Some(Secret::new(token.to_owned()))
}

/// Writes `token` to `file`, which has it whole and on disk afterwards, or has what it had.
///
/// # Errors
/// It cannot be written.
pub(super) fn write(file: &Path, configured: &Secret, token: &Secret) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    // One that a kill left behind may be open to others.
    let staged = file.with_extension("new");
    match fs::remove_file(&staged) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&staged)?;
    let text = json!({ "in_place_of": hash(configured), "refresh_token": token.reveal() }).to_string();
    opened.write_all(text.as_bytes())?;
    opened.sync_all()?;
    fs::rename(&staged, file)?;
    File::open(folder)?.sync_all()
}

/// What tells one token from another and cannot be used as one.
fn hash(token: &Secret) -> String {
    hex(digest(&SHA256, token.reveal().as_bytes()).as_ref())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_kept_for_the_configured_one_it_replaces() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("data/oauth.json");
        let secret = |text: &str| Secret::new(text.to_owned());
        assert_eq!(read(&file, &secret("first")), None);
        for next in ["second", "third"] {
            write(&file, &secret("first"), &secret(next)).unwrap();
            assert_eq!(read(&file, &secret("first")), Some(secret(next)));
        }
        assert_eq!(read(&file, &secret("another")), None);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!fs::read_to_string(&file).unwrap().contains("first"));
        assert_eq!(fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        for broken in ["", "{\"refresh_token\":\"third\"}"] {
            fs::write(&file, broken).unwrap();
            assert_eq!(read(&file, &secret("first")), None, "{broken}");
        }
    }
}
