//! The lake: whether commits can be made there, and made once.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Instant;

use freshet_core::DestinationError;

use super::finding::Finding;
use super::{Subject, bounded};

/// The probe of this section.
pub(super) async fn probe(subject: Arc<Subject>) -> Vec<Finding> {
    vec![bounded("lake", lake(&subject.lake)).await]
}

async fn lake(place: &str) -> Finding {
    let begun = Instant::now();
    match freshet_destinations::delta::probe(place).await {
        Ok(existed) => {
            let yet = if existed { "" } else { " (made when needed)" };
            let took_ms = begun.elapsed().as_millis();
            Finding::good("lake", format!("{place}{yet}: put, put of a taken name refused, read, list, delete ({took_ms} ms)"))
        }
        Err(error) => refused(&error),
    }
}

fn refused(error: &DestinationError) -> Finding {
    let text = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    // What to do stands in a sentence of its own.
    let (found, fix) = text.rsplit_once(". ").unwrap_or((&text, "put it right, or choose another `url` under [destination.lake]"));
    Finding::failed("lake", found, fix)
}
