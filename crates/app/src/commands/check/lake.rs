//! The lake: whether commits can be made there, and made once.

use std::sync::Arc;
use std::time::Instant;

use freshet_core::DestinationError;
use freshet_destinations::delta;

use super::finding::Finding;
use super::{Subject, bounded};
use crate::exit::Exit;
use crate::lake::{Address, LakeAddress, open_lake};

/// The probes of this section.
pub(super) async fn probe(subject: Arc<Subject>) -> Vec<Finding> {
    let Address::Lake(named) = &subject.tables else { return Vec::new() };
    let mut findings = vec![bounded("lake", lake(named)).await];
    findings.extend(writers(&named.place));
    findings
}

/// Who else may write there, where a store's rules leave that to people.
fn writers(place: &str) -> Option<Finding> {
    // Freshet commits by a put that S3 refuses when the name is taken; Databricks' writers on S3 agree among themselves through a
    // service of their own, and Spark without one overwrites. docs/storage.md says more.
    ["s3://", "s3a://"].iter().any(|scheme| place.starts_with(scheme)).then(|| {
        Finding::good(
            "writers",
            "any number of Freshets may write here; Databricks and Spark may only read: their commits on S3 and ours do not see each other (docs/storage.md)",
        )
    })
}

async fn lake(named: &LakeAddress) -> Finding {
    let begun = Instant::now();
    let tried = match &named.catalog {
        None => delta::probe(&named.place, &named.storage).await,
        Some(_) => match open_lake(named) {
            Ok(lake) => delta::probe_governed(lake.place()).await.map(|()| true),
            Err(error) => return Finding::failed("lake", error.to_string(), "correct `url` under [destination]"),
        },
    };
    match tried {
        Ok(existed) => {
            let yet = if existed { "" } else { " (made when needed)" };
            let took_ms = begun.elapsed().as_millis();
            Finding::good("lake", format!("{}{yet}: put, put of a taken name refused, read, list, delete ({took_ms} ms)", named.place))
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &DestinationError) -> Finding {
    let name = "lake";
    let otherwise = "put it right, or choose another `url` under [destination.lake]";
    // What to do stands in a sentence of its own.
    let parts = |problem: &str| {
        let (found, fix) = problem.rsplit_once(". ").unwrap_or((problem, otherwise));
        (found.to_owned(), fix.to_owned())
    };
    match error {
        DestinationError::Refused { problem } => {
            let (found, fix) = parts(problem);
            Finding::failed(name, found, fix)
        }
        DestinationError::NotPermitted { problem } => {
            let (found, fix) = parts(problem);
            Finding::failed_with(Exit::NotPermitted, name, found, fix)
        }
        DestinationError::Transient { .. } => Finding::failed(name, error.with_cause(), otherwise),
    }
}
