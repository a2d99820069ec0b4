//! SQL over the tables of a lake, with DataFusion.
//!
//! The only crate that compiles DataFusion. It reads: statements that would change a table are refused.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod delta_table;
mod lake_schema;
mod predicate;
mod versions;
mod views;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, SchemaProvider as _};
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{SQLOptions, SessionConfig, SessionContext};
use datafusion::sql::sqlparser::parser::ParserError;
use freshet_core::DestinationError;
use freshet_destinations::delta::Lake;
use futures::StreamExt;

use lake_schema::LakeSchema;
pub use predicate::{Condition, Predicate};

/// Catalog and schema that a bare table name is looked up in.
const CATALOG: &str = "freshet";
const SCHEMA: &str = "lake";

/// A lake that answers SQL.
pub struct Engine {
    context: SessionContext,
    schema: Arc<LakeSchema>,
    /// The tables there were when the engine was made.
    tables: Vec<String>,
}

/// What a statement gives, batch by batch.
pub struct Answer {
    schema: SchemaRef,
    stream: SendableRecordBatchStream,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The statement names a table that the lake does not have.
    #[error("the lake has no table {name}")]
    NoTable {
        /// The name in the statement.
        name: String,
        /// The tables there are.
        tables: Vec<String>,
    },
    /// The lake could not be read.
    #[error("the lake could not be read")]
    Lake(#[from] DestinationError),
    /// The statement would change something.
    #[error("this reads only; SELECT, EXPLAIN and the like are answered, statements that change tables are refused")]
    NotReading,
    /// The statement is no SQL.
    #[error("this is no SQL that can be read: {0}")]
    Syntax(String),
    /// DataFusion cannot plan or run the statement.
    #[error("{0}")]
    Statement(String),
}

impl Engine {
    /// An engine over the tables that `lake` has now. They are opened when a statement names them.
    ///
    /// # Errors
    /// The lake's folder cannot be read.
    pub async fn new(lake: Arc<Lake>) -> Result<Self, QueryError> {
        let config = SessionConfig::new().with_information_schema(true).with_default_catalog_and_schema(CATALOG, SCHEMA);
        let context = SessionContext::new_with_config(config);
        let catalog = MemoryCatalogProvider::new();
        let tables = lake.tables().await?;
        let schema = Arc::new(LakeSchema::new(lake, context.state().runtime_env().clone(), tables.clone()));
        catalog.register_schema(SCHEMA, Arc::clone(&schema) as _).map_err(|error| QueryError::Statement(plain(&error)))?;
        context.register_catalog(CATALOG, Arc::new(catalog));
        Ok(Self { context, schema, tables })
    }

    /// Plans one statement that reads, and begins to run it.
    ///
    /// # Errors
    /// See [`QueryError`].
    pub async fn query(&self, sql: &str) -> Result<Answer, QueryError> {
        let sql = &versions::quoted(sql);
        self.plan_views(sql).await?;
        let reads_only = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let frame = match self.context.sql_with_options(sql, reads_only).await {
            Ok(frame) => frame,
            Err(error) => return Err(self.explain(&error)),
        };
        let schema = Arc::new(frame.schema().as_arrow().clone());
        let stream = frame.execute_stream().await.map_err(|error| QueryError::Statement(plain(&error)))?;
        Ok(Answer { schema, stream })
    }

    /// Plans the views that `sql` may name. The tables behind them are opened only then.
    async fn plan_views(&self, sql: &str) -> Result<(), QueryError> {
        for view in views::named_in(sql).into_iter().filter(|view| !self.schema.table_exist(view.name)) {
            let frame = self.context.sql(view.query()).await.map_err(|error| self.explain(&error))?;
            self.schema.add_view(view.name, frame.into_view());
        }
        Ok(())
    }

    /// DataFusion's words hold internal names; people want to know what to change.
    fn explain(&self, error: &DataFusionError) -> QueryError {
        if let DataFusionError::SQL(error, _) = error.find_root() {
            let (ParserError::ParserError(text) | ParserError::TokenizerError(text)) = error.as_ref() else {
                return QueryError::Syntax(error.to_string());
            };
            return QueryError::Syntax(text.clone());
        }
        let text = plain(error);
        if ["DDL not supported", "DML not supported", "Statement not supported"].iter().any(|refusal| text.starts_with(refusal)) {
            return QueryError::NotReading;
        }
        let unknown = text.strip_prefix("table '").and_then(|rest| rest.split_once("' not found"));
        match unknown {
            Some((path, _)) => {
                let name = versions::bare(path).rsplit('.').next().unwrap_or(path).to_owned();
                QueryError::NoTable { name, tables: self.tables.clone() }
            }
            None => QueryError::Statement(text),
        }
    }
}

impl Answer {
    /// The columns.
    #[must_use]
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The next rows; `None` at the end.
    ///
    /// # Errors
    /// A file could not be read, or an expression failed on a value.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, QueryError> {
        self.stream.next().await.transpose().map_err(|error| QueryError::Statement(plain(&error)))
    }

    /// All rows. For answers that are known to be small.
    ///
    /// # Errors
    /// As [`Answer::next`].
    pub async fn collect(mut self) -> Result<Vec<RecordBatch>, QueryError> {
        let mut batches = Vec::new();
        while let Some(batch) = self.next().await? {
            batches.push(batch);
        }
        Ok(batches)
    }
}

/// The error without the names of the stages it went through.
pub(crate) fn plain(error: &DataFusionError) -> String {
    let text = error.find_root().to_string();
    let stages = ["Error during planning: ", "External error: ", "Schema error: ", "SQL error: ", "Execution error: ", "Arrow error: "];
    stages.iter().fold(text.as_str(), |text, stage| text.strip_prefix(stage).unwrap_or(text)).to_owned()
}
