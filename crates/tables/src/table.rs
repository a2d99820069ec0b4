//! What every table does, and the macro that declares one.

use arrow_array::RecordBatch;
use freshet_core::{Micros, TableDef};

use crate::event::Event;

/// A table under construction.
pub(crate) trait Table: Send {
    /// What it is.
    fn def(&self) -> &'static TableDef;
    /// Whether `event` makes rows here.
    fn wants(&self, event: &Event<'_>) -> bool;
    /// Adds the rows of an event it wants.
    fn add(&mut self, event: &Event<'_>);
    /// Rows so far.
    fn len(&self) -> usize;
    /// About how much memory the rows take.
    fn bytes(&self) -> usize;
    /// The earliest and latest time among the rows.
    fn ts_range(&self) -> Option<(Micros, Micros)>;
    /// Hands the rows over and starts anew. `None` when there are none.
    fn finish(&mut self) -> Option<RecordBatch>;
}

/// Declares a table: its definition and the struct that holds its columns.
///
/// `log table` adds the columns that every log table shares, as a field `shared`. A `!` behind a type marks a column
/// that no row lacks.
macro_rules! table {
    (log table $def:ident as $rows:ident, $name:literal, $comment:literal { $($column:ident: $type:ident $(($required:tt))?, $about:literal;)* }) => {
        $crate::table::table! { @build $def $rows $name $comment Log
            [
                ("ts", Timestamp, false, "The time written in the line"),
                ("app", Text, true, "The Heroku app's name, from the drain's address or --app"),
                ("source", Text, false, "app, heroku, ... as sent"),
                ("dyno", Text, true, "The process as sent: web.1, router, api, heroku-postgres, postgres.123"),
                ("frame_id", Text, false, "The delivery it came in: Logplex-Frame-Id, or a content id for files and bodies without one"),
                ("frame_index", Int, false, "Position in that delivery, from 0"),
                ("received_at", Timestamp, false, "When it was durable here"),
                ("date", Date, false, "UTC date of ts; the partition column")
            ]
            [shared: Shared] { $($column: $type $(($required))?, $about;)* }
        }
    };
    (system table $def:ident as $rows:ident, $name:literal, $comment:literal { $($column:ident: $type:ident $(($required:tt))?, $about:literal;)* }) => {
        $crate::table::table! { @build $def $rows $name $comment System [] [] { $($column: $type $(($required))?, $about;)* } }
    };
    (@build $def:ident $rows:ident $name:literal $comment:literal $kind:ident
        [$(($first:literal, $first_type:ident, $first_nullable:literal, $first_about:literal)),*]
        [$($shared:ident: $shared_type:ident)?]
        { $($column:ident: $type:ident $(($required:tt))?, $about:literal;)* }
    ) => {
        #[doc = $comment]
        pub(crate) static $def: freshet_core::TableDef = freshet_core::TableDef {
            name: $name,
            comment: $comment,
            kind: freshet_core::TableKind::$kind,
            columns: &[
                $(freshet_core::ColumnDef { name: $first, column_type: freshet_core::ColumnType::$first_type, nullable: $first_nullable, comment: $first_about },)*
                $(freshet_core::ColumnDef {
                    name: stringify!($column),
                    column_type: <$crate::column::$type as $crate::column::Column>::TYPE,
                    nullable: $crate::table::nullable!($($required)?),
                    comment: $about,
                },)*
            ],
        };

        #[doc = concat!("Rows of `", $name, "` under construction.")]
        #[derive(Default)]
        pub(crate) struct $rows {
            $($shared: $crate::event::$shared_type,)?
            $($column: $crate::column::$type,)*
        }

        impl $rows {
            #[allow(dead_code, reason = "_loads is filled in one go and never asked for its size")]
            fn columns_bytes(&self) -> usize {
                use $crate::column::Column as _;
                0 $(+ self.$shared.bytes())? $(+ self.$column.bytes())*
            }

            fn take_batch(&mut self) -> Option<arrow_array::RecordBatch> {
                use $crate::column::Column as _;
                #[allow(unused_mut, reason = "system tables have no shared columns to extend")]
                let mut columns: Vec<arrow_array::ArrayRef> = Vec::with_capacity($def.columns.len());
                $(self.$shared.finish(&mut columns);)?
                $(columns.push(self.$column.finish());)*
                let batch = arrow_array::RecordBatch::try_new($def.arrow_schema(), columns);
                debug_assert!(batch.is_ok(), "every row fills every column of {}: {batch:?}", $def.name);
                batch.ok().filter(|batch| batch.num_rows() > 0)
            }
        }
    };
}

/// `!` means that no row lacks the column.
macro_rules! nullable {
    () => {
        true
    };
    (required) => {
        false
    };
}

/// The parts of [`Table`] that only pass on to what [`table!`] made. `$time` is the column whose range is reported.
macro_rules! table_methods {
    ($def:ident, $($time:tt)+) => {
        fn def(&self) -> &'static freshet_core::TableDef {
            &$def
        }
        fn len(&self) -> usize {
            self.$($time)+.len()
        }
        fn bytes(&self) -> usize {
            self.columns_bytes()
        }
        fn ts_range(&self) -> Option<(freshet_core::Micros, freshet_core::Micros)> {
            self.$($time)+.range()
        }
        fn finish(&mut self) -> Option<arrow_array::RecordBatch> {
            self.take_batch()
        }
    };
}

pub(crate) use {nullable, table, table_methods};
