//! `freshet check`: each probe's good and bad endings, by what it says and how the process ends.

pub(crate) mod api;

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Child;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::Value;

use crate::daemon::Daemon;
use crate::freshet::{Ended, Place};
use crate::http;
use crate::import_kills::strace_works;
use crate::small_disk::{BreakableLake, SmallDisk};
use api::{Api, Reply, Server, TOKEN};

/// Long enough, and nowhere else in any output.
const SECRET: &str = "drain-5ecr3t_long~enough";

/// What `freshet check` said.
struct Checked {
    ended: Ended,
    document: Value,
}

/// A folder with a `freshet.toml` whose API is at `api`, and `more` after that, in `[heroku]` until it opens another section.
fn place_with(api: &Server, more: &str) -> Place {
    let place = Place::new();
    place.file("freshet.toml", format!("[heroku]\napi_url = \"{}\"\n{more}\n", api.url()));
    place
}

/// Runs it once, for programs: where running it takes as long as a probe may wait.
fn check_once(place: &Place) -> Checked {
    let mut command = place.command("check --listen 127.0.0.1:0 --output json", &[]);
    let ended = Ended::from(command.env("HEROKU_API_KEY", TOKEN).env("FRESHET_DRAIN_SECRET", SECRET).output().unwrap());
    let document = serde_json::from_str(&ended.stdout).unwrap();
    Checked { ended, document }
}

/// Runs it twice: for people, and for programs, whose words must be the same. No secret may be in either.
fn check_with(place: &Place, line: &str, variables: &[(&str, &str)]) -> Checked {
    let run = |line: &str| {
        let mut command = place.command(line, &[]);
        command.env("FRESHET_DRAIN_SECRET", SECRET).env("HEROKU_API_KEY", TOKEN).envs(variables.iter().copied());
        let ended = Ended::from(command.output().unwrap());
        let secrets = variables.iter().filter(|(name, _)| name.ends_with("SECRET") || name.ends_with("KEY")).map(|(_, value)| *value);
        for secret in secrets.chain([SECRET, TOKEN]).filter(|secret| secret.len() > 3) {
            assert!(!ended.stdout.contains(secret) && !ended.stderr.contains(secret), "{line} shows {secret}: {ended:#?}");
        }
        ended
    };
    let for_programs = run(&format!("check --listen 127.0.0.1:0 --output json -vv {line}"));
    let document: Value = serde_json::from_str(&for_programs.stdout).unwrap_or_else(|error| panic!("{error}: {for_programs:#?}"));
    assert_eq!(document["exit_code"].as_i64(), for_programs.code.map(i64::from), "{document}");
    let ended = run(&format!("check --listen 127.0.0.1:0 {line}"));
    assert_eq!(ended.code, for_programs.code, "{ended:#?} {document}");
    for probe in document["probes"].as_array().unwrap() {
        let mark = match probe["state"].as_str().unwrap() {
            "good" => '✓',
            "warning" => '!',
            "failed" => '✗',
            "skipped" => '-',
            other => panic!("{other}"),
        };
        let begin = format!("  {mark} {:<16}", probe["probe"].as_str().unwrap());
        assert!(ended.stdout.lines().any(|line| line.starts_with(&begin)), "{begin:?} is not in {}", ended.stdout);
    }
    Checked { ended, document }
}

impl Checked {
    fn probe(&self, name: &str) -> &Value {
        let probes = self.document["probes"].as_array().unwrap();
        probes.iter().find(|probe| probe["probe"] == name).unwrap_or_else(|| panic!("no {name} in {}", self.document))
    }

    /// The probe `name` ended in `state`, and its line and fix hold all of `words`.
    fn says(&self, name: &str, state: &str, words: &[&str]) -> &Self {
        let probe = self.probe(name);
        let text = format!("{} {}", probe["found"].as_str().unwrap(), probe["fix"].as_str().unwrap_or_default());
        assert!(probe["state"] == state && words.iter().all(|words| text.contains(words)), "{state} {words:?}: {probe:#}");
        assert!(probe["fix"].is_string() == matches!(state, "warning" | "failed"), "{probe:#}");
        self
    }

    fn exits(&self, code: i32) -> &Self {
        assert_eq!(self.ended.code, Some(code), "{}", self.ended.stdout);
        self
    }
}

fn check(place: &Place, line: &str) -> Checked {
    check_with(place, line, &[])
}

fn files_in(folder: &Path) -> Vec<String> {
    folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn all_is_well_and_nothing_is_left_behind() {
    let api = Api::default().start();
    let place = place_with(&api, "apps = [\"shop-*\", \"billing\"]");
    let checked = check(&place, "");
    checked.exits(0);
    checked.says("token", "good", &["jane@example.com"]).says("clock", "good", &["within 2 s"]);
    checked.says("apps", "good", &["3 of the 4", "shop-* (2)", "billing (1)"]).says("rate limit", "good", &["4 321 requests left"]);
    checked.says("drain secret", "good", &["24 characters"]).says("TLS", "skipped", &["front"]).says("port", "good", &["free"]);
    checked.says("public address", "skipped", &["--url"]).says("lake", "good", &["put of a taken name refused", "made when needed"]);
    checked.says("room", "good", &["1.0 GiB at most"]).says("sync", "good", &["of 20", "frames/s"]);
    assert_eq!((checked.document["failures"].as_u64(), checked.document["warnings"].as_u64()), (Some(0), Some(0)));
    assert!(checked.ended.stdout.contains("All well. Next:  freshet run"), "{}", checked.ended.stdout);
    assert_eq!(files_in(&place.path("")), ["freshet.toml"]);
}

#[test]
fn every_problem_of_the_file_is_told_at_once() {
    let place = Place::new();
    place.file(
        "freshet.toml",
        "[recieve]\nlisten = \"x\"\n[load]\nmax_age = 30\n[heroku]\napps = \"shop\"\napi_url = \"https://u:hunter2@x.example\"\n",
    );
    for line in ["", "--offline", "--url http://logs.example.com", "--listen nowhere", "--lake ftp://host/lake"] {
        // A later --listen wins over that of the function, so it is given by the command line itself.
        let command = format!("check --output json {line}");
        let ended = place.run(&command, &[]);
        let document: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((ended.code, document["exit_code"].as_i64()), (Some(78), Some(78)), "{line}");
        assert_eq!(document["probes"], serde_json::json!([]), "{line}");
        let problems = document["config"]["problems"].as_array().unwrap();
        let from_flags = usize::from(!line.is_empty() && line != "--offline");
        assert_eq!(problems.len(), 4 + from_flags, "{line}: {document:#}");
        assert_eq!((problems[0]["line"].as_i64(), problems[0]["column"].as_i64()), (Some(1), Some(2)));
        assert!(!ended.stdout.contains("hunter2"));
    }
    let ended = place.run("check", &[]);
    assert_eq!(ended.code, Some(78));
    for words in ["✗ 1:2 ", "did you mean `receive`?", "✗ 4:1 ", "✗ 6:1 ", "✗ 7:1 ", "4 problems in the configuration"] {
        assert!(ended.stdout.contains(words), "{words}: {ended:#?}");
    }
    assert_eq!(files_in(&place.path("")), ["freshet.toml"]);

    let place = Place::new();
    let ended = place.run("check --config nowhere.toml", &[]);
    assert!(ended.code == Some(78) && ended.stdout.contains("nowhere.toml: it cannot be read"), "{ended:#?}");
    let ended = Ended::from(place.command("check", &[]).env("PORT", "http").output().unwrap());
    assert!(ended.code == Some(78) && ended.stdout.contains("$PORT is \"http\""), "{ended:#?}");
}

#[test]
fn offline_asks_nobody() {
    let api = Api::default().start();
    let place = place_with(&api, "apps = [\"nothing-*\"]");
    let checked = check(&place, "--offline");
    checked.exits(0);
    assert_eq!(checked.document["probes"], serde_json::json!([]));
    assert_eq!(api.seen(), [""; 0]);
}

#[test]
fn a_token_is_tried() {
    let good = Api::default().start();
    let place = place_with(&good, "");
    // Drains need none, and without it nothing is known of apps.
    let without = check_with(&place, "", &[("HEROKU_API_KEY", "")]);
    without.exits(0).says("token", "skipped", &["Log drains need none"]).says("clock", "good", &[]);
    let wanted = place_with(&good, "apps = [\"shop-*\"]");
    check_with(&wanted, "", &[("HEROKU_API_KEY", "")]).exits(0).says("token", "warning", &["HEROKU_API_KEY", "authorizations:create"]);
    let refused = check_with(&place, "", &[("HEROKU_API_KEY", "HRKU-wr0ng")]);
    refused.exits(77).says("token", "failed", &["401 unauthorized", "[secret]", "authorizations:create"]).says("clock", "good", &[]);
    assert_eq!(refused.document["probes"].as_array().unwrap().iter().filter(|probe| probe["section"] == "Heroku").count(), 2);
    check_with(&place, "", &[("HEROKU_API_KEY", "HRKU-\u{7f}bad")]).exits(78).says("token", "failed", &["characters that no token has"]);

    let with = |account_error, scopes| {
        let api = Api { account_error, scopes, ..Api::default() }.start();
        let place = place_with(&api, "");
        check(&place, "")
    };
    with(Some((403, "two_factor")), None).exits(77).says("token", "failed", &["403 two_factor", "second factor"]);
    with(Some((429, "rate_limit")), None).exits(0).says("token", "warning", &["429 rate_limit"]);
    with(Some((503, "maintenance")), None).exits(1).says("token", "failed", &["not in service"]);
    with(Some((404, "not_found")), None).exits(1).says("token", "failed", &["api_url"]);
    with(None, Some(vec!["read-protected"])).exits(0).says("token", "good", &["with scope read-protected"]);
    with(None, Some(vec!["identity"])).exits(77).says("token", "failed", &["scope identity", "read-protected"]);
}

#[test]
fn an_api_that_is_not_there_is_explained() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new();
    let at = |url: &str| place.file("freshet.toml", format!("[heroku]\napi_url = \"{url}\"\n"));
    at(&format!("http://{silent}"));
    check(&place, "").exits(1).says("token", "failed", &["connection refused", "api_url"]).says("clock", "skipped", &["refused"]);
    at("https://no-such-host.invalid");
    check(&place, "").exits(1).says("token", "failed", &["cannot be resolved"]);
    let strange = Server::always(200, Vec::new(), "<html>Welcome</html>");
    at(&strange.url());
    check(&place, "").exits(1).says("token", "failed", &["not that of Heroku's API"]).says("clock", "skipped", &["no date"]);
}

#[test]
fn a_silent_server_does_not_hold_it_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let url = format!("http://{}", listener.local_addr().unwrap());
    place.file("freshet.toml", format!("[heroku]\napi_url = \"{url}\"\n[receive]\npublic_url = \"{url}\"\n"));
    check_once(&place).exits(1).says("token", "failed", &["no answer within 8 s"]).says(
        "public address",
        "failed",
        &["no answer within 8 s"],
    );
}

#[test]
fn probes_wait_side_by_side() {
    // Nobody is answered before both have asked.
    let both = Barrier::new(2);
    let server = Server::start(move |_| {
        both.wait();
        (200, Vec::new(), "<html>Welcome</html>".to_owned())
    });
    let place = place_with(&server, &format!("[receive]\npublic_url = \"{}\"", server.url()));
    check_once(&place).exits(1).says("token", "failed", &["not that of Heroku's API"]);
}

#[test]
fn apps_are_counted_over_all_pages_and_teams() {
    let names: Vec<&'static str> = (0..25).map(|index| &*Box::leak(format!("app-{index}").into_boxed_str())).collect();
    let api = Api { apps: names, page: 10, ..Api::default() }.start();
    let apps = |patterns: &str| check(&place_with(&api, &format!("apps = [{patterns}]")), "");
    apps("\"app-*\", \"team-app\"").exits(0).says("apps", "good", &["26 of the 26", "app-* (25)", "team-app (1)"]);
    assert_eq!(api.seen().iter().filter(|line| line.starts_with("GET /apps ")).count(), 6, "three pages, twice");
    apps("\"app-1*\", \"shop-*\", \"taem-app\"").exits(0).says(
        "apps",
        "warning",
        &["11 of the 26", "nothing matches shop-*, taem-app", "taem-app: did you mean team-app?"],
    );
    apps("\"shop-*\"").exits(1).says("apps", "failed", &["0 of the 26", "nothing matches shop-*"]);
    apps("").exits(0).says("apps", "good", &["26 apps, all of them wanted", "and 21 more"]);
    let nobody = Api { apps: Vec::new(), team_apps: Vec::new(), ..Api::default() }.start();
    check(&place_with(&nobody, ""), "").exits(0).says("apps", "warning", &["no apps"]);
}

#[test]
fn the_limits_and_the_clock_are_read() {
    let with = |remaining, clock_ahead_s| {
        let api = Api { remaining, clock_ahead_s, ..Api::default() }.start();
        check(&place_with(&api, ""), "")
    };
    with(30, 0).exits(0).says("rate limit", "warning", &["only 30 requests left"]);
    with(4500, 60).exits(0).says("clock", "warning", &["behind Heroku's", "set-ntp"]);
    with(4500, -60).exits(0).says("clock", "warning", &["ahead of Heroku's"]);
    with(4500, -3600).exits(1).says("clock", "failed", &["60 min ahead"]);
}

#[test]
fn the_drain_secret_is_judged_and_never_shown() {
    let api = Api::default().start();
    let with = |secret: &str| check_with(&place_with(&api, ""), "", &[("FRESHET_DRAIN_SECRET", secret)]);
    with("").exits(78).says("drain secret", "failed", &["there is no drain secret", "export FRESHET_DRAIN_SECRET="]);
    with("f1fteen-letters").exits(0).says("drain secret", "warning", &["only 15 characters"]);
    with("sixteen--letters").exits(0).says("drain secret", "good", &["16 characters"]);
    with("with:colon@and-more").exits(78).says("drain secret", "failed", &["letters, digits"]);
    with(&"s".repeat(257)).exits(78).says("drain secret", "failed", &["257 characters"]);
    let rotating = place_with(&api, "[receive]\ndrain_secret_old = \"file:old\"\n");
    check(&rotating, "").exits(78).says("drain secret", "failed", &["old: "]);
    rotating.file("old", "0ld-and-still-in-use\n");
    let checked = check(&rotating, "");
    checked.exits(0).says("drain secret", "good", &["an old one is accepted too"]);
    assert!(!checked.ended.stdout.contains("0ld-and"));
}

/// A certificate for `localhost` and its key.
fn identity(place: &Place, name: &str) -> String {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    place.file(&format!("{name}.crt"), cert.pem());
    place.file(&format!("{name}.key"), signing_key.serialize_pem());
    cert.pem()
}

#[test]
fn tls_files_must_belong_together() {
    let api = Api::default().start();
    let with = |certificate: &str, key: &str| {
        let place = place_with(&api, &format!("[receive]\ntls_certificate = \"{certificate}\"\ntls_key = \"{key}\"\n"));
        identity(&place, "a");
        identity(&place, "b");
        place.file("empty", "");
        check(&place, "")
    };
    with("a.crt", "a.key").exits(0).says("TLS", "good", &["a.crt"]);
    with("a.crt", "b.key").exits(78).says("TLS", "failed", &["does not work with", "belong together"]);
    with("nowhere.crt", "a.key").exits(78).says("TLS", "failed", &["nowhere.crt", "may read"]);
    with("a.crt", "empty").exits(78).says("TLS", "failed", &["no private key in empty"]);
}

#[test]
fn whoever_has_the_port_is_named() {
    let api = Api::default().start();
    let place = place_with(&api, "");
    let check_at = |address: SocketAddr, line: &str| {
        let mut command = place.command(&format!("check --listen {address} --output json {line}"), &[]);
        let ended = Ended::from(command.env("FRESHET_DRAIN_SECRET", SECRET).output().unwrap());
        let document = serde_json::from_str(&ended.stdout).unwrap();
        Checked { ended, document }
    };
    let daemon = Daemon::start(&place);
    daemon.wait("reports", || place.path("data/status.json").exists());
    check_at(daemon.address, "").exits(0).says("port", "good", &["this Freshet runs there", "as process"]).says("lake", "good", &[]);
    let elsewhere = place.path("other-data");
    let line = format!("--data-dir {}", elsewhere.display());
    check_at(daemon.address, &line).exits(1).says("port", "failed", &["a Freshet with another data directory"]);
    daemon.stop();
    let other = Server::always(200, Vec::new(), "ok\n");
    check_at(other.address, "").exits(1).says("port", "failed", &["another program", &format!(":{}", other.address.port())]);
    check_at("192.0.2.1:8080".parse().unwrap(), "").exits(1).says("port", "failed", &["no address 192.0.2.1"]);
}

#[test]
fn the_way_from_heroku_is_walked() {
    let api = Api::default().start();
    let place = place_with(&api, "");
    let daemon = Daemon::start(&place);
    let url = format!("http://{}", daemon.address);
    check_with(&place, &format!("--url {url}/"), &[("FRESHET_DRAIN_SECRET", crate::daemon::SECRET)]).exits(0).says(
        "public address",
        "good",
        &[&url, "takes drains with this secret"],
    );
    check(&place, &format!("--url {url}")).exits(1).says("public address", "failed", &["does not take this secret", "Authorization"]);
    daemon.wait("reports", || place.path("data/status.json").exists());
    let ended = daemon.stop();
    assert!(!ended.stderr.contains(SECRET));
    assert!(place.data_rows().is_empty(), "an empty frame leaves no row");

    let front = |status, body| Server::always(status, vec![("Location", "https://elsewhere.example/".to_owned())], body);
    let through = |front: &Server| check(&place, &format!("--url {}", front.url()));
    through(&front(404, "no")).exits(1).says("public address", "failed", &["404", "something else answers"]);
    through(&front(401, "no")).exits(1).says("public address", "failed", &["401", "a login of its own"]);
    through(&front(301, "")).exits(1).says("public address", "failed", &["301", "Logplex follows none"]);
    through(&front(200, "<html>")).exits(1).says("public address", "failed", &["not by Freshet"]);
    through(&front(500, "")).exits(1).says("public address", "failed", &["answered with 500"]);
    let down = front(502, "");
    through(&down).exits(0).says("public address", "warning", &["502", "freshet run"]);
    assert!(down.seen().iter().all(|line| line.starts_with("GET /healthz")), "no secret goes to a stranger: {:?}", down.seen());
    let no_posts = Server::start(|request| -> Reply {
        if request.line.starts_with("GET") { (200, Vec::new(), "ok\n".into()) } else { (413, Vec::new(), String::new()) }
    });
    through(&no_posts).exits(1).says("public address", "failed", &["a drain's POST is answered with 413"]);
    check(&place, "--url http://127.0.0.1:1").exits(0).says("public address", "warning", &["connection refused", "freshet run"]);
    check(&place, "--url https://no-such-host.invalid").exits(1).says("public address", "failed", &["DNS"]);

    // With a Freshet that runs here, a front that does not reach it is a fault.
    let daemon = Daemon::start(&place);
    daemon.wait("reports", || place.path("data/status.json").exists());
    through(&down).exits(1).says("public address", "failed", &["does not reach the Freshet that runs here"]);
    daemon.stop();
}

/// A daemon with TLS; killed when dropped.
struct TlsDaemon(Child);

impl Drop for TlsDaemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn certificates_are_judged_as_logplex_judges_them() {
    let api = Api::default().start();
    let place = place_with(&api, "[receive]\ntls_certificate = \"a.crt\"\ntls_key = \"a.key\"\n");
    identity(&place, "a");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = place.command(&format!("run --listen {port}"), &[]);
    let _daemon = TlsDaemon(command.env("FRESHET_DRAIN_SECRET", SECRET).stderr(std::process::Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while std::net::TcpStream::connect(port).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }
    let at = |host: &str| format!("--url https://{host}:{}", port.port());
    check(&place, &at("localhost")).exits(1).says("public address", "failed", &["self-signed", "L14"]);
    let trusted = [("SSL_CERT_FILE", place.path("a.crt").to_str().unwrap().to_owned())];
    let trusted: Vec<(&str, &str)> = trusted.iter().map(|(name, value)| (*name, value.as_str())).collect();
    check_with(&place, &at("localhost"), &trusted).exits(0).says("public address", "good", &["takes drains with this secret"]);
    check_with(&place, &at("127.0.0.1"), &trusted).exits(1).says("public address", "failed", &["for another name", "L14"]);
    let plain = Server::always(200, Vec::new(), "ok\n");
    check(&place, &format!("--url https://{}", plain.address)).exits(1).says("public address", "failed", &["TLS"]);
}

#[test]
fn a_lake_that_cannot_be_written_is_said_so() {
    let api = Api::default().start();
    let place = place_with(&api, "");
    let file = place.file("a-file", "");
    let at = |lake: &Path| check(&place, &format!("--lake {}", lake.display()));
    at(&file).exits(1).says("lake", "failed", &["directory"]);
    at(&file.join("below")).exits(1).says("lake", "failed", &["directory"]);
    at(&place.path("deep/down/lake")).exits(0).says("lake", "good", &["made when needed"]);
    assert!(!place.path("deep").exists());
    std::fs::create_dir_all(place.path("odd%20name")).unwrap();
    at(&place.path("odd%20name")).exits(1).says("lake", "failed", &["%"]);
    let Some(lake) = BreakableLake::new(&place.path("breakable")) else { return };
    at(&place.path("breakable")).exits(0);
    lake.break_down();
    at(&place.path("breakable")).exits(77).says("lake", "failed", &["write access"]);
}

#[test]
fn a_disk_is_measured() {
    let api = Api::default().start();
    let place = place_with(&api, "[spool]\nmax_bytes = \"64MiB\"\nsegment_bytes = \"4MiB\"\n");
    place.file("data", "in the way");
    check(&place, "").exits(1).says("room", "failed", &["data cannot be written"]);
    std::fs::remove_file(place.path("data")).unwrap();
    let Some(disk) = SmallDisk::mount(&place.path("data"), "32m") else { return };
    check(&place, "").exits(0).says("room", "warning", &["only 32.0 MiB free", "may grow to 64.0 MiB", "free 32.0 MiB"]);
    disk.resize("100m");
    check(&place, "").exits(0).says("room", "good", &["64.0 MiB at most"]);
    disk.resize("2m");
    check(&place, "").exits(1).says("room", "failed", &["only 2.0 MiB free"]);
    std::fs::write(place.path("data/filler"), vec![0; 2 << 20]).unwrap();
    check(&place, "").exits(1).says("room", "failed", &["No space left", "free some space"]);
}

#[test]
fn a_slow_disk_is_a_warning() {
    let api = Api::default().start();
    let place = place_with(&api, "");
    if !strace_works() {
        eprintln!("skipped: strace is not there or may not trace");
        return;
    }
    let injection = "inject=fdatasync:delay_enter=25000";
    let mut traced = place.traced(&["-e", "trace=fdatasync", "-e", injection], "check --listen 127.0.0.1:0 --output json", &[]);
    let ended = Ended::from(traced.env("FRESHET_DRAIN_SECRET", SECRET).output().unwrap());
    let document: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:#?}"));
    Checked { ended, document }.exits(0).says("sync", "warning", &["frames/s from one drain", "local SSD"]);
}

#[test]
fn a_lake_and_a_spool_in_use_are_not_disturbed() {
    let api = Api::default().start();
    let place = place_with(&api, "");
    let daemon = Daemon::start(&place);
    for index in 0..5 {
        let body = http::message(format!("seq={index:012}").as_bytes());
        http::Frame::of(&format!("{index:032X}"), &body).deliver(daemon.address);
        check(&place, "").exits(0).says("lake", "good", &[]).says("sync", "good", &[]).says("room", "good", &[]);
    }
    daemon.stop();
    assert_eq!(place.number("SELECT count(*) FROM logs"), 5);
    assert!(files_in(&place.lake()).iter().all(|name| !name.contains("check")), "{:?}", files_in(&place.lake()));
}
