//! What runs beside the receiver and the loader while `freshet run` lives.

mod live;
mod maintenance;
mod metrics;
mod notices;
mod pages;

pub use live::{Live, Report};
pub use maintenance::maintain;
pub use notices::tell_of_closures;
pub use pages::pages;
