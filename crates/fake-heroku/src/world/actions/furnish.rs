//! What hangs on the apps that the story has made: pipelines, reviews, tests, and little things.

use serde_json::{Value, json};

use super::super::World;
use super::{reference, text};

/// How many apps get the little things that nobody changes.
const FURNISHED_APPS: usize = 3;

impl World {
    /// Two pipelines over the first apps, and a few objects of the kinds that the story has no use for.
    pub(crate) fn furnish_platform(&mut self) {
        let apps: Vec<_> = self.objects.all("app").cloned().collect();
        for app in apps.iter().take(FURNISHED_APPS) {
            self.furnish_app(app);
        }
        if let Some(app) = apps.iter().find(|app| text(app, "generation") == "fir") {
            let stack = reference(&app["stack"]);
            let given = json!({ "digest": "sha256:fake", "image_repo": "fake/app", "stack": stack, "architecture": "arm64" });
            self.put("oci-image", &[text(app, "id")], given);
        }
        let (Some(owner), Some(team)) = (self.owner().cloned(), self.objects.all("team").next().cloned()) else { return };
        let generation = self.objects.all("generation").next().map(reference);
        for (name, apps) in [("storefront", apps.get(..2).unwrap_or(&apps)), ("back-office", apps.get(2..4).unwrap_or_default())] {
            if apps.is_empty() {
                continue;
            }
            let given = json!({ "name": name, "owner": { "id": team["id"], "type": "team" }, "generation": generation });
            let pipeline = text(&self.put("pipeline", &[text(&team, "id")], given), "id").to_owned();
            for (app, stage) in apps.iter().zip(["staging", "production"]) {
                let parents = [text(app, "id"), pipeline.as_str(), text(&team, "id")];
                let given = json!({ "app": { "id": app["id"] }, "pipeline": { "id": pipeline }, "stage": stage });
                self.put("pipeline-coupling", &parents, given);
            }
            self.furnish_pipeline(&pipeline, apps.first());
        }
        for app in apps.iter().take(2) {
            let users = json!([{ "id": owner.id, "email": owner.email, "permissions": ["view", "deploy"] }]);
            let given = json!({ "name": app["name"], "team_id": team["id"], "type": "app", "users": users });
            self.put("permission-entity", &[text(&team, "id")], given);
        }
    }

    fn furnish_app(&mut self, app: &Value) {
        let (id, name) = (text(app, "id"), reference(app));
        let feature = json!({ "name": "preboot", "display_name": "Preboot", "description": "New dynos serve before old ones stop", "state": "general", "enabled": false });
        self.put("app-feature", &[id], feature);
        let buildpack = json!({ "name": "heroku/ruby", "url": "https://buildpacks.heroku.example/ruby.tgz" });
        self.put("buildpack-installation", &[id], json!({ "ordinal": 0, "buildpack": buildpack }));
        let endpoint = json!({ "app": name, "name": "aardvark-1234", "certificate_chain": "-----BEGIN CERTIFICATE-----\nfake\n-----END CERTIFICATE-----\n" });
        self.put("sni-endpoint", &[id], endpoint);
        self.put("build-metadata", &[id], json!({ "app": name }));
        let owner = self.owner().map(super::user);
        let transfer = json!({ "app": name, "owner": owner, "recipient": owner, "state": "declined" });
        self.put("app-transfer", &[id], transfer);
    }

    fn furnish_pipeline(&mut self, id: &str, app: Option<&Value>) {
        let Some(app) = app else { return };
        let (pipeline, owner) = (json!({ "id": id }), self.owner().cloned());
        let owner = owner.as_ref().map(super::user);
        self.put("pipeline-stack", &[id], json!({ "stack": reference(&app["stack"]) }));
        self.put(
            "review-app-config",
            &[id],
            json!({ "pipeline_id": id, "automatic_review_apps": true, "stale_days": 5, "repo": { "id": 123_456 } }),
        );
        let creator = json!({ "id": owner.as_ref().map(|owner| owner["id"].clone()) });
        let given = json!({ "app": { "id": app["id"] }, "branch": "feature/basket", "creator": creator, "pipeline": pipeline, "pr_number": 42, "status": "created" });
        self.put("review-app", &[id, text(app, "id")], given);
        let release = self.objects.of("release", text(app, "id")).next_back().map(|release| json!({ "id": release["id"] }));
        let source = json!({ "app": { "id": app["id"] }, "release": release });
        let promotion = self.put("pipeline-promotion", &[id], json!({ "pipeline": pipeline, "source": source, "status": "completed" }));
        let given = json!({ "app": { "id": app["id"] }, "pipeline_promotion": { "id": promotion["id"] }, "release": release, "status": "succeeded" });
        self.put("pipeline-promotion-target", &[text(&promotion, "id")], given);
        let sha = self.chance.hex(40);
        let account = owner.as_ref().and_then(|owner| self.objects.get("account", text(owner, "id"))).cloned();
        let given = json!({
            "actor_email": owner.as_ref().map(|owner| owner["email"].clone()), "commit_branch": "main", "commit_message": "Basket keeps its order",
            "commit_sha": sha, "number": 1, "pipeline": pipeline, "status": "succeeded", "user": account,
        });
        let run = self.put("test-run", &[id], given);
        let (run, run_reference) = (text(&run, "id").to_owned(), json!({ "id": run["id"] }));
        let node = self.put(
            "test-node",
            &[&run],
            json!({ "exit_code": 0, "pipeline": pipeline, "status": "succeeded", "test_run": run_reference }),
        );
        let node = json!({ "id": node["id"] });
        let case =
            json!({ "description": "basket keeps its order", "number": 1, "passed": true, "test_node": node, "test_run": run_reference });
        self.put("test-case", &[&run], case);
    }
}
