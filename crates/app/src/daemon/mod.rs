//! The daemon: receiver, spool and loader, and what runs beside them.

mod live;
mod maintenance;
mod metrics;
mod notices;
mod pages;
mod pipeline;

pub(crate) use live::{Live, Report};
pub(crate) use pipeline::Pipeline;

use maintenance::maintain;
use notices::tell_of_closures;
use pages::pages;
