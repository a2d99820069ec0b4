//! The log of a Postgres server: `[DATABASE] [12-1]  sql_error_code = 00000 LOG:  …`, each part of an entry a line of its own.

use super::agenda::{Origin, Pen, SECOND};
use super::app::App;
use super::text::Text;
use crate::world::Chance;

/// Seconds between two entries, on average.
pub(super) const SECONDS_BETWEEN: f64 = 150.0;

/// The parts of an entry: SQL error code, level, words; a part that begins with a tab goes on with the one before it.
type Entry = Vec<(&'static str, &'static str, String)>;

/// Writes an entry.
pub(super) fn write(app: &mut App, place: usize, at: i64, pen: &mut Pen) {
    let chance = &mut app.chance;
    let store = &mut app.stores[place];
    store.log_lines += 1;
    let process = chance.between(1_000, 1_700_000);
    let entry = if app.troubles.database { crowded(chance) } else { usual(chance, at) };
    let origin = if entry.iter().any(|(code, ..)| *code != "00000") { Origin::STORE_WARNING } else { Origin::STORE };
    let name = format!("postgres.{process}");
    for (part, (code, level, words)) in entry.iter().enumerate() {
        pen.text.put("[").put(&store.source).put("] [").number(store.log_lines).put("-").number(part as u64 + 1).put("]");
        // A part without words has no space behind its number.
        if !words.is_empty() {
            pen.text.put(" ");
            if !level.is_empty() {
                pen.text.put(" sql_error_code = ").put(code).put(" ");
                if store.has_long_log {
                    who(at, process, &mut pen.text);
                }
                pen.text.put(level).put(":  ");
            }
            pen.text.put(words);
        }
        pen.end(at, &app.id, origin, &name);
    }
}

/// Who was connected, in the long form of the log.
fn who(at: i64, process: u64, text: &mut Text) {
    let millisecond = (at % SECOND / 1000).unsigned_abs();
    text.put("time_ms = \"").date_and_time(at).put(".").padded(millisecond, 3).put(" UTC\" pid=\"").number(process);
    text.put("\" proc_start_time=\"")
        .date_and_time(at - 740 * SECOND)
        .put(" UTC\" session_id=\"")
        .say(format_args!("{:x}.{process:x}", at / SECOND));
    text.put("\" vtid=\"27/0\" tid=\"0\" log_line=\"1\" database=\"dfake0example1\" connection_source=\"192.0.2.10(34910)\"");
    text.put(" user=\"ufake0example1\" application_name=\"puma: cluster worker 1\" ");
}

fn usual(chance: &mut Chance, at: i64) -> Entry {
    const LOG: &str = "LOG";
    let duration = chance.around(3_400.0, 0.4);
    match chance.between(0, 9) {
        0 | 1 => vec![("00000", LOG, "checkpoint starting: time".to_owned())],
        2 | 3 => {
            let buffers = chance.between(40, 12_000);
            let (percent, write) = (buffers as f64 / 1_310.0, buffers as f64 / 46.0);
            let words = format!(
                "checkpoint complete: wrote {buffers} buffers ({percent:.1}%); 0 WAL file(s) added, 0 removed, {} recycled; write={write:.3} s, \
                 sync=0.016 s, total={:.3} s; sync files={}, longest=0.003 s, average=0.001 s; distance={} kB, estimate={} kB",
                chance.between(0, 9),
                write + 0.031,
                chance.between(8, 90),
                chance.between(900, 90_000),
                chance.between(90_000, 120_000),
            );
            vec![("00000", LOG, words)]
        }
        4 => {
            let words = format!(
                "automatic analyze of table \"dfake0example1.public.orders\" system usage: CPU: user: {:.2} s, system: 0.12 s, elapsed: {:.2} s",
                chance.fraction(),
                chance.between(2, 40) as f64 + 0.04
            );
            vec![("00000", LOG, words)]
        }
        5 | 6 => vec![(
            "00000",
            LOG,
            format!(
                "duration: {duration:.3} ms  execute <unnamed>: SELECT \"orders\".* FROM \"orders\" WHERE \"orders\".\"customer_id\" = {} LIMIT 1",
                chance.between(1, 90_000)
            ),
        )],
        7 => vec![
            ("00000", LOG, format!("duration: {duration:.3} ms  statement: SELECT date_trunc('day', created_at),")),
            ("00000", "", "\t  count(*), sum(total_cents)".to_owned()),
            ("00000", "", "\tFROM orders".to_owned()),
            ("00000", "", String::new()),
            ("00000", "", "\tGROUP BY 1 ORDER BY 1".to_owned()),
        ],
        8 => {
            let email = format!("customer-{}@example.com", chance.between(1, 90_000));
            vec![
                ("23505", "ERROR", "duplicate key value violates unique constraint \"index_users_on_email\"".to_owned()),
                ("23505", "DETAIL", format!("Key (email)=({email}) already exists.")),
                ("23505", "STATEMENT", "INSERT INTO \"users\" (\"email\", \"created_at\") VALUES ($1, $2) RETURNING \"id\"".to_owned()),
            ]
        }
        _ => vec![
            ("55P03", "ERROR", "could not obtain lock on row in relation \"notifications\"".to_owned()),
            (
                "55P03",
                "STATEMENT",
                format!(
                    "SELECT \"notifications\".* FROM \"notifications\" WHERE \"notifications\".\"id\" = {} LIMIT 1 FOR UPDATE NOWAIT /*app:worker.1,job:NotificationJob*/",
                    at.unsigned_abs() % 260_000
                ),
            ),
        ],
    }
}

/// What a server writes that has more clients than it serves.
fn crowded(chance: &mut Chance) -> Entry {
    match chance.between(0, 3) {
        0 | 1 => vec![("53300", "FATAL", "remaining connection slots are reserved for roles with the SUPERUSER attribute".to_owned())],
        2 => vec![
            ("57014", "ERROR", "canceling statement due to statement timeout".to_owned()),
            ("57014", "STATEMENT", "UPDATE \"stock\" SET \"reserved\" = \"reserved\" + 1 WHERE \"stock\".\"product_id\" = $1".to_owned()),
        ],
        _ => vec![
            (
                "00000",
                "LOG",
                format!(
                    "process {} still waiting for ShareLock on transaction {} after 1000.088 ms",
                    chance.between(900, 90_000),
                    chance.between(1_000_000, 9_000_000)
                ),
            ),
            (
                "00000",
                "DETAIL",
                format!("Process holding the lock: {}. Wait queue: {}.", chance.between(900, 90_000), chance.between(900, 90_000)),
            ),
        ],
    }
}
