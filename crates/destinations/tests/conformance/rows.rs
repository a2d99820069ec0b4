//! Tables of every column type, and rows made from keys, so that what is read back can be compared cell by cell.

use std::sync::Arc;

use arrow_array::builder::{
    BinaryBuilder, BooleanBuilder, Date32Builder, Float64Builder, Int32Builder, Int64Builder, ListBuilder, MapBuilder, MapFieldNames,
    StringBuilder, TimestampMicrosecondBuilder,
};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow_schema::{DataType, Field};
use freshet_core::{ColumnDef, ColumnType, LoadId, Micros, Package, ShardId, Span, TableDef, TableKind};

const fn column(name: &'static str, column_type: ColumnType) -> ColumnDef {
    ColumnDef { name, column_type, nullable: true, comment: "a column, with \"quotes\" and ümlauts" }
}

const COLUMNS: [ColumnDef; 13] = [
    column("ts", ColumnType::Timestamp),
    column("key", ColumnType::Long),
    column("app", ColumnType::Text),
    column("frame_id", ColumnType::Text),
    column("status", ColumnType::Int),
    column("share", ColumnType::Double),
    column("tls", ColumnType::Boolean),
    column("date", ColumnType::Date),
    column("message", ColumnType::Text),
    column("raw", ColumnType::Binary),
    column("names", ColumnType::TextList),
    column("extra", ColumnType::TextMap),
    column("samples", ColumnType::DoubleMap),
];

/// A table with every column type, partitioned by date.
pub static EVENTS: TableDef = TableDef { name: "events", comment: "one row per key", kind: TableKind::Log, columns: &COLUMNS };

/// The same table as a later version knows it.
pub static WIDER_EVENTS: TableDef = TableDef {
    columns: &{
        let mut columns = [const { column("later", ColumnType::Text) }; 15];
        let mut at = 0;
        while at < COLUMNS.len() {
            columns[at] = column(COLUMNS[at].name, COLUMNS[at].column_type);
            at += 1;
        }
        columns[14] = column("much_later", ColumnType::Int);
        columns
    },
    ..EVENTS_HEAD
};

/// The same table with a column of another type.
pub static CHANGED_EVENTS: TableDef = TableDef {
    columns: &[column("ts", ColumnType::Timestamp), column("status", ColumnType::Text), column("date", ColumnType::Date)],
    ..EVENTS_HEAD
};

const EVENTS_HEAD: TableDef = TableDef { name: "events", comment: "one row per key", kind: TableKind::Log, columns: &COLUMNS };

/// A table without partitions.
pub static KEYS: TableDef = TableDef {
    name: "_keys",
    comment: "keys",
    kind: TableKind::System,
    columns: &[column("key", ColumnType::Long), column("app", ColumnType::Text)],
};

/// A package of `table` with one row per key and the spans `(shard, from, to)`.
pub fn package(table: &'static TableDef, keys: impl IntoIterator<Item = i64>, spans: &[(&str, u64, u64)]) -> Package {
    let keys: Vec<i64> = keys.into_iter().collect();
    let spans: Vec<Span> = spans.iter().map(|&(shard, from, to)| Span { shard: ShardId::new(shard), from, to }).collect();
    let mut id = 0_u128;
    for byte in format!("{}{spans:?}", table.name).bytes() {
        id = (id ^ u128::from(byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B);
    }
    let ts_range = keys.iter().min().zip(keys.iter().max()).map(|(&first, &last)| (Micros(first), Micros(last)));
    // Two batches, because one is the easy case.
    let (left, right) = keys.split_at(keys.len() / 2);
    let batches = if keys.is_empty() { Vec::new() } else { vec![rows(table, left), rows(table, right)] };
    Package { table, load_id: LoadId(id), spans, batches, ts_range }
}

/// One row per key; what is in it follows from the key alone.
pub fn rows(table: &TableDef, keys: &[i64]) -> RecordBatch {
    let columns = table.columns.iter().map(|column| values(column, keys)).collect();
    RecordBatch::try_new(table.arrow_schema(), columns).unwrap()
}

/// `batches` as one, in the order of their keys.
pub fn by_key(table: &TableDef, batches: &[RecordBatch]) -> RecordBatch {
    let all = arrow_select::concat::concat_batches(&table.arrow_schema(), batches).unwrap();
    let keys = keys_of(&all);
    let mut order: Vec<u32> = (0..u32::try_from(keys.len()).unwrap()).collect();
    order.sort_by_key(|&row| keys[row as usize]);
    let order = UInt32Array::from(order);
    let columns = all.columns().iter().map(|column| arrow_select::take::take(column, &order, None).unwrap()).collect();
    RecordBatch::try_new(all.schema(), columns).unwrap()
}

pub fn keys_of(batch: &RecordBatch) -> Vec<i64> {
    batch.column_by_name("key").unwrap().as_any().downcast_ref::<Int64Array>().unwrap().values().to_vec()
}

/// Noon of one of three days in the year 2026.
fn ts(key: i64) -> i64 {
    1_780_000_000_000_001 + key.rem_euclid(3) * Micros::PER_DAY + key
}

const TEXTS: [&str; 8] = ["", "web.1", "null", "a\u{0}b", "naïve 😀\u{10FFFF}", "\"quoted\\\"\n\r\t", "a=b/c%20#1", "  "];
const DOUBLES: [f64; 8] = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MIN_POSITIVE, f64::MAX, 0.1];

fn values(column: &ColumnDef, keys: &[i64]) -> ArrayRef {
    let at = |key: i64, len: usize| usize::try_from(key.rem_euclid(len as i64)).unwrap();
    // Whole runs of NULL, so that some files have nothing else.
    let null = |key: i64| key.rem_euclid(5) == 4 || (100..120).contains(&key);
    let some = keys.iter().map(|&key| (!null(key)).then_some(key));
    match column.column_type {
        ColumnType::Text => Arc::new(some.map(|key| key.map(|key| long(TEXTS[at(key, 8)], key))).collect::<arrow_array::StringArray>()),
        ColumnType::Int => build(Int32Builder::new(), some, |key| [i32::MIN, 0, i32::MAX, 500][at(key, 4)], |b, v| b.append_option(v)),
        ColumnType::Long => {
            let mut builder = Int64Builder::new();
            keys.iter().for_each(|&key| builder.append_value(key));
            Arc::new(builder.finish())
        }
        ColumnType::Double => build(Float64Builder::new(), some, |key| DOUBLES[at(key, 8)], |b, v| b.append_option(v)),
        ColumnType::Boolean => build(BooleanBuilder::new(), some, |key| key % 2 == 0, |b, v| b.append_option(v)),
        ColumnType::Timestamp => {
            let mut builder = TimestampMicrosecondBuilder::new().with_timezone("UTC");
            keys.iter().for_each(|&key| builder.append_value(ts(key)));
            Arc::new(builder.finish())
        }
        ColumnType::Date => {
            let mut builder = Date32Builder::new();
            keys.iter().for_each(|&key| builder.append_value(Micros(ts(key)).days()));
            Arc::new(builder.finish())
        }
        ColumnType::Binary => {
            build(BinaryBuilder::new(), some, |key| [&b""[..], b"\0", b"\xff\xfe", b"text"][at(key, 4)], |b, v| b.append_option(v))
        }
        ColumnType::TextList => lists(some.collect()),
        ColumnType::TextMap => {
            maps(StringBuilder::new(), some.collect(), |b, key| b.append_option((key % 2 == 0).then_some(TEXTS[at(key, 8)])))
        }
        ColumnType::DoubleMap => {
            maps(Float64Builder::new(), some.collect(), |b, key| b.append_option((key % 2 == 0).then_some(DOUBLES[at(key, 8)])))
        }
    }
}

fn long(text: &str, key: i64) -> String {
    if key.rem_euclid(7) == 3 { text.repeat(1000) } else { text.to_owned() }
}

trait Finish {
    fn finished(self) -> ArrayRef;
}

impl<Builder: arrow_array::builder::ArrayBuilder> Finish for Builder {
    fn finished(mut self) -> ArrayRef {
        self.finish()
    }
}

fn build<Builder: Finish, Value>(
    mut builder: Builder,
    keys: impl Iterator<Item = Option<i64>>,
    value: impl Fn(i64) -> Value,
    append: impl Fn(&mut Builder, Option<Value>),
) -> ArrayRef {
    keys.for_each(|key| append(&mut builder, key.map(&value)));
    builder.finished()
}

fn lists(keys: Vec<Option<i64>>) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new()).with_field(Arc::new(Field::new("element", DataType::Utf8, true)));
    for key in keys {
        for at in 0..key.unwrap_or(0).rem_euclid(4) {
            builder.values().append_option((at != 2).then_some(format!("name {at}")));
        }
        builder.append(key.is_some());
    }
    Arc::new(builder.finish())
}

fn maps<Values: arrow_array::builder::ArrayBuilder>(values: Values, keys: Vec<Option<i64>>, append: impl Fn(&mut Values, i64)) -> ArrayRef {
    let names = MapFieldNames { entry: "key_value".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    let mut builder = MapBuilder::new(Some(names), StringBuilder::new(), values);
    for key in keys {
        for at in 0..key.unwrap_or(0).rem_euclid(3) {
            builder.keys().append_value(format!("k{at}"));
            append(builder.values(), at + key.unwrap_or(0));
        }
        builder.append(key.is_some()).unwrap();
    }
    Arc::new(builder.finish())
}
