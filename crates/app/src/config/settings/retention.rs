//! How long rows are kept.

use std::collections::BTreeMap;
use std::time::Duration;

use freshet_destinations::delta::EXPIRE_AFTER_MIN;

use super::super::units;
use super::{Problem, Values};
use crate::retention::{Age, age_of};

/// How long rows are kept, by table. Nothing is for ever.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetentionSettings {
    default: Option<Duration>,
    /// What is said of single tables.
    of_table: BTreeMap<String, Option<Duration>>,
}

impl RetentionSettings {
    /// What `values` say.
    pub(super) fn of_values(values: &Values, problems: &mut Vec<Problem>) -> Self {
        let mut retention = Self::default();
        for entry in values.entries.iter().filter(|entry| entry.path.starts_with("retention.")) {
            let name = entry.path.trim_start_matches("retention.");
            let mut refuse = |message: String| problems.push(Problem { place: entry.place, message });
            let text = entry.texts.first().map_or("", String::as_str);
            let kept = span(text).unwrap_or_else(|why| {
                refuse(format!("`{}` {why}", entry.path));
                None
            });
            if name == "default" {
                retention.default = kept;
                continue;
            }
            if freshet_tables::find(name).is_none() {
                refuse(format!("`{}` names no table of Freshet's; freshet tables list shows those of a lake", entry.path));
            } else if let Age::None(why) = age_of(name) {
                refuse(format!("`{}` cannot be: rows of that table do not expire, {why}", entry.path));
            }
            retention.of_table.insert(name.to_owned(), kept);
        }
        retention
    }

    /// How long rows of the table called `name` are kept; nothing when for ever.
    #[must_use]
    pub(crate) fn of(&self, name: &str) -> Option<Duration> {
        self.of_table.get(name).copied().unwrap_or(self.default)
    }

    /// Whether all rows are kept for ever.
    #[must_use]
    pub(crate) fn is_for_ever(&self) -> bool {
        self.default.is_none() && self.of_table.values().all(Option::is_none)
    }
}

fn span(text: &str) -> Result<Option<Duration>, String> {
    if text == "keep" {
        return Ok(None);
    }
    match units::duration(text) {
        Some(kept) if kept >= EXPIRE_AFTER_MIN => Ok(Some(kept)),
        _ => Err(format!("is {text:?}, but must be a time span of at least \"1d\", such as \"90d\", or \"keep\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::examine_text;
    use super::*;

    #[test]
    fn each_table_has_its_own_or_the_default() {
        let (settings, problems) = examine_text("[retention]\ndefault = \"90d\"\nlogs = \"30d\"\n_rejects = \"keep\"\n");
        assert_eq!(problems, []);
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        let retention = settings.retention;
        assert_eq!((retention.of("logs"), retention.of("_rejects"), retention.of("_loss")), (days(30), None, days(90)));
        assert!(!retention.is_for_ever());
        assert!(examine_text("").0.retention.is_for_ever());
    }

    #[test]
    fn nonsense_is_refused() {
        for wrong in ["logs = \"1h\"", "default = \"soon\"", "apps = \"90d\"", "_runs = \"90d\"", "nothing = \"90d\"", "logs = 90"] {
            let problems = examine_text(&format!("[retention]\n{wrong}\n")).1;
            assert!(problems.len() == 1 && problems[0].message.starts_with("`retention."), "{wrong}: {problems:?}");
        }
    }
}
