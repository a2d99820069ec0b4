//! What tables hold, for those who go by it.

use std::sync::Arc;

use arrow_array::cast::AsArray as _;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow_cast::cast;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use freshet_core::{ColumnDef, ColumnType, DestinationError, TableDef};

use super::super::{Rows, WorkspaceError, quoted};
use super::Managed;

/// Parts in which a table is read at most. A part has less than the 25 MiB that a statement may return.
const PARTS_MAX: u32 = 4096;

impl Managed {
    /// Those of `columns` that `table` has, of all its rows. Where they are more than one statement may return, they come in parts.
    pub(super) async fn rows_of(&self, table: &'static TableDef, columns: &[&str]) -> Result<Vec<RecordBatch>, DestinationError> {
        let name = self.name(table.name);
        let Some(found) = self.workspace.table(&name).await? else { return Ok(Vec::new()) };
        let has = |column: &&ColumnDef| found.columns.iter().any(|found| found.name.eq_ignore_ascii_case(column.name));
        let wanted: Vec<&ColumnDef> = table.columns.iter().filter(|column| columns.contains(&column.name)).filter(has).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut parts = 1_u32;
        loop {
            match self.read_in(table, &wanted, parts).await {
                Err(error) if is_too_long(&error) && parts < PARTS_MAX => parts *= 8,
                ended => return Ok(ended?),
            }
        }
    }

    async fn read_in(&self, table: &TableDef, wanted: &[&ColumnDef], parts: u32) -> Result<Vec<RecordBatch>, WorkspaceError> {
        let list = wanted.iter().map(|column| shown(column)).collect::<Vec<_>>().join(", ");
        let hashed = wanted.iter().map(|column| quoted(column.name)).collect::<Vec<_>>().join(", ");
        let mut batches = Vec::new();
        for part in 0..parts {
            let which = if parts == 1 { String::new() } else { format!(" WHERE pmod(xxhash64({hashed}), {parts}) = {part}") };
            let rows = self.run(format!("SELECT {list} FROM {}{which}", self.name(table.name).quoted()), table.name).await?;
            let batch = batch(&rows, wanted).map_err(|error| {
                WorkspaceError::Settings(format!("table {} has values that are none of its types: {error}", table.name))
            })?;
            batches.push(batch);
        }
        Ok(batches)
    }

    /// Id and newest version of the table: its own version in Delta, so that changes by anybody count.
    pub(super) async fn form_of(&self, table: &str) -> Result<Option<(String, u64)>, DestinationError> {
        let name = self.name(table);
        let Some(found) = self.workspace.table(&name).await? else { return Ok(None) };
        let history = self.run(format!("DESCRIBE HISTORY {} LIMIT 1", name.quoted()), table).await?;
        let version = history.value("version").and_then(|text| text.parse().ok());
        let version = version.ok_or_else(|| WorkspaceError::Settings(format!("table {table} has no version")))?;
        Ok(Some((found.table_id, version)))
    }
}

/// A column so that its text can be read back exactly.
fn shown(column: &ColumnDef) -> String {
    let name = quoted(column.name);
    match column.column_type {
        ColumnType::Timestamp => format!("unix_micros({name}) AS {name}"),
        _ => name,
    }
}

fn is_too_long(error: &WorkspaceError) -> bool {
    let text = error.to_string().to_ascii_lowercase();
    text.contains("byte limit") || text.contains("too long and was cut off")
}

fn batch(rows: &Rows, wanted: &[&ColumnDef]) -> Result<RecordBatch, ArrowError> {
    let mut fields = Vec::with_capacity(wanted.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(wanted.len());
    for column in wanted {
        let values = rows.column(column.name).ok_or_else(|| ArrowError::SchemaError(format!("column {} did not come", column.name)))?;
        let text: ArrayRef = Arc::new(values.into_iter().collect::<StringArray>());
        columns.push(typed(column, &text)?);
        fields.push(Field::new(column.name, column.column_type.arrow(), true));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn typed(column: &ColumnDef, text: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.column_type {
        ColumnType::Text => Ok(Arc::clone(text)),
        ColumnType::Timestamp => {
            let micros = cast(text, &DataType::Int64)?;
            let micros: &Int64Array = micros.as_primitive();
            Ok(Arc::new(micros.iter().collect::<TimestampMicrosecondArray>().with_timezone("UTC")))
        }
        ColumnType::Int | ColumnType::Long | ColumnType::Double | ColumnType::Boolean | ColumnType::Date => {
            cast(text, &column.column_type.arrow())
        }
        ColumnType::Binary | ColumnType::TextList | ColumnType::TextMap | ColumnType::DoubleMap => {
            Err(ArrowError::NotYetImplemented(format!("column {} cannot be read back as objects", column.name)))
        }
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::Array as _;
    use arrow_array::types::TimestampMicrosecondType;

    use super::*;

    #[test]
    fn text_becomes_what_it_was() {
        let column = |name, column_type| ColumnDef { name, column_type, nullable: true, comment: "" };
        let columns = [column("_raw", ColumnType::Text), column("_deleted_at", ColumnType::Timestamp), column("n", ColumnType::Int)];
        let wanted: Vec<&ColumnDef> = columns.iter().collect();
        let text = |text: &str| Some(text.to_owned());
        let rows = Rows {
            columns: vec!["n".into(), "_raw".into(), "_DELETED_AT".into()],
            rows: vec![vec![text("7"), text("{}"), None], vec![None, text(""), text("-5")]],
        };
        let batch = batch(&rows, &wanted).unwrap();
        let deleted = batch.column(1).as_primitive::<TimestampMicrosecondType>();
        assert_eq!((deleted.is_null(0), deleted.value(1)), (true, -5));
        assert_eq!((batch.column(0).as_string::<i32>().value(0), batch.column(2).is_null(1)), ("{}", true));
        assert!(super::batch(&Rows::default(), &wanted).is_err());
    }
}
