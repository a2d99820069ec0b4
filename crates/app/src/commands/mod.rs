//! One file per verb.

pub(crate) mod check;
pub(crate) mod databricks;
pub(crate) mod drains;
pub(crate) mod drift;
pub(crate) mod fake_heroku;
pub(crate) mod import;
pub(crate) mod init;
pub(crate) mod loads;
pub(crate) mod query;
pub(crate) mod rejects;
pub(crate) mod run;
pub(crate) mod state;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod tables;
pub(crate) mod tail;
pub(crate) mod webhooks;
