//! `postgres_metrics`: what Heroku Postgres writes about itself.

use crate::metrics::metric_table;

metric_table! {
    TABLE as PostgresMetrics, "postgres_metrics", "One measurement of a Heroku Postgres database", PostgresMetrics,
    tags {
        attachment = source, "The config var it is attached as";
        addon = addon, "The add-on's name";
    }
    metrics {
        current_transaction: Long = "current_transaction" in Plain, "Current transaction id";
        db_size_bytes: Long = "db_size" in Bytes, "Size of the database, bytes";
        tables: Int = "tables" in Plain, "Number of tables";
        active_connections: Int = "active_connections" in Plain, "Established connections";
        waiting_connections: Int = "waiting_connections" in Plain, "Connections waiting for a lock";
        index_cache_hit_rate: Double = "index_cache_hit_rate" in Plain, "Share of index look-ups served from cache, 0 to 1";
        table_cache_hit_rate: Double = "table_cache_hit_rate" in Plain, "Share of table look-ups served from cache, 0 to 1";
        load_avg_1m: Double = "load_avg_1m" in Plain, "Server load, mean over 1 minute";
        load_avg_5m: Double = "load_avg_5m" in Plain, "Server load, mean over 5 minutes";
        load_avg_15m: Double = "load_avg_15m" in Plain, "Server load, mean over 15 minutes";
        read_iops: Double = "read_iops" in Plain, "Reads per second";
        write_iops: Double = "write_iops" in Plain, "Writes per second";
        tmp_disk_used_bytes: Long = "tmp_disk_used" in Bytes, "Temporary disk in use, bytes";
        tmp_disk_available_bytes: Long = "tmp_disk_available" in Bytes, "Temporary disk left, bytes";
        memory_total_kb: Long = "memory_total" in Kilobytes, "Server memory, kB";
        memory_free_kb: Long = "memory_free" in Kilobytes, "Free memory, kB";
        memory_cached_kb: Long = "memory_cached" in Kilobytes, "Memory used as cache, kB";
        memory_postgres_kb: Long = "memory_postgres" in Kilobytes, "Memory of the database's processes, kB";
        follower_lag_commits: Long = "follower_lag_commits" in Plain, "Commits this follower is behind";
        wal_percentage_used: Double = "wal_percentage_used" in Plain, "Write-ahead log space in use, 0 to 1";
    }
}
