//! Log sessions.

use hyper::StatusCode;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::route::Call;
use super::{Api, wall_time};
use crate::catalogue::blank;
use crate::logplex::Session;
use crate::world::{Chance, Refusal, World};

/// Lines of a session that does not say how many.
const LINES_DEFAULT: u64 = 100;

/// Lines that Logplex keeps for an app.
const LINES_MAX: u64 = 1_500;

/// Opens a log session. On Cedar the body is `{dyno, lines, source, tail}`, on Fir `{dyno, type, source}`: there it always tails.
pub(super) fn open(world: &World, api: &Api, call: &Call<'_>, app: &str) -> Result<Answer, Refusal> {
    let app = world.objects().get("app", app).ok_or_else(|| Refusal::not_found("app"))?;
    let is_fir = app["generation"] == "fir";
    let text = |name: &str| call.optional(name).filter(|text| !text.is_empty()).map(str::to_owned);
    let lines = match call.body.get("lines") {
        None | Some(Value::Null) => LINES_DEFAULT,
        Some(lines) => lines.as_u64().ok_or_else(|| Refusal::invalid("Lines must be a number."))?,
    };
    let session = Session {
        app: app["id"].as_str().unwrap_or_default().to_owned(),
        dyno: text("dyno").or_else(|| text("type").filter(|_| is_fir)),
        source: text("source"),
        lines: usize::try_from(if is_fir { 0 } else { lines.min(LINES_MAX) }).unwrap_or(0),
        tail: is_fir || call.body.get("tail").and_then(Value::as_bool).unwrap_or(false),
        is_fir,
        made_at: wall_time(),
    };
    let address = api.session_address(session);
    // The address is new each time, and what the id is made from.
    let mut chance = Chance::new(0).of(&address);
    let mut object: Map<String, Value> = blank("log-session", world.now(), &mut chance);
    object.insert("logplex_url".to_owned(), json!(address));
    Ok(Answer::one(StatusCode::CREATED, &Value::Object(object)))
}
