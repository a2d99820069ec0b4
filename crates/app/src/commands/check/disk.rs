//! The disk under the spool: how much fits on it, and how long it takes until something is really there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use freshet_spool::DiskProbe;

use super::finding::Finding;
use super::{Subject, bounded_blocking};
use crate::config::{Settings, format_bytes};
use crate::exit::Exit;
use crate::output::grouped;

/// A disk that is usually slower than this is not one for a queue.
const SYNC_SLOW: Duration = Duration::from_millis(20);

/// A single sync that takes this long has used a good part of the 5 s after which Logplex gives up on a frame.
const SYNC_STALLED: Duration = Duration::from_secs(1);

/// The probes of this section.
pub(super) async fn probe(subject: Arc<Subject>) -> Vec<Finding> {
    bounded_blocking("disk", move || {
        let spool = subject.data_dir.join("spool");
        match freshet_spool::probe(&spool) {
            Ok(found) => vec![room(&subject.settings, &subject.data_dir, &found), syncs(&found.syncs)],
            Err(error) => vec![refused(&subject.data_dir, &error)],
        }
    })
    .await
}

fn refused(data_dir: &Path, error: &io::Error) -> Finding {
    let found = format!("{} cannot be written: {error}", data_dir.display());
    let (exit, fix) = match error.kind() {
        io::ErrorKind::PermissionDenied => (Exit::NotPermitted, "let this user write there, or choose another place with --data-dir"),
        io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory => (Exit::Failed, "choose another place with --data-dir"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            (Exit::Failed, "free some space, or choose another place with --data-dir")
        }
        _ => (Exit::Failed, "a disk that fails here fails the spool too: look into the system's log (dmesg)"),
    };
    Finding::failed_with(exit, "room", found, fix)
}

fn room(settings: &Settings, data_dir: &Path, found: &DiskProbe) -> Finding {
    let name = "room";
    let (max, free) = (settings.spool_bytes_max, found.free_bytes);
    let missing = max.saturating_sub(found.used_bytes.saturating_add(free));
    let place = data_dir.display();
    if missing > 0 {
        let fix = format!("free {}, or set a smaller `max_bytes` under [spool]", format_bytes(missing));
        let found = format!("{place}: only {} free, but the spool may grow to {}", format_bytes(free), format_bytes(max));
        // With less than a few segments the spool is full before it has begun.
        let too_little = free < settings.segment_bytes.min(max / 4);
        return if too_little { Finding::failed(name, found, fix) } else { Finding::warning(name, found, fix) };
    }
    let yet = if found.directory.starts_with(std::path::absolute(data_dir).unwrap_or_default()) { "" } else { " (made when needed)" };
    Finding::good(name, format!("{place}{yet}: {} free, and the spool takes {} at most", format_bytes(free), format_bytes(max)))
}

/// What to say of `syncs`, which are sorted. A drain has one frame under way at a time and gets its answer after a sync, so the
/// time of a sync is what bounds each drain; drains share syncs.
fn syncs(syncs: &[Duration]) -> Finding {
    let name = "sync";
    let (median, worst) = (syncs.get(syncs.len() / 2).copied().unwrap_or_default(), syncs.last().copied().unwrap_or_default());
    let frames = (1.0 / median.as_secs_f64().max(1e-6)) as u64;
    let found = format!(
        "{} ms, at worst {} ms of {}: at most {} frames/s from one drain",
        milliseconds(median),
        milliseconds(worst),
        syncs.len(),
        grouped(frames.max(1))
    );
    if median > SYNC_SLOW {
        return Finding::warning(
            name,
            found,
            "put the data directory on a local SSD (--data-dir): each answer to a drain waits for a sync",
        );
    }
    if worst > SYNC_STALLED {
        return Finding::warning(
            name,
            found,
            "the disk stalls now and then, and Logplex gives up after 5 s: put the data directory on a disk of its own",
        );
    }
    Finding::good(name, found)
}

/// Three digits are enough.
fn milliseconds(time: Duration) -> String {
    let value = time.as_secs_f64() * 1e3;
    let digits = match value {
        value if value < 10.0 => 2,
        value if value < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::check::finding::State;
    use crate::config::examine_text;

    #[test]
    fn syncs_are_judged() {
        fn check(milliseconds: &[u64], state: State, found: &str) {
            let times: Vec<_> = milliseconds.iter().copied().map(Duration::from_millis).collect();
            let finding = syncs(&times);
            assert_eq!((finding.state, finding.found.as_str()), (state, found), "{milliseconds:?}");
        }
        check(&[1, 2, 3], State::Good, "2.00 ms, at worst 3.00 ms of 3: at most 500 frames/s from one drain");
        check(&[1, 20, 150], State::Good, "20.0 ms, at worst 150 ms of 3: at most 50 frames/s from one drain");
        check(&[1, 21, 30], State::Warning, "21.0 ms, at worst 30.0 ms of 3: at most 47 frames/s from one drain");
        check(&[1, 2, 1500], State::Warning, "2.00 ms, at worst 1500 ms of 3: at most 500 frames/s from one drain");
        check(&[2000, 3000, 4000], State::Warning, "3000 ms, at worst 4000 ms of 3: at most 1 frames/s from one drain");
    }

    #[test]
    fn room_is_counted_with_what_the_spool_has() {
        fn check(free_mib: u64, used_mib: u64, state: State) {
            let (settings, _) = examine_text("[spool]\nmax_bytes = \"1GiB\"\nsegment_bytes = \"64MiB\"\n");
            let found = DiskProbe { directory: "/x".into(), free_bytes: free_mib << 20, used_bytes: used_mib << 20, syncs: Vec::new() };
            assert_eq!(room(&settings, Path::new("/x"), &found).state, state, "{free_mib} {used_mib}");
        }
        check(2000, 0, State::Good);
        check(1024, 0, State::Good);
        check(1023, 0, State::Warning);
        check(524, 500, State::Good);
        check(523, 500, State::Warning);
        check(63, 0, State::Failed(Exit::Failed));
        check(0, 1024, State::Good);
    }
}
