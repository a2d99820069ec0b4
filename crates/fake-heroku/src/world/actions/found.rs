//! What is there before the first app: Heroku's own offers, the people, their team and spaces.

use jiff::SignedDuration;
use serde_json::{Value, json};

use super::super::World;
use super::super::event::Actor;
use super::{fields, text};
use crate::catalogue::api_time;

/// How long before the story the company was founded.
pub(in super::super) const FOUNDED_DAYS: i64 = 400;

const PEOPLE: [&str; 12] = ["ada", "bjarne", "chidi", "dolores", "emeka", "farah", "goran", "hanna", "irina", "jonas", "kavita", "lucia"];
const PEOPLE_COUNT: usize = 5;

/// Name, country, whether for private spaces, provider's region.
const REGIONS: [(&str, &str, bool, &str); 5] = [
    ("us", "United States", false, "us-east-1"),
    ("eu", "Europe", false, "eu-west-1"),
    ("virginia", "United States", true, "us-east-1"),
    ("frankfurt", "Germany", true, "eu-central-1"),
    ("tokyo", "Japan", true, "ap-northeast-1"),
];

/// Name, memory in GB, share of compute, monthly price in US cents, generation, private spaces only.
const DYNO_SIZES: [(&str, f64, u64, u64, &str, bool); 12] = [
    ("Eco", 0.5, 1, 500, "cedar", false),
    ("Basic", 0.5, 1, 700, "cedar", false),
    ("Standard-1X", 0.5, 1, 2_500, "cedar", false),
    ("Standard-2X", 1.0, 2, 5_000, "cedar", false),
    ("Performance-M", 2.5, 12, 25_000, "cedar", false),
    ("Performance-L", 14.0, 50, 50_000, "cedar", false),
    ("Private-S", 1.0, 12, 12_500, "cedar", true),
    ("Private-M", 2.5, 25, 25_000, "cedar", true),
    ("Private-L", 14.0, 50, 50_000, "cedar", true),
    ("dyno-1c-0.5gb", 0.5, 1, 2_500, "fir", true),
    ("dyno-2c-1gb", 1.0, 2, 5_000, "fir", true),
    ("dyno-4c-16gb", 16.0, 4, 50_000, "fir", true),
];

/// The memory of a dyno size in GB, where there is such a size.
pub(in super::super) fn memory_gb(size: &str) -> Option<f64> {
    DYNO_SIZES.iter().find(|(name, ..)| *name == size).map(|(_, memory, ..)| *memory)
}

/// Name, what people call it, and its plans with their monthly prices in US cents, the default one first.
type Service = (&'static str, &'static str, &'static [(&'static str, u64)]);

const SERVICES: [Service; 6] = [
    (
        "heroku-postgresql",
        "Heroku Postgres",
        &[("essential-0", 500), ("essential-1", 900), ("standard-0", 5_000), ("standard-2", 20_000), ("premium-0", 20_000)],
    ),
    ("heroku-redis", "Heroku Key-Value Store", &[("mini", 300), ("premium-0", 1_500), ("premium-2", 6_000)]),
    ("scheduler", "Heroku Scheduler", &[("standard", 0)]),
    ("heroku-kafka", "Apache Kafka on Heroku", &[("basic-0", 10_000), ("standard-0", 150_000)]),
    ("papertrail", "Papertrail", &[("choklad", 0), ("fixa", 700)]),
    ("sendgrid", "Twilio SendGrid", &[("starter", 0), ("bronze", 995)]),
];

impl World {
    /// Founds the company, some time before the story: all that does not hang on an app.
    pub(in super::super) fn found_platform(&mut self) {
        let begins_at = self.now;
        self.now = begins_at.saturating_sub(SignedDuration::from_hours(24 * FOUNDED_DAYS)).unwrap_or(begins_at);
        let mut chance = self.chance.of("people");
        let first = chance.between(0, PEOPLE.len() as u64 - 1) as usize;
        let names = PEOPLE.iter().cycle().skip(first).take(PEOPLE_COUNT);
        self.people = names.map(|name| Actor { id: chance.uuid(), email: format!("{name}@example.com") }).collect();
        if let Some(owner) = self.owner().cloned() {
            self.found_offers();
            self.found_services();
            self.found_accounts(&owner);
            let team = self.found_team(&owner);
            self.found_spaces(&owner, &team);
            self.found_bills(&owner, &team);
        }
        self.now = begins_at;
    }

    /// An object of the company itself.
    pub(super) fn put(&mut self, resource: &'static str, parents: &[&str], given: Value) -> Value {
        let by = self.platform();
        let id = self.add(&by, resource, parents.iter().map(|parent| (*parent).to_owned()).collect(), fields(given));
        self.objects.get(resource, &id).cloned().unwrap_or_default()
    }

    fn found_offers(&mut self) {
        for (name, state, is_default) in [("heroku-22", "public", false), ("heroku-24", "public", true), ("cnb", "public", false)] {
            self.put("stack", &[], json!({ "name": name, "state": state, "default": is_default }));
        }
        for name in ["cedar", "fir"] {
            self.put(
                "generation",
                &[],
                json!({ "name": name, "unsupported_features": if name == "fir" { json!(["pipelines"]) } else { json!([]) } }),
            );
        }
        for (name, country, private, provider) in REGIONS {
            self.put(
                "region",
                &[],
                json!({
                    "name": name, "country": country, "description": country, "locale": country, "private_capable": private,
                    "provider": { "name": "amazon-web-services", "region": provider },
                }),
            );
        }
        for (name, memory, compute, cents, generation, is_private) in DYNO_SIZES {
            let generation = self.objects.find("generation", None, generation).map(super::reference);
            self.put(
                "dyno-size",
                &[],
                json!({
                    "name": name, "memory": memory, "compute": compute, "cost": { "cents": cents, "unit": "month" }, "generation": generation,
                    "dedicated": compute > 10, "private_space_only": is_private, "precise_dyno_units": f64::from(u32::try_from(compute).unwrap_or(1)),
                    "architecture": "amd64", "infrastructure_tier": "production", "product_dyno_tier": name.to_lowercase(), "can_autoscale": compute > 10,
                }),
            );
        }
        for name in ["view", "deploy", "operate", "manage"] {
            self.put("team-app-permission", &[], json!({ "name": name, "description": format!("Can {name} the app.") }));
        }
    }

    fn found_services(&mut self) {
        for (name, human_name, plans) in SERVICES {
            let given = json!({ "name": name, "human_name": human_name, "state": "ga", "supports_multiple_installations": true, "supports_sharing": true });
            let service = self.put("add-on-service", &[], given);
            let (id, reference) = (text(&service, "id").to_owned(), super::reference(&service));
            for (index, (plan, cents)) in plans.iter().enumerate() {
                let given = json!({
                    "name": format!("{name}:{plan}"), "human_name": plan, "description": format!("{human_name} {plan}"), "default": index == 0,
                    "addon_service": reference, "price": { "cents": cents, "contract": false, "metered": false, "unit": "month" },
                    "state": "ga", "visible": true, "installable_outside_private_network": true,
                });
                let plan = self.put("plan", &[&id], given);
                self.put(
                    "plan-meter",
                    &[text(&plan, "id")],
                    json!({ "name": "instance-hours", "aggregation": "sum", "price_cents": cents.to_string() }),
                );
            }
            let regions: Vec<_> = self.objects.all("region").cloned().collect();
            for region in regions {
                let parents = [id.as_str(), text(&region, "id")];
                let given = json!({ "addon_service": service, "region": region, "supports_private_networking": region["private_capable"] });
                self.put("add-on-region-capability", &parents, given);
            }
        }
    }

    fn found_accounts(&mut self, owner: &Actor) {
        for person in self.people() {
            let name = person.email.split('@').next().unwrap_or_default().to_owned();
            let id = person.id.as_str();
            self.put("account", &[], json!({ "id": id, "email": person.email, "name": name, "verified": true, "allow_tracking": true }));
            self.put("user-preferences", &[id], json!({ "timezone": "UTC" }));
            self.put("sms-number", &[id], json!({ "sms_number": null }));
        }
        let id = owner.id.as_str();
        for name in ["pipelines", "metrics-request-volume"] {
            let given = json!({ "name": name, "display_name": name, "description": name, "doc_url": "https://devcenter.heroku.example/", "state": "general", "enabled": true });
            self.put("account-feature", &[id], given);
        }
        let fingerprint = self.chance.hex(32);
        let given =
            json!({ "comment": "laptop", "email": owner.email, "fingerprint": fingerprint, "public_key": "ssh-ed25519 AAAAfake laptop" });
        self.put("key", &[id], given);
        self.put("credit", &[id], json!({ "amount": 100.0, "balance": 25.0, "title": "Welcome" }));
        self.put("account-delinquency", &[id], json!({}));
        self.put("invoice-address", &[id], json!({ "city": "Delta", "country": "US", "use_invoice_address": true }));
        self.put("payment-method", &[id], json!({ "card_last4": "0000", "card_type": "Fake", "city": "Delta", "country": "US" }));
        let client = self.put(
            "oauth-client",
            &[id],
            json!({ "name": "dashboard", "redirect_uri": "https://example.com/callback", "secret": "fake" }),
        );
        let client = json!({ "id": client["id"], "name": client["name"], "redirect_uri": client["redirect_uri"] });
        let user = json!({ "id": id, "email": owner.email, "full_name": null });
        self.put("oauth-authorization", &[id], json!({ "client": client, "description": "dashboard", "scope": ["global"], "user": user }));
    }

    fn found_team(&mut self, owner: &Actor) -> Value {
        let given = json!({ "name": "harbor-goods-enterprise", "permissions": ["view", "create", "manage", "billing"], "trial": false });
        let enterprise = super::reference(&self.put("enterprise-account", &[], given));
        let given = json!({
            "name": "harbor-goods", "type": "enterprise", "role": "admin", "default": false, "membership_limit": null,
            "enterprise_account": enterprise, "provisioned_licenses": true,
        });
        let team = self.put("team", &[text(&enterprise, "id")], given);
        let id = text(&team, "id");
        for person in self.people() {
            let name = person.email.split('@').next().unwrap_or_default().to_owned();
            let is_owner = person == *owner;
            let user = json!({ "id": person.id, "email": person.email, "name": name });
            let role = if is_owner { "admin" } else { "member" };
            self.put(
                "team-member",
                &[id, &person.id],
                json!({ "email": person.email, "role": role, "two_factor_authentication": true, "user": user }),
            );
            let permissions = json!([{ "name": if is_owner { "manage" } else { "view" }, "description": "" }]);
            let given = json!({
                "enterprise_account": enterprise, "permissions": permissions, "two_factor_authentication": true,
                "user": { "id": person.id, "email": person.email },
            });
            self.put("enterprise-account-member", &[text(&enterprise, "id")], given);
        }
        for name in ["team-sso", "team-audit"] {
            let given = json!({ "name": name, "display_name": name, "description": name, "state": "general", "enabled": true });
            self.put("team-feature", &[id], given);
        }
        let service = self.objects.all("add-on-service").next();
        let service = service.map(|service| json!({ "id": service["id"], "name": service["name"], "human_name": service["human_name"] }));
        let added_by = json!({ "id": owner.id, "email": owner.email });
        self.put("allowed-add-on-service", &[id], json!({ "added_by": added_by, "addon_service": service }));
        let invited_by = json!({ "id": owner.id, "email": owner.email, "name": null });
        let invited = json!({ "id": self.chance.uuid(), "email": "mira@example.com", "name": null });
        let given = json!({ "invited_by": invited_by, "role": "member", "team": super::reference(&team), "user": invited });
        self.put("team-invitation", &[id], given);
        self.put("team-delinquency", &[id], json!({}));
        self.put("team-preferences", &[id], json!({ "default-permission": "member", "addons-controls": false }));
        let year = self.now.strftime("%Y").to_string();
        let given = json!({ "name": "Dyno units", "code": "DYNO", "qty": 100, "consumed": 40, "start_date": format!("{year}-01-01"), "end_date": format!("{year}-12-31") });
        let license = self.put("team-license", &[id], given);
        self.put("team-license-collection", &[id], json!({ "period": year, "licenses": [license] }));
        let user = json!({ "id": owner.id, "email": owner.email, "full_name": null });
        self.put("oauth-authorization", &[id], json!({ "description": "team automation", "scope": ["read"], "user": user }));
        team
    }

    fn found_spaces(&mut self, owner: &Actor, team: &Value) {
        for (name, generation, region, cidr) in
            [("harbor-private", "cedar", "virginia", "10.0.0.0/16"), ("harbor-fir", "fir", "frankfurt", "10.4.0.0/16")]
        {
            let region = self.objects.find("region", None, region).map(super::reference);
            let team = super::reference(team);
            let given = json!({
                "name": name, "generation": generation, "region": region, "cidr": cidr, "data_cidr": "10.1.0.0/16", "shield": false,
                "state": "allocated", "team": team, "organization": { "name": team["name"] },
            });
            let space = self.put("space", &[text(&team, "id")], given);
            let (id, reference) = (text(&space, "id").to_owned(), super::reference(&space));
            self.put("space-nat", &[&id], json!({ "sources": ["203.0.113.7", "203.0.113.8"], "state": "enabled" }));
            let rules = json!([{ "action": "allow", "source": "0.0.0.0/0" }]);
            self.put("inbound-ruleset", &[&id], json!({ "created_by": owner.email, "rules": rules, "space": reference }));
            self.put("peering-info", &[&id], json!({ "aws_account_id": "000000000000", "aws_region": "us-east-1", "vpc_cidr": cidr, "vpc_id": "vpc-fake", "dyno_cidr_blocks": [cidr] }));
            self.put("peering", &[&id], json!({ "aws_account_id": "000000000000", "cidr_blocks": ["10.9.0.0/16"], "cidr_block": "10.9.0.0/16", "pcx_id": "pcx-fake", "status": "active", "type": "customer-managed" }));
            let host = format!("h-{}", self.chance.hex(12));
            self.put("space-host", &[&id], json!({ "host_id": host, "available_capacity_percentage": 62.5, "state": "available" }));
            let vpn = self.chance.uuid();
            self.put("vpn-connection", &[&id], json!({ "id": vpn, "name": "office", "ike_version": 1, "public_ip": "203.0.113.20", "routable_cidrs": ["172.16.0.0/16"], "space_cidr_block": cidr, "status": "active", "tunnels": [] }));
            let permissions = json!([{ "name": "create_apps", "description": "" }]);
            self.put(
                "space-app-access",
                &[&id, &owner.id],
                json!({ "permissions": permissions, "space": reference, "user": super::user(owner) }),
            );
            let token = format!("d.{}", self.chance.uuid());
            self.put("log-drain", &[&id], json!({ "token": token, "url": "https://logs.example.com/space" }));
            let exporter = json!({ "endpoint": "https://otel.example.com", "headers": {}, "type": "otlphttp" });
            self.put(
                "telemetry-drain",
                &[&id],
                json!({ "exporter": exporter, "owner": { "id": id, "type": "space" }, "signals": ["metrics"] }),
            );
        }
    }

    /// A bill for each month since the company was founded.
    fn found_bills(&mut self, owner: &Actor, team: &Value) {
        let founded = self.now;
        for month in 0..FOUNDED_DAYS / 30 {
            let days = |days: i64| founded.saturating_add(SignedDuration::from_hours(24 * days)).unwrap_or(founded);
            let (from, to) = (days(month * 30), days(month * 30 + 30));
            self.now = to;
            let (total, number) = (self.chance.between(40_000, 90_000), 1_000 + month);
            let day = |moment: jiff::Timestamp| moment.strftime("%m/%d/%Y").to_string();
            let mut given = json!({
                "number": number, "period_start": day(from), "period_end": day(to), "state": 1, "created_at": api_time(to),
                "total": total, "charges_total": total, "credits_total": 0,
            });
            self.put("invoice", &[&owner.id], given.clone());
            given["payment_status"] = json!("Paid");
            given["platform_total"] = json!(total / 2);
            given["addons_total"] = json!(total / 3);
            given["database_total"] = json!(total / 6);
            self.put("team-invoice", &[text(team, "id")], given);
        }
        self.now = founded;
    }
}
