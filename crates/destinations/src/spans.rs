//! The spans of a package against how far a table has come.

use std::collections::BTreeMap;

use freshet_core::{DestinationError, Package, Position, ShardId, Span};

/// The spans of a package, one per shard, as signed numbers.
pub(crate) struct Spans<'package>(pub(crate) BTreeMap<&'package ShardId, Ends>);

/// Where a span begins and ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) from: i64,
    pub(crate) to: i64,
}

/// Where a table stands as to a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// At the start of every span, or before it.
    Before,
    /// Somewhere inside: the package was cut from checkpoints that no longer hold.
    Within,
    /// At or beyond the end of every span.
    Beyond,
}

impl<'package> Spans<'package> {
    /// The spans of `package`.
    ///
    /// # Errors
    /// [`DestinationError::Refused`] when it has none, or such as cannot be compared: it could land twice.
    pub(crate) fn of(package: &'package Package) -> Result<Self, DestinationError> {
        Self::merged(&package.spans)
            .ok_or_else(|| DestinationError::Refused {
                problem: format!("package {} for table {} has spans that cannot be compared", package.load_id, package.table.name),
            })
            .and_then(|spans| {
                if spans.0.is_empty() {
                    let problem =
                        format!("package {} for table {} has no span, so it could land twice", package.load_id, package.table.name);
                    return Err(DestinationError::Refused { problem });
                }
                Ok(spans)
            })
    }

    fn merged(spans: &'package [Span]) -> Option<Self> {
        let signed = |position: Position| i64::try_from(position).ok();
        let mut merged = BTreeMap::new();
        for span in spans {
            let (from, to) = (signed(span.from)?, signed(span.to)?);
            let ends = merged.entry(&span.shard).or_insert(Ends { from, to });
            *ends = Ends { from: ends.from.min(from), to: ends.to.max(to) };
        }
        Some(Self(merged))
    }

    /// Judges them by the table's own positions.
    pub(crate) fn judge(&self, position: impl Fn(&ShardId) -> Option<Position>) -> Standing {
        let standing = |shard: &ShardId| position(shard).and_then(|at| i64::try_from(at).ok());
        if self.0.iter().all(|(shard, ends)| standing(shard).is_some_and(|at| at >= ends.to)) {
            Standing::Beyond
        } else if self.0.iter().any(|(shard, ends)| standing(shard).unwrap_or_default() > ends.from) {
            Standing::Within
        } else {
            Standing::Before
        }
    }
}
