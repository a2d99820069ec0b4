//! Finding the lake that a verb works on.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use freshet_destinations::delta::{Lake, LakeOptions, StorageOptions, check_location};

use crate::cli::Global;
use crate::config::Settings;
use crate::exit::{Exit, Failure};

/// Where a lake is, and how to reach it.
#[derive(Clone)]
pub(crate) struct Address {
    place: String,
    storage: StorageOptions,
}

impl Address {
    /// The lake that somebody named: a path or a URL. What the configuration says of storage belongs to the lake that is named there;
    /// any other is reached with what the environment says.
    ///
    /// # Errors
    /// There can be no lake of this name, or the configuration says where a secret is, and there it is not.
    pub(crate) fn named(place: &str, settings: &Settings) -> anyhow::Result<Self> {
        check_location(place).map_err(|error| Failure::error(Exit::BadConfig, error.to_string()))?;
        let storage = if place == settings.lake { settings.storage()? } else { StorageOptions::new() };
        Ok(Self { place: place.strip_prefix("file://").unwrap_or(place).to_owned(), storage })
    }

    /// A lake in a folder.
    #[must_use]
    pub(crate) fn folder(path: String) -> Self {
        Self { place: path, storage: StorageOptions::new() }
    }

    /// Its path or URL.
    #[must_use]
    pub(crate) fn place(&self) -> &str {
        &self.place
    }

    /// How to reach it, beyond what the environment says.
    #[must_use]
    pub(crate) fn storage(&self) -> &StorageOptions {
        &self.storage
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place)
    }
}

/// Where the lake is: the flag, else the configuration.
///
/// # Errors
/// As for [`Address::named`].
pub(crate) fn address(global: &Global, settings: &Settings) -> anyhow::Result<Address> {
    Address::named(global.lake.as_deref().unwrap_or(&settings.lake), settings)
}

/// Opens the lake to read from it.
///
/// # Errors
/// There is none yet; the message says how to make one.
pub(crate) async fn existing(global: &Global, settings: &Settings) -> anyhow::Result<Arc<Lake>> {
    let address = address(global, settings)?;
    // Opening would make the folder.
    let is_missing_folder = !address.place.contains("://") && !Path::new(&address.place).is_dir();
    if !is_missing_folder {
        let lake = open(&address)?;
        if lake.is_there().await? {
            return Ok(lake);
        }
    }
    Err(Failure::error(
        Exit::Failed,
        format!(
            "there is no lake at {address} yet\n  fill it from a log file:   freshet import app.log --app NAME --to {address}\n  or from a log drain:       freshet run --lake {address}"
        ),
    ))
}

/// Opens the lake to write to it; a folder is made where it is missing.
///
/// # Errors
/// The folder cannot be made or written, or it is not known how to reach the store.
pub(crate) fn open(address: &Address) -> anyhow::Result<Arc<Lake>> {
    let options = LakeOptions { storage: address.storage.clone(), ..LakeOptions::default() };
    Ok(Arc::new(Lake::open(&address.place, options)?))
}
