//! What must be true when all has come to rest.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMicrosecondType};
use freshet_core::{Committed, Receipt};
use freshet_tables::{Delivery as Parsed, PositionOf, Rows};

use crate::Fault;
use crate::rows::{numbers_of, texts};
use crate::sender::Drain;
use crate::story::Story;
use crate::wire::Wire;
use crate::world::{Delivery, World};

/// Every table's rows and commits.
pub(crate) type Tables = BTreeMap<&'static str, (Vec<RecordBatch>, Vec<Committed>)>;

/// What a check counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Rows in all tables.
    pub rows: u64,
    /// Messages in `logs`.
    pub messages: u64,
    /// Frames that were acknowledged and found once.
    pub frames: u64,
    /// Frames that nobody was told are safe, and that are in the tables all the same, once.
    pub frames_unacknowledged: u64,
    /// Frames that a restored old copy of the directory lost, as it must.
    pub lost_by_old_copy: u64,
    /// Frames that a restored old copy doubled: they were on their way when it was put in place.
    pub doubled_by_old_copy: u64,
    /// Frames that a restored old copy lost when only some of their tables had them.
    pub torn_by_old_copy: u64,
    /// Times in which the spool was closed and that `_loss` tells of.
    pub closures: u64,
    /// Damage that `_loss` tells of.
    pub gaps: u64,
}

/// Faults after which a spool may find records that it cannot read.
const DAMAGING: [Fault; 6] = [Fault::KillAtWrite, Fault::KillAtStart, Fault::PowerCut, Fault::DiskFull, Fault::SyncError, Fault::OldCopy];

/// The rows of one delivery: per table how many, and a sum of what is in them.
type Sums = BTreeMap<&'static str, (u64, u64)>;

/// All rows that name one frame.
#[derive(Default)]
struct Group {
    sums: Sums,
    received_at: Option<i64>,
    loss_kind: Option<String>,
}

/// Compares the tables with what was sent.
pub(crate) fn check(world: &World, tables: &Tables) -> Found {
    let mut found = Found::default();
    let mut groups = group(tables, &mut found);
    let mut oracle = Oracle { rows: Rows::default(), wire: &world.wire, story: &world.story };
    check_frames(world, &mut groups, &mut oracle, &mut found);
    check_nameless(world, &mut groups, &mut oracle, &mut found);
    let excused = |delivery: &&Delivery| delivery.payload.frame_id.is_none() && world.excused.contains(&delivery.frame);
    let excused: Vec<&Delivery> = world.deliveries.iter().filter(excused).collect();
    for (id, group) in groups {
        // A row of `_loss` does not say when its frame came: what is torn to that one row is told by the whole of it.
        let mut is_torn = |delivery: &&Delivery| match group.received_at {
            Some(at) => delivery.payload.received_at.0 == at,
            None => group.sums.get("_loss").is_some_and(|row| oracle.sums(delivery, &id).get("_loss") == Some(row)),
        };
        if excused.iter().any(&mut is_torn) {
            found.torn_by_old_copy += 1;
            continue;
        }
        match group.loss_kind.as_deref() {
            Some("spool_damaged") if group.sums.len() == 1 => found.gaps += 1,
            Some("intake_closed") if group.sums.len() == 1 => found.closures += 1,
            _ => world.story.accuse(format!("rows of {id}, which was never sent: {:?}", group.sums)),
        }
    }
    check_loads(&world.story, tables);
    let (least, most) = world.closures;
    if found.closures > most || (found.closures < least && world.excused.is_empty()) {
        world.story.accuse(format!("_loss tells of {} closures; there were between {least} and {most}", found.closures));
    }
    if found.gaps > 0 && !DAMAGING.iter().any(|fault| world.plan.has(*fault)) {
        world.story.accuse(format!("_loss tells of damage {} times, and nothing did any", found.gaps));
    }
    found
}

fn group(tables: &Tables, found: &mut Found) -> BTreeMap<String, Group> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for (name, (batches, _)) in tables.iter().filter(|(name, _)| **name != "_loads") {
        for batch in batches {
            found.rows += batch.num_rows() as u64;
            let Some(ids) = texts(batch, "frame_id") else { continue };
            let received = batch.column_by_name("received_at").and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
            for (row, (id, number)) in ids.iter().zip(numbers_of(batch)).enumerate() {
                let id = id.unwrap_or_default();
                if !groups.contains_key(id) {
                    groups.insert(id.to_owned(), Group::default());
                }
                let Some(group) = groups.get_mut(id) else { continue };
                let sum = group.sums.entry(name).or_default();
                *sum = (sum.0 + 1, sum.1.wrapping_add(number));
                group.received_at = received.map(|received| received.value(row)).or(group.received_at);
                if *name == "_loss" {
                    group.loss_kind = texts(batch, "kind").map(|kinds| kinds.value(row).to_owned());
                }
            }
        }
    }
    found.messages = tables.get("logs").map_or(0, |(batches, _)| batches.iter().map(|batch| batch.num_rows() as u64).sum());
    groups
}

fn check_frames(world: &World, groups: &mut BTreeMap<String, Group>, oracle: &mut Oracle<'_>, found: &mut Found) {
    let mut frames: BTreeMap<usize, Vec<&Delivery>> = BTreeMap::new();
    for delivery in world.deliveries.iter().filter(|delivery| delivery.payload.frame_id.is_some()) {
        frames.entry(delivery.frame).or_default().push(delivery);
    }
    for (frame, deliveries) in frames {
        let id = deliveries[0].sent.made.id.clone();
        let is_acknowledged = deliveries.iter().any(|delivery| delivery.receipt.is_some());
        let is_excused = world.excused.contains(&frame);
        let Some(group) = groups.remove(&id) else {
            if is_acknowledged && is_excused {
                found.lost_by_old_copy += 1;
            } else if is_acknowledged {
                world.story.accuse(format!("frame {frame} was acknowledged and is in no table"));
            }
            continue;
        };
        let tries: Vec<Sums> = deliveries.iter().map(|delivery| oracle.sums(delivery, &id)).collect();
        if tries.contains(&group.sums) {
            found.frames += u64::from(is_acknowledged);
            found.frames_unacknowledged += u64::from(!is_acknowledged);
        } else if is_excused {
            let is_torn = tries.iter().any(|sums| rows_of(sums) > rows_of(&group.sums));
            *(if is_torn { &mut found.torn_by_old_copy } else { &mut found.doubled_by_old_copy }) += 1;
        } else {
            let (has, should) = (counts(&group.sums), tries.iter().map(counts).collect::<BTreeSet<_>>());
            world.story.accuse(format!("frame {frame} (acknowledged: {is_acknowledged}) has rows {has}, and should have {should:?}"));
        }
    }
    let answered = |delivery: &&Delivery| delivery.receipt.is_some();
    let answered: HashSet<&str> = world.deliveries.iter().filter(answered).map(|delivery| delivery.sent.made.id.as_str()).collect();
    for id in world.drains.iter().flat_map(Drain::delivered).filter(|id| !answered.contains(id)) {
        world.story.accuse(format!("Heroku holds frame {id} for delivered, and nobody answered it"));
    }
}

/// Frames without an id: each delivery that was stored has rows of its own.
fn check_nameless(world: &World, groups: &mut BTreeMap<String, Group>, oracle: &mut Oracle<'_>, found: &mut Found) {
    let nameless: Vec<&Delivery> = world.deliveries.iter().filter(|delivery| delivery.payload.frame_id.is_none()).collect();
    for delivery in nameless {
        let at = delivery.payload.received_at.0;
        let like = |(id, group): &(&String, &Group)| id.starts_with("body-") && group.received_at == Some(at);
        let id = groups.iter().filter(like).map(|(id, _)| id.clone()).collect::<Vec<_>>();
        let id = id.into_iter().find(|id| groups.get(id).is_some_and(|group| group.sums == oracle.sums(delivery, id)));
        let is_stored = delivery.receipt == Some(Receipt::Stored);
        match id {
            Some(id) => {
                groups.remove(&id);
                found.frames += u64::from(is_stored);
                found.frames_unacknowledged += u64::from(!is_stored);
            }
            None if is_stored && world.excused.contains(&delivery.frame) => found.lost_by_old_copy += 1,
            None if is_stored => world.story.accuse(format!("nameless frame {} was acknowledged and is in no table", delivery.frame)),
            None => {}
        }
    }
}

/// Every commit has one row in `_loads`.
fn check_loads(story: &Story, tables: &Tables) {
    let mut rows: BTreeMap<(String, i64), u64> = BTreeMap::new();
    for batch in tables.get("_loads").map_or(&[][..], |(batches, _)| batches) {
        let versions = batch.column_by_name("version").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(names), Some(versions)) = (texts(batch, "table_name"), versions) else { continue };
        for (name, version) in names.iter().zip(versions.iter()) {
            *rows.entry((name.unwrap_or_default().to_owned(), version.unwrap_or_default())).or_default() += 1;
        }
    }
    for (name, (_, history)) in tables.iter().filter(|(name, _)| **name != "_loads") {
        for commit in history {
            match rows.remove(&((*name).to_owned(), commit.version)) {
                Some(1) => {}
                times => story.accuse(format!("version {} of {name} has {} rows in _loads", commit.version, times.unwrap_or(0))),
            }
        }
    }
    for (name, version) in rows.keys() {
        story.accuse(format!("_loads tells of version {version} of {name}, which there is not"));
    }
}

fn rows_of(sums: &Sums) -> u64 {
    sums.values().map(|(rows, _)| rows).sum()
}

fn counts(sums: &Sums) -> String {
    format!("{:?}", sums.iter().map(|(name, (rows, _))| (*name, *rows)).collect::<BTreeMap<_, _>>())
}

/// Says what rows a delivery has to have.
struct Oracle<'a> {
    rows: Rows,
    wire: &'a Wire,
    story: &'a Story,
}

impl Oracle<'_> {
    fn sums(&mut self, delivery: &Delivery, id: &str) -> Sums {
        self.rows.add(&Parsed { payload: &delivery.payload, frame_id: id, position: PositionOf::Delivery(1), resumed_at: &[] });
        let mut sums = Sums::new();
        for rows in self.rows.finish() {
            let sum = numbers_of(&rows.batch).into_iter().fold(0, u64::wrapping_add);
            sums.insert(rows.table.name, (rows.batch.num_rows() as u64, sum));
            if rows.table.name == "logs" && self.wire.is_sound(delivery.frame) {
                self.compare(delivery, &rows.batch);
            }
        }
        sums
    }

    /// What was written is what was read: the parser is not believed either.
    fn compare(&self, delivery: &Delivery, logs: &RecordBatch) {
        let (Some(messages), Some(kinds)) = (texts(logs, "message"), texts(logs, "kind")) else { return };
        let sent = &delivery.sent.made;
        let skip = usize::from(sent.l10.is_some());
        let read: Vec<_> =
            messages.iter().zip(kinds.iter()).skip(skip).map(|(text, kind)| (text.unwrap_or("").as_bytes(), kind.unwrap_or(""))).collect();
        let written: Vec<_> = sent.messages.iter().map(|message| (message.text.as_ref(), self.wire.kind(&message.text))).collect();
        if read != written {
            let shown = |lines: &[(&[u8], &str)]| {
                lines.iter().map(|(text, kind)| format!("{kind}: {}", String::from_utf8_lossy(text))).collect::<Vec<_>>()
            };
            self.story.accuse(format!("frame {}: written {:?}, read {:?}", delivery.frame, shown(&written), shown(&read)));
        }
    }
}
