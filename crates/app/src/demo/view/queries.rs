//! A question worth asking of each table, as a command to copy.

use crate::output::shell_word;

/// The command that asks it. `lake` is what `--lake` takes.
pub(super) fn command(table: &str, lake: &str) -> String {
    format!("freshet query --lake {} \"{}\"", shell_word(lake), sql(table))
}

/// The question. It holds no quote, so that it can stand between two in any shell.
fn sql(table: &str) -> String {
    let fixed = match table {
        "logs" => "SELECT app, kind, count(*) AS lines FROM logs GROUP BY app, kind ORDER BY lines DESC",
        "router_requests" => {
            "SELECT app, approx_percentile_cont(service_ms, 0.95) AS p95_ms, count(*) AS requests FROM router_requests GROUP BY app ORDER BY p95_ms DESC"
        }
        "dyno_metrics" => {
            "SELECT app, dyno, max(memory_total_mb) AS peak_mb, max(memory_quota_mb) AS quota_mb FROM dyno_metrics GROUP BY app, dyno ORDER BY peak_mb DESC"
        }
        "postgres_metrics" => {
            "SELECT app, max(active_connections) AS active, max(waiting_connections) AS waiting FROM postgres_metrics GROUP BY app ORDER BY waiting DESC"
        }
        "redis_metrics" => {
            "SELECT app, max(memory_redis_bytes) AS peak_bytes, min(hit_rate) AS worst_hit_rate FROM redis_metrics GROUP BY app"
        }
        "pgbouncer_metrics" => "SELECT app, max(client_waiting) AS waiting FROM pgbouncer_metrics GROUP BY app ORDER BY waiting DESC",
        "metric_samples" => "SELECT name, count(*) AS samples, avg(value) AS mean FROM metric_samples GROUP BY name ORDER BY samples DESC",
        "postgres_logs" => "SELECT app, level, count(*) AS lines FROM postgres_logs GROUP BY app, level ORDER BY lines DESC",
        "dyno_events" => "SELECT app, event, count(*) AS times FROM dyno_events GROUP BY app, event ORDER BY times DESC",
        "platform_errors" => {
            "SELECT app, code, title, count(*) AS errors FROM platform_errors GROUP BY app, code, title ORDER BY errors DESC"
        }
        "api_events" => "SELECT ts, app, action, text FROM api_events ORDER BY ts DESC LIMIT 20",
        "app_events" => "SELECT app, level, count(*) AS lines FROM app_events GROUP BY app, level ORDER BY lines DESC",
        "_loads" => "SELECT table_name, count(*) AS commits, sum(rows) AS rows FROM _loads GROUP BY table_name ORDER BY rows DESC",
        "_loss" => "SELECT app, kind, sum(messages) AS messages FROM _loss GROUP BY app, kind",
        "_rejects" => "SELECT reason, count(*) AS rejects FROM _rejects GROUP BY reason ORDER BY rejects DESC",
        _ => return format!("SELECT * FROM {table} LIMIT 10"),
    };
    fixed.to_owned()
}

#[cfg(test)]
mod tests {
    use freshet_tables::TABLES;

    use super::*;

    #[test]
    fn each_table_has_a_question_about_columns_that_it_has() {
        for table in TABLES {
            let sql = sql(table.name);
            assert!(sql.contains(&format!(" FROM {} ", table.name)) && !sql.contains('*') | sql.contains("count(*)"), "{sql}");
            assert!(!sql.contains(['"', '\'', '$', '`', '\\', '!', '\n']), "a shell would change it: {sql}");
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let names: Vec<&str> = sql.split(|c| !is_name(c)).filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase())).collect();
            let aliases: Vec<&str> = sql.split(" AS ").skip(1).filter_map(|rest| rest.split(|c| !is_name(c)).next()).collect();
            for name in names {
                let known = table.columns.iter().any(|column| column.name == name);
                let function = sql.contains(&format!("{name}("));
                assert!(known || function || aliases.contains(&name) || name == table.name, "{}: {name} is no column", table.name);
            }
        }
    }

    #[test]
    fn shells_take_the_place_for_one_word() {
        for (lake, expected) in
            [("./freshet-demo/lake", "./freshet-demo/lake"), ("/a b/it's", r"'/a b/it'\''s'"), ("$HOME/x", "'$HOME/x'"), ("", "''")]
        {
            let command = command("apps", lake);
            assert_eq!(command, format!("freshet query --lake {expected} \"SELECT * FROM apps LIMIT 10\""));
        }
    }
}
