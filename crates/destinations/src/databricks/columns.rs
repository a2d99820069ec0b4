//! A column as Unity Catalog wants it told: its type three times over, once as the JSON that Spark reads it by.
//!
//! Nobody checks that JSON when a table is registered, and a table with a wrong one cannot be read. So it is made here from the types
//! that tables of the catalogue have, and from nothing else.

use freshet_core::{ColumnDef, ColumnType, TableDef};
use serde_json::{Value, json};

/// A column to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its name.
    pub name: String,
    /// Its type.
    pub column_type: ColumnType,
    /// What it means.
    pub comment: String,
    /// Its place among the columns that split the table into folders.
    pub partition_index: Option<usize>,
}

impl ColumnSpec {
    /// The columns of `table` in order.
    #[must_use]
    pub fn of_table(table: &TableDef) -> Vec<Self> {
        let partition = table.partition_column();
        let column = |column: &ColumnDef| Self {
            name: column.name.to_owned(),
            column_type: column.column_type,
            comment: column.comment.to_owned(),
            partition_index: (partition == Some(column.name)).then_some(0),
        };
        table.columns.iter().map(column).collect()
    }

    /// The column in its place, as `POST /tables` wants it.
    pub(super) fn as_json(&self, position: usize) -> Value {
        // Spark's StructField, as text in the text. Delta keeps every column nullable.
        let field = json!({
            "name": self.name,
            "type": spark(self.column_type),
            "nullable": true,
            "metadata": { "comment": self.comment },
        });
        let mut value = json!({
            "name": self.name,
            "type_name": unity(self.column_type),
            "type_text": self.column_type.sql().to_ascii_lowercase(),
            "type_json": field.to_string(),
            "position": position,
            "nullable": true,
            "comment": self.comment,
        });
        if let Some(index) = self.partition_index {
            value["partition_index"] = json!(index);
        }
        value
    }
}

/// The type as Unity Catalog's `ColumnTypeName` has it.
fn unity(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "STRING",
        ColumnType::Int => "INT",
        ColumnType::Long => "LONG",
        ColumnType::Double => "DOUBLE",
        ColumnType::Boolean => "BOOLEAN",
        ColumnType::Timestamp => "TIMESTAMP",
        ColumnType::Date => "DATE",
        ColumnType::Binary => "BINARY",
        ColumnType::TextList => "ARRAY",
        ColumnType::TextMap | ColumnType::DoubleMap => "MAP",
    }
}

/// The type as the JSON of Spark's `DataType` has it, which is that of Delta's `schemaString` too.
fn spark(column_type: ColumnType) -> Value {
    let map = |value: &str| json!({ "type": "map", "keyType": "string", "valueType": value, "valueContainsNull": true });
    match column_type {
        ColumnType::Text => json!("string"),
        ColumnType::Int => json!("integer"),
        ColumnType::Long => json!("long"),
        ColumnType::Double => json!("double"),
        ColumnType::Boolean => json!("boolean"),
        ColumnType::Timestamp => json!("timestamp"),
        ColumnType::Date => json!("date"),
        ColumnType::Binary => json!("binary"),
        ColumnType::TextList => json!({ "type": "array", "elementType": "string", "containsNull": true }),
        ColumnType::TextMap => map("string"),
        ColumnType::DoubleMap => map("double"),
    }
}

#[cfg(test)]
mod tests {
    use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;

    use super::*;

    const TYPES: [ColumnType; 11] = [
        ColumnType::Text,
        ColumnType::Int,
        ColumnType::Long,
        ColumnType::Double,
        ColumnType::Boolean,
        ColumnType::Timestamp,
        ColumnType::Date,
        ColumnType::Binary,
        ColumnType::TextList,
        ColumnType::TextMap,
        ColumnType::DoubleMap,
    ];

    /// Delta's own schema is the same JSON, made by somebody else.
    #[test]
    fn types_are_those_of_deltas_own_schema() {
        for column_type in TYPES {
            let delta: deltalake_core::kernel::DataType = (&column_type.arrow()).try_into_kernel().unwrap();
            assert_eq!(spark(column_type), serde_json::to_value(&delta).unwrap(), "{column_type:?}");
        }
    }

    #[test]
    fn a_column_is_told_in_full() {
        let spec = ColumnSpec {
            name: "bytes".to_owned(),
            column_type: ColumnType::Long,
            comment: "How \"many\".".to_owned(),
            partition_index: Some(0),
        };
        let told = spec.as_json(3);
        assert_eq!(
            (told["type_name"].as_str(), told["type_text"].as_str(), told["position"].as_u64()),
            (Some("LONG"), Some("bigint"), Some(3))
        );
        assert_eq!(told["partition_index"], 0);
        let field: Value = serde_json::from_str(told["type_json"].as_str().unwrap()).unwrap();
        assert_eq!(field, json!({ "name": "bytes", "type": "long", "nullable": true, "metadata": { "comment": "How \"many\"." } }));
    }
}
