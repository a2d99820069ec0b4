//! What runs beside the receiver and the loader while `freshet run` lives.

mod live;
mod maintenance;
mod metrics;
mod pages;

pub(crate) use live::{Live, Report};
pub(crate) use maintenance::maintain;
pub(crate) use pages::pages;
