//! Rows as Zerobus takes them: a list of objects, instants as microseconds, days as their number, and nothing for NULL.

use std::io::Write as _;

use arrow_array::cast::AsArray as _;
use arrow_array::types::{Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use arrow_select::filter::filter_record_batch;

use super::LOAD_ID;

/// Rows that JSON and requests can carry, and rows that they cannot: too long ones, and those with numbers that JSON
/// does not have or with bytes, of which Databricks does not say how they are to be written.
pub(super) fn split(batches: &[RecordBatch], row_bytes_max: usize) -> Result<(Vec<RecordBatch>, Vec<RecordBatch>), ArrowError> {
    let (mut carried, mut aside) = (Vec::new(), Vec::new());
    for batch in batches {
        let fits: BooleanArray = (0..batch.num_rows()).map(|row| Some(fits(batch, row, row_bytes_max))).collect();
        if fits.true_count() == batch.num_rows() {
            carried.push(batch.clone());
            continue;
        }
        carried.push(filter_record_batch(batch, &fits)?);
        aside.push(filter_record_batch(batch, &fits.values().iter().map(|fits| Some(!fits)).collect())?);
    }
    Ok((carried, aside))
}

fn fits(batch: &RecordBatch, row: usize, row_bytes_max: usize) -> bool {
    let mut bytes = 0;
    batch.columns().iter().all(|column| {
        bytes += weight(column, row).unwrap_or(usize::MAX / 2);
        bytes <= row_bytes_max
    })
}

/// The bytes of the texts in a row of `column`; none when JSON has no such value.
fn weight(column: &ArrayRef, row: usize) -> Option<usize> {
    if column.is_null(row) {
        return Some(0);
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value_length(row).unsigned_abs() as usize),
        DataType::Float64 => column.as_primitive::<Float64Type>().value(row).is_finite().then_some(0),
        DataType::Binary => None,
        DataType::List(_) => {
            let inner = column.as_list::<i32>().value(row);
            (0..inner.len()).map(|at| weight(&inner, at)).sum()
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            entries.columns().iter().flat_map(|inner| (0..inner.len()).map(move |at| weight(inner, at))).sum()
        }
        _ => Some(0),
    }
}

/// Writes rows, some at a time.
pub(super) struct RowWriter {
    batches: Vec<RecordBatch>,
    /// The beginning of each row, which is its load.
    head: Vec<u8>,
    /// The batch and the row in it that are next.
    at: (usize, usize),
    /// Where the latest rows began.
    latest: (usize, usize),
    written: usize,
}

impl RowWriter {
    /// Writes `batches` as rows of load `load_id`, without the first `sent` rows.
    pub(super) fn new(batches: Vec<RecordBatch>, load_id: &str, sent: usize) -> Self {
        let mut head = b"{".to_vec();
        text(&mut head, LOAD_ID);
        head.push(b':');
        text(&mut head, load_id);
        let mut at = (0, sent);
        while let Some(batch) = batches.get(at.0).filter(|batch| batch.num_rows() <= at.1) {
            at = (at.0 + 1, at.1 - batch.num_rows());
        }
        Self { batches, head, at, latest: at, written: sent }
    }

    /// Rows that were written, those that were passed over included.
    pub(super) fn written(&self) -> usize {
        self.written
    }

    /// The rows that were written last.
    pub(super) fn latest(&self) -> Vec<RecordBatch> {
        let mut rows = Vec::new();
        for (index, batch) in self.batches.iter().enumerate().take(self.at.0 + 1).skip(self.latest.0) {
            let from = if index == self.latest.0 { self.latest.1 } else { 0 };
            let to = if index == self.at.0 { self.at.1 } else { batch.num_rows() };
            if from < to {
                rows.push(batch.slice(from, to - from));
            }
        }
        rows
    }

    /// The next rows: as many as it takes to reach `bytes`. Nothing when there are no more.
    pub(super) fn next(&mut self, bytes: usize) -> Result<Option<Vec<u8>>, ArrowError> {
        let mut out = Vec::new();
        self.latest = self.at;
        while let Some(batch) = self.batches.get(self.at.0) {
            let columns = columns(batch);
            while self.at.1 < batch.num_rows() && out.len() < bytes {
                out.push(if out.is_empty() { b'[' } else { b',' });
                out.extend_from_slice(&self.head);
                for (name, column) in &columns {
                    if !column.is_null(self.at.1) {
                        out.extend_from_slice(name);
                        value(&mut out, column.as_ref(), self.at.1)?;
                    }
                }
                out.push(b'}');
                self.at.1 += 1;
                self.written += 1;
            }
            if out.len() >= bytes {
                break;
            }
            self.at = (self.at.0 + 1, 0);
        }
        if out.is_empty() {
            return Ok(None);
        }
        out.push(b']');
        Ok(Some(out))
    }
}

/// The columns of `batch`, each with its name as it stands before a value.
fn columns(batch: &RecordBatch) -> Vec<(Vec<u8>, ArrayRef)> {
    let named = |name: &str| {
        let mut named = b",".to_vec();
        text(&mut named, name);
        named.push(b':');
        named
    };
    let schema = batch.schema();
    schema.fields().iter().zip(batch.columns()).map(|(field, column)| (named(field.name()), ArrayRef::clone(column))).collect()
}

fn value(out: &mut Vec<u8>, column: &dyn Array, row: usize) -> Result<(), ArrowError> {
    if column.is_null(row) {
        out.extend_from_slice(b"null");
        return Ok(());
    }
    match column.data_type() {
        DataType::Utf8 => text(out, column.as_string::<i32>().value(row)),
        DataType::Int32 => write!(out, "{}", column.as_primitive::<Int32Type>().value(row))?,
        DataType::Int64 => write!(out, "{}", column.as_primitive::<Int64Type>().value(row))?,
        DataType::Date32 => write!(out, "{}", column.as_primitive::<Date32Type>().value(row))?,
        DataType::Timestamp(TimeUnit::Microsecond, _) => write!(out, "{}", column.as_primitive::<TimestampMicrosecondType>().value(row))?,
        DataType::Boolean => write!(out, "{}", column.as_boolean().value(row))?,
        DataType::Float64 => write!(out, "{:?}", column.as_primitive::<Float64Type>().value(row))?,
        DataType::List(_) => {
            let inner = column.as_list::<i32>().value(row);
            out.push(b'[');
            for at in 0..inner.len() {
                if at > 0 {
                    out.push(b',');
                }
                value(out, &inner, at)?;
            }
            out.push(b']');
        }
        DataType::Map(..) => {
            let entries = column.as_map().value(row);
            out.push(b'{');
            for at in 0..entries.len() {
                if at > 0 {
                    out.push(b',');
                }
                value(out, entries.column(0), at)?;
                out.push(b':');
                value(out, entries.column(1), at)?;
            }
            out.push(b'}');
        }
        other => return Err(ArrowError::NotYetImplemented(format!("type {other}"))),
    }
    Ok(())
}

fn text(out: &mut Vec<u8>, text: &str) {
    // A Vec takes all bytes, and JSON all texts.
    let _ = serde_json::to_writer(out, text);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::{Date32Array, Float64Array, Int32Array, Int64Array, StringArray};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    type Row = (Option<String>, Option<i64>, Option<i32>, Option<f64>, Option<bool>);

    fn batch(rows: &[Row]) -> RecordBatch {
        let longs: Int64Array = rows.iter().map(|row| row.1).collect();
        RecordBatch::try_from_iter([
            ("a \"text\"", Arc::new(rows.iter().map(|row| row.0.clone()).collect::<StringArray>()) as ArrayRef),
            ("ts", Arc::new(longs.reinterpret_cast::<TimestampMicrosecondType>().with_timezone("UTC")) as ArrayRef),
            ("long", Arc::new(longs) as ArrayRef),
            ("day", Arc::new(rows.iter().map(|row| row.2).collect::<Date32Array>()) as ArrayRef),
            ("int", Arc::new(rows.iter().map(|row| row.2).collect::<Int32Array>()) as ArrayRef),
            ("double", Arc::new(rows.iter().map(|row| row.3).collect::<Float64Array>()) as ArrayRef),
            ("yes", Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>()) as ArrayRef),
        ])
        .unwrap()
    }

    fn object(row: &Row) -> Value {
        let (text, long, int, double, yes) = row;
        let fields = [
            (LOAD_ID, Some(json!("zerobus/1"))),
            ("a \"text\"", text.as_ref().map(|value| json!(value))),
            ("ts", long.map(|value| json!(value))),
            ("long", long.map(|value| json!(value))),
            ("day", int.map(|value| json!(value))),
            ("int", int.map(|value| json!(value))),
            ("double", double.map(|value| json!(value))),
            ("yes", yes.map(|value| json!(value))),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<serde_json::Map<_, _>>().into()
    }

    fn any_row() -> impl Strategy<Value = Row> {
        // Of others the last digit is lost by whoever reads the JSON here.
        let double = prop_oneof![any::<i32>().prop_map(|number| f64::from(number) / 64.0), Just(-0.0), Just(1e300), Just(5e-324)];
        (any::<Option<String>>(), any::<Option<i64>>(), any::<Option<i32>>(), prop::option::of(double), any::<Option<bool>>())
    }

    proptest! {
        /// Whatever is in the rows, however they are cut, and wherever it begins: each is written once, in order, as it is.
        #[test]
        fn rows_are_written_as_they_are(
            batches in prop::collection::vec(prop::collection::vec(any_row(), 0..6), 0..4),
            bytes in 1_usize..400,
            sent in 0_usize..12,
        ) {
            let rows: Vec<&Row> = batches.iter().flatten().collect();
            let mut writer = RowWriter::new(batches.iter().map(|rows| batch(rows)).collect(), "zerobus/1", sent.min(rows.len()));
            let mut found = Vec::new();
            while let Some(body) = writer.next(bytes).unwrap() {
                let Value::Array(objects) = serde_json::from_slice(&body).unwrap() else { panic!("no list") };
                prop_assert!(!objects.is_empty());
                found.extend(objects);
                let latest = RowWriter::new(writer.latest(), "zerobus/1", 0).next(usize::MAX).unwrap();
                prop_assert_eq!(latest, Some(body), "the same rows again");
                prop_assert_eq!(writer.written(), sent.min(rows.len()) + found.len());
            }
            let expected: Vec<Value> = rows.iter().skip(sent).map(|row| object(row)).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn what_json_cannot_say_is_set_aside() {
        let row = |text: &str, double| (Some(text.to_owned()), None, None, Some(double), None);
        let (long, fits) = ("x".repeat(11), "x".repeat(10));
        let all = batch(&[row("a", 1.0), row("b", f64::NAN), row(&long, 1.0), row(&fits, -0.0), row("c", f64::INFINITY)]);
        let (carried, aside) = split(&[all], 10).unwrap();
        let texts = |batches: &[RecordBatch]| -> Vec<String> {
            batches.iter().flat_map(|batch| batch.column(0).as_string::<i32>().iter().flatten().map(ToOwned::to_owned)).collect()
        };
        assert_eq!(texts(&carried), ["a".to_owned(), fits]);
        assert_eq!(texts(&aside), ["b".to_owned(), long, "c".to_owned()]);
    }
}
