//! Rows as numbers, so that many can be compared.

use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_schema::{DataType, TimeUnit};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A number per row that depends on every value in it.
pub(crate) fn numbers_of(batch: &RecordBatch) -> Vec<u64> {
    let mut numbers = vec![0; batch.num_rows()];
    for (index, column) in batch.columns().iter().enumerate() {
        mix_column(column, index as u64, &mut numbers);
    }
    numbers
}

/// A number that depends on every row, and not on their order.
pub(crate) fn sum_of(batch: &RecordBatch) -> u64 {
    numbers_of(batch).into_iter().fold(0, u64::wrapping_add)
}

/// The text column called `name`.
pub(crate) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Option<&'a StringArray> {
    batch.column_by_name(name)?.as_string_opt()
}

fn mix_column(column: &ArrayRef, index: u64, numbers: &mut [u64]) {
    let mut mix = |row: usize, bytes: &[u8]| numbers[row] = numbers[row].rotate_left(7) ^ xxh3_64_with_seed(bytes, index + 1);
    let valid = |row: &usize| column.is_valid(*row);
    let rows = 0..column.len();
    match column.data_type() {
        DataType::Utf8 => rows.filter(valid).for_each(|row| mix(row, column.as_string::<i32>().value(row).as_bytes())),
        DataType::Binary => rows.filter(valid).for_each(|row| mix(row, column.as_binary::<i32>().value(row))),
        DataType::Int32 => rows.filter(valid).for_each(|row| mix(row, &column.as_primitive::<Int32Type>().value(row).to_le_bytes())),
        DataType::Int64 => rows.filter(valid).for_each(|row| mix(row, &column.as_primitive::<Int64Type>().value(row).to_le_bytes())),
        DataType::Date32 => rows.filter(valid).for_each(|row| mix(row, &column.as_primitive::<Date32Type>().value(row).to_le_bytes())),
        DataType::Float64 => rows.filter(valid).for_each(|row| mix(row, &column.as_primitive::<Float64Type>().value(row).to_le_bytes())),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            rows.filter(valid).for_each(|row| mix(row, &column.as_primitive::<TimestampMicrosecondType>().value(row).to_le_bytes()));
        }
        _ => {
            let options = FormatOptions::default();
            let Ok(formatter) = ArrayFormatter::try_new(column, &options) else { return };
            rows.filter(valid).for_each(|row| mix(row, formatter.value(row).to_string().as_bytes()));
        }
    }
}
