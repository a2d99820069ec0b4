//! `pgbouncer_metrics`: what Heroku Postgres connection pooling writes about itself.

use crate::metrics::metric_table;

metric_table! {
    TABLE as PgbouncerMetrics, "pgbouncer_metrics", "One measurement of a Heroku Postgres connection pool", PgbouncerMetrics,
    tags {
        attachment = source, "The config var it is attached as";
        addon = addon, "The add-on's name";
    }
    metrics {
        client_active: Int = "client_active" in Plain, "Clients with a server connection";
        client_waiting: Int = "client_waiting" in Plain, "Clients waiting for one";
        server_active: Int = "server_active" in Plain, "Server connections in use";
        server_idle: Int = "server_idle" in Plain, "Server connections at rest";
        max_wait: Double = "max_wait" in Plain, "Seconds the longest waiting client has waited";
        avg_query: Double = "avg_query" in Plain, "Mean query time, microseconds";
        avg_recv: Double = "avg_recv" in Plain, "Bytes a second received from clients";
        avg_sent: Double = "avg_sent" in Plain, "Bytes a second sent to clients";
    }
}
