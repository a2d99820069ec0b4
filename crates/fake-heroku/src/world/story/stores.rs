//! The metrics of Heroku's data stores: Postgres, its connection pooler, and Redis.

use serde_json::Value;

use super::agenda::{Origin, Pen};
use super::app::{App, text};
use crate::world::Chance;

/// Seconds between two measurements.
pub(super) const SECONDS_BETWEEN: f64 = 60.0;

/// A data store of an app.
pub(super) struct Store {
    /// The add-on's id in the API.
    pub(super) id: String,
    /// Its number in the app.
    pub(super) serial: u64,
    /// The add-on's name, such as `postgresql-flat-31415`.
    pub(super) addon: String,
    /// Under which name the app knows it: `DATABASE`, `REDIS`, `HEROKU_POSTGRESQL_TEAL`.
    pub(super) source: String,
    /// Whether it is a Postgres and not a Redis.
    pub(super) is_postgres: bool,
    /// How often its log was written to.
    pub(super) log_lines: u64,
    /// Whether its log says who was connected.
    pub(super) has_long_log: bool,
    /// Whether there is a pooler before it.
    has_pooler: bool,
    connections_max: u64,
    size_bytes: u64,
    transactions: u64,
    tables: u64,
    memory_kb: u64,
    load: [f64; 3],
}

impl Store {
    /// The store that an add-on is; `None` when it is something else.
    pub(super) fn of(id: &str, addon: &Value, serial: u64, chance: &mut Chance) -> Option<Self> {
        let plan = text(&addon["plan"], "name");
        let is_postgres = plan.starts_with("heroku-postgresql");
        if !is_postgres && !plan.starts_with("heroku-redis") {
            return None;
        }
        let config_var = addon["config_vars"].get(0).and_then(Value::as_str);
        let otherwise = if is_postgres { "DATABASE" } else { "REDIS" };
        let is_small = plan.contains("essential") || plan.contains("mini");
        Some(Self {
            id: id.to_owned(),
            serial,
            addon: text(addon, "name").to_owned(),
            source: config_var.and_then(|name| name.strip_suffix("_URL")).unwrap_or(otherwise).to_owned(),
            is_postgres,
            log_lines: chance.between(1, 9_000),
            has_long_log: chance.happens(0.4),
            has_pooler: is_postgres && !is_small,
            connections_max: if is_small { 20 } else { 120 },
            size_bytes: chance.around(if is_small { 4e8 } else { 2e10 }, 0.7) as u64,
            transactions: chance.between(5_000_000, 900_000_000),
            tables: chance.between(14, 160),
            memory_kb: if is_small { 4_045_592 } else { 16_085_844 },
            load: [0.1; 3],
        })
    }
}

/// Measures a store, and writes what Heroku writes of it. `busy` is how much is going on, against the average.
pub(super) fn measure(app: &mut App, place: usize, at: i64, busy: f64, pen: &mut Pen) {
    let troubles = app.troubles;
    let store = &mut app.stores[place];
    let chance = &mut app.chance;
    let is_in_trouble = store.is_postgres && troubles.database;
    let load = busy * chance.around(0.3, 0.3) * if is_in_trouble { 12.0 } else { 1.0 };
    for (average, minutes) in store.load.iter_mut().zip([1.0, 5.0, 15.0]) {
        *average += (load - *average) * (1.0 - f64::exp(-SECONDS_BETWEEN / 60.0 / minutes));
    }
    store.transactions += chance.around(900.0 * busy.max(0.1), 0.3) as u64;
    store.size_bytes += chance.around(60_000.0 * busy.max(0.1), 0.5) as u64;
    if store.is_postgres {
        postgres(store, is_in_trouble, busy, chance, pen);
        pen.end(at, &app.id, Origin::STORE, "heroku-postgres");
        if store.has_pooler {
            pooler(store, is_in_trouble, busy, chance, pen);
            pen.end(at + 700_000, &app.id, Origin::STORE, "heroku-pgbouncer");
        }
    } else {
        redis(store, busy, chance, pen);
        pen.end(at, &app.id, Origin::STORE, "heroku-redis");
    }
}

fn head(store: &Store, source: &str, pen: &mut Pen) {
    pen.text.put("source=").put(source).put(" addon=").put(&store.addon);
}

fn postgres(store: &Store, is_in_trouble: bool, busy: f64, chance: &mut Chance, pen: &mut Pen) {
    let (active, waiting) = if is_in_trouble {
        (store.connections_max - chance.between(0, 3), chance.between(6, 40))
    } else {
        ((chance.around(0.2, 0.25) * busy.clamp(0.3, 2.0) * store.connections_max as f64) as u64 + 2, u64::from(chance.happens(0.02)))
    };
    let free = chance.between(60_000, 260_000);
    // Some versions write these numbers with a decimal, as the same agent has done for years.
    let decimal = if store.has_long_log { ".0" } else { "" };
    head(store, &store.source, pen);
    pen.text.say(format_args!(
        " sample#current_transaction={} sample#db_size={}{decimal}bytes sample#tables={} sample#active-connections={active} \
         sample#waiting-connections={waiting} sample#index-cache-hit-rate={:.5} sample#table-cache-hit-rate={:.5}",
        store.transactions,
        store.size_bytes,
        store.tables,
        0.9999 - 0.004 * chance.fraction(),
        if is_in_trouble { 0.71 } else { 0.992 } + 0.007 * chance.fraction(),
    ));
    pen.text.say(format_args!(
        " sample#load-avg-1m={:.3} sample#load-avg-5m={:.3} sample#load-avg-15m={:.3} sample#read-iops={:.3} sample#write-iops={:.3}",
        store.load[0],
        store.load[1],
        store.load[2],
        chance.around(if is_in_trouble { 900.0 } else { 12.0 }, 0.6) * busy,
        chance.around(38.0, 0.4) * busy,
    ));
    pen.text.say(format_args!(
        " sample#tmp-disk-used=543633408 sample#tmp-disk-available=72435159040 sample#memory-total={}{decimal}kB \
         sample#memory-free={free}kB sample#memory-cached={}{decimal}kB sample#memory-postgres={}kB sample#wal-percentage-used={:.17}",
        store.memory_kb,
        store.memory_kb * 3 / 4,
        20_000 + active * 1_300,
        0.06 + 0.03 * chance.fraction(),
    ));
}

fn pooler(store: &Store, is_in_trouble: bool, busy: f64, chance: &mut Chance, pen: &mut Pen) {
    let waiting = if is_in_trouble { chance.between(9, 70) } else { 0 };
    head(store, "pgbouncer", pen);
    pen.text.say(format_args!(
        " sample#client_active={} sample#client_waiting={waiting} sample#server_active={} sample#server_idle={} sample#max_wait={} \
         sample#avg_query={} sample#avg_recv={} sample#avg_sent={}",
        (chance.around(40.0, 0.2) * busy.clamp(0.3, 2.0)) as u64,
        if is_in_trouble { 20 } else { chance.between(1, 8) },
        if is_in_trouble { 0 } else { chance.between(8, 16) },
        if is_in_trouble { chance.between(2, 14) } else { 0 },
        chance.around(if is_in_trouble { 90_000.0 } else { 6_800.0 }, 0.3) as u64,
        chance.around(31_000.0 * busy, 0.3) as u64,
        chance.around(600_000.0 * busy, 0.3) as u64,
    ));
}

fn redis(store: &Store, busy: f64, chance: &mut Chance, pen: &mut Pen) {
    head(store, &store.source, pen);
    pen.text.say(format_args!(
        " sample#active-connections={} sample#load-avg-1m={:.3} sample#load-avg-5m={:.3} sample#load-avg-15m={:.3} sample#read-iops={:.2} \
         sample#write-iops={:.2} sample#memory-total={}kB sample#memory-free={}kB sample#memory-cached={}kB sample#memory-redis={}bytes \
         sample#hit-rate={:.5} sample#evicted-keys={}",
        chance.between(8, 22),
        store.load[0],
        store.load[1],
        store.load[2],
        chance.around(9.0 * busy, 0.6),
        chance.around(38.0 * busy, 0.3),
        store.memory_kb,
        store.memory_kb * 5 / 8,
        store.memory_kb / 4,
        store.size_bytes / 1_000,
        0.99 - 0.03 * chance.fraction(),
        u64::from(chance.happens(0.05)) * chance.between(1, 400),
    ));
}
