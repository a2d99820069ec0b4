//! Finding the place of the tables that a verb works on: a lake, or a Databricks workspace.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use freshet_core::Mirror;
use freshet_destinations::databricks::{ExternalOptions, Managed, ManagedOptions, UnityCatalog, Zerobus};
use freshet_destinations::delta::{Catalog, Lake, LakeOptions, StorageOptions, check_location};

use crate::cli::Global;
use crate::config::{DatabricksMode, DatabricksSettings, Settings};
use crate::exit::{Exit, Failure};

/// What names the configured workspace where a lake can be named. A folder of that name is `./databricks`.
const DATABRICKS: &str = "databricks";

/// How long messages wait for a warehouse where nothing is said: it costs money while it is awake.
pub(crate) const LOAD_AGE_BY_WAREHOUSE: Duration = Duration::from_secs(600);

/// Where tables are, and how to reach them.
#[derive(Clone)]
pub(crate) enum Address {
    /// In a lake.
    Lake(LakeAddress),
    /// In a Databricks workspace.
    Databricks(Box<DatabricksSettings>),
}

/// Where a lake is, and how to reach it.
#[derive(Clone)]
pub(crate) struct LakeAddress {
    /// Its path or URL.
    pub(crate) place: String,
    /// How to reach it, beyond what the environment says.
    pub(crate) storage: StorageOptions,
    /// Who governs it, and hands out the keys.
    pub(crate) catalog: Option<Arc<dyn Catalog>>,
}

/// Tables that can be written.
pub(crate) enum Opened {
    /// Those of a lake, which we look after ourselves.
    Lake(Arc<Lake>),
    /// Those that Databricks keeps and looks after.
    Managed(Arc<Managed>),
    /// The same with log lines by Zerobus.
    Zerobus(Arc<Zerobus>),
}

impl Opened {
    /// What all of them can do.
    #[must_use]
    pub(crate) fn mirror(&self) -> Arc<dyn Mirror> {
        match self {
            Self::Lake(lake) => Arc::clone(lake) as _,
            Self::Managed(managed) => Arc::clone(managed) as _,
            Self::Zerobus(zerobus) => Arc::clone(zerobus) as _,
        }
    }

    /// How long messages wait for a commit where nothing is said.
    #[must_use]
    pub(crate) fn load_age_max(&self) -> Duration {
        match self {
            Self::Lake(_) => Duration::from_secs(30),
            Self::Managed(_) => LOAD_AGE_BY_WAREHOUSE,
            // It takes few rows as gladly as many.
            Self::Zerobus(_) => Duration::from_secs(2),
        }
    }

    /// The lake, if it is one.
    #[must_use]
    pub(crate) fn lake(&self) -> Option<&Arc<Lake>> {
        match self {
            Self::Lake(lake) => Some(lake),
            Self::Managed(_) | Self::Zerobus(_) => None,
        }
    }
}

impl LakeAddress {
    /// A lake in a folder.
    #[must_use]
    pub(crate) fn folder(path: &str) -> Self {
        Self { place: path.to_owned(), storage: StorageOptions::new(), catalog: None }
    }
}

impl Address {
    /// The place that somebody named: a path or a URL, or [`DATABRICKS`] for the workspace of the configuration. What that says of storage
    /// belongs to the lake that is named there; any other is reached with what the environment says.
    ///
    /// # Errors
    /// There can be no lake of this name, or the configuration says where a secret is, and there it is not.
    pub(crate) fn named(place: &str, settings: &Settings) -> anyhow::Result<Self> {
        if let Some(databricks) = settings.databricks.as_ref().filter(|_| place == DATABRICKS) {
            return Self::configured(databricks, settings);
        }
        check_location(place).map_err(|error| Failure::error(Exit::BadConfig, error.to_string()))?;
        let storage = if place == settings.lake { settings.storage()? } else { StorageOptions::new() };
        let place = place.strip_prefix("file://").unwrap_or(place).to_owned();
        Ok(Self::Lake(LakeAddress { place, storage, catalog: None }))
    }

    /// The tables of the configured workspace: those that Databricks keeps, or a lake that its catalog governs.
    fn configured(databricks: &DatabricksSettings, settings: &Settings) -> anyhow::Result<Self> {
        let DatabricksMode::External { url } = &databricks.mode else { return Ok(Self::Databricks(Box::new(databricks.clone()))) };
        let workspace = databricks.workspace()?;
        let options = ExternalOptions {
            catalog: databricks.catalog.clone(),
            schema: databricks.schema.clone(),
            url: url.clone(),
            has_warehouse: workspace.has_warehouse(),
        };
        let catalog = Arc::new(UnityCatalog::new(workspace, options));
        Ok(Self::Lake(LakeAddress { place: url.clone(), storage: settings.storage()?, catalog: Some(catalog) }))
    }

    /// A lake in a folder.
    #[must_use]
    pub(crate) fn folder(path: String) -> Self {
        Self::Lake(LakeAddress::folder(&path))
    }

    /// What shows the rejects there.
    #[must_use]
    pub(crate) fn look_at_rejects(&self) -> String {
        match self {
            Self::Lake(_) => format!("freshet rejects list{}", self.flag()),
            Self::Databricks(databricks) => format!("SELECT * FROM `{}`.`{}`.`_rejects`", databricks.catalog, databricks.schema),
        }
    }

    /// The flag that names it to other verbs, with a space before it.
    #[must_use]
    pub(crate) fn flag(&self) -> String {
        match self {
            Self::Lake(LakeAddress { place, catalog: None, .. }) => format!(" --lake {place}"),
            // By its URL it would be a lake that nobody governs.
            Self::Lake(_) | Self::Databricks(_) => format!(" --lake {DATABRICKS}"),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lake(lake) => f.write_str(&lake.place),
            Self::Databricks(databricks) => write!(f, "{}.{} in Databricks", databricks.catalog, databricks.schema),
        }
    }
}

/// Where the tables are: the flag, else the configuration.
///
/// # Errors
/// As for [`Address::named`].
pub(crate) fn address(global: &Global, settings: &Settings) -> anyhow::Result<Address> {
    match (&global.lake, &settings.databricks) {
        (Some(lake), _) => Address::named(lake, settings),
        (None, Some(databricks)) => Address::configured(databricks, settings),
        (None, None) => Address::named(&settings.lake, settings),
    }
}

/// Opens the lake to read from it.
///
/// # Errors
/// There is none yet, or the tables are elsewhere; the message says what to do.
pub(crate) async fn existing(global: &Global, settings: &Settings) -> anyhow::Result<Arc<Lake>> {
    let address = address(global, settings)?;
    let named = match &address {
        Address::Lake(named) => named,
        Address::Databricks(databricks) => return Err(elsewhere(databricks)),
    };
    // Opening would make the folder.
    let is_missing_folder = !named.place.contains("://") && !Path::new(&named.place).is_dir();
    if !is_missing_folder {
        let lake = open_lake(named)?;
        if lake.is_there().await? {
            return Ok(lake);
        }
    }
    let flag = address.flag();
    let to = flag.replace("--lake", "--to");
    Err(Failure::error(
        Exit::Failed,
        format!(
            "there is no lake at {address} yet\n  fill it from a log file:   freshet import app.log --app NAME{to}\n  or from a log drain:       freshet run{flag}"
        ),
    ))
}

/// Opens the tables to see how far the streams of the Platform API are read: a lake that exists, or those of a workspace.
///
/// # Errors
/// As for [`existing`] and [`open`].
pub(crate) async fn existing_mirror(global: &Global, settings: &Settings) -> anyhow::Result<Arc<dyn Mirror>> {
    match address(global, settings)? {
        Address::Lake(_) => Ok(existing(global, settings).await?),
        address @ Address::Databricks(_) => Ok(open(&address)?.mirror()),
    }
}

/// That this verb reads lakes only, and what reads the tables where they are.
fn elsewhere(databricks: &DatabricksSettings) -> anyhow::Error {
    let (catalog, schema) = (&databricks.catalog, &databricks.schema);
    Failure::error(
        Exit::Usage,
        format!(
            "this verb works on lakes, but the tables are in Databricks: ask Databricks SQL instead\n  \
             what there is:      SHOW TABLES IN `{catalog}`.`{schema}`;\n  \
             a table's loads:    SELECT * FROM `{catalog}`.`{schema}`.`_loads` ORDER BY committed_at DESC;\n  \
             what was rejected:  SELECT * FROM `{catalog}`.`{schema}`.`_rejects`;\n  \
             for a lake beside them name it:  --lake PATH"
        ),
    )
}

/// Opens the tables to write to them; a lake's folder is made where it is missing.
///
/// # Errors
/// The folder cannot be made or written, it is not known how to reach the store or the workspace, or how to log in.
pub(crate) fn open(address: &Address) -> anyhow::Result<Opened> {
    match address {
        Address::Lake(named) => Ok(Opened::Lake(open_lake(named)?)),
        Address::Databricks(databricks) => Ok(Opened::Managed(Arc::new(managed(databricks)?))),
    }
}

/// As [`open`], for what comes without end: by Zerobus, where that is configured.
///
/// # Errors
/// As for [`open`].
pub(crate) fn open_for_streams(address: &Address) -> anyhow::Result<Opened> {
    let Address::Databricks(databricks) = address else { return open(address) };
    let DatabricksMode::Zerobus(options) = &databricks.mode else { return open(address) };
    let zerobus = Zerobus::new(managed(databricks)?, options);
    Ok(Opened::Zerobus(Arc::new(zerobus.map_err(|error| Failure::error(Exit::BadConfig, error.to_string()))?)))
}

fn managed(databricks: &DatabricksSettings) -> anyhow::Result<Managed> {
    let options = ManagedOptions { volume: databricks.volume.clone(), ..ManagedOptions::new(&databricks.catalog, &databricks.schema) };
    Ok(Managed::new(databricks.workspace()?, options))
}

/// Opens a lake; a folder is made where it is missing.
///
/// # Errors
/// The folder cannot be made or written, or it is not known how to reach the store.
pub(crate) fn open_lake(named: &LakeAddress) -> anyhow::Result<Arc<Lake>> {
    let options = LakeOptions { storage: named.storage.clone(), catalog: named.catalog.clone(), ..LakeOptions::default() };
    Ok(Arc::new(Lake::open(&named.place, options)?))
}
