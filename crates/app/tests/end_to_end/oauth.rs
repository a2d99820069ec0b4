//! An OAuth client in place of a token, against the fake Heroku's own `/oauth/token`.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::freshet::{Ended, Place};
use crate::heroku::Heroku;

const SECRETS: [(&str, &str); 2] = [("HEROKU_OAUTH_SECRET", "client-5ecr3t"), ("HEROKU_OAUTH_REFRESH_TOKEN", "refresh-5ecr3t")];

/// A fake Heroku that knows the client, and a configuration that points there.
fn heroku(place: &Place, flags: &str) -> Heroku {
    let client = "--oauth-secret client-5ecr3t --oauth-refresh-token refresh-5ecr3t";
    let heroku = Heroku::still(place, &format!("--token any {client} {flags}"));
    place.file("freshet.toml", format!("[heroku]\napi_url = \"{url}\"\noauth_url = \"{url}\"\n", url = heroku.url));
    heroku
}

fn with_client(mut command: Command) -> Ended {
    Ended::from(command.envs(SECRETS).output().unwrap())
}

/// All files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// No secret is in what was said or written, the file for refresh tokens excepted.
fn check_silence(place: &Place, said: &str) {
    for secret in ["5ecr3t", "HRKU-"] {
        assert!(!said.contains(secret), "{secret}: {said}");
        for file in files(&place.path("")) {
            let bytes = std::fs::read(&file).unwrap();
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret} is in {}", file.display());
        }
    }
}

#[test]
fn a_sync_outlives_its_tokens() {
    let place = Place::new();
    let _heroku = heroku(&place, "--oauth-expires-in 1 --oauth-rotate");
    let ended = with_client(place.command("sync --full -vv", &[]));
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    let fetched = ended.stderr.matches("access token fetched").count();
    assert!(fetched >= 2, "{fetched} tokens: {}", ended.stderr);
    assert!(place.number("SELECT count(*) FROM apps") > 0);
    check_silence(&place, &format!("{ended:?}"));
    let kept = place.path("data/oauth.json");
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let token: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    let token = token["refresh_token"].as_str().unwrap();
    assert!(!ended.stderr.contains(token), "{}", ended.stderr);
    // The configured refresh token is worth nothing any more, and the kept one is found again.
    let again = with_client(place.command("sync apps", &[]));
    assert_eq!(again.code, Some(0), "{again:#?}");
    std::fs::remove_file(&kept).unwrap();
    let lost = with_client(place.command("sync apps", &[]));
    assert_eq!(lost.code, Some(1), "{lost:#?}");
    assert!(lost.stderr.contains("401 unauthorized") && lost.stderr.contains("authorise the client again"), "{lost:#?}");
    check_silence(&place, &format!("{lost:?}"));
}

#[test]
fn the_daemon_renews_its_token() {
    let place = Place::new();
    let heroku = heroku(&place, "--oauth-expires-in 1");
    let config = std::fs::read_to_string(place.path("freshet.toml")).unwrap();
    place.file("freshet.toml", format!("{config}[schedule]\ndefault = \"every 1m\"\n"));
    let mut command = place.command("run --listen 127.0.0.1:0", &[]);
    let log = std::fs::File::create(place.path("log.txt")).unwrap();
    command.envs(SECRETS).env("FRESHET_DRAIN_SECRET", "drain-secret").stderr(log);
    let mut daemon = command.spawn().unwrap();
    let runs = "SELECT count(*) FROM _runs WHERE reason = 'schedule' AND outcome = 'ok'";
    let begun = Instant::now();
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let said = std::fs::read_to_string(place.path("log.txt")).unwrap();
        let has_run = place.lake().join("_runs/_delta_log/00000000000000000001.json").exists() && place.number(runs) >= 40;
        if has_run && said.matches("access token fetched").count() >= 2 {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(60) && daemon.try_wait().unwrap().is_none(), "{said}");
    }
    daemon.kill().unwrap();
    daemon.wait().unwrap();
    assert_eq!(place.number("SELECT count(*) FROM _runs WHERE outcome <> 'ok'"), 0);
    assert!(!place.path("data/oauth.json").exists(), "the refresh token stayed the same");
    check_silence(&place, "");
    drop(heroku);
}

#[test]
fn check_names_the_kind_of_token_and_its_end() {
    let place = Place::new();
    let _heroku = heroku(&place, "");
    let check = |variables: &[(&str, &str)]| {
        let mut command = place.command("check --listen 127.0.0.1:0 --output json", &[]);
        let ended =
            Ended::from(command.env("FRESHET_DRAIN_SECRET", "long-enough-drain-secret").envs(variables.iter().copied()).output().unwrap());
        check_silence(&place, &format!("{ended:?}"));
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        let probes = document["probes"].as_array().unwrap();
        let token = probes.iter().find(|probe| probe["probe"] == "token").unwrap_or_else(|| panic!("{document}")).to_string();
        (ended.code, token)
    };
    let says = |variables: &[(&str, &str)], code: i32, words: &[&str]| {
        let (found, token) = check(variables);
        assert_eq!(found, Some(code), "{token}");
        for word in words {
            assert!(token.contains(word), "{word}: {token}");
        }
    };
    says(&SECRETS, 0, &["\"good\"", "of an OAuth client: good for 8 h, and renewed by itself"]);
    says(&[("HEROKU_API_KEY", "any")], 0, &["\"good\"", "a fixed token"]);
    says(&[SECRETS[0], ("HEROKU_OAUTH_REFRESH_TOKEN", "old-5ecr3t")], 77, &["failed", "401 unauthorized", "authorise the client again"]);
    says(&[SECRETS[1]], 78, &["failed", "`oauth_client_secret` of the OAuth client is not there", "HEROKU_OAUTH_SECRET"]);
    says(&[SECRETS[0], SECRETS[1], ("HEROKU_API_KEY", "any")], 78, &["failed", "both set", "unset one"]);
    let config = std::fs::read_to_string(place.path("freshet.toml")).unwrap();
    place.file("freshet.toml", format!("{}oauth_url = \"http://127.0.0.1:9\"\n", config.split_inclusive('\n').take(2).collect::<String>()));
    says(&SECRETS, 1, &["failed", "http://127.0.0.1:9/oauth/token cannot be asked", "`oauth_url`"]);
    place.file("freshet.toml", config);
    // The client's secret alone may be there for another program.
    says(&[SECRETS[0]], 0, &["skipped", "HEROKU_API_KEY"]);
}

#[test]
fn every_verb_takes_it_and_none_guesses_between_two() {
    let place = Place::new();
    let heroku = heroku(&place, "");
    let app = &heroku.apps[0];
    let lines = ["drains list", "webhooks list", "sync regions", "drift"];
    for line in lines.map(str::to_owned).into_iter().chain([format!("tail --app {app} --for 1s")]) {
        let ended = with_client(place.command(&line, &[]));
        assert_eq!(ended.code, Some(0), "{line}: {ended:#?}");
        check_silence(&place, &format!("{ended:?}"));
        let mut both = place.command(&line, &[]);
        both.env("HEROKU_API_KEY", "any");
        let both = with_client(both);
        assert!(both.code == Some(78) && both.stderr.contains("unset one"), "{line}: {both:#?}");
    }
    // What the file says counts before what only the environment has.
    let config = std::fs::read_to_string(place.path("freshet.toml")).unwrap();
    for written in ["oauth_refresh_token = \"env:HEROKU_OTHER\"", "token = \"env:HEROKU_OTHER\""] {
        place.file("freshet.toml", format!("{config}{written}\n"));
        let mut command = place.command("sync regions", &[]);
        let other = if written.starts_with("token") { "any" } else { SECRETS[1].1 };
        command.env("HEROKU_OTHER", other).env("HEROKU_API_KEY", if other == "any" { "wrong" } else { "any" });
        let ended = with_client(command);
        assert_eq!(ended.code, Some(0), "{written}: {ended:#?}");
    }
}
