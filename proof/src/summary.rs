//! Many runs in numbers.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde_json::{Value, json};

use crate::run::Report;
use crate::{Fault, Found};

/// What all runs so far came to.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// Runs in which a promise was broken, with the first of their problems.
    pub broken: Vec<(u64, String)>,
    totals: Report,
    faults: BTreeMap<Fault, FaultCounts>,
}

#[derive(Clone, Copy, Debug, Default)]
struct FaultCounts {
    struck: u64,
    runs: u64,
    broken: u64,
}

impl Summary {
    /// Adds one run.
    pub fn add(&mut self, report: &Report) {
        self.runs += 1;
        if let Some(problem) = report.problems.first() {
            self.broken.push((report.seed, problem.clone()));
        }
        let totals = &mut self.totals;
        totals.events += report.events;
        totals.lives += report.lives;
        totals.kills += report.kills;
        totals.seconds += report.seconds;
        totals.messages += report.messages;
        totals.dropped += report.dropped;
        add_found(&mut totals.found, &report.found);
        for (fault, struck) in &report.struck {
            let counts = self.faults.entry(*fault).or_default();
            counts.struck += struck;
            counts.runs += 1;
            counts.broken += u64::from(!report.problems.is_empty());
        }
    }

    fn numbers(&self) -> [(&'static str, u64); 17] {
        let (totals, found) = (&self.totals, &self.totals.found);
        [
            ("runs", self.runs),
            ("violations", self.broken.len() as u64),
            ("events", totals.events),
            ("simulated hours", totals.seconds / 3600),
            ("process starts", totals.lives),
            ("ends by force", totals.kills),
            ("messages written", totals.messages),
            ("messages in logs", found.messages),
            ("rows in all tables", found.rows),
            ("frames acknowledged and found once", found.frames),
            ("frames found once, never acknowledged", found.frames_unacknowledged),
            ("messages Logplex gave up, told of by L10", totals.dropped),
            ("closures of the intake told of by _loss", found.closures),
            ("gaps told of by _loss", found.gaps),
            ("frames lost with a restored old copy", found.lost_by_old_copy),
            ("frames doubled by a restored old copy", found.doubled_by_old_copy),
            ("frames torn by a restored old copy", found.torn_by_old_copy),
        ]
    }

    /// For people.
    #[must_use]
    pub fn text(&self, took: Duration) -> String {
        let mut numbers = Table::new();
        numbers.load_preset(NOTHING);
        for (name, number) in self.numbers() {
            numbers.add_row([name.to_owned(), number.to_string()]);
        }
        numbers.add_row(["seeds/s".to_owned(), format!("{:.1}", self.runs as f64 / took.as_secs_f64().max(0.001))]);
        let mut faults = Table::new();
        faults.load_preset(NOTHING).set_header(["fault", "times", "runs", "violations", "what happens"]);
        for (fault, counts) in &self.faults {
            faults.add_row([
                fault.name().to_owned(),
                counts.struck.to_string(),
                counts.runs.to_string(),
                counts.broken.to_string(),
                fault.about().to_owned(),
            ]);
        }
        for (table, columns) in [(&mut numbers, 1..2), (&mut faults, 1..4)] {
            for column in columns {
                if let Some(column) = table.column_mut(column) {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
        }
        format!("{numbers}\n\n{faults}\n")
    }

    /// For programs.
    #[must_use]
    pub fn json(&self, took: Duration) -> Value {
        let numbers: BTreeMap<String, u64> =
            self.numbers().into_iter().map(|(name, number)| (name.replace([' ', ',', '\''], "_"), number)).collect();
        let faults: BTreeMap<&str, Value> = self
            .faults
            .iter()
            .map(|(fault, counts)| (fault.name(), json!({ "times": counts.struck, "runs": counts.runs, "violations": counts.broken })))
            .collect();
        json!({ "totals": numbers, "faults": faults, "broken": self.broken, "seconds": took.as_secs_f64() })
    }
}

fn add_found(total: &mut Found, found: &Found) {
    total.rows += found.rows;
    total.messages += found.messages;
    total.frames += found.frames;
    total.frames_unacknowledged += found.frames_unacknowledged;
    total.lost_by_old_copy += found.lost_by_old_copy;
    total.doubled_by_old_copy += found.doubled_by_old_copy;
    total.torn_by_old_copy += found.torn_by_old_copy;
    total.closures += found.closures;
    total.gaps += found.gaps;
}
