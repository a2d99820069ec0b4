//! The tables of a lake as DataFusion sees them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use freshet_destinations::delta::Lake;

use crate::delta_table::FilesOfTable;
use crate::versions::{AsOf, as_of, bare};

/// Opens a table when a statement first names it: a lake has more tables than a statement, and opening reads the log.
pub(crate) struct LakeSchema {
    lake: Arc<Lake>,
    runtime: Arc<RuntimeEnv>,
    /// The tables there were when the engine was made.
    names: Vec<String>,
    /// The views that statements have named.
    views: Mutex<HashMap<&'static str, Arc<dyn TableProvider>>>,
}

impl LakeSchema {
    pub(crate) fn new(lake: Arc<Lake>, runtime: Arc<RuntimeEnv>, names: Vec<String>) -> Self {
        Self { lake, runtime, names, views: Mutex::default() }
    }

    /// Has a view from now on.
    pub(crate) fn add_view(&self, name: &'static str, view: Arc<dyn TableProvider>) {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).insert(name, view);
    }

    fn view(&self, name: &str) -> Option<Arc<dyn TableProvider>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }
}

impl std::fmt::Debug for LakeSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LakeSchema").field("names", &self.names).finish_non_exhaustive()
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        self.names.clone()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if let Some(view) = self.view(name) {
            return Ok(Some(view));
        }
        if !self.table_exist(name) {
            return Ok(None);
        }
        let (name, version) = as_of(name).map_err(DataFusionError::Plan)?.map_or((name, None), |(name, version)| (name, Some(version)));
        let opened = match version {
            None => self.lake.load(name).await,
            Some(AsOf::Version(version)) => self.lake.load_at(name, version).await.map(Some),
            Some(AsOf::Moment(moment)) => match self.lake.version_at(name, moment).await {
                Ok(version) => self.lake.load_at(name, version).await.map(Some),
                Err(error) => Err(error),
            },
        };
        let Some(table) = opened.map_err(|error| DataFusionError::External(Box::new(error)))? else { return Ok(None) };
        // Each table's files are reached below a name of their own, so that their paths are those in the log.
        let place = ObjectStoreUrl::parse(format!("table://{name}"))?;
        self.runtime.register_object_store(place.as_ref(), table.object_store());
        Ok(Some(Arc::new(FilesOfTable::new(name, &table, place)?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == bare(name)) || self.view(name).is_some()
    }
}
