//! Columns under construction: flat buffers that are filled row by row and become Arrow arrays without another copy.

use std::sync::Arc;

use arrow_array::types::{ArrowPrimitiveType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, NullBufferBuilder, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};
use freshet_core::{ColumnType, Micros};

/// Something that holds one column's values and can hand them over as an array.
pub(crate) trait Column: Default {
    /// What the column is in the catalogue.
    const TYPE: ColumnType;
    /// The values so far; the column is empty afterwards.
    fn finish(&mut self) -> ArrayRef;
    /// About how much memory the values take.
    fn bytes(&self) -> usize;
}

/// The validity bitmap, made on the first NULL only.
#[derive(Debug)]
struct Validity(NullBufferBuilder);

impl Default for Validity {
    fn default() -> Self {
        Self(NullBufferBuilder::new(0))
    }
}

/// Bytes with offsets: the shape of text and binary columns.
#[derive(Debug)]
struct Values {
    bytes: Vec<u8>,
    ends: Vec<i32>,
    validity: Validity,
}

impl Default for Values {
    fn default() -> Self {
        Self { bytes: Vec::new(), ends: vec![0], validity: Validity::default() }
    }
}

impl Values {
    fn push(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(value);
        self.end();
        self.validity.0.append_non_null();
    }

    fn push_null(&mut self) {
        self.end();
        self.validity.0.append_null();
    }

    fn end(&mut self) {
        // A column is bounded by its package, far below 2 GiB; saturating keeps the offsets in order regardless.
        self.ends.push(i32::try_from(self.bytes.len()).unwrap_or(i32::MAX));
    }

    fn len(&self) -> usize {
        self.ends.len() - 1
    }

    fn size(&self) -> usize {
        self.bytes.len() + 4 * self.ends.len()
    }

    /// The values so far. What comes next will be about as much, so room for it is made at once instead of by doubling.
    fn take(&mut self) -> (OffsetBuffer<i32>, Buffer, Option<NullBuffer>) {
        let mut next =
            Self { bytes: Vec::with_capacity(room(self.bytes.len())), ends: Vec::with_capacity(room(self.ends.len())), ..Self::default() };
        next.ends.push(0);
        let mut taken = std::mem::replace(self, next);
        (OffsetBuffer::new(ScalarBuffer::from(taken.ends)), Buffer::from_vec(taken.bytes), taken.validity.0.finish())
    }

    fn take_text(&mut self) -> StringArray {
        let (offsets, bytes, nulls) = self.take();
        match StringArray::try_new(offsets.clone(), bytes.clone(), nulls.clone()) {
            Ok(array) => array,
            // One value with invalid UTF-8 is enough to come here: all are read again, the bad bytes replaced.
            Err(_) => BinaryArray::new(offsets, bytes, nulls).iter().map(|value| value.map(String::from_utf8_lossy)).collect(),
        }
    }
}

/// Room for the next package's values after one of `length`: a little more, so that it need not be copied for a few.
fn room(length: usize) -> usize {
    length + length / 8
}

/// `STRING`.
#[derive(Debug, Default)]
pub(crate) struct Text(Values);

impl Text {
    /// A value; `''` stays `''`.
    pub(crate) fn push(&mut self, value: &[u8]) {
        self.0.push(value);
    }

    /// A field that the line may lack: missing and empty are both NULL.
    pub(crate) fn push_field(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) if !value.is_empty() => self.0.push(value),
            _ => self.0.push_null(),
        }
    }
}

impl Column for Text {
    const TYPE: ColumnType = ColumnType::Text;
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.take_text())
    }
    fn bytes(&self) -> usize {
        self.0.size()
    }
}

/// `BINARY`.
#[derive(Debug, Default)]
pub(crate) struct Binary(Values);

impl Binary {
    pub(crate) fn push(&mut self, value: Option<&[u8]>) {
        match value {
            Some(value) => self.0.push(value),
            None => self.0.push_null(),
        }
    }
}

impl Column for Binary {
    const TYPE: ColumnType = ColumnType::Binary;
    fn finish(&mut self) -> ArrayRef {
        let (offsets, bytes, nulls) = self.0.take();
        Arc::new(BinaryArray::new(offsets, bytes, nulls))
    }
    fn bytes(&self) -> usize {
        self.0.size()
    }
}

/// A column of numbers, dates or times.
#[derive(Debug)]
pub(crate) struct Numbers<T: ArrowPrimitiveType> {
    values: Vec<T::Native>,
    validity: Validity,
}

impl<T: ArrowPrimitiveType> Default for Numbers<T> {
    fn default() -> Self {
        Self { values: Vec::new(), validity: Validity::default() }
    }
}

impl<T: ArrowPrimitiveType> Numbers<T> {
    pub(crate) fn push(&mut self, value: Option<T::Native>) {
        match value {
            Some(value) => {
                self.values.push(value);
                self.validity.0.append_non_null();
            }
            None => {
                self.values.push(T::Native::default());
                self.validity.0.append_null();
            }
        }
    }

    fn take(&mut self) -> PrimitiveArray<T> {
        let next = Self { values: Vec::with_capacity(room(self.values.len())), validity: Validity::default() };
        let mut taken = std::mem::replace(self, next);
        PrimitiveArray::new(ScalarBuffer::from(taken.values), taken.validity.0.finish())
    }

    fn size(&self) -> usize {
        size_of_val(self.values.as_slice())
    }
}

macro_rules! number_columns {
    ($($(#[$doc:meta])* $name:ident($arrow:ty) => $column_type:ident;)*) => {$(
        $(#[$doc])*
        pub(crate) type $name = Numbers<$arrow>;
        impl Column for $name {
            const TYPE: ColumnType = ColumnType::$column_type;
            fn finish(&mut self) -> ArrayRef {
                Arc::new(self.take())
            }
            fn bytes(&self) -> usize {
                self.size()
            }
        }
    )*};
}

number_columns! {
    /// `INT`.
    Int(Int32Type) => Int;
    /// `BIGINT`.
    Long(Int64Type) => Long;
    /// `DOUBLE`.
    Double(Float64Type) => Double;
    /// `DATE`.
    Date(Date32Type) => Date;
}

/// `TIMESTAMP`: microseconds in UTC.
#[derive(Debug, Default)]
pub(crate) struct Timestamp(Numbers<TimestampMicrosecondType>);

impl Timestamp {
    pub(crate) fn push(&mut self, value: Option<Micros>) {
        self.0.push(value.map(|micros| micros.0));
    }

    /// The earliest and the latest value so far. Rows without a value do not occur in the columns this is asked of.
    pub(crate) fn range(&self) -> Option<(Micros, Micros)> {
        Some((Micros(*self.0.values.iter().min()?), Micros(*self.0.values.iter().max()?)))
    }

    /// How many rows so far.
    pub(crate) fn len(&self) -> usize {
        self.0.values.len()
    }
}

impl Column for Timestamp {
    const TYPE: ColumnType = ColumnType::Timestamp;
    fn finish(&mut self) -> ArrayRef {
        Arc::new(self.0.take().with_timezone("UTC"))
    }
    fn bytes(&self) -> usize {
        self.0.size()
    }
}

/// `BOOLEAN`.
#[derive(Debug)]
pub(crate) struct Boolean {
    values: BooleanBufferBuilder,
    validity: Validity,
}

impl Default for Boolean {
    fn default() -> Self {
        Self { values: BooleanBufferBuilder::new(0), validity: Validity::default() }
    }
}

impl Boolean {
    pub(crate) fn push(&mut self, value: Option<bool>) {
        self.values.append(value.unwrap_or_default());
        self.validity.0.append(value.is_some());
    }
}

impl Column for Boolean {
    const TYPE: ColumnType = ColumnType::Boolean;
    fn finish(&mut self) -> ArrayRef {
        let mut taken = std::mem::take(self);
        Arc::new(BooleanArray::new(taken.values.finish(), taken.validity.0.finish()))
    }
    fn bytes(&self) -> usize {
        self.values.len() / 8
    }
}

/// Rows of entries that lie one behind the other: the shape of lists and maps. A row without entries is NULL.
#[derive(Debug)]
struct Ends {
    ends: Vec<i32>,
    validity: Validity,
}

impl Default for Ends {
    fn default() -> Self {
        Self { ends: vec![0], validity: Validity::default() }
    }
}

impl Ends {
    fn end_row(&mut self, entries: usize) {
        let end = i32::try_from(entries).unwrap_or(i32::MAX);
        self.validity.0.append(self.ends.last() != Some(&end));
        self.ends.push(end);
    }
}

/// `ARRAY<STRING>`.
#[derive(Debug, Default)]
pub(crate) struct TextList {
    entries: Values,
    rows: Ends,
}

impl TextList {
    /// One row of `values`; NULL when there is none.
    pub(crate) fn push<'a>(&mut self, values: impl IntoIterator<Item = &'a [u8]>) {
        for value in values {
            self.entries.push(value);
        }
        self.rows.end_row(self.entries.len());
    }
}

impl Column for TextList {
    const TYPE: ColumnType = ColumnType::TextList;
    fn finish(&mut self) -> ArrayRef {
        let (entries, mut rows) = (self.entries.take_text(), std::mem::take(&mut self.rows));
        let element = match Self::TYPE.arrow() {
            DataType::List(element) => element,
            _ => Arc::new(Field::new("element", DataType::Utf8, true)),
        };
        let offsets = OffsetBuffer::new(ScalarBuffer::from(rows.ends));
        Arc::new(ListArray::new(element, offsets, Arc::new(entries), rows.validity.0.finish()))
    }
    fn bytes(&self) -> usize {
        self.entries.size() + 4 * self.rows.ends.len()
    }
}

/// `MAP<STRING,STRING>`.
#[derive(Debug, Default)]
pub(crate) struct TextMap {
    keys: Values,
    values: Values,
    rows: Ends,
}

impl TextMap {
    /// One row of `entries`, whose keys the caller keeps unique; NULL when there is none.
    pub(crate) fn push<'a>(&mut self, entries: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) {
        for (key, value) in entries {
            self.keys.push(key);
            self.values.push(value);
        }
        self.rows.end_row(self.keys.len());
    }
}

impl Column for TextMap {
    const TYPE: ColumnType = ColumnType::TextMap;
    fn finish(&mut self) -> ArrayRef {
        let (keys, values) = (self.keys.take_text(), Arc::new(self.values.take_text()));
        map(Self::TYPE, keys, values, std::mem::take(&mut self.rows))
    }
    fn bytes(&self) -> usize {
        self.keys.size() + self.values.size() + 4 * self.rows.ends.len()
    }
}

/// `MAP<STRING,DOUBLE>`.
#[derive(Debug, Default)]
pub(crate) struct DoubleMap {
    keys: Values,
    values: Double,
    rows: Ends,
}

impl DoubleMap {
    /// Adds an entry to the row that [`DoubleMap::end_row`] will close, unless the row has the key already.
    pub(crate) fn entry(&mut self, key: &[u8], value: f64) {
        let row = usize::try_from(self.rows.ends.last().copied().unwrap_or_default()).unwrap_or_default();
        let known = (row..self.keys.len()).any(|entry| {
            let range = self.keys.ends[entry] as usize..self.keys.ends[entry + 1] as usize;
            self.keys.bytes.get(range) == Some(key)
        });
        if !known {
            self.keys.push(key);
            self.values.push(Some(value));
        }
    }

    pub(crate) fn end_row(&mut self) {
        self.rows.end_row(self.keys.len());
    }
}

impl Column for DoubleMap {
    const TYPE: ColumnType = ColumnType::DoubleMap;
    fn finish(&mut self) -> ArrayRef {
        let (keys, values) = (self.keys.take_text(), self.values.finish());
        map(Self::TYPE, keys, values, std::mem::take(&mut self.rows))
    }
    fn bytes(&self) -> usize {
        self.keys.size() + self.values.size() + 4 * self.rows.ends.len()
    }
}

fn map(column_type: ColumnType, keys: StringArray, values: ArrayRef, mut rows: Ends) -> ArrayRef {
    let DataType::Map(entries_field, ordered) = column_type.arrow() else { return values };
    let fields = match entries_field.data_type() {
        DataType::Struct(fields) => fields.clone(),
        _ => return values,
    };
    let keys: ArrayRef = Arc::new(keys);
    debug_assert_eq!(keys.len(), values.len(), "every map entry has a key and a value");
    let entries = StructArray::new(fields, vec![keys, values], None);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(rows.ends));
    Arc::new(MapArray::new(entries_field, offsets, entries, rows.validity.0.finish(), ordered))
}

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;

    use super::*;

    #[test]
    fn missing_and_empty_fields_are_null_and_a_required_empty_text_is_not() {
        let mut text = Text::default();
        text.push(b"");
        text.push_field(Some(b""));
        text.push_field(None);
        text.push_field(Some(b"x"));
        let array = text.finish();
        assert_eq!(array.as_string::<i32>().iter().collect::<Vec<_>>(), [Some(""), None, None, Some("x")]);
        assert_eq!(text.finish().len(), 0);
    }

    #[test]
    fn invalid_utf8_is_replaced_in_its_own_value_only() {
        let mut text = Text::default();
        text.push(b"ok");
        text.push(b"caf\xe9");
        text.push_field(None);
        // Two halves of one character: each is invalid, though together they would not be.
        text.push(b"\xc3");
        text.push(b"\xa9");
        let array = text.finish();
        let expected = [Some("ok"), Some("caf\u{fffd}"), None, Some("\u{fffd}"), Some("\u{fffd}")];
        assert_eq!(array.as_string::<i32>().iter().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_map_keeps_the_first_of_two_equal_keys_and_is_null_without_entries() {
        let mut map = DoubleMap::default();
        map.entry(b"a", 1.0);
        map.entry(b"a", 2.0);
        map.end_row();
        map.end_row();
        map.entry(b"a", 3.0);
        map.end_row();
        let array = map.finish();
        let array = array.as_map();
        assert_eq!((array.value_length(0), array.is_null(1), array.value_length(2)), (1, true, 1));
        assert_eq!(array.values().as_primitive::<Float64Type>().values(), &[1.0, 3.0]);
    }
}
