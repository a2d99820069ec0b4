//! What is wrong with an app's drains.

use freshet_core::Micros;
use jiff::Timestamp;

use super::deliveries::Deliveries;
use super::found::{Drain, Standing};
use super::report::AppReport;
use crate::config::format_duration;

/// Adds to `report` what is wrong, and what to do about it.
#[must_use]
pub(super) fn judge(mut report: AppReport, deliveries: Option<&Deliveries>) -> AppReport {
    if !report.problems.is_empty() {
        return report;
    }
    let app = &report.app;
    let here: Vec<&Drain> = report.drains.iter().filter(|drain| drain.standing.is_here()).collect();
    let mut problems = Vec::new();
    if here.is_empty() {
        let elsewhere = report.drains.iter().find(|drain| drain.standing == Standing::Elsewhere);
        let hint = elsewhere.map(|drain| format!(" (it has one to {})", drain.place)).unwrap_or_default();
        problems.push(format!("no drain to here{hint}. Make one:  freshet drains add {app}"));
    }
    for drain in &here {
        let wrong = match drain.standing {
            Standing::OldSecret => "has the old secret, and works only while `drain_secret_old` is set",
            Standing::OtherSecret => "has a secret that is not accepted, so Logplex drops its lines",
            Standing::OtherApp => "names another app, so its lines come under that name",
            Standing::Right | Standing::SomeSecret | Standing::Elsewhere | Standing::Foreign => continue,
        };
        problems.push(format!("{} {wrong}. Replace it:  freshet drains rotate {app}", drain.token));
    }
    if here.len() > 1 {
        problems.push(format!("{} drains to here, so lines come as often. Keep one:  freshet drains rotate {app}", here.len()));
    }
    if let Some(deliveries) = deliveries {
        problems.extend(here.iter().filter_map(|drain| silence(drain, deliveries)));
        let known = report.drains.iter().filter_map(|drain| Some((drain.token.clone(), *deliveries.last.get(&drain.token)?)));
        report.delivered = known.collect();
    }
    report.problems = problems;
    report
}

/// That `drain` has been silent for too long, if it has.
fn silence(drain: &Drain, deliveries: &Deliveries) -> Option<String> {
    let made = drain.created_at.parse().map_or(Micros(0), |made: Timestamp| Micros(made.as_microsecond()));
    let last = deliveries.last.get(&drain.token);
    let silent = deliveries.now.seconds_since(last.copied().unwrap_or(made).max(made));
    if silent <= deliveries.silent_after.as_secs_f64() {
        return None;
    }
    let words = match last {
        Some(_) => format!("has delivered nothing for {}", format_duration(silent)),
        None => "has delivered nothing that is in the lake".to_owned(),
    };
    Some(format!("{} {words}. Does the app log at all, and is `freshet run` reached?  heroku logs --app …, freshet check", drain.token))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;

    const HOUR: i64 = 3_600_000_000;

    fn drain(token: &str, standing: Standing) -> Drain {
        let created_at = "1970-01-01T00:00:00Z".to_owned();
        Drain { id: "1".to_owned(), token: token.to_owned(), created_at, place: "https://h/drain/shop".to_owned(), standing }
    }

    /// The problems of an app with `drains`; `d.1` delivered an hour ago, and what is silent for two is dead.
    fn check(drains: Vec<Drain>, expected: &[&str]) {
        let deliveries = Deliveries {
            last: BTreeMap::from([("d.1".to_owned(), Micros(99 * HOUR))]),
            now: Micros(100 * HOUR),
            silent_after: Duration::from_secs(7200),
        };
        let report = judge(AppReport::of("shop", Ok(drains.clone())), Some(&deliveries));
        let matches = report.problems.iter().zip(expected).all(|(problem, words)| problem.contains(words));
        assert!(report.problems.len() == expected.len() && matches, "{drains:?}: {:?}", report.problems);
    }

    #[test]
    fn each_fault_is_told_with_what_to_do() {
        let right = || drain("d.1", Standing::Right);
        check(vec![right()], &[]);
        check(vec![right(), drain("d.9", Standing::Foreign), drain("d.8", Standing::Elsewhere)], &[]);
        check(vec![], &["no drain to here. Make one:  freshet drains add shop"]);
        check(vec![drain("d.8", Standing::Elsewhere)], &["it has one to https://h/drain/shop"]);
        check(vec![drain("d.1", Standing::OldSecret)], &["old secret"]);
        check(vec![drain("d.1", Standing::OtherSecret)], &["not accepted"]);
        check(vec![drain("d.1", Standing::OtherApp)], &["names another app"]);
        check(vec![drain("d.1", Standing::SomeSecret)], &[]);
        check(vec![right(), drain("d.1", Standing::OldSecret)], &["old secret", "2 drains to here"]);
        check(vec![drain("d.2", Standing::Right)], &["d.2 has delivered nothing that is in the lake"]);
        check(vec![Drain { created_at: "1970-01-05T03:00:00Z".to_owned(), ..drain("d.2", Standing::Right) }], &[]);
    }
}
