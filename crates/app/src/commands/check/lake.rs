//! The lake: whether commits can be made there, and made once.

use std::sync::Arc;
use std::time::Instant;

use freshet_core::DestinationError;
use freshet_destinations::delta::StorageOptions;

use super::finding::Finding;
use super::{Subject, bounded};
use crate::exit::Exit;
use crate::lake::Address;

/// The probe of this section.
pub(super) async fn probe(subject: Arc<Subject>) -> Vec<Finding> {
    match &subject.tables {
        Address::Lake { place, storage } => vec![bounded("lake", lake(place, storage)).await],
        Address::Databricks(_) => Vec::new(),
    }
}

async fn lake(place: &str, storage: &StorageOptions) -> Finding {
    let begun = Instant::now();
    match freshet_destinations::delta::probe(place, storage).await {
        Ok(existed) => {
            let yet = if existed { "" } else { " (made when needed)" };
            let took_ms = begun.elapsed().as_millis();
            Finding::good("lake", format!("{place}{yet}: put, put of a taken name refused, read, list, delete ({took_ms} ms)"))
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
        DestinationError::Transient { doing, cause } => Finding::failed(name, format!("{doing}: {cause}"), otherwise),
    }
}
