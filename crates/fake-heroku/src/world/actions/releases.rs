//! Releases, and the builds that lead to them.

use serde_json::{Value, json};

use super::super::World;
use super::super::event::{Actor, Refusal};
use super::super::later::Later;
use super::{fields, text, user};
use crate::catalogue::api_time;

/// How a release is to be.
pub(super) struct Wanted {
    description: String,
    /// The slug's id, where it is not that of the release before.
    slug: Option<String>,
}

impl Wanted {
    pub(super) fn described(description: String) -> Self {
        Self { description, slug: None }
    }
}

/// Digits of a commit that a description shows.
const SHORT_COMMIT: usize = 8;

impl World {
    /// A release of a slug that is there already: what `POST /apps/{app}/releases` with a `slug` does.
    ///
    /// # Errors
    ///
    /// 404 for an app or a slug that does not exist.
    pub fn release_slug(&mut self, by: &Actor, app: &str, slug: &str, description: Option<&str>) -> Result<Value, Refusal> {
        let found = self.objects.find("slug", Some(app), slug).ok_or_else(|| Refusal::not_found("slug"))?;
        let commit = text(found, "commit");
        let description = description.map_or_else(|| format!("Deploy {}", commit.get(..SHORT_COMMIT).unwrap_or(commit)), str::to_owned);
        let slug = Some(text(found, "id").to_owned());
        let release = self.make_release(by, app, Wanted { description, slug })?;
        self.shown("release", &release)
    }

    /// A release `Rollback to vN` with an earlier one's slug.
    ///
    /// # Errors
    ///
    /// 404 for an app or a version that does not exist, 422 for a release without a slug.
    pub fn rollback(&mut self, by: &Actor, app: &str, version: u64) -> Result<Value, Refusal> {
        let earlier = self.objects.of("release", app).rev().find(|release| release["version"] == version);
        let slug = text(&earlier.ok_or_else(|| Refusal::not_found("release"))?["slug"], "id").to_owned();
        if slug.is_empty() {
            return Err(Refusal::invalid(format!("Cannot roll back to v{version}: it has no slug.")));
        }
        let release = self.make_release(by, app, Wanted { description: format!("Rollback to v{version}"), slug: Some(slug) })?;
        self.shown("release", &release)
    }

    /// Builds a commit: `Build started`, and some time later `Build succeeded` with `Deploy <sha>` and `Release vN`, or `Build failed`. Answers with the build.
    ///
    /// # Errors
    ///
    /// 404 for an app that does not exist, 422 for an empty commit.
    pub fn build(&mut self, by: &Actor, app: &str, commit: &str, will_succeed: bool) -> Result<Value, Refusal> {
        let stack = self.app(app)?["build_stack"]["name"].clone();
        if commit.is_empty() {
            return Err(Refusal::invalid("Source blob must have a version."));
        }
        let stream = self.chance.uuid();
        let given = json!({
            "app": { "id": app }, "user": user(by), "stack": stack, "status": "pending",
            "output_stream_url": format!("https://build-output.heroku.example/streams/{stream}?sig={}", self.chance.hex(32)),
            "source_blob": {
                "checksum": null, "url": format!("https://sources.heroku.example/{stream}.tgz?sig={}", self.chance.hex(32)),
                "version": commit, "version_description": null,
            },
            "buildpacks": [{ "url": "https://buildpacks.heroku.example/ruby.tgz", "name": "heroku/ruby" }],
        });
        let build = self.add(by, "build", vec![app.to_owned()], fields(given));
        self.say_of_api(app, &format!("Build started by user {}", by.email));
        let build_ms = self.chance.between(20_000, 90_000);
        self.defer(build_ms, Later::Built { build: build.clone(), by: by.clone(), succeeds: will_succeed });
        self.shown("build", &build)
    }

    /// The end of a build, in whichever way.
    pub(in super::super) fn finish_build(&mut self, by: &Actor, app: &str, build: &str, succeeds: bool) {
        // A build that was cancelled has ended already.
        let Some(version) = self
            .objects
            .get("build", build)
            .filter(|build| text(build, "status") == "pending")
            .map(|build| text(&build["source_blob"], "version").to_owned())
        else {
            return;
        };
        if !succeeds {
            self.set(by, "build", build, fields(json!({ "status": "failed" })));
            let place = format!("https://dashboard.heroku.com/apps/{app}/activity/builds/{build}");
            self.say_of_api(app, &format!("Build failed -- check your build output: {place}"));
            return;
        }
        let Ok(slug) = self.add_slug(by, app, &version) else { return };
        let description = format!("Deploy {}", version.get(..SHORT_COMMIT).unwrap_or(&version));
        self.form_from_slug(by, app);
        if let Ok(release) = self.make_release(by, app, Wanted { description, slug: Some(slug.clone()) }) {
            let given = json!({ "status": "succeeded", "slug": { "id": slug }, "release": { "id": release } });
            self.set(by, "build", build, fields(given));
            self.say_of_api(app, "Build succeeded");
        }
    }

    /// The first two releases of every app.
    pub(super) fn first_releases(&mut self, by: &Actor, app: &str) -> Result<(), Refusal> {
        for description in ["Initial release", "Enable Logplex"] {
            self.make_release(by, app, Wanted::described(description.to_owned()))?;
        }
        Ok(())
    }

    /// So many releases of an app that nothing runs in yet as it takes to have `count`.
    pub(in super::super) fn release_until(&mut self, by: &Actor, app: &str, count: usize) {
        for number in self.objects.of("release", app).count()..count {
            // The app is there, and so nothing is refused.
            let _ = self.make_release(by, app, Wanted::described(format!("Set ATTEMPT_{number} config vars")));
        }
    }

    /// The one way in which a release comes about. Answers with its id.
    pub(super) fn make_release(&mut self, by: &Actor, app: &str, wanted: Wanted) -> Result<String, Refusal> {
        let app_reference = self.app_reference(app)?;
        let before = self.objects.of("release", app).next_back();
        let version = before.and_then(|release| release["version"].as_u64()).unwrap_or(0) + 1;
        let slug = match &wanted.slug {
            Some(slug) => json!({ "id": slug }),
            None => before.map_or(Value::Null, |release| release["slug"].clone()),
        };
        if let Some(before) = before.map(|release| text(release, "id").to_owned()) {
            self.set(by, "release", &before, fields(json!({ "current": false })));
        }
        let plans: Vec<_> = self.objects.of("add-on", app).map(|addon| addon["plan"]["name"].clone()).collect();
        let mut news = fields(json!({ "released_at": api_time(self.now) }));
        if let Some(size) = self.objects.get("slug", text(&slug, "id")).map(|slug| slug["size"].clone()) {
            news.insert("slug_size".to_owned(), size);
        }
        let artifacts = if slug.is_null() { json!([]) } else { json!([{ "id": slug["id"], "type": "slug" }]) };
        let given = json!({
            "app": app_reference, "user": user(by), "version": version, "description": wanted.description, "status": "succeeded", "current": true,
            "addon_plan_names": plans, "artifacts": artifacts, "eligible_for_rollback": !slug.is_null(), "slug": slug,
        });
        let release = self.add(by, "release", vec![app.to_owned()], fields(given));
        self.config.note_release(app, &release);
        self.set(by, "app", app, news);
        self.say_of_api(app, &format!("{} by user {}", wanted.description, by.email));
        self.say_of_api(app, &format!("Release v{version} created by user {}", by.email));
        self.restart_all(by, app);
        Ok(release)
    }

    fn add_slug(&mut self, by: &Actor, app: &str, commit: &str) -> Result<String, Refusal> {
        let stack = self.app(app)?["build_stack"].clone();
        let digest = self.chance.hex(64);
        let given = json!({
            "commit": commit, "commit_description": "", "stack": stack, "size": self.chance.between(20_000_000, 220_000_000),
            "checksum": format!("SHA256:{digest}"), "buildpack_provided_description": "Ruby",
            "process_types": { "web": "bundle exec puma -C config/puma.rb -p ${PORT:-3000}", "worker": "bundle exec sidekiq -C config/sidekiq.yml" },
            "blob": { "method": "get", "url": format!("https://slugs.heroku.example/{digest}?sig={}", self.chance.hex(32)) },
        });
        Ok(self.add(by, "slug", vec![app.to_owned()], fields(given)))
    }
}
