//! Faults on demand: what goes wrong, where, how often and for how long.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::world::Chance;

/// Declares the faults with the names that flags and the control endpoint know them by, and what each does.
macro_rules! faults {
    ($($variant:ident, $name:literal, $meaning:literal;)*) => {
        /// What can go wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub enum Fault {
            $(#[doc = $meaning] $variant,)*
        }

        impl Fault {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

faults! {
    DrainSlow, "drain-slow", "A drain's request is sent in small pieces, with pauses.";
    DrainReset, "drain-reset", "A drain's connection is reset while the body is sent.";
    DrainTimeout, "drain-timeout", "A drain's request is sent whole, but the answer is not waited for: to Logplex that is a time-out, and it tries again.";
    DrainDuplicate, "drain-duplicate", "An acknowledged frame is sent once more, with the same Frame-Id.";
    DrainReorder, "drain-reorder", "A frame is held back and sent after the next one.";
    DrainWrongCount, "drain-wrong-count", "`Logplex-Msg-Count` is not the number of messages.";
    DrainBadLength, "drain-bad-length", "The length of a message is one too long or too short.";
    DrainGarbage, "drain-garbage", "Bytes that are no message lie between two messages.";
    DrainClockSkew, "drain-clock-skew", "The time of a line is hours off, either way.";
    Api429, "api-429", "The API answers 429.";
    Api500, "api-500", "The API answers 500.";
    Api503, "api-503", "The API answers 503, as in maintenance.";
    ApiTruncated, "api-truncated", "The API's answer ends before its Content-Length.";
    ApiSlow, "api-slow", "The API takes seconds to answer.";
    ApiReset, "api-reset", "The API resets the connection.";
    ApiUnknownField, "api-unknown-field", "An object has a field that no schema knows.";
    ApiOtherType, "api-other-type", "A field has a value of another type.";
    ApiNoId, "api-no-id", "An object comes without its id.";
    ApiVanish, "api-vanish", "An object vanishes between two pages of a list.";
    SessionReset, "session-reset", "A log session's stream is cut.";
    WebhookDuplicate, "webhook-duplicate", "A webhook is delivered twice.";
    WebhookBadSignature, "webhook-bad-signature", "A webhook is signed with another secret.";
    TelemetryDuplicate, "telemetry-duplicate", "An OTLP export is sent twice.";
}

impl Fault {
    /// Every fault: the name that flags and the control endpoint know it by, and what it does.
    pub fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
        Self::ALL.iter().map(|fault| (fault.name(), fault.meaning()))
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name).ok_or_else(|| {
            let names: Vec<&str> = Self::ALL.iter().map(|fault| fault.name()).collect();
            format!("there is no fault {name:?}; there are {}", names.join(", "))
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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
    /// How likely it is, each time it could strike: 0 to 1.
    #[serde(deserialize_with = "probability")]
    pub probability: f64,
    /// How often it may still strike; without a number, for ever.
    #[serde(default)]
    pub times: Option<u64>,
}

fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let given = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&given) { Ok(given) } else { Err(D::Error::custom(format!("a probability is between 0 and 1, not {given}"))) }
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
        let error = "drain-on-fire".parse::<Fault>().unwrap_err();
        assert!(error.starts_with("there is no fault \"drain-on-fire\"; there are drain-slow, drain-reset, "), "{error}");
    }

    #[test]
    fn strikes_are_read_as_the_control_endpoint_gets_them() {
        let cases = [
            (r#"{"drain-reset": {"probability": 0}, "api-429": {"probability": 1, "times": 5}}"#, Ok(2)),
            (r#"{"drain-reset": {"probability": 7}}"#, Err("a probability is between 0 and 1, not 7")),
            (r#"{"drain-reset": {"probability": -1}}"#, Err("a probability is between 0 and 1, not -1")),
            (r#"{"drain-reset": {"probability": 1, "time": 5}}"#, Err("unknown field `time`")),
            (r#"{"drain-on-fire": {"probability": 1}}"#, Err("there is no fault \"drain-on-fire\"")),
        ];
        for (text, expected) in cases {
            let read =
                serde_json::from_str::<BTreeMap<Fault, Strike>>(text).map(|strikes| strikes.len()).map_err(|error| error.to_string());
            match (&read, expected) {
                (Ok(strikes), Ok(expected)) => assert_eq!(*strikes, expected, "{text}"),
                (Err(error), Err(expected)) => assert!(error.starts_with(expected), "{text}: {error}"),
                _ => panic!("{text}: {read:?}"),
            }
        }
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
