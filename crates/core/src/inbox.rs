//! The door between a source and the spool.

use async_trait::async_trait;

use crate::Payload;

/// Takes payloads and makes them durable. The spool is one; a test may be another.
#[async_trait]
pub trait Inbox: Send + Sync {
    /// Returns once `payload` is safe on disk, or was already. Only then may the sender be told so.
    ///
    /// # Errors
    /// See [`InboxError`]: the payload was not kept, and the sender must not be answered with success.
    async fn accept(&self, payload: Payload) -> Result<Receipt, InboxError>;

    /// Waits until the inbox has room. Returns at once when it has.
    async fn opened(&self);

    /// Waits until the inbox can take no more, so that a listener closes before it has to refuse anybody.
    async fn closed(&self);
}

/// How a payload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It is on disk now.
    Stored,
    /// The same frame was stored before; nothing was written.
    Repeated,
}

/// Why a payload was not kept.
#[derive(Debug, thiserror::Error)]
pub enum InboxError {
    /// The spool holds as much as it may. Try again when [`Inbox::opened`] returns.
    #[error("the spool is full")]
    Full,
    /// The disk refused. Try again when [`Inbox::opened`] returns.
    #[error("the spool's disk failed: {0}")]
    Disk(String),
    /// The process is stopping.
    #[error("the spool is closed")]
    Stopped,
}
