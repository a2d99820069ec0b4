//! `/metrics`, in the text form of Prometheus.

use std::fmt::Write as _;

use freshet_sources::drain::ACK_BUCKETS_SECONDS;
use freshet_spool::State;

use super::live::Snapshot;

/// Every metric there is.
#[derive(Clone, Copy)]
enum Metric {
    DrainRequests,
    DrainBodyBytes,
    WebhookRequests,
    DrainDiscardedBytes,
    DrainConnections,
    DrainListenerOpen,
    DrainListenerClosures,
    SpoolState,
    SpoolBytes,
    SpoolBytesMax,
    SpoolWaitingBytes,
    SpoolOldestAge,
    SpoolRecords,
    SpoolSyncs,
    SpoolSyncSeconds,
    SpoolDiskErrors,
    SpoolCorruptBytes,
    SpoolWindowEntries,
    SpoolWindowForgotten,
    LoaderMessages,
    LoaderRejects,
    LoaderRejectBytes,
    LoaderShortFrames,
    LoaderRows,
    LoaderPackages,
    LoaderPackageSeconds,
    LoaderFailures,
    LoaderLastCommit,
    ResidentMemory,
}

impl Metric {
    /// Name, type and help.
    fn about(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::DrainRequests => ("freshet_drain_requests_total", "counter", "Drain requests by outcome"),
            Self::DrainBodyBytes => ("freshet_drain_body_bytes_total", "counter", "Bytes of stored bodies, unpacked"),
            Self::WebhookRequests => ("freshet_webhook_requests_total", "counter", "Webhook deliveries by outcome"),
            Self::DrainDiscardedBytes => ("freshet_drain_discarded_bytes_total", "counter", "Bytes beyond receive.body_max, thrown away"),
            Self::DrainConnections => ("freshet_drain_connections", "gauge", "Open connections"),
            Self::DrainListenerOpen => ("freshet_drain_listener_open", "gauge", "1 while connections are accepted"),
            Self::DrainListenerClosures => ("freshet_drain_listener_closures_total", "counter", "How often the listener closed"),
            Self::SpoolState => ("freshet_spool_state", "gauge", "1 for the state the spool is in"),
            Self::SpoolBytes => ("freshet_spool_bytes", "gauge", "Bytes of spool files on disk"),
            Self::SpoolBytesMax => ("freshet_spool_bytes_max", "gauge", "Bytes the spool may hold"),
            Self::SpoolWaitingBytes => ("freshet_spool_waiting_bytes", "gauge", "Bytes not yet in every table"),
            Self::SpoolOldestAge => ("freshet_spool_oldest_age_seconds", "gauge", "Age of the oldest payload not yet in every table"),
            Self::SpoolRecords => ("freshet_spool_records_total", "counter", "Payloads stored"),
            Self::SpoolSyncs => ("freshet_spool_syncs_total", "counter", "Group commits"),
            Self::SpoolSyncSeconds => ("freshet_spool_sync_seconds_total", "counter", "Time spent in group commits"),
            Self::SpoolDiskErrors => ("freshet_spool_disk_errors_total", "counter", "Writes, syncs and removals that the disk refused"),
            Self::SpoolCorruptBytes => ("freshet_spool_corrupt_bytes_total", "counter", "Bytes that could not be read back"),
            Self::SpoolWindowEntries => ("freshet_spool_window_entries", "gauge", "Frame ids remembered"),
            Self::SpoolWindowForgotten => ("freshet_spool_window_forgotten_total", "counter", "Frame ids forgotten before their time"),
            Self::LoaderMessages => ("freshet_loader_messages_total", "counter", "Messages parsed"),
            Self::LoaderRejects => ("freshet_loader_rejects_total", "counter", "Rejects"),
            Self::LoaderRejectBytes => ("freshet_loader_reject_bytes_total", "counter", "Bytes in rejects"),
            Self::LoaderShortFrames => ("freshet_loader_short_frames_total", "counter", "Frames shorter than their length said"),
            Self::LoaderRows => ("freshet_loader_rows_total", "counter", "Rows committed, by table"),
            Self::LoaderPackages => ("freshet_loader_packages_total", "counter", "Packages committed"),
            Self::LoaderPackageSeconds => ("freshet_loader_package_seconds_total", "counter", "Time from cut to commit"),
            Self::LoaderFailures => ("freshet_loader_failures_total", "counter", "Tries that the destination failed"),
            Self::LoaderLastCommit => ("freshet_loader_last_commit_timestamp_seconds", "gauge", "When the last package was committed"),
            Self::ResidentMemory => ("process_resident_memory_bytes", "gauge", "Resident memory of the process"),
        }
    }
}

/// The whole page.
pub(super) fn page(snapshot: &Snapshot, spool_bytes_max: u64, now_seconds: f64) -> String {
    let mut page = Page(String::with_capacity(8192));
    page.drain(snapshot);
    page.spool(snapshot, spool_bytes_max, now_seconds);
    page.loader(snapshot);
    if let Some(bytes) = resident_bytes() {
        page.one(Metric::ResidentMemory, bytes as f64);
    }
    page.0
}

struct Page(String);

impl Page {
    fn head(&mut self, metric: Metric) -> &'static str {
        let (name, kind, help) = metric.about();
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        name
    }

    fn one(&mut self, metric: Metric, value: f64) {
        let name = self.head(metric);
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn each<'a>(&mut self, metric: Metric, label: &str, values: impl IntoIterator<Item = (&'a str, f64)>) {
        let name = self.head(metric);
        for (of, value) in values {
            let _ = writeln!(self.0, "{name}{{{label}=\"{of}\"}} {value}");
        }
    }

    fn drain(&mut self, snapshot: &Snapshot) {
        let drain = &snapshot.drain;
        let outcomes = [
            ("stored", drain.stored),
            ("repeated", drain.repeated),
            ("empty", drain.empty),
            ("unauthorized", drain.unauthorized),
            ("misdirected", drain.misdirected),
            ("aborted", drain.aborted),
        ];
        self.each(Metric::DrainRequests, "outcome", outcomes.map(|(outcome, count)| (outcome, count as f64)));
        self.one(Metric::DrainBodyBytes, drain.body_bytes as f64);
        let outcomes = [("stored", drain.webhooks_stored), ("repeated", drain.webhooks_repeated), ("refused", drain.webhooks_refused)];
        self.each(Metric::WebhookRequests, "outcome", outcomes.map(|(outcome, count)| (outcome, count as f64)));
        self.one(Metric::DrainDiscardedBytes, drain.discarded_bytes as f64);
        self.one(Metric::DrainConnections, drain.connections_open as f64);
        self.one(Metric::DrainListenerOpen, f64::from(u8::from(drain.listener_open)));
        self.one(Metric::DrainListenerClosures, drain.listener_closures as f64);
        let name = "freshet_drain_ack_seconds";
        let _ = writeln!(self.0, "# HELP {name} Time from the end of a request to its durable answer\n# TYPE {name} histogram");
        let bounds = ACK_BUCKETS_SECONDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
        for (bound, count) in bounds.zip(drain.ack_counts) {
            let _ = writeln!(self.0, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let total = drain.ack_counts.last().copied().unwrap_or_default();
        let _ = writeln!(self.0, "{name}_sum {}\n{name}_count {total}", drain.ack_seconds);
    }

    fn spool(&mut self, snapshot: &Snapshot, bytes_max: u64, now_seconds: f64) {
        let spool = &snapshot.spool;
        let states = [State::Open, State::Full, State::Failing, State::Closed];
        self.each(Metric::SpoolState, "state", states.map(|state| (state.as_str(), f64::from(u8::from(state == spool.state)))));
        self.one(Metric::SpoolBytes, spool.used_bytes as f64);
        self.one(Metric::SpoolBytesMax, bytes_max as f64);
        self.one(Metric::SpoolWaitingBytes, spool.durable_end.saturating_sub(spool.consumed) as f64);
        let age = spool.oldest_unconsumed_at.map_or(0.0, |oldest| now_seconds - oldest.0 as f64 / 1e6);
        self.one(Metric::SpoolOldestAge, age.max(0.0));
        self.one(Metric::SpoolRecords, spool.records_appended_total as f64);
        self.one(Metric::SpoolSyncs, spool.syncs_total as f64);
        self.one(Metric::SpoolSyncSeconds, spool.sync_seconds_total);
        self.one(Metric::SpoolDiskErrors, spool.disk_errors_total as f64);
        self.one(Metric::SpoolCorruptBytes, spool.corrupt_bytes_total as f64);
        self.one(Metric::SpoolWindowEntries, spool.window_entries as f64);
        self.one(Metric::SpoolWindowForgotten, spool.window_forgotten_total as f64);
    }

    fn loader(&mut self, snapshot: &Snapshot) {
        let loader = &snapshot.loader;
        self.one(Metric::LoaderMessages, loader.counts.messages as f64);
        self.one(Metric::LoaderRejects, loader.counts.rejects as f64);
        self.one(Metric::LoaderRejectBytes, loader.counts.reject_bytes as f64);
        self.one(Metric::LoaderShortFrames, loader.counts.short as f64);
        self.each(Metric::LoaderRows, "table", loader.rows.iter().map(|(table, rows)| (*table, *rows as f64)));
        self.one(Metric::LoaderPackages, loader.packages as f64);
        self.one(Metric::LoaderPackageSeconds, loader.commit_seconds);
        self.one(Metric::LoaderFailures, loader.failures as f64);
        self.one(Metric::LoaderLastCommit, loader.committed_at.map_or(0.0, |time| time.0 as f64 / 1e6));
    }
}

/// Resident memory of this process, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
