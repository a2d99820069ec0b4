//! The kinds of line that a Heroku app's log has, each as a function that writes one.

pub mod addons;
pub mod app;
pub mod platform;
pub mod router;
pub mod words;
