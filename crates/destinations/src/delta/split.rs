//! Rows by the folder they belong to.

use std::collections::BTreeSet;

use arrow_array::cast::AsArray;
use arrow_array::types::Date32Type;
use arrow_array::{Array, RecordBatch, UInt32Array};
use arrow_cast::display::array_value_to_string;
use arrow_schema::{ArrowError, DataType};
use arrow_select::take::take_record_batch;

/// Runs of one date per date, up to which a batch is cut into slices instead of sorted. Log lines come nearly in order.
const RUNS_PER_DATE_MAX: usize = 8;

/// What the partition column is `NULL` in the name of a folder; Hive's word for it.
pub(super) const NULL_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// The parts of `batch` by the text of `column`'s value, without that column, rows of a part in their order. Rows that
/// lie beside each other are not copied.
pub(super) fn by_value(batch: &RecordBatch, column: &str) -> Result<Vec<(String, RecordBatch)>, ArrowError> {
    let index = batch.schema().index_of(column)?;
    if *batch.column(index).data_type() != DataType::Date32 {
        return Err(ArrowError::SchemaError(format!(
            "tables are partitioned by a DATE, but {column} is {}",
            batch.column(index).data_type()
        )));
    }
    let runs = runs(batch, index);
    let dates: BTreeSet<Option<i32>> = runs.iter().map(|(date, _)| *date).collect();
    if runs.len() <= dates.len() * RUNS_PER_DATE_MAX {
        return runs.into_iter().map(|(_, rows)| part(batch.slice(rows.start, rows.len()), index)).collect();
    }
    let mut rows: Vec<u32> = (0..u32::try_from(batch.num_rows()).unwrap_or(u32::MAX)).collect();
    let dates = batch.column(index).as_primitive::<Date32Type>();
    rows.sort_by_key(|&row| dates.is_valid(row as usize).then(|| dates.value(row as usize)));
    let sorted = take_record_batch(batch, &UInt32Array::from(rows))?;
    self::runs(&sorted, index).into_iter().map(|(_, rows)| part(sorted.slice(rows.start, rows.len()), index)).collect()
}

/// Where the date, or its absence, stays the same.
fn runs(batch: &RecordBatch, index: usize) -> Vec<(Option<i32>, std::ops::Range<usize>)> {
    let dates = batch.column(index).as_primitive::<Date32Type>();
    let mut runs: Vec<(Option<i32>, std::ops::Range<usize>)> = Vec::new();
    for (row, date) in dates.iter().enumerate() {
        match runs.last_mut() {
            Some((last, rows)) if *last == date => rows.end = row + 1,
            _ => runs.push((date, row..row + 1)),
        }
    }
    runs
}

fn part(mut rows: RecordBatch, index: usize) -> Result<(String, RecordBatch), ArrowError> {
    let column = rows.remove_column(index);
    let value = if column.is_null(0) { NULL_VALUE.to_owned() } else { array_value_to_string(&column, 0)? };
    Ok((value, rows))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::types::Int32Type;
    use arrow_array::{Date32Array, Int32Array};

    use super::*;

    /// For each part, its date and the numbers of its rows.
    fn parts(dates: &[Option<i32>]) -> Vec<(String, Vec<i32>)> {
        let numbers: Int32Array = (0..dates.len() as i32).collect();
        let batch = RecordBatch::try_from_iter([
            ("number", Arc::new(numbers) as Arc<dyn Array>),
            ("date", Arc::new(Date32Array::from(dates.to_vec()))),
        ]);
        let parts = by_value(&batch.unwrap(), "date").unwrap();
        parts.into_iter().map(|(date, rows)| (date, rows.column(0).as_primitive::<Int32Type>().values().to_vec())).collect()
    }

    #[test]
    fn rows_go_with_their_date_and_keep_their_order() {
        let check = |dates: &[Option<i32>], expected: &[(&str, Vec<i32>)]| {
            let expected: Vec<(String, Vec<i32>)> = expected.iter().map(|(date, rows)| ((*date).to_owned(), rows.clone())).collect();
            assert_eq!(parts(dates), expected, "{dates:?}");
        };
        check(&[], &[]);
        check(&[Some(0), Some(0), Some(1)], &[("1970-01-01", vec![0, 1]), ("1970-01-02", vec![2])]);
        // A missing date has the bytes of the first one.
        check(&[Some(0), None, None, Some(0)], &[("1970-01-01", vec![0]), (NULL_VALUE, vec![1, 2]), ("1970-01-01", vec![3])]);
        let shuffled: Vec<Option<i32>> = (0..100).map(|row| Some(row % 2)).collect();
        let sorted = parts(&shuffled);
        assert_eq!(sorted.len(), 2);
        assert_eq!(sorted[0].1, (0..100).step_by(2).collect::<Vec<_>>());
        assert_eq!(sorted[1].1, (1..100).step_by(2).collect::<Vec<_>>());
    }
}
