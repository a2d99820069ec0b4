//! Which rows of a table a condition in SQL names, for those who take rows away.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{BooleanArray, RecordBatch};
use arrow_schema::{DataType, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::{Expr as SqlExpr, visit_expressions};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use deltalake_core::DeltaTable;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use freshet_destinations::delta::RowFilter;

use crate::delta_table::FilesOfTable;
use crate::{QueryError, plain};

/// A condition as it stands after `WHERE`, before it is known of which table.
#[derive(Clone, Debug)]
pub struct Condition {
    sql: String,
    shape: String,
    columns: BTreeSet<String>,
}

impl Condition {
    /// Reads `sql`.
    ///
    /// # Errors
    /// It is no condition, or asks for more than the values of one row.
    pub fn parse(sql: &str) -> Result<Self, QueryError> {
        let syntax = |error: datafusion::sql::sqlparser::parser::ParserError| QueryError::Syntax(error.to_string());
        let mut parser = Parser::new(&GenericDialect {}).try_with_sql(sql).map_err(syntax)?;
        let parsed = parser.parse_expr().map_err(syntax)?;
        let rest = parser.next_token().token;
        if rest != Token::EOF {
            return Err(QueryError::Syntax(format!("after the condition comes {rest}")));
        }
        let mut columns = BTreeSet::new();
        let unfit = visit_expressions(&parsed, |part: &SqlExpr| match part {
            SqlExpr::Identifier(name) => {
                columns.insert(if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() });
                ControlFlow::Continue(())
            }
            SqlExpr::CompoundIdentifier(_) => ControlFlow::Break("columns are named without their table"),
            SqlExpr::Subquery(_) | SqlExpr::InSubquery { .. } | SqlExpr::Exists { .. } => ControlFlow::Break("it cannot ask other tables"),
            _ => ControlFlow::Continue(()),
        });
        match unfit {
            ControlFlow::Break(why) => Err(QueryError::Statement(format!("this cannot say which rows are meant: {why}"))),
            ControlFlow::Continue(()) if columns.is_empty() => {
                Err(QueryError::Statement("this cannot say which rows are meant: it names no column".to_owned()))
            }
            ControlFlow::Continue(()) => Ok(Self { sql: sql.to_owned(), shape: shape(sql), columns }),
        }
    }

    /// The columns that it looks at.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    /// It, for the rows of table `name`, which is like `table` now.
    ///
    /// # Errors
    /// The table lacks a column, or types do not fit.
    pub fn of(&self, name: &str, table: &DeltaTable) -> Result<Predicate, QueryError> {
        let statement = |error: datafusion::error::DataFusionError| QueryError::Statement(plain(&error));
        let state = table.snapshot().map_err(|error| QueryError::Statement(error.to_string()))?;
        let whole: Schema = state.schema().as_ref().try_into_arrow().map_err(|error| QueryError::Statement(format!("{error}")))?;
        if let Some(missing) = self.columns.iter().find(|column| whole.field_with_name(column).is_err()) {
            return Err(QueryError::Statement(format!("table {name} has no column {missing}")));
        }
        let fields = whole.fields().iter().filter(|field| self.columns.contains(field.name())).cloned();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let context = SessionContext::new();
        let typed = DFSchema::try_from(Arc::clone(&schema)).map_err(statement)?;
        let logical = context.parse_sql_expr(&self.sql, &typed).map_err(statement)?;
        if logical.is_volatile() {
            return Err(QueryError::Statement("this cannot say which rows are meant: it gives another answer each time".to_owned()));
        }
        let physical = context.create_physical_expr(logical.clone(), &typed).map_err(statement)?;
        match physical.data_type(&schema).map_err(statement)? {
            DataType::Boolean => {}
            other => return Err(QueryError::Statement(format!("this is no condition: it gives {other}"))),
        }
        let columns = self.columns.iter().cloned().collect();
        Ok(Predicate { name: name.to_owned(), shape: self.shape.clone(), columns, schema, context, logical, physical })
    }
}

/// A condition over the rows of one table.
pub struct Predicate {
    name: String,
    shape: String,
    columns: Vec<String>,
    /// The columns that it looks at, in the table's order.
    schema: SchemaRef,
    context: SessionContext,
    logical: Expr,
    physical: Arc<dyn PhysicalExpr>,
}

impl RowFilter for Predicate {
    fn columns(&self) -> &[String] {
        &self.columns
    }

    fn shape(&self) -> String {
        self.shape.clone()
    }

    fn purpose(&self) -> &'static str {
        "erased"
    }

    fn may_match(&self, table: &DeltaTable) -> Result<Vec<bool>, String> {
        let nowhere = ObjectStoreUrl::parse("table://nowhere").map_err(|error| plain(&error))?;
        let files = FilesOfTable::new(&self.name, table, nowhere).map_err(|error| plain(&error))?;
        files.may_match(&self.context.state(), std::slice::from_ref(&self.logical)).map_err(|error| plain(&error))
    }

    fn matches(&self, batch: &RecordBatch) -> Result<BooleanArray, String> {
        let column = |field: &arrow_schema::FieldRef| {
            batch.column_by_name(field.name()).cloned().ok_or_else(|| format!("a file has no column {}", field.name()))
        };
        let columns = self.schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(|error| error.to_string())?;
        let judged = self.physical.evaluate(&batch).and_then(|value| value.into_array(batch.num_rows())).map_err(|error| plain(&error))?;
        judged.as_boolean_opt().cloned().ok_or_else(|| "the condition gave no truth".to_owned())
    }
}

/// `sql` without its values, which may be what is to be forgotten: they must not go on living in the history of the table.
fn shape(sql: &str) -> String {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let mut text = String::new();
    for token in tokens {
        let piece = match token {
            Token::Word(_) | Token::LParen | Token::RParen | Token::Comma | Token::LBracket | Token::RBracket => token.to_string(),
            Token::Eq | Token::Neq | Token::Lt | Token::Gt | Token::LtEq | Token::GtEq | Token::Plus | Token::Minus | Token::Mul => {
                token.to_string()
            }
            Token::Div | Token::Mod | Token::StringConcat | Token::Tilde | Token::TildeAsterisk | Token::DoubleColon => token.to_string(),
            Token::Whitespace(_) | Token::EOF => continue,
            _ => "?".to_owned(),
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&piece);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_forgotten_is_not_remembered() {
        let check = |sql: &str, expected: &str| assert_eq!(shape(sql), expected);
        check("fwd LIKE '203.0.113.%' -- the man", "fwd LIKE ?");
        check("extra['who'] = E'x' OR status >= 500 and Fwd in ('a','b')", "extra [ ? ] = ? OR status >= ? and Fwd in ( ? , ? )");
    }

    #[test]
    fn conditions_look_at_columns_of_one_row() {
        let columns = |sql: &str| Condition::parse(sql).map(|condition| condition.columns().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(columns("FWD LIKE 'x' AND \"App\" IS NULL OR extra['k'] = 'v'").unwrap(), ["App", "extra", "fwd"]);
        for wrong in
            ["", "true", "1 = 1", "fwd = 'a' fwd", "fwd IN (SELECT fwd FROM logs)", "logs.fwd = 'a'", "fwd =", "fwd = 'a'; DROP TABLE x"]
        {
            assert!(columns(wrong).is_err(), "{wrong}");
        }
    }
}
