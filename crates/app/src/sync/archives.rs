//! The audit trail's archives: what lies further back than the days that a run reads, month by month, into the same table.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Instant;

use freshet_core::{Clock as _, DestinationError, StreamDef, SystemClock};
use freshet_sources::platform::{Api, ApiCounters, ApiError, Archive, Part, Range};
use freshet_tables::platform::{Listed, Objects};
use jiff::ToSpan as _;
use jiff::civil::Date;
use serde_json::Value;

use super::walk::segment;
use super::{Mode, Rows, StreamReport, Sync, rows};

/// Months that one run reads at most: ten years.
const MONTHS_MAX: usize = 120;

/// Months, the first and the last included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Months {
    first: Date,
    last: Date,
}

impl FromStr for Months {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let (first, last) = (month(first)?, month(last)?);
        if last < first {
            return Err("the first month comes first: 2026-01..2026-03".to_owned());
        }
        let months = Self { first, last };
        if months.iter().count() > MONTHS_MAX {
            return Err(format!("{MONTHS_MAX} months at most"));
        }
        Ok(months)
    }
}

impl Months {
    /// The first day of each.
    fn iter(&self) -> impl Iterator<Item = Date> {
        self.first.series(1.month()).take_while(|month| *month <= self.last)
    }
}

fn month(text: &str) -> Result<Date, String> {
    let is_month = text.len() == "2026-01".len();
    let first = is_month.then(|| format!("{text}-01").parse::<Date>().ok()).flatten();
    first.ok_or_else(|| format!("{text:?} is no month such as 2026-01"))
}

impl Sync<'_> {
    /// Reads the archives of `months` of all enterprise accounts into the table of `stream`. An event that is there already, as from
    /// a day that was read, is the same row.
    pub(crate) async fn archives(&self, stream: &'static StreamDef, months: Months) -> StreamReport {
        let (started, counters) = (Instant::now(), Arc::new(ApiCounters::default()));
        let api = self.api.counted_by(Arc::clone(&counters));
        let mut report = StreamReport::begun(stream, Mode::Archives, SystemClock.now());
        match accounts(&api).await {
            Ok(accounts) if accounts.is_empty() => report.problems.push("the token sees no enterprise account".to_owned()),
            Ok(accounts) => {
                for account in &accounts {
                    for month in months.iter() {
                        self.archive(&api, account, month, stream, &mut report).await;
                    }
                }
            }
            Err(error) => report.problems.push(error.to_string()),
        }
        report.asked = counters.snapshot();
        report.at.1 = SystemClock.now();
        report.took = started.elapsed();
        self.record(std::slice::from_ref(&report)).await;
        report
    }

    /// Reads one archive. One at a time: a month is held in memory whole.
    async fn archive(&self, api: &Api, account: &str, month: Date, stream: &'static StreamDef, report: &mut StreamReport) {
        let name = month.strftime("%Y-%m").to_string();
        match events(api, account, month).await {
            Ok(events) => {
                report.read += events.len() as u64;
                if let Err(error) = self.store(stream, &events, report).await {
                    report.problems.push(format!("archive {name}: {error}"));
                }
            }
            Err(problem) => {
                report.unread += 1;
                report.problems.push(format!("archive {name}: {problem}"));
            }
        }
    }

    async fn store(&self, stream: &'static StreamDef, events: &[Value], report: &mut StreamReport) -> Result<(), DestinationError> {
        let mut objects = Objects::new(stream);
        events.iter().for_each(|object| objects.add(Listed { object, parent: None, request: &[] }));
        let Rows { merge, rejects, drift } = rows(stream, objects, SystemClock.now())?;
        self.reject(rejects, &merge).await?;
        let merged = self.tables.merge(&merge).await?;
        report.merged.inserted += merged.inserted;
        report.merged.updated += merged.updated;
        report.merged.unchanged += merged.unchanged;
        for (drift, times) in drift {
            *report.drift.entry(drift).or_default() += times;
        }
        Ok(())
    }
}

/// The ids of the enterprise accounts that the token can see.
async fn accounts(api: &Api) -> Result<Vec<String>, ApiError> {
    let mut pages = api.pages("/enterprise-accounts", &Range::by("id"));
    let mut accounts = Vec::new();
    while let Some(part) = pages.next().await? {
        if let Part::Page(page) = part {
            accounts.extend(page.objects.iter().filter_map(|account| account["id"].as_str().map(str::to_owned)));
        }
    }
    Ok(accounts)
}

/// The events of a month, or in words why not.
async fn events(api: &Api, account: &str, month: Date) -> Result<Vec<Value>, String> {
    let path = format!("/enterprise-accounts/{}/archives/{}", segment(account), month.strftime("%Y/%m"));
    let answer = match api.object(&path).await {
        Ok(answer) => answer,
        Err(ApiError::NotFound(_)) => return Err(format!("the enterprise account {account} has none of this month")),
        Err(error) => return Err(error.to_string()),
    };
    Archive::of(&answer).map_err(|error| error.to_string())?.events().await.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_are_counted_over_years() {
        fn check(text: &str, expected: &[&str]) {
            let months: Months = text.parse().unwrap();
            assert_eq!(months.iter().map(|month| month.strftime("%Y-%m").to_string()).collect::<Vec<_>>(), expected, "{text}");
        }
        check("2026-01", &["2026-01"]);
        check("2025-11..2026-02", &["2025-11", "2025-12", "2026-01", "2026-02"]);
        check("2026-02..2026-02", &["2026-02"]);
        for (wrong, says) in [
            ("", "no month"),
            ("2026-13", "no month"),
            ("2026-1", "no month"),
            ("2026-01-01", "no month"),
            ("2026-01..", "no month"),
            ("2026-02..2026-01", "comes first"),
            ("1990-01..2026-01", "at most"),
        ] {
            let error = wrong.parse::<Months>().unwrap_err();
            assert!(error.contains(says), "{wrong}: {error}");
        }
    }
}
