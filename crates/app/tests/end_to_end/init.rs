//! `freshet init`: what it writes, what it keeps, what it refuses.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::freshet::{Ended, Place};

fn with(place: &Place, line: &str, variables: &[(&str, &str)]) -> Ended {
    Ended::from(place.command(line, &[]).envs(variables.iter().copied()).env_remove("FRESHET_LAKE").output().unwrap())
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// The value of `export NAME=value` in what was printed.
fn exported<'a>(ended: &'a Ended, name: &str) -> Option<&'a str> {
    ended.stdout.lines().find_map(|line| line.trim().strip_prefix("export ")?.strip_prefix(name)?.strip_prefix('='))
}

#[test]
fn what_it_writes_passes_the_check() {
    for line in [
        "init",
        "init --app shop-* --app billing --lake /data/lake --listen 127.0.0.1:9000 --api-url http://127.0.0.1:5000 --public-url https://logs.example.com",
        "init --write-secret secret.txt",
    ] {
        let place = Place::new();
        let ended = with(&place, line, &[]);
        assert_eq!(ended.code, Some(0), "{line}: {ended:#?}");
        for next in ["freshet check", "freshet run", "heroku drains:add", "Wrote freshet.toml"] {
            assert!(ended.stdout.contains(next), "{line}, {next}: {ended:#?}");
        }
        let checked = with(&place, "check --offline", &[]);
        assert_eq!(checked.code, Some(0), "{line}: {checked:#?}");
    }
}

#[test]
fn a_secret_is_shown_once_and_never_in_the_file() {
    let place = Place::new();
    let ended = with(&place, "init --app shop --public-url https://logs.example.com", &[("HEROKU_API_KEY", "HRKU-t0ken")]);
    let secret = exported(&ended, "FRESHET_DRAIN_SECRET").unwrap_or_else(|| panic!("{ended:#?}")).to_owned();
    assert!(secret.len() == 32 && secret.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{secret}");
    let file = read(&place.path("freshet.toml"));
    assert!(!file.contains(&secret) && file.contains("drain_secret = \"env:FRESHET_DRAIN_SECRET\""), "{file}");
    assert!(!format!("{file}{ended:?}").contains("HRKU-t0ken"));
    assert!(ended.stdout.contains("heroku drains:add \"https://freshet:$FRESHET_DRAIN_SECRET@logs.example.com/drain/shop\" --app shop"));
    assert_eq!(exported(&ended, "HEROKU_API_KEY"), None, "there is one");

    let again = Place::new();
    let other = with(&again, "init", &[]);
    assert_ne!(exported(&other, "FRESHET_DRAIN_SECRET"), Some(secret.as_str()));
    assert!(exported(&other, "HEROKU_API_KEY").is_some());
    let set = with(&again, "init --force", &[("FRESHET_DRAIN_SECRET", "already-h3re")]);
    assert!(exported(&set, "FRESHET_DRAIN_SECRET").is_none() && !set.stdout.contains("already-h3re"), "{set:#?}");
}

#[test]
fn a_secret_goes_to_a_file_and_stays_there() {
    let place = Place::new();
    let ended = with(&place, "init --write-secret secret.txt", &[]);
    let secret = read(&place.path("secret.txt"));
    assert_eq!(secret.trim_end().len(), 32, "{secret}");
    assert_eq!(std::fs::metadata(place.path("secret.txt")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!ended.stdout.contains(secret.trim_end()), "{ended:#?}");
    assert!(read(&place.path("freshet.toml")).contains("drain_secret = \"file:secret.txt\""));
    let again = with(&place, "init --force --write-secret secret.txt", &[]);
    assert!(again.stdout.contains("secret.txt stays"), "{again:#?}");
    assert_eq!(read(&place.path("secret.txt")), secret, "drains use it");
}

#[test]
fn nothing_is_replaced_unasked_and_nothing_bad_is_written() {
    let place = Place::new();
    place.file("freshet.toml", "# mine\n");
    let ended = with(&place, "init", &[]);
    assert!(ended.code == Some(1) && ended.stderr.contains("--force"), "{ended:#?}");
    assert_eq!(read(&place.path("freshet.toml")), "# mine\n");
    assert_eq!(with(&place, "init --force", &[]).code, Some(0));
    assert!(read(&place.path("freshet.toml")).contains("[destination.lake]"));

    let place = Place::new();
    let bad = "init --app Shop --listen nowhere --api-url http://x.example --public-url https://u:hunter2@x.example --lake ftp://b/l --write-secret s";
    let ended = with(&place, bad, &[]);
    assert_eq!(ended.code, Some(78), "{ended:#?}");
    for words in ["`heroku.apps` holds \"Shop\"", "`listen` is \"nowhere\"", "`api_url` must", "`public_url` must", "ftp:// is not known"] {
        assert!(ended.stderr.contains(words), "{words}: {ended:#?}");
    }
    assert!(!ended.stderr.contains("hunter2"));
    assert_eq!(place.path("").read_dir().unwrap().count(), 0);

    let ended = with(&place, "init --config sub/freshet.toml", &[]);
    assert!(ended.code == Some(1) && ended.stderr.contains("cannot be written"), "{ended:#?}");
    let ended = with(&place, "init --config other.toml", &[]);
    assert!(ended.stdout.contains("freshet run --config other.toml"), "{ended:#?}");
    let entries: Vec<_> = place.path("").read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["other.toml"]);
    let json = with(&place, "init --output json", &[]);
    assert!(serde_json::from_str::<serde_json::Value>(&json.stdout).unwrap()["next"].is_array(), "{json:#?}");
}
