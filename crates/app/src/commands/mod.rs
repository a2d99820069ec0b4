//! One file per verb.

pub mod import;
pub mod loads;
pub mod query;
pub mod rejects;
pub mod run;
pub mod status;
pub mod tables;
