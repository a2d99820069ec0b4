//! Which files to merge.

use std::collections::BTreeMap;

use arrow_array::types::Date32Type;
use arrow_cast::parse::Parser;
use arrow_schema::Schema;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoArrow;
use deltalake_core::kernel::{LogicalFileView, Remove};
use deltalake_core::{DeltaResult, DeltaTable};
use freshet_core::{DestinationError, Micros};

use super::CompactionOptions;
use crate::delta::failure::failure;

/// The one column that tables are partitioned by.
const PARTITION_COLUMN: &str = "date";

/// Files of one partition that become one.
#[derive(Debug)]
pub(in crate::delta) struct Group {
    pub(in crate::delta) partition: Partition,
    pub(in crate::delta) files: Vec<SmallFile>,
}

/// What the files of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::delta) enum Partition {
    /// The table has no partitions.
    Whole,
    /// Rows of one date, in days since 1970-01-01; without one, rows that have none.
    Date(Option<i32>),
}

/// A file that is worth merging.
#[derive(Clone, Debug)]
pub(in crate::delta) struct SmallFile {
    pub(in crate::delta) path: String,
    pub(in crate::delta) rows: u64,
    pub(in crate::delta) remove: Remove,
    bytes: u64,
    modified_ms: i64,
}

impl SmallFile {
    /// `file`, which has so many rows. Whether taking it away changes the table's data is for the caller to know.
    pub(in crate::delta) fn of(file: &LogicalFileView, rows: usize, changes_data: bool) -> Self {
        Self {
            path: file.path().into_owned(),
            rows: u64::try_from(rows).unwrap_or(u64::MAX),
            remove: file.remove_action(changes_data),
            bytes: u64::try_from(file.size()).unwrap_or_default(),
            modified_ms: file.modification_time(),
        }
    }
}

impl Group {
    pub(in crate::delta) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    pub(in crate::delta) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

/// The groups of `table` that are due, by partition.
pub(super) fn plan(name: &str, table: &DeltaTable, options: &CompactionOptions, now: Micros) -> Result<Vec<Group>, DestinationError> {
    let state = table.snapshot().map_err(|error| failure(format!("read table {name}"), error))?;
    let partitioned = match state.metadata().partition_columns() {
        [] => false,
        [column] if column == PARTITION_COLUMN => true,
        others => {
            let problem =
                format!("table {name} is partitioned by {others:?}, which Freshet did not make; merge its files with the engine that did");
            return Err(DestinationError::Refused { problem });
        }
    };
    let mut partitions: BTreeMap<Partition, Vec<SmallFile>> = BTreeMap::new();
    for file in state.log_data().iter() {
        // Rows that a deletion vector hides would come back, and uncounted ones could not be verified.
        let (None, Some(rows)) = (file.deletion_vector_descriptor(), file.num_records()) else { continue };
        let partition = if partitioned {
            let value = file.partition_values_map().remove(PARTITION_COLUMN).flatten();
            Partition::Date(value.and_then(|date| Date32Type::parse(&date)))
        } else {
            Partition::Whole
        };
        partitions.entry(partition).or_default().push(SmallFile::of(&file, rows, false));
    }
    let groups = partitions.into_iter().flat_map(|(partition, files)| {
        let rule = Rule::of(&partition, options, now);
        pack(files, &rule).into_iter().map(move |files| Group { partition: partition.clone(), files })
    });
    Ok(groups.collect())
}

/// The table's schema in Arrow's terms.
pub(in crate::delta) fn arrow_schema(table: &DeltaTable) -> DeltaResult<Schema> {
    Ok(table.snapshot()?.schema().as_ref().try_into_arrow()?)
}

/// When files of a partition are small, how many of them are too many, and what they are packed up to.
#[derive(Debug, PartialEq, Eq)]
struct Rule {
    small_bytes: u64,
    files_min: usize,
    target_bytes: u64,
}

impl Rule {
    fn of(partition: &Partition, options: &CompactionOptions, now: Micros) -> Self {
        let closed = match partition {
            Partition::Whole => false,
            Partition::Date(date) => date.is_none_or(|date| date < now.days()),
        };
        if options.all || closed {
            let files_min = if options.all { 2 } else { options.closed_files_min.max(2) };
            Self { small_bytes: options.small_bytes, files_min, target_bytes: options.target_bytes }
        } else {
            let target_bytes = options.open_target_bytes.min(options.target_bytes);
            Self { small_bytes: options.small_bytes.min(target_bytes / 2), files_min: options.open_files_min.max(2), target_bytes }
        }
    }
}

/// Packs small files in the order they came, up to the target. A group of one is no group.
fn pack(mut files: Vec<SmallFile>, rule: &Rule) -> Vec<Vec<SmallFile>> {
    files.retain(|file| file.bytes < rule.small_bytes);
    if files.len() < rule.files_min {
        return Vec::new();
    }
    files.sort_by(|left, right| (left.modified_ms, &left.path).cmp(&(right.modified_ms, &right.path)));
    let mut groups: Vec<Vec<SmallFile>> = Vec::new();
    let mut filled = 0;
    for file in files {
        match groups.last_mut() {
            Some(group) if filled + file.bytes <= rule.target_bytes => {
                filled += file.bytes;
                group.push(file);
            }
            _ => {
                filled = file.bytes;
                groups.push(vec![file]);
            }
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(bytes: u64, modified_ms: i64) -> SmallFile {
        SmallFile { path: format!("f{modified_ms}"), rows: 1, remove: Remove::default(), bytes, modified_ms }
    }

    #[test]
    fn packing() {
        let rule = Rule { small_bytes: 50, files_min: 3, target_bytes: 100 };
        let check = |sizes: &[u64], expected: &[&[u64]]| {
            let files = sizes.iter().zip(0..).map(|(&bytes, at)| file(bytes, at)).collect();
            let packed: Vec<Vec<u64>> = pack(files, &rule).iter().map(|group| group.iter().map(|file| file.bytes).collect()).collect();
            assert_eq!(packed, expected, "{sizes:?}");
        };
        check(&[], &[]);
        check(&[1, 1], &[]);
        check(&[1, 1, 1], &[&[1, 1, 1]]);
        check(&[1, 50, 1, 99, 1], &[&[1, 1, 1]]);
        check(&[40, 40, 40, 40, 40], &[&[40, 40], &[40, 40]]);
        check(&[49, 49, 2, 1], &[&[49, 49, 2]]);
    }

    #[test]
    fn packing_ends() {
        let rule = Rule { small_bytes: 64, files_min: 2, target_bytes: 128 };
        let mut files: Vec<SmallFile> = (0..100).map(|at| file(3, at)).collect();
        for round in 0.. {
            let groups = pack(files.clone(), &rule);
            if groups.is_empty() {
                assert!(round <= 3, "{round} rounds");
                return;
            }
            for group in groups {
                files.retain(|file| !group.iter().any(|gone| gone.path == file.path));
                let merged = group.iter().map(|file| file.bytes).sum();
                files.push(SmallFile { path: format!("{}-{round}", group[0].path), ..file(merged, group[0].modified_ms) });
            }
        }
    }

    #[test]
    fn growing_partitions_wait_for_more_files() {
        let now = Micros(10 * Micros::PER_DAY);
        let options = CompactionOptions::default();
        let check = |partition: Partition, all: bool, files_min: usize| {
            let rule = Rule::of(&partition, &CompactionOptions { all, ..options.clone() }, now);
            assert_eq!(rule.files_min, files_min, "{partition:?} {all}");
            assert!(rule.small_bytes < rule.target_bytes);
        };
        check(Partition::Date(Some(9)), false, 4);
        check(Partition::Date(Some(10)), false, 50);
        check(Partition::Date(Some(11)), false, 50);
        check(Partition::Date(None), false, 4);
        check(Partition::Whole, false, 50);
        check(Partition::Date(Some(10)), true, 2);
        check(Partition::Whole, true, 2);
    }
}
