//! Webhooks as rows: what a delivery tells becomes the row that the API's list of events gives.
//!
//! Two ways lead to one table: deliveries bring an event at once, and `freshet sync` reads the list that Heroku keeps. The key is
//! the event's id on both, so an event is one row, whichever way it came, and however often.

use std::fmt;

use arrow_array::RecordBatch;
use freshet_core::{Micros, StreamDef, TableDef};
use serde_json::{Map, Value, json};

use super::catalogue::stream;
use super::objects::{Listed, Objects};

/// The stream of the API's list.
const STREAM: &str = "webhook_events";

/// What a delivery has besides the event: of the delivery itself, which `webhook_deliveries` tells, and of its way to us. The API's
/// list does not have them.
const OF_THE_DELIVERY: [&str; 3] = ["webhook_metadata", "published_at", "sequence"];

/// Events of webhooks on their way to be rows.
pub(crate) struct WebhookEvents {
    stream: &'static StreamDef,
    objects: Objects,
    rows: usize,
    bytes: usize,
}

/// Rows of a table with a key, to be merged.
#[derive(Clone, Debug)]
pub struct EventRows {
    /// Which table.
    pub table: &'static TableDef,
    /// The columns that name a row.
    pub key: Vec<&'static str>,
    /// The rows; at least one.
    pub batch: RecordBatch,
}

/// The catalogue and the rows do not fit, which only a bug can cause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventsError(String);

impl fmt::Display for EventsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "events of webhooks cannot be made rows: {}. Please report it", self.0)
    }
}

impl std::error::Error for EventsError {}

impl WebhookEvents {
    /// None where the catalogue has no such stream.
    pub(crate) fn new() -> Option<Self> {
        let stream = stream(STREAM)?;
        Some(Self { stream, objects: Objects::new(stream), rows: 0, bytes: 0 })
    }

    /// Takes the body of a delivery; false when no event can be read from it.
    pub(crate) fn add(&mut self, body: &[u8]) -> bool {
        let Some((event, app)) = event_in(body) else { return false };
        self.objects.add(Listed { object: &event, parent: Some(("apps", &app)), request: &[] });
        self.rows += 1;
        // Once in the columns of its fields and once as it came.
        self.bytes += 2 * body.len();
        true
    }

    /// Events so far.
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// About how much memory they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The rows, as seen at `at`.
    pub(crate) fn finish(self, at: Micros) -> Result<EventRows, EventsError> {
        let key = self.stream.key.iter().filter_map(|part| self.stream.field(part)).map(|field| field.column.name).collect();
        // What is new in them is drift like that of the API's objects, and is told by the next sync, which reads the same events.
        let batch = self.objects.finish(at).map_err(|error| EventsError(error.to_string()))?.batch;
        Ok(EventRows { table: self.stream.table, key, batch })
    }
}

/// The event that a delivery tells, in the form of the API's list, and the app it belongs to as far as that is told.
fn event_in(body: &[u8]) -> Option<(Value, Value)> {
    let Ok(Value::Object(mut told)) = serde_json::from_slice(body) else { return None };
    let metadata = told.get("webhook_metadata").map(|metadata| metadata["event"].clone()).unwrap_or_default();
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    // The receiver knows repeated deliveries by the same two, in the same order.
    let id = text(told.get("id")).or_else(|| text(metadata.get("id")))?;
    let include = text(metadata.get("include")).or_else(|| Some(format!("api:{}", text(told.get("resource"))?)));
    let app = app_of(&told);
    let mut event = Map::from_iter([("id".to_owned(), json!(id)), ("include".to_owned(), json!(include))]);
    told.remove("id");
    for name in ["created_at", "updated_at"] {
        event.insert(name.to_owned(), told.remove(name).unwrap_or_default());
    }
    told.retain(|name, _| !OF_THE_DELIVERY.contains(&name.as_str()));
    event.insert("payload".to_owned(), Value::Object(told));
    Some((Value::Object(event), app))
}

/// The app whose object changed, or that changed itself.
fn app_of(told: &Map<String, Value>) -> Value {
    let data = told.get("data").unwrap_or(&Value::Null);
    let is_app = told.get("resource").and_then(Value::as_str) == Some("app");
    json!({ "id": if is_app { &data["id"] } else { &data["app"]["id"] } })
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_array::cast::AsArray;
    use arrow_array::types::TimestampMicrosecondType;
    use proptest::prelude::*;

    use super::super::objects::ObjectRows;
    use super::*;

    fn delivery() -> Value {
        json!({
            "id": "e-1", "action": "update", "resource": "release", "actor": { "id": "u-1", "email": "ann@example.com" },
            "data": { "id": "r-1", "version": 3, "app": { "id": "a-1", "name": "shop" }, "output_stream_url": "https://x.example/?sig=hunter2" },
            "previous_data": { "status": "pending" }, "created_at": "2026-11-20T10:00:00.5Z", "updated_at": "2026-11-20T10:00:01+00:00",
            "published_at": "2026-11-20T10:00:02Z", "sequence": null, "version": "application/vnd.heroku+json; version=3",
            "webhook_metadata": { "attempt": { "id": "t-1" }, "delivery": { "id": "d-1" }, "event": { "id": "e-1", "include": "api:release" }, "webhook": { "id": "w-1" } },
        })
    }

    fn row(body: &Value) -> RecordBatch {
        let mut events = WebhookEvents::new().unwrap();
        assert!(events.add(body.to_string().as_bytes()), "{body}");
        assert_eq!(events.len(), 1);
        events.finish(Micros(7)).unwrap().batch
    }

    fn text(batch: &RecordBatch, column: &str) -> Option<String> {
        let column = batch.column_by_name(column).unwrap().as_string::<i32>();
        column.is_valid(0).then(|| column.value(0).to_owned())
    }

    #[test]
    fn a_delivery_is_the_row_that_the_list_gives() {
        let told = row(&delivery());
        let mut listed = Objects::new(stream(STREAM).unwrap());
        let mut payload = delivery();
        for gone in ["id", "created_at", "updated_at", "published_at", "sequence", "webhook_metadata"] {
            payload.as_object_mut().unwrap().remove(gone);
        }
        let object = json!({ "id": "e-1", "include": "api:release", "payload": payload, "created_at": "2026-11-20T10:00:00.5Z", "updated_at": "2026-11-20T10:00:01+00:00" });
        listed.add(Listed { object: &object, parent: Some(("apps", &json!({ "id": "a-1" }))), request: &[] });
        let ObjectRows { batch: expected, drift, .. } = listed.finish(Micros(7)).unwrap();
        assert_eq!(told, expected);
        assert!(drift.is_empty(), "{drift:?}");
        assert_eq!((text(&told, "id").as_deref(), text(&told, "app_id").as_deref()), (Some("e-1"), Some("a-1")));
        assert!(!format!("{told:?}").contains("hunter2"));
        let created = told.column_by_name("created_at").unwrap().as_primitive::<TimestampMicrosecondType>().value(0);
        assert_eq!(created, 1_795_168_800_500_000);
    }

    #[test]
    fn what_is_missing_is_null_and_an_app_belongs_to_itself() {
        let bare = row(&json!({ "id": "e-2" }));
        assert_eq!((text(&bare, "include"), text(&bare, "app_id")), (None, None));
        let nested = row(&json!({ "webhook_metadata": { "event": { "id": "e-3" } }, "resource": "app", "data": { "id": "a-9" } }));
        let texts = ["id", "include", "app_id"].map(|column| text(&nested, column));
        assert_eq!(texts, ["e-3", "api:app", "a-9"].map(|text| Some(text.to_owned())));
        let mut new = delivery();
        new["colour"] = json!("blue");
        assert_eq!(text(&row(&new), "_extra").as_deref(), Some("{\"payload.colour\":\"blue\"}"));
    }

    #[test]
    fn what_has_no_id_is_no_event() {
        let mut events = WebhookEvents::new().unwrap();
        for body in
            ["", "{", "[]", "null", "{}", "{\"id\":7}", "{\"id\":\"\"}", "{\"webhook_metadata\":{\"event\":{\"id\":null}}}", "\u{fffd}"]
        {
            assert!(!events.add(body.as_bytes()), "{body}");
        }
        assert_eq!((events.len(), events.bytes()), (0, 0));
    }

    proptest! {
        #[test]
        fn whatever_is_sent_is_a_row_or_is_not(body in prop_oneof![proptest::collection::vec(any::<u8>(), 0..200).boxed(), odd_json().boxed()]) {
            let mut events = WebhookEvents::new().unwrap();
            let is_event = events.add(&body);
            prop_assert_eq!(events.len(), usize::from(is_event));
            prop_assert_eq!(events.finish(Micros(0)).unwrap().batch.num_rows(), usize::from(is_event));
        }
    }

    /// Objects with the names of an event and any value below them.
    fn odd_json() -> impl Strategy<Value = Vec<u8>> {
        let names =
            prop_oneof![Just("id"), Just("resource"), Just("data"), Just("webhook_metadata"), Just("created_at"), Just("previous_data")];
        let values = prop_oneof![
            Just(json!(null)),
            Just(json!("x")),
            Just(json!(3)),
            Just(json!([1])),
            Just(json!({ "id": "y", "app": 1, "event": { "id": 2 } }))
        ];
        proptest::collection::vec((names, values), 0..6).prop_map(|members| {
            Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()).to_string().into_bytes()
        })
    }
}
