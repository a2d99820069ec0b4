//! Every answer has the fields that the schema names, of the types that it names.

use super::*;
use crate::catalogue::{Field, ROUTES, Route, fields_of};
use crate::platform::lists::is_list;
use crate::platform::views::stored_as;

/// Lists that may well be empty here: nothing in the story makes such objects.
const EMPTY: [&str; 10] = [
    "/addon-attachments/{add-on-attachment}/telemetry-ingress-info",
    "/addons/{add-on}/log-drains",
    "/addons/{add-on}/webhook-deliveries",
    "/addons/{add-on}/webhook-events",
    "/addons/{add-on}/webhooks",
    "/apps/{app}/log-drains",
    "/apps/{app}/telemetry-drains",
    "/apps/{app}/webhook-deliveries",
    "/apps/{app}/webhook-events",
    "/apps/{app}/webhooks",
];

/// Single objects of which nobody here has one.
const ABSENT: [&str; 12] = [
    "/addons/{add-on}/sso",
    "/addons/{add-on}/webhook-deliveries/{app-webhook-delivery}",
    "/addons/{add-on}/webhook-events/{app-webhook-event}",
    "/addons/{add-on}/webhooks/{add-on-webhook}",
    "/app-setups/{app-setup}",
    "/apps/{app}/addons/{add-on}/sso",
    "/apps/{app}/log-drains/{log-drain}",
    "/apps/{app}/webhook-deliveries/{app-webhook-delivery}",
    "/apps/{app}/webhook-events/{app-webhook-event}",
    "/apps/{app}/webhooks/{app-webhook}",
    "/identity-providers/{identity-provider}",
    "/identity-providers/{identity-provider}/certificates/{identity-provider-certificate}",
];

/// All paths that a route's template stands for.
fn paths_of(bench: &Bench, route: &Route) -> Vec<String> {
    let world = bench.world.lock().unwrap();
    let objects = world.objects();
    let mut paths = vec![(String::new(), None::<String>)];
    for part in route.path.split('/').skip(1) {
        let Some(parameter) = part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) else {
            for (path, _) in &mut paths {
                path.push_str(&format!("/{part}"));
            }
            continue;
        };
        let resource = stored_as(ROUTES.iter().map(|route| route.answers).find(|answers| *answers == parameter).unwrap_or("none"));
        let fixed = match parameter {
            "year" => vec!["2026".to_owned()],
            "month" => vec!["10".to_owned()],
            "stage" => vec!["production".to_owned()],
            "resource" => objects.all("add-on").map(|addon| addon["id"].as_str().unwrap().to_owned()).collect(),
            _ => Vec::new(),
        };
        paths = paths
            .into_iter()
            .flat_map(|(path, parent)| {
                let ids: Vec<String> = match (&parent, fixed.is_empty(), resource) {
                    (_, false, _) => fixed.clone(),
                    (Some(parent), true, resource) if resource != "account" => {
                        objects.of(resource, parent).map(|object| object["id"].as_str().unwrap().to_owned()).collect()
                    }
                    _ => objects.all(resource).map(|object| object["id"].as_str().unwrap().to_owned()).collect(),
                };
                ids.into_iter().map(move |id| (format!("{path}/{id}"), Some(id)))
            })
            .collect();
    }
    paths.into_iter().map(|(path, _)| path).collect()
}

#[tokio::test]
async fn every_list_has_the_schemas_fields() {
    let (seen, mut faults) = read_lists(&Bench::new()).await;
    for (path, seen) in seen {
        if (seen == 0) != EMPTY.contains(&path) {
            faults.push(format!("{path}: {seen} objects"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn what_the_story_makes_has_the_schemas_fields() {
    let (seen, faults) = read_lists(&Bench::with_story()).await;
    assert!(seen["/apps/{app}/releases"] > 20, "{seen:?}");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Reads every list there is; answers with how many objects each route gave, and all that was wrong with them.
async fn read_lists(bench: &Bench) -> (BTreeMap<&'static str, usize>, Vec<String>) {
    let (mut seen, mut faults) = (BTreeMap::new(), Vec::new());
    for route in ROUTES.iter().filter(|route| route.method == "GET" && is_list(route)) {
        let seen: &mut usize = seen.entry(route.path).or_default();
        for path in paths_of(bench, route) {
            let query = if route.path.contains("/usage/") { "?start=2026-10-01" } else { "" };
            let reply = bench.get(&format!("{path}{query}")).await;
            if !matches!(reply.status, 200 | 206) {
                faults.push(format!("{path}: {} {}", reply.status, reply.body));
                continue;
            }
            *seen += reply.list().len();
            for object in reply.list() {
                faults.extend(wrong_fields(route.answers, object).into_iter().map(|fault| format!("{}: {fault}", route.path)));
            }
        }
    }
    faults.dedup();
    (seen, faults)
}

#[test]
fn a_wrong_shape_is_seen() {
    let good = serde_json::json!({
        "created_at": "2026-11-22T10:00:00Z", "id": "01234567-89ab-4def-8123-456789abcdef", "include": ["api:app"], "level": "sync",
        "updated_at": "2026-11-22T10:00:00Z", "url": "http://127.0.0.1:1/",
    });
    assert_eq!(wrong_fields("app-webhook", &good), Vec::<String>::new());
    for (field, bad) in [
        ("created_at", serde_json::json!("yesterday")),
        ("id", serde_json::json!("x")),
        ("include", serde_json::json!([1])),
        ("level", serde_json::json!("loud")),
        ("updated_at", Value::Null),
        ("unknown", Value::Null),
    ] {
        let mut object = good.clone();
        object[field] = bad;
        assert_eq!(wrong_fields("app-webhook", &object).len(), 1, "{field}");
        object.as_object_mut().unwrap().remove(field);
        assert_eq!(wrong_fields("app-webhook", &object).len(), usize::from(field != "unknown"), "{field}");
    }
    let nested = serde_json::json!({ "stack": { "id": "01234567-89ab-4def-8123-456789abcdef" } });
    assert_eq!(wrong_fields("pipeline-stack", &nested), ["pipeline-stack: stack.name is missing"]);
    assert_eq!(wrong_fields("pipeline-stack", &serde_json::json!({ "stack": null })), Vec::<String>::new());
}

#[tokio::test]
async fn every_single_object_has_the_schemas_fields() {
    let bench = Bench::new();
    let mut faults = Vec::new();
    for route in ROUTES.iter().filter(|route| route.method == "GET" && !is_list(route)) {
        let mut seen = 0;
        for path in paths_of(&bench, route) {
            let reply = bench.get(&path).await;
            if reply.status == 200 {
                seen += 1;
                faults.extend(wrong_fields(route.answers, &reply.body).into_iter().map(|fault| format!("{}: {fault}", route.path)));
            } else if reply.status != 404 {
                faults.push(format!("{path}: {}", reply.status));
            }
        }
        if (seen == 0) != ABSENT.contains(&route.path) {
            faults.push(format!("{}: {seen} objects", route.path));
        }
    }
    faults.dedup();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with an object, by the catalogue.
fn wrong_fields(resource: &str, object: &Value) -> Vec<String> {
    let fields = fields_of(resource);
    let missing = fields.iter().filter_map(|field| wrong_field(field, object));
    let unknown = object.as_object().into_iter().flatten().filter(|(name, _)| !fields.iter().any(|field| field.name == *name));
    let unknown = unknown.filter(|_| !fields.is_empty()).map(|(name, _)| format!("unknown field {name}"));
    missing.chain(unknown).map(|fault| format!("{resource}: {fault}")).collect()
}

fn wrong_field(field: &Field, object: &Value) -> Option<String> {
    let mut value = object;
    for (depth, part) in field.name.split('.').enumerate() {
        // Below null and lists there is nothing to look for.
        if depth > 0 && !value.is_object() {
            return None;
        }
        let Some(inner) = value.get(part) else { return Some(format!("{} is missing", field.name)) };
        value = inner;
    }
    let is_right = (field.is_nullable && value.is_null()) || is_of(field.kind, value);
    (!is_right).then(|| format!("{} is {value}, not {}", field.name, field.kind))
}

fn is_of(kind: &str, value: &Value) -> bool {
    let text = || value.as_str();
    match kind {
        "uuid" => text().is_some_and(|text| uuid::Uuid::parse_str(text).is_ok()),
        "time" => text().is_some_and(|text| text.parse::<Timestamp>().is_ok()),
        "date" => text().is_some_and(|text| text.parse::<jiff::civil::Date>().is_ok()),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        "email" => text().is_some_and(|text| text.contains('@')),
        kind if kind.starts_with("array") => {
            let of = kind.strip_prefix("array of ");
            value.as_array().is_some_and(|values| values.iter().all(|value| of.is_none_or(|of| is_of(of, value))))
        }
        kind => {
            text().is_some_and(|text| kind.strip_prefix("one of ").is_none_or(|choices| choices.split('|').any(|choice| choice == text)))
        }
    }
}
