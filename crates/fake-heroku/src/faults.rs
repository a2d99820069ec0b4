//! Faults on demand: what goes wrong, where, how often and for how long.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::world::Chance;

/// What can go wrong. The names are those of `--fault NAME=PROBABILITY` and of the control endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// A drain's request is sent in small pieces, with pauses.
    DrainSlow,
    /// A drain's connection is reset while the body is sent.
    DrainReset,
    /// A drain's request is sent whole, but the answer is not waited for: to Logplex that is a time-out, and it tries again.
    DrainTimeout,
    /// An acknowledged frame is sent once more, with the same Frame-Id.
    DrainDuplicate,
    /// A frame is held back and sent after the next one.
    DrainReorder,
    /// `Logplex-Msg-Count` is not the number of messages.
    DrainWrongCount,
    /// The length of a message is one too long or too short.
    DrainBadLength,
    /// Bytes that are no message lie between two messages.
    DrainGarbage,
    /// The time of a line is hours off, either way.
    DrainClockSkew,
    /// The API answers 429.
    #[serde(rename = "api-429")]
    Api429,
    /// The API answers 500.
    #[serde(rename = "api-500")]
    Api500,
    /// The API answers 503, as in maintenance.
    #[serde(rename = "api-503")]
    Api503,
    /// The API's answer ends before its Content-Length.
    ApiTruncated,
    /// The API takes seconds to answer.
    ApiSlow,
    /// The API resets the connection.
    ApiReset,
    /// An object has a field that no schema knows.
    ApiUnknownField,
    /// A field has a value of another type.
    ApiOtherType,
    /// An object vanishes between two pages of a list.
    ApiVanish,
    /// A log session's stream is cut.
    SessionReset,
    /// A webhook is delivered twice.
    WebhookDuplicate,
    /// A webhook is signed with another secret.
    WebhookBadSignature,
    /// An OTLP export is sent twice.
    TelemetryDuplicate,
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        serde_json::from_value(serde_json::Value::String(name.to_owned())).map_err(|error| error.to_string())
    }
}

/// When a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Strike {
    /// How likely it is, each time it could strike.
    pub probability: f64,
    /// How often it may still strike; without a number, for ever.
    #[serde(default)]
    pub times: Option<u64>,
}

/// The faults in force. Clones share them.
#[derive(Clone)]
pub struct Faults(Arc<Mutex<State>>);

struct State {
    chance: Chance,
    strikes: BTreeMap<Fault, Strike>,
    struck: BTreeMap<Fault, u64>,
}

impl Faults {
    /// No fault in force; chance comes from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State { chance: Chance::new(seed).of("faults"), strikes: BTreeMap::new(), struck: BTreeMap::new() })))
    }

    /// Puts these faults in force, in place of all others.
    pub fn set(&self, strikes: BTreeMap<Fault, Strike>) {
        self.state().strikes = strikes;
    }

    /// The faults in force.
    #[must_use]
    pub fn get(&self) -> BTreeMap<Fault, Strike> {
        self.state().strikes.clone()
    }

    /// How often each fault has struck.
    #[must_use]
    pub fn struck(&self) -> BTreeMap<Fault, u64> {
        self.state().struck.clone()
    }

    /// Whether `fault` strikes now. Asked once each time that it could.
    #[must_use]
    pub fn strikes(&self, fault: Fault) -> bool {
        let mut state = self.state();
        let State { chance, strikes, struck } = &mut *state;
        let Some(strike) = strikes.get_mut(&fault) else { return false };
        if strike.times == Some(0) || !chance.happens(strike.probability) {
            return false;
        }
        strike.times = strike.times.map(|times| times - 1);
        *struck.entry(fault).or_default() += 1;
        true
    }

    /// A stream of chance for what a fault does.
    #[must_use]
    pub fn chance(&self) -> Chance {
        let mut state = self.state();
        let part = state.chance.between(0, u64::MAX).to_string();
        state.chance.of(&part)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
