//! Where a record comes from, as OTLP tells it: the attributes of its resource.

use jiff::Timestamp;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use serde_json::Value;

use super::message::Record;
use crate::catalogue::api_time;
use crate::world::World;

/// Records of one resource.
pub(super) struct Group<'a> {
    /// Its attributes.
    pub(super) resource: Resource,
    /// The records, in order.
    pub(super) records: Vec<&'a Record>,
}

/// Sorts records by where they come from: the app, the process, and the release that was in force.
pub(super) fn groups<'a>(records: &'a [Record], world: &World) -> Vec<Group<'a>> {
    let mut groups: Vec<(&str, &str, Option<&str>, Group<'a>)> = Vec::new();
    for record in records {
        let release = release(world, &record.app, record.at);
        let version = release.and_then(|release| release["id"].as_str());
        let is_its =
            |group: &&mut (&str, &str, Option<&str>, Group<'a>)| (group.0, group.1, group.2) == (&record.app, &record.process, version);
        if let Some(group) = groups.iter_mut().find(is_its) {
            group.3.records.push(record);
        } else {
            let resource = resource(world, record, release);
            groups.push((&record.app, &record.process, version, Group { resource, records: vec![record] }));
        }
    }
    groups.into_iter().map(|group| group.3).collect()
}

/// The newest release of an app at a moment. The API's times are whole seconds and compare as text.
fn release<'a>(world: &'a World, app: &str, at: Timestamp) -> Option<&'a Value> {
    let at = api_time(at);
    let is_in_force = |release: &&Value| release["created_at"].as_str().is_some_and(|created| created <= at.as_str());
    world.objects.of("release", app).filter(is_in_force).rfind(|release| release["status"] != "failed")
}

/// The attributes: those that the semantic conventions have for Heroku, by the variables of a dyno's metadata
/// (`HEROKU_APP_NAME` is `service.name`, `HEROKU_RELEASE_VERSION` is `service.version`, …), and the dyno's name.
fn resource(world: &World, record: &Record, release: Option<&Value>) -> Resource {
    let objects = &world.objects;
    let app = objects.get("app", &record.app);
    let dyno = objects.of("dyno", &record.app).find(|dyno| dyno["name"] == record.process.as_str()).and_then(|dyno| dyno["id"].as_str());
    let version = release.and_then(|release| release["version"].as_u64()).map(|version| format!("v{version}"));
    let attributes = [
        ("cloud.provider", Some("heroku")),
        ("service.name", app.and_then(|app| app["name"].as_str())),
        ("service.instance.id", dyno.or(Some(&record.process))),
        ("service.version", version.as_deref()),
        ("heroku.app.id", Some(record.app.as_str())),
        ("heroku.release.commit", release.and_then(|release| commit(world, release))),
        ("heroku.release.creation_timestamp", release.and_then(|release| release["created_at"].as_str())),
        ("heroku.dyno.id", dyno),
        ("heroku.dyno.name", Some(&record.process)),
    ];
    let attributes = attributes.into_iter().filter_map(|(key, value)| Some(text(key, value?))).collect();
    Resource { attributes, ..Resource::default() }
}

/// The commit that a release runs: its slug's on Cedar, its image's on Fir.
fn commit<'a>(world: &'a World, release: &Value) -> Option<&'a str> {
    let part = |field: &str, resource: &str| world.objects.get(resource, release[field]["id"].as_str()?);
    part("slug", "slug").or_else(|| part("oci_image", "oci-image"))?["commit"].as_str()
}

/// An attribute that is a text.
pub(super) fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Any::StringValue(value.to_owned()))
}

/// An attribute.
pub(super) fn attribute(key: &str, value: Any) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(AnyValue { value: Some(value) }), ..KeyValue::default() }
}

/// What made the records: the platform.
pub(super) fn scope() -> Option<InstrumentationScope> {
    Some(InstrumentationScope { name: "heroku".to_owned(), ..InstrumentationScope::default() })
}
