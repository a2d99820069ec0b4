//! The open set of places that payloads come from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;

use crate::Inbox;

/// Resolves when the source should take nothing more.
pub type Stop = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Something that receives payloads and hands them to an inbox until it is told to stop.
#[async_trait]
pub trait Source: Send + Sync {
    /// The name in logs and metrics.
    fn name(&self) -> &'static str;

    /// Runs until `stop` resolves, then finishes what it had begun and returns.
    ///
    /// # Errors
    /// The source cannot run at all, for example because its port is taken.
    async fn run(&self, inbox: Arc<dyn Inbox>, stop: Stop) -> Result<(), SourceError>;
}

/// A source that cannot run.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What to tell the operator, with the fix.
    pub message: String,
}
