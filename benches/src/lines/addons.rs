//! What add-ons say: metrics of PostgreSQL, PgBouncer and Redis, and the database server's own log.

use crate::lines::words::BACKENDS;
use crate::random::Random;
use crate::text::Text;
use crate::writer::{Process, Writer};

fn ratio(text: &mut Text, name: &str, random: &mut Random) {
    text.str(" sample#").str(name).str("=0.9").padded(random.below(10_000), 4);
}

fn loads(text: &mut Text, random: &mut Random) {
    let load = random.below(200);
    text.str(" sample#load-avg-1m=").hundredths(load).str(" sample#load-avg-5m=").hundredths(load / 2);
    text.str(" sample#load-avg-15m=").hundredths(load / 3).str(" sample#read-iops=").hundredths(random.below(40_000));
    text.str(" sample#write-iops=").hundredths(random.below(9_000));
}

/// Writes the metrics of a PostgreSQL database: `primary` or its follower, which reports its lag too.
pub fn postgres(writer: &mut Writer, time_us: i64, random: &mut Random, primary: bool) {
    writer.message(time_us, Process::addon("heroku-postgres"), |text| {
        text.str(if primary {
            "source=DATABASE addon=postgresql-flat-31415"
        } else {
            "source=HEROKU_POSTGRESQL_TEAL addon=postgresql-calm-16180"
        });
        text.str(" sample#current_transaction=").number(122_163_235 + random.below(1_000_000));
        text.str(" sample#db_size=").number(9_075_588_700 + random.below(10_000_000)).str(if primary { "bytes" } else { ".0bytes" });
        text.str(" sample#tables=43 sample#active-connections=").number(random.between(5, 60));
        text.str(" sample#waiting-connections=").number(random.below(3));
        ratio(text, "index-cache-hit-rate", random);
        ratio(text, "table-cache-hit-rate", random);
        loads(text, random);
        text.str(" sample#tmp-disk-used=543633408 sample#tmp-disk-available=72435159040 sample#memory-total=");
        text.str(if primary { "8036340kB" } else { "8036340.0kB" }).str(" sample#memory-free=").number(random.between(70_000, 240_000));
        text.str("kB sample#memory-cached=").number(random.between(6_000_000, 7_000_000));
        text.str("kB sample#memory-postgres=").number(random.between(20_000, 90_000)).str("kB");
        if !primary {
            text.str(" sample#follower-lag-commits=").number(random.below(40));
        }
        text.str(" sample#wal-percentage-used=0.0665").padded(random.below(1_000_000), 8);
    });
}

/// Writes the metrics of the connection pooler.
pub fn pgbouncer(writer: &mut Writer, time_us: i64, random: &mut Random) {
    writer.message(time_us, Process::addon("heroku-pgbouncer"), |text| {
        text.str("source=pgbouncer addon=postgresql-flat-31415 sample#client_active=").number(random.between(10, 90));
        text.str(" sample#client_waiting=").number(random.below(4)).str(" sample#server_active=").number(random.below(12));
        text.str(" sample#server_idle=").number(random.below(20)).str(" sample#max_wait=0 sample#avg_query=").number(random.below(12_000));
        text.str(" sample#avg_recv=").number(random.below(60_000)).str(" sample#avg_sent=").number(random.below(1_500_000));
    });
}

/// Writes the metrics of a Redis.
pub fn redis(writer: &mut Writer, time_us: i64, random: &mut Random) {
    writer.message(time_us, Process::addon("heroku-redis"), |text| {
        text.str("source=REDIS addon=redis-round-27182 sample#active-connections=").number(random.between(4, 30));
        loads(text, random);
        text.str(" sample#memory-total=16082928kB sample#memory-free=").number(random.between(9_000_000, 12_000_000));
        text.str("kB sample#memory-cached=").number(random.between(2_000_000, 4_000_000)).str("kB sample#memory-redis=");
        text.number(random.between(2_000_000, 9_000_000)).str("bytes");
        ratio(text, "hit-rate", random);
        text.str(" sample#evicted-keys=").number(random.below(2));
    });
}

/// Writes a slow statement in the database server's log: one line, or several parts of one time.
pub fn slow_statement(writer: &mut Writer, time_us: i64, random: &mut Random, milliseconds: u64) {
    let backend = random.pick(&BACKENDS);
    let line = random.between(3, 14_000);
    writer.message(time_us, Process::addon(backend), |text| {
        text.str("[YELLOW] [").number(line).str("-1]  sql_error_code = 00000 time_ms = \"");
        text.moment(time_us, " ").str(".793 UTC\" pid=\"");
        text.str(&backend[9..]).str("\" proc_start_time=\"");
        text.moment(time_us - 1_608_000_000, " ").str(" UTC\" session_id=\"647e3878.1e62e5\" vtid=\"2/0\" tid=\"0\" log_line=\"");
        text.number(line)
            .str("\" database=\"shop\" connection_source=\"192.0.2.10(34910)\" user=\"shop\" application_name=\"puma: cluster worker 1\" ");
        text.str("LOG:  duration: ").number(milliseconds).str(".").padded(random.below(1_000), 3);
        text.str(" ms  statement: SELECT \"orders\".* FROM \"orders\"");
    });
    let more = [" \tWHERE \"orders\".\"cart_id\" = $1", "", " \tORDER BY \"orders\".\"created_at\" DESC LIMIT 1"];
    let parts = if random.chance(400) { more.len() } else { 0 };
    for (part, words) in more[..parts].iter().enumerate() {
        writer.message(time_us, Process::addon(backend), |text| {
            text.str("[YELLOW] [").number(line).str("-").number(part as u64 + 2).str("]").str(words);
        });
    }
}

/// Other lines of the database server.
pub const SERVER_LINES: [&str; 7] = [
    "[GREEN] [12-1]  sql_error_code = 00000 LOG:  automatic analyze of table \"shop.public.orders\" system usage: CPU: user: 0.46 s, system: 0.12 s, elapsed: 38.04 s",
    "[YELLOW] [15-1]  sql_error_code = 55P03 ERROR:  could not obtain lock on row in relation \"orders\"",
    "[YELLOW] [15-2]  sql_error_code = 55P03 STATEMENT:  SELECT \"orders\".* FROM \"orders\" WHERE \"orders\".\"id\" = 258324 LIMIT 1 FOR UPDATE NOWAIT",
    "[PURPLE] [13994-1]  sql_error_code = 00000 LOG:  recovery restart point at 32A8/A515CE48",
    "[PURPLE] [13994-2]  sql_error_code = 00000 DETAIL:  last completed transaction was at log time 2026-11-20 08:56:42.690423+00",
    "[YELLOW] [9-1]  sql_error_code = 28P01 FATAL:  password authentication failed for user \"shop\"",
    "[DATABASE] [4717-1] LOG:  checkpoint starting: time",
];

/// Writes some line of the database server.
pub fn any_server_line(writer: &mut Writer, time_us: i64, random: &mut Random) {
    if random.chance(500) {
        let milliseconds = random.between(2_000, 9_000);
        return slow_statement(writer, time_us, random, milliseconds);
    }
    let line = random.pick(&SERVER_LINES);
    writer.message(time_us, Process::addon(random.pick(&BACKENDS)), |text| _ = text.str(line));
}
