//! What the tables of known metrics have in common: a column per metric, in one unit, and a map for the rest.

use freshet_parse::Samples;

use crate::column::{Double, DoubleMap, Long};

/// The unit a metric column holds, whatever unit the line was written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As written: counts, rates, averages.
    Plain,
    Bytes,
    Kilobytes,
    Megabytes,
}

impl Unit {
    /// The unit as Heroku writes it, where the column insists on one.
    fn name(self) -> Option<&'static [u8]> {
        match self {
            Self::Plain => None,
            Self::Bytes => Some(b"bytes"),
            Self::Kilobytes => Some(b"kB"),
            Self::Megabytes => Some(b"MB"),
        }
    }
}

/// A column that a metric can be put in.
pub(crate) trait MetricColumn {
    fn push_metric(&mut self, value: Option<f64>);
}

impl MetricColumn for Double {
    fn push_metric(&mut self, value: Option<f64>) {
        self.push(value);
    }
}

impl MetricColumn for Long {
    fn push_metric(&mut self, value: Option<f64>) {
        self.push(value.map(|value| value.round() as i64));
    }
}

impl MetricColumn for crate::column::Int {
    fn push_metric(&mut self, value: Option<f64>) {
        self.push(value.map(|value| value.round() as i32));
    }
}

/// The longest metric name that can belong to a column.
const NAME_BYTES_MAX: usize = 40;

/// Sorts the samples of a line into `values` by the names in `known`, and the rest into `extra`.
pub(crate) fn sort_samples<const N: usize>(samples: &Samples<'_>, known: &[(&str, Unit); N], extra: &mut DoubleMap) -> [Option<f64>; N] {
    let mut values = [None; N];
    for sample in samples.samples {
        let name = samples.slice(&sample.name);
        match column_of(name, known) {
            Some(column) if values[column].is_none() => match known[column].1.name() {
                Some(unit) => values[column] = samples.value_in(sample, unit),
                None => values[column] = Some(sample.value),
            },
            _ => extra.entry(name, sample.value),
        }
    }
    extra.end_row();
    values
}

/// `-` and `_` in a metric's name are one: Heroku writes `load_avg_1m` for dynos and `load-avg-1m` for data stores.
fn column_of<const N: usize>(name: &[u8], known: &[(&str, Unit); N]) -> Option<usize> {
    let mut normal = [0; NAME_BYTES_MAX];
    let normal = normal.get_mut(..name.len())?;
    for (to, from) in normal.iter_mut().zip(name) {
        *to = if *from == b'-' { b'_' } else { *from };
    }
    known.iter().position(|(known, _)| known.as_bytes() == &*normal)
}

/// Declares a table of metrics that Heroku measures under fixed names.
macro_rules! metric_table {
    ($def:ident as $rows:ident, $name:literal, $comment:literal, $line:ident,
     tags { $($tag:ident = $from:ident, $tag_about:literal;)* }
     metrics { $($metric:ident: $type:ident = $key:literal in $unit:ident, $about:literal;)* }
    ) => {
        $crate::table::table! {
            log table $def as $rows, $name, $comment {
                $($tag: Text, $tag_about;)*
                $($metric: $type, $about;)*
                extra: DoubleMap, "Metrics this version does not know, as sent";
            }
        }

        impl $crate::table::Table for $rows {
            $crate::table::table_methods!($def, shared.ts);

            fn wants(&self, event: &$crate::event::Event<'_>) -> bool {
                matches!(event, $crate::event::Event::Message(_, freshet_parse::Line::$line(_)))
            }

            fn add(&mut self, event: &$crate::event::Event<'_>) {
                use $crate::metrics::MetricColumn as _;
                let $crate::event::Event::Message(message, freshet_parse::Line::$line(samples)) = event else { return };
                self.shared.push(message);
                $(self.$tag.push_field(samples.$from);)*
                let known = [$(($key, $crate::metrics::Unit::$unit)),*];
                let [$($metric),*] = $crate::metrics::sort_samples(samples, &known, &mut self.extra);
                $(self.$metric.push_metric($metric);)*
            }
        }
    };
}

pub(crate) use metric_table;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_and_underscores_name_one_metric() {
        let known = [("load_avg_1m", Unit::Plain), ("tables", Unit::Plain)];
        assert_eq!(column_of(b"load-avg-1m", &known), Some(0));
        assert_eq!(column_of(b"load_avg_1m", &known), Some(0));
        assert_eq!(column_of(b"load_avg", &known), None);
        assert_eq!(column_of(&[b'a'; 100], &known), None);
    }
}
