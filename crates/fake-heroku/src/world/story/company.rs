//! Who the company is: its apps, how large each of them is, and what happened to them before the story begins.

use serde_json::{Map, Value, json};

use super::agenda::{Agenda, HOUR, MINUTE, Pen};
use super::app::{App, News, text};
use super::kinds::{KINDS, Kind};
use super::text::moment;
use super::{curve, database_log, gauges, request, stores, voices};
use crate::world::actions::{FOUNDED_DAYS, Scale};
use crate::world::event::{Action, Actor};
use crate::world::{Chance, World, WorldOptions};

/// What an app is like.
#[derive(Clone, Debug)]
pub(super) struct Profile {
    /// Its name on Heroku.
    pub(super) name: String,
    /// Its own domain.
    pub(super) domain: String,
    pub(super) kind: &'static Kind,
    /// Whether it is an app of the Fir generation.
    pub(super) is_fir: bool,
    /// Whether its requests come through Router 2.0, which logs more.
    pub(super) has_new_router: bool,
    /// Whether `log-runtime-metrics` is switched on.
    pub(super) has_runtime_metrics: bool,
    /// The number by which the metrics of dynos name the app.
    pub(super) number: u64,
    /// Requests of an average second of an average week.
    pub(super) requests_per_second: f64,
    /// Process type, dynos, size.
    pub(super) formation: Vec<(&'static str, u64, &'static str)>,
    pub(super) addons: &'static [&'static str],
}

const COMPANIES: [&str; 12] = [
    "acornhome",
    "brightnest",
    "cedarloft",
    "dovecote",
    "emberware",
    "fernhouse",
    "goldfinch",
    "hearthside",
    "inkandoak",
    "juniperlane",
    "kestrelhome",
    "lanternrow",
];

/// The second, third, … app of a kind is called so.
const SUFFIXES: [&str; 5] = ["", "-eu", "-staging", "-us", "-beta"];

/// How many days before the story an app was made: after the company was founded.
const APP_DAYS: (u64, u64) = (60, FOUNDED_DAYS.unsigned_abs() - 1);

/// The part of all lines that may be written by the clock and not by traffic.
const BACKGROUND_MAX: f64 = 0.35;

/// The apps of a company, the largest first. Their traffic follows a power law.
pub(super) fn cast(options: &WorldOptions, chance: &Chance) -> Vec<Profile> {
    let chance = &mut chance.of("company");
    let company = *chance.one_of(&COMPANIES);
    let shares: Vec<f64> = (0..options.apps).map(|rank| 1.0 / (rank as f64 + 1.0).powf(1.1)).collect();
    let all_shares: f64 = shares.iter().sum();
    let lines = options.lines_per_second.max(0.0);
    let lines_of_kinds = KINDS.each_ref().map(lines_per_request);
    let mut background = 0.0;
    let mut profiles: Vec<Profile> = (shares.iter().enumerate())
        .map(|(rank, share)| {
            let kind = &KINDS[rank % KINDS.len()];
            let suffix = match rank / KINDS.len() {
                round if round < SUFFIXES.len() => SUFFIXES[round].to_owned(),
                round => format!("-{round}"),
            };
            let is_fir = rank % 7 == 3;
            let requests_per_second = lines * share / all_shares / lines_of_kinds[rank % KINDS.len()];
            let formation = formation(kind, rank, requests_per_second, is_fir);
            let mut may_spend = |lines_per_second: f64| {
                let is_affordable = rank == 0 || background + lines_per_second < lines * BACKGROUND_MAX;
                background += if is_affordable { lines_per_second } else { 0.0 };
                is_affordable
            };
            let has_addons = may_spend(lines_of_addons(kind.addons));
            let dynos: u64 = formation.iter().map(|(_, dynos, _)| dynos).sum();
            let has_runtime_metrics = !is_fir && may_spend(2.0 * dynos as f64 / gauges::SECONDS_BETWEEN);
            Profile {
                name: format!("{company}-{}{suffix}", kind.name),
                domain: format!("{}{suffix}.{company}.example", kind.name),
                kind,
                is_fir,
                has_new_router: is_fir || chance.happens(0.6),
                has_runtime_metrics,
                number: chance.between(100_000_000, 400_000_000),
                requests_per_second,
                formation,
                addons: if has_addons { kind.addons } else { &[] },
            }
        })
        .collect();
    // What the clock writes is taken from what traffic may write.
    let left = 1.0 - (background / lines.max(f64::MIN_POSITIVE)).min(0.9);
    for profile in &mut profiles {
        profile.requests_per_second *= left;
    }
    profiles
}

fn formation(kind: &Kind, rank: usize, requests_per_second: f64, is_fir: bool) -> Vec<(&'static str, u64, &'static str)> {
    let size = match rank {
        // Fir has sizes of its own: the app begins with the usual one.
        _ if is_fir => "",
        0 => "Standard-2X",
        _ => "Standard-1X",
    };
    let dynos = |load: f64, least: u64| (load.ceil() as u64).clamp(least, 12);
    let mut formation = vec![("web", dynos(requests_per_second / 12.0, if rank == 0 { 3 } else { 1 }), size)];
    if !kind.jobs.is_empty() {
        formation.push(("worker", dynos(requests_per_second * kind.jobs_per_request / 6.0, 1), size));
    }
    formation
}

/// Lines per second that the data stores write by themselves.
fn lines_of_addons(addons: &[&str]) -> f64 {
    let of_one = |addon: &&str| match *addon {
        addon if addon.starts_with("heroku-postgresql") => 2.0 / stores::SECONDS_BETWEEN + 1.7 / database_log::SECONDS_BETWEEN,
        addon if addon.starts_with("heroku-redis") => 1.0 / stores::SECONDS_BETWEEN,
        // The scheduler starts a process every half hour, of which there are some eight lines.
        _ => 8.0 / 1_800.0,
    };
    addons.iter().map(of_one).sum()
}

/// How many lines a request leads to, jobs included: tried out, since nothing else stays true when a line is added somewhere.
fn lines_per_request(kind: &'static Kind) -> f64 {
    const TRIES: i64 = 1_500;
    let profile = Profile {
        name: String::new(),
        domain: String::new(),
        kind,
        is_fir: false,
        has_new_router: true,
        has_runtime_metrics: false,
        number: 0,
        requests_per_second: 0.0,
        formation: Vec::new(),
        addons: &[],
    };
    let mut app = App::new(String::new(), "example".to_owned(), profile, Chance::new(1));
    app.version = 2;
    for process_type in ["web", "worker"] {
        let data = json!({ "name": process_type, "type": process_type, "state": "up" });
        let news = News { resource: "dyno", id: process_type, action: Action::Create, object: &data, is_history: true };
        app.observe(0, &news, 0, &mut Agenda::default());
    }
    let mut pen = Pen::new(0);
    for at in 0..TRIES {
        request::happen(&mut app, at, &mut pen);
        if app.chance.happens(kind.jobs_per_request.min(1.0)) {
            for _ in 0..kind.jobs_per_request.ceil() as u64 {
                voices::of_job(&mut app, at, &mut pen);
            }
        }
    }
    pen.waiting() as f64 / TRIES as f64
}

/// What was done to an app before the story began.
enum Deed {
    Found,
    AddOn(&'static str),
    Configure(Map<String, Value>),
    Domain,
    Collaborator(usize),
    Deploy(String),
    Scale,
}

/// Lets the company come into being, in the order of time; each app has `releases` from the start. What the world refuses did not happen.
pub(super) fn found(world: &mut World, profiles: Vec<Profile>, releases: usize, chance: &Chance) -> Vec<App> {
    let people = world.people();
    let begins = world.now;
    let mut deeds: Vec<(i64, usize, Deed)> = Vec::new();
    for (rank, profile) in profiles.iter().enumerate() {
        history(profile, rank, begins.as_microsecond(), people.len(), &mut chance.of(&profile.name).of("history"), &mut deeds);
    }
    deeds.sort_by_key(|(at, rank, _)| (*at, *rank));
    let mut apps: Vec<Option<App>> = profiles.iter().map(|_| None).collect();
    for (at, rank, deed) in deeds {
        let Some(by) = people.get((at / HOUR) as usize % people.len().max(1)) else { break };
        world.do_due(moment(at));
        world.now = moment(at);
        let profile = &profiles[rank];
        if let Deed::Found = deed {
            let mut wanted = Map::from_iter([("name".to_owned(), json!(profile.name))]);
            if profile.is_fir {
                wanted.insert("generation".to_owned(), json!("fir"));
            }
            apps[rank] = (world.create_app(by, &wanted).ok()).map(|app| adopt(&app, profile.clone(), chance));
            if let Some(app) = &apps[rank] {
                world.release_until(by, &app.id, releases);
            }
        } else if let Some(app) = &apps[rank] {
            perform(world, by, &people, &app.id, profile, deed);
        }
    }
    world.do_due(begins);
    world.now = begins;
    apps.into_iter().flatten().collect()
}

/// An app of the API as the story knows it.
pub(super) fn adopt(app: &Value, profile: Profile, chance: &Chance) -> App {
    let host = text(app, "web_url").trim_start_matches("https://").trim_end_matches('/');
    let host = if host.is_empty() { profile.domain.clone() } else { host.to_owned() };
    let chance = chance.of(&profile.name);
    App::new(text(app, "id").to_owned(), host, profile, chance)
}

/// What an app is like that somebody makes while the story goes on: a small one.
pub(super) fn stranger(app: &Value, chance: &mut Chance) -> Profile {
    let name = text(app, "name").to_owned();
    Profile {
        domain: format!("{name}.example"),
        kind: chance.one_of(&KINDS),
        is_fir: app["generation"]["name"] == "fir" || app["generation"] == "fir",
        has_new_router: true,
        has_runtime_metrics: true,
        number: chance.between(400_000_000, 500_000_000),
        requests_per_second: 0.2,
        formation: Vec::new(),
        addons: &[],
        name,
    }
}

fn history(profile: &Profile, rank: usize, begins: i64, people: usize, chance: &mut Chance, deeds: &mut Vec<(i64, usize, Deed)>) {
    let days = chance.between(APP_DAYS.0, APP_DAYS.1);
    let born = begins - days.cast_signed() * 24 * HOUR;
    let mut at = born;
    let mut add = |at: i64, deed: Deed| deeds.push((at, rank, deed));
    add(at, Deed::Found);
    for addon in profile.addons {
        at += 4 * MINUTE;
        add(at, Deed::AddOn(addon));
    }
    let secret = format!("fake-secret-{}", chance.hex(24));
    let first = [("SECRET_KEY_BASE", secret.as_str()), ("APP_ENV", "production"), ("LANG", "en_US.UTF-8")];
    add(at + 9 * MINUTE, Deed::Configure(first.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect()));
    add(at + 31 * MINUTE, Deed::Deploy(chance.hex(40)));
    add(at + 50 * MINUTE, Deed::Domain);
    for person in 1..people.min(4) {
        add(at + 60 * MINUTE + person as i64 * MINUTE, Deed::Collaborator(person));
    }
    let (from, until) = (at + 24 * HOUR, begins - 3 * HOUR);
    for _ in 0..5 + 30 / (rank as u64 + 1) {
        // Most were made in working hours.
        let mut draw = || from + (chance.fraction() * (until - from) as f64) as i64;
        let at = (0..8).map(|_| draw()).max_by(|left, right| curve::working(*left).total_cmp(&curve::working(*right))).unwrap_or(from);
        let deed = match chance.between(0, 7) {
            0 => Deed::Configure(Map::from_iter([(
                chance.one_of(profile.kind.config).to_string(),
                json!(chance.between(1, 90).to_string()),
            )])),
            _ => Deed::Deploy(chance.hex(40)),
        };
        add(at, deed);
    }
    add(begins - chance.between(40, 120).cast_signed() * MINUTE, Deed::Scale);
}

fn perform(world: &mut World, by: &Actor, people: &[Actor], app: &str, profile: &Profile, deed: Deed) {
    let object = |fields: &[(&str, Value)]| fields.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect::<Map<_, _>>();
    // What the world refuses did not happen.
    let _ = match deed {
        Deed::Found => Ok(Value::Null),
        Deed::AddOn(plan) => world.create_addon(by, app, plan, None, None),
        Deed::Configure(vars) => world.set_config(by, app, &vars),
        Deed::Deploy(commit) => world.build(by, app, &commit, true),
        Deed::Scale => {
            let wanted: Vec<Scale> = (profile.formation.iter())
                .map(|(process_type, quantity, size)| Scale {
                    process_type: (*process_type).to_owned(),
                    quantity: Some(*quantity),
                    size: (!size.is_empty()).then(|| (*size).to_owned()),
                })
                .collect();
            world.scale(by, app, &wanted).map(Value::Array)
        }
        Deed::Domain => {
            let app = json!({ "id": app, "name": profile.name });
            let fields = object(&[
                ("hostname", json!(profile.domain)),
                ("cname", json!(format!("{}.herokudns.example", profile.domain.replace('.', "-")))),
                ("kind", json!("custom")),
                ("status", json!("succeeded")),
                ("app", app.clone()),
            ]);
            world.create_plain(by, "domain", vec![text(&app, "id").to_owned()], fields)
        }
        Deed::Collaborator(person) => {
            let is_in = world.objects().of("collaborator", app).any(|present| present["user"]["id"] == people[person].id.as_str());
            if is_in {
                return;
            }
            let (id, email) = (&people[person].id, &people[person].email);
            let fields = object(&[
                ("user", json!({ "id": id, "email": email, "federated": false })),
                ("role", json!("member")),
                ("app", json!({ "id": app, "name": profile.name })),
            ]);
            world.create_plain(by, "collaborator", vec![app.to_owned()], fields)
        }
    };
}
