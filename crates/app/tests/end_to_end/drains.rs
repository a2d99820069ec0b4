//! `freshet drains` against the fake Heroku and a real `freshet run`.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;

use crate::daemon::{Daemon, SECRET};
use crate::freshet::{Ended, Place};
use crate::heroku::Heroku;

const NEW_SECRET: &str = "n3w-s3cret";

/// A Heroku with two apps that tells nothing, a daemon, and a configuration that knows both.
struct Scene {
    place: Place,
    heroku: Heroku,
    daemon: Option<Daemon>,
}

impl Scene {
    fn new() -> Self {
        let place = Place::new();
        // By night and on Sundays it says far less.
        let heroku = Heroku::start(&place, "--apps 2 --rate 600");
        heroku.pause();
        for drain in heroku.objects("log-drain") {
            // The company is founded with some drains of others; they stay, and must not be touched.
            assert!(!drain["url"].as_str().unwrap().contains("freshet:"), "{drain}");
        }
        let daemon = Daemon::start(&place);
        let scene = Self { place, heroku, daemon: Some(daemon) };
        scene.configure("");
        scene
    }

    fn public_url(&self) -> String {
        format!("http://{}", self.daemon.as_ref().unwrap().address)
    }

    fn configure(&self, receive: &str) {
        let (api, public) = (&self.heroku.url, self.public_url());
        let text = format!("[heroku]\napi_url = \"{api}\"\n[receive]\npublic_url = \"{public}\"\n{receive}\n[load]\nmax_age = \"1s\"\n");
        self.place.file("freshet.toml", text);
    }

    /// Runs `freshet drains` and reads its report. Neither secret may be in anything it says.
    fn drains(&self, line: &str) -> (Ended, Value) {
        let mut command = self.place.command(&format!("drains --output json {line}"), &[]);
        let ended = Ended::from(command.env("HEROKU_API_KEY", "any").env("FRESHET_DRAIN_SECRET", SECRET).output().unwrap());
        let said = format!("{}{}", ended.stdout, ended.stderr);
        assert!(!said.contains(SECRET) && !said.contains(NEW_SECRET), "a secret was shown: {said}");
        let report = serde_json::from_str(&ended.stdout).unwrap_or(Value::Null);
        (ended, report)
    }

    /// Addresses of the drains to us, by Heroku's own account.
    fn ours(&self) -> Vec<String> {
        let drains = self.heroku.objects("log-drain");
        let ours = drains.iter().filter_map(|drain| drain["url"].as_str()).filter(|url| url.contains("freshet:"));
        let mut ours: Vec<String> = ours.map(str::to_owned).collect();
        ours.sort();
        ours
    }

    /// What there should be: one drain for each app.
    fn wanted(&self, secret: &str) -> Vec<String> {
        let place = self.public_url().replace("http://", "");
        let mut all: Vec<String> = self.heroku.apps.iter().map(|app| format!("http://freshet:{secret}@{place}/drain/{app}")).collect();
        all.sort();
        all
    }
}

fn count(report: &Value, what: &str) -> usize {
    report["apps"].as_array().unwrap_or_else(|| panic!("{report}")).iter().map(|app| app[what].as_array().unwrap().len()).sum()
}

#[test]
fn each_app_gets_one_drain_that_delivers() {
    let scene = Scene::new();
    let foreign = scene.heroku.objects("log-drain").len();
    let (ended, report) = scene.drains("add --all --dry-run");
    assert_eq!((ended.code, count(&report, "added"), scene.ours().len()), (Some(0), 2, 0), "{ended:#?}");
    let (ended, report) = scene.drains("verify");
    assert_eq!((ended.code, count(&report, "problems")), (Some(1), 2), "{ended:#?}");
    let (ended, report) = scene.drains(&format!("add {}", scene.heroku.apps[0]));
    assert_eq!((ended.code, count(&report, "added")), (Some(0), 1), "{ended:#?}");
    assert_eq!(scene.drains("verify").0.code, Some(3), "one app still has none");
    assert_eq!(scene.drains("add --all").0.code, Some(0));
    assert_eq!(scene.ours(), scene.wanted(SECRET));
    let (ended, report) = scene.drains("add --all");
    assert_eq!((ended.code, count(&report, "added")), (Some(0), 0), "doing it again changes nothing");
    assert_eq!(scene.drains("verify --silent-after 0s").0.code, Some(0));

    // The drain's rows come under the app's name and its token.
    scene.heroku.ask("POST", "/_control/go-on", "");
    scene.heroku.wait("both drains have delivered", |heroku| {
        let status = heroku.status();
        let drains = status["drains"].as_array().unwrap();
        drains.iter().filter(|drain| drain["acknowledged"].as_u64() > Some(0)).count() >= 2
    });
    scene.heroku.pause();
    scene.daemon.as_ref().unwrap().wait("has committed", || {
        scene.place.lake().join("logs").exists() && scene.place.number("SELECT count(DISTINCT drain_token) FROM logs") == 2
    });
    let (ended, report) = scene.drains("verify");
    assert_eq!(ended.code, Some(0), "{ended:#?}");
    for app in report["apps"].as_array().unwrap() {
        let ours: Vec<&Value> = app["drains"].as_array().unwrap().iter().filter(|drain| drain["standing"] == "right").collect();
        assert!(ours.len() == 1 && ours[0]["last_received_at"].is_string(), "{app}");
        let (token, name) = (ours[0]["token"].as_str().unwrap(), app["app"].as_str().unwrap());
        let sql = format!("SELECT count(*) FROM logs WHERE drain_token = '{token}' AND app <> '{name}'");
        assert_eq!(scene.place.number(&sql), 0, "{app}");
    }
    // Made a while ago and nothing since: as good as dead.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    let (ended, report) = scene.drains("verify --silent-after 1s");
    assert_eq!(ended.code, Some(1), "{ended:#?}");
    assert!(report.to_string().contains("has delivered nothing for"), "{report}");

    let (ended, report) = scene.drains("remove --all");
    assert_eq!((ended.code, count(&report, "removed"), scene.ours().len()), (Some(0), 2, 0), "{ended:#?}");
    assert_eq!(scene.heroku.objects("log-drain").len(), foreign, "drains of others are left alone");
}

#[test]
fn a_rotation_loses_nothing_and_doubles_only_what_both_drains_saw() {
    let mut scene = Scene::new();
    assert_eq!(scene.drains("add --all").0.code, Some(0));
    // The daemon does not take the new secret yet, so nothing may change.
    scene.configure(&format!("drain_secret = \"{NEW_SECRET}\"\ndrain_secret_old = \"{SECRET}\""));
    let (ended, _) = scene.drains("rotate --all");
    assert!(ended.code == Some(1) && ended.stderr.contains("does not take the drain secret (401)"), "{ended:#?}");
    assert_eq!(scene.ours(), scene.wanted(SECRET));

    let address = scene.daemon.as_ref().unwrap().address;
    scene.daemon.take().unwrap().kill();
    scene.daemon = Some(Daemon::start_at(&scene.place, address));
    let (ended, report) = scene.drains("verify");
    assert!(ended.code == Some(1) && report.to_string().contains("has the old secret"), "{ended:#?}");
    let (ended, report) = scene.drains("add --all");
    assert!(ended.code == Some(1) && report.to_string().contains("freshet drains rotate"), "a second drain would double all: {ended:#?}");
    let told_before = scene.heroku.lines();

    scene.heroku.ask("POST", "/_control/go-on", "");
    let (ended, report) = scene.drains("rotate --all --overlap 2s");
    assert_eq!((ended.code, count(&report, "added"), count(&report, "removed")), (Some(0), 2, 2), "{ended:#?}");
    assert_eq!(scene.ours(), scene.wanted(NEW_SECRET));
    std::thread::sleep(std::time::Duration::from_millis(500));
    scene.heroku.pause();
    scene.heroku.ask("POST", "/_control/settle?seconds=30", "");
    let (ended, report) = scene.drains("rotate --all");
    assert_eq!((ended.code, count(&report, "added"), count(&report, "removed")), (Some(0), 0, 0), "{ended:#?}");

    let told = i64::try_from(scene.heroku.lines() - told_before).unwrap();
    assert!(told > 50, "{told}");
    // The query of the manual: of each message, as many as the drain that has most of it.
    let once = "SELECT sum(times) FROM (SELECT max(times) AS times FROM (SELECT app, ts, source, dyno, message, drain_token, count(*) AS times \
                FROM logs GROUP BY app, ts, source, dyno, message, drain_token) GROUP BY app, ts, source, dyno, message)";
    scene.daemon.as_ref().unwrap().wait("has each line that was told", || scene.place.number(once) == told);
    assert!(scene.place.number("SELECT count(*) FROM logs") > told, "for two seconds both drains delivered");
    let tokens = "SELECT count(DISTINCT drain_token) FROM logs";
    assert_eq!(scene.place.number(tokens), 4);
}

#[test]
fn a_secret_is_made_in_a_file_that_only_its_owner_reads() {
    let scene = Scene::new();
    let run = |line: &str| {
        let ended = Ended::from(scene.place.command(&format!("drains {line}"), &[]).env("HEROKU_API_KEY", "any").output().unwrap());
        (ended.code, ended.stdout + &ended.stderr)
    };
    let (code, said) = run("add --all");
    assert!(code == Some(78) && said.contains("--write-secret"), "{said}");
    let (code, said) = run("add --all --write-secret new-secret");
    assert!(code == Some(1) && said.contains("(401)"), "the daemon does not know it: {said}");
    let file = scene.place.path("new-secret");
    let secret = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(secret.len() >= 32 && !said.contains(&secret) && said.contains("drain_secret = \"file:new-secret\""), "{said}");
    assert_eq!(scene.ours().len(), 0);
    let (code, said) = run("add --all --write-secret new-secret --unprobed");
    assert!(code == Some(0) && !said.contains(&secret), "{said}");
    assert_eq!(scene.ours(), scene.wanted(&secret), "the same secret, not a second one");
    let (code, said) = run("list");
    assert!(code == Some(0) && !said.contains(&secret) && said.contains("/drain/"), "{said}");
}

#[test]
fn what_is_missing_is_told() {
    let place = Place::new();
    let without_url = place.run("drains verify", &[]);
    assert!(without_url.code == Some(78) && without_url.stderr.contains("public_url"), "{without_url:#?}");
    let without_token = place.run("drains add shop --url https://logs.example.com", &[]);
    assert!(without_token.code == Some(78) && without_token.stderr.contains("write-protected"), "{without_token:#?}");
    assert_eq!(place.run("drains remove", &[]).code, Some(2), "all apps must be meant");
}
