//! What a table is: its name, its columns and what they mean.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// A table of the catalogue. Its names, types and meanings are public interface.
#[derive(Debug, PartialEq, Eq)]
pub struct TableDef {
    /// Lower-case name, also the folder in the lake.
    pub name: &'static str,
    /// What one row is.
    pub comment: &'static str,
    /// What sort of table it is.
    pub kind: TableKind,
    /// The columns in order. One named `date` of type [`ColumnType::Date`] partitions the table, see [`Self::partition_column`].
    pub columns: &'static [ColumnDef],
}

/// The sorts of tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// Holds what log lines said.
    Log,
    /// Holds what Freshet says about its own work.
    System,
    /// Holds objects of Heroku's Platform API.
    Platform,
}

/// A column and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ColumnDef {
    /// Lower-case name.
    pub name: &'static str,
    /// Type.
    pub column_type: ColumnType,
    /// Whether a row may lack it. Delta's own schema keeps every column nullable; writers enforce this one.
    pub nullable: bool,
    /// What it means, in the table's metadata too.
    pub comment: &'static str,
}

/// The types tables are made of, by their Spark SQL names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `STRING`.
    Text,
    /// `INT`.
    Int,
    /// `BIGINT`.
    Long,
    /// `DOUBLE`.
    Double,
    /// `BOOLEAN`.
    Boolean,
    /// `TIMESTAMP`: microseconds in UTC.
    Timestamp,
    /// `DATE`.
    Date,
    /// `BINARY`.
    Binary,
    /// `ARRAY<STRING>`.
    TextList,
    /// `MAP<STRING,STRING>`.
    TextMap,
    /// `MAP<STRING,DOUBLE>`.
    DoubleMap,
}

impl TableDef {
    /// The Arrow schema, every column nullable, comments in each field's `comment` metadata.
    #[must_use]
    pub fn arrow_schema(&self) -> SchemaRef {
        let field = |column: &ColumnDef| {
            Field::new(column.name, column.column_type.arrow(), true)
                .with_metadata([("comment".to_owned(), column.comment.to_owned())].into())
        };
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// The column that splits the table into folders, if it has one. Tables of objects have none: a merge reads all of them.
    #[must_use]
    pub fn partition_column(&self) -> Option<&'static str> {
        if self.kind == TableKind::Platform {
            return None;
        }
        self.columns.iter().find(|column| column.name == "date" && column.column_type == ColumnType::Date).map(|column| column.name)
    }
}

impl ColumnType {
    /// Every type.
    pub const ALL: [Self; 11] = [
        Self::Text,
        Self::Int,
        Self::Long,
        Self::Double,
        Self::Boolean,
        Self::Timestamp,
        Self::Date,
        Self::Binary,
        Self::TextList,
        Self::TextMap,
        Self::DoubleMap,
    ];

    /// The Arrow type that writers build.
    #[must_use]
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Int => DataType::Int32,
            Self::Long => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Boolean => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC"))),
            Self::Date => DataType::Date32,
            Self::Binary => DataType::Binary,
            Self::TextList => DataType::List(Arc::new(Field::new("element", DataType::Utf8, true))),
            Self::TextMap => map_of(DataType::Utf8),
            Self::DoubleMap => map_of(DataType::Float64),
        }
    }

    /// The name in Spark SQL, which is also what people are shown.
    #[must_use]
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "STRING",
            Self::Int => "INT",
            Self::Long => "BIGINT",
            Self::Double => "DOUBLE",
            Self::Boolean => "BOOLEAN",
            Self::Timestamp => "TIMESTAMP",
            Self::Date => "DATE",
            Self::Binary => "BINARY",
            Self::TextList => "ARRAY<STRING>",
            Self::TextMap => "MAP<STRING,STRING>",
            Self::DoubleMap => "MAP<STRING,DOUBLE>",
        }
    }
}

/// The names inside a map are those the Delta protocol's Parquet files use.
fn map_of(value: DataType) -> DataType {
    let entries = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entries.into()), false)), false)
}
