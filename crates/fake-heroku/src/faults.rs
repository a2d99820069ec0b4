//! Faults on demand: what goes wrong, where, how often and for how long.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::world::Chance;

/// What can go wrong; [`Fault::all`] says what each does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
#[expect(missing_docs, reason = "the table below says it, once, for people who read `--fault list` too")]
pub enum Fault {
    DrainSlow,
    DrainReset,
    DrainTimeout,
    DrainDuplicate,
    DrainReorder,
    DrainWrongCount,
    DrainBadLength,
    DrainGarbage,
    DrainClockSkew,
    Api429,
    Api500,
    Api503,
    ApiTruncated,
    ApiSlow,
    ApiReset,
    ApiUnknownField,
    ApiOtherType,
    ApiVanish,
    SessionReset,
    WebhookDuplicate,
    WebhookBadSignature,
    TelemetryDuplicate,
}

const NAMES: [(Fault, &str, &str); 22] = [
    (Fault::DrainSlow, "drain-slow", "A drain's request is sent in small pieces, with pauses."),
    (Fault::DrainReset, "drain-reset", "A drain's connection is reset while the body is sent."),
    (
        Fault::DrainTimeout,
        "drain-timeout",
        "A drain's request is sent whole, but the answer is not waited for: to Logplex that is a time-out, and it tries again.",
    ),
    (Fault::DrainDuplicate, "drain-duplicate", "An acknowledged frame is sent once more, with the same Frame-Id."),
    (Fault::DrainReorder, "drain-reorder", "A frame is held back and sent after the next one."),
    (Fault::DrainWrongCount, "drain-wrong-count", "`Logplex-Msg-Count` is not the number of messages."),
    (Fault::DrainBadLength, "drain-bad-length", "The length of a message is one too long or too short."),
    (Fault::DrainGarbage, "drain-garbage", "Bytes that are no message lie between two messages."),
    (Fault::DrainClockSkew, "drain-clock-skew", "The time of a line is hours off, either way."),
    (Fault::Api429, "api-429", "The API answers 429."),
    (Fault::Api500, "api-500", "The API answers 500."),
    (Fault::Api503, "api-503", "The API answers 503, as in maintenance."),
    (Fault::ApiTruncated, "api-truncated", "The API's answer ends before its Content-Length."),
    (Fault::ApiSlow, "api-slow", "The API takes seconds to answer."),
    (Fault::ApiReset, "api-reset", "The API resets the connection."),
    (Fault::ApiUnknownField, "api-unknown-field", "An object has a field that no schema knows."),
    (Fault::ApiOtherType, "api-other-type", "A field has a value of another type."),
    (Fault::ApiVanish, "api-vanish", "An object vanishes between two pages of a list."),
    (Fault::SessionReset, "session-reset", "A log session's stream is cut."),
    (Fault::WebhookDuplicate, "webhook-duplicate", "A webhook is delivered twice."),
    (Fault::WebhookBadSignature, "webhook-bad-signature", "A webhook is signed with another secret."),
    (Fault::TelemetryDuplicate, "telemetry-duplicate", "An OTLP export is sent twice."),
];

impl Fault {
    /// Every fault: the name that flags and the control endpoint know it by, and what it does.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        NAMES.iter().map(|(_, name, meaning)| (*name, *meaning))
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = NAMES.iter().find(|(_, known, _)| *known == name);
        found.map(|(fault, _, _)| *fault).ok_or_else(|| format!("there is no fault {name:?}"))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAMES.iter().find(|(fault, _, _)| fault == self).map_or("", |(_, name, _)| name))
    }
}

impl From<Fault> for String {
    fn from(fault: Fault) -> Self {
        fault.to_string()
    }
}

impl TryFrom<String> for Fault {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        name.parse()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_has_a_name_and_is_found_by_it() {
        for (name, meaning) in Fault::all() {
            let fault: Fault = name.parse().unwrap();
            assert_eq!(fault.to_string(), name);
            assert_eq!(serde_json::to_value(fault).unwrap(), name);
            assert!(meaning.ends_with('.'), "{name}");
        }
        assert!("drain-on-fire".parse::<Fault>().is_err());
    }

    #[test]
    fn a_fault_strikes_as_often_as_it_may_and_no_more() {
        let faults = Faults::new(7);
        assert!(!faults.strikes(Fault::DrainReset));
        faults.set(BTreeMap::from([(Fault::DrainReset, Strike { probability: 1.0, times: Some(2) })]));
        let struck = (0..5).filter(|_| faults.strikes(Fault::DrainReset)).count();
        assert_eq!((struck, faults.struck()[&Fault::DrainReset]), (2, 2));
    }
}
