//! `metric_samples`: any `sample#`, `measure#`, `count#` or `unique#` pair that no other table knows.

use freshet_parse::Line;

use crate::event::Event;
use crate::router_requests::unique;
use crate::table::{Table, table, table_methods};

table! {
    log table TABLE as MetricSamples, "metric_samples", "One measurement of any other kind, as l2met conventions write them" {
        metric_type: Text(required), "sample, measure, count or unique";
        name: Text(required), "What was measured";
        value: Double(required), "The number";
        unit: Text, "What followed the number, such as ms";
        tags: TextMap, "The plain key=value pairs of the line";
    }
}

impl Table for MetricSamples {
    table_methods!(TABLE, shared.ts);

    fn wants(&self, event: &Event<'_>) -> bool {
        matches!(event, Event::Message(_, Line::MetricSamples(_)))
    }

    fn add(&mut self, event: &Event<'_>) {
        let Event::Message(message, Line::MetricSamples(samples)) = event else { return };
        let tags: Vec<_> = samples.tags.iter().map(|(key, value)| (samples.slice(key), samples.slice(value))).collect();
        for sample in samples.samples {
            self.shared.push(message);
            self.metric_type.push(sample.metric_type.as_str().as_bytes());
            self.name.push(samples.slice(&sample.name));
            self.value.push(Some(sample.value));
            self.unit.push_field(Some(samples.slice(&sample.unit)));
            self.tags.push(unique(&tags));
        }
    }
}
