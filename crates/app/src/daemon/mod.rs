//! The daemon: receiver, spool and loader, and what runs beside them.

mod live;
mod maintenance;
mod metrics;
mod pages;
mod pipeline;
mod schedule;

pub(crate) use live::{Live, Report, Snapshot};
pub(crate) use pipeline::{Pipeline, Stopped, loader, open_spool};
