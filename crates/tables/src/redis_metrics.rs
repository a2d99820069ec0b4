//! `redis_metrics`: what Heroku Key-Value Store (Redis) writes about itself.

use crate::metrics::metric_table;

metric_table! {
    TABLE as RedisMetrics, "redis_metrics", "One measurement of a Heroku Key-Value Store (Redis)", RedisMetrics,
    tags {
        attachment = source, "The config var it is attached as";
        addon = addon, "The add-on's name";
    }
    metrics {
        active_connections: Int = "active_connections" in Plain, "Established connections";
        load_avg_1m: Double = "load_avg_1m" in Plain, "Server load, mean over 1 minute";
        load_avg_5m: Double = "load_avg_5m" in Plain, "Server load, mean over 5 minutes";
        load_avg_15m: Double = "load_avg_15m" in Plain, "Server load, mean over 15 minutes";
        read_iops: Double = "read_iops" in Plain, "Reads per second";
        write_iops: Double = "write_iops" in Plain, "Writes per second";
        memory_total_kb: Long = "memory_total" in Kilobytes, "Server memory, kB";
        memory_free_kb: Long = "memory_free" in Kilobytes, "Free memory, kB";
        memory_cached_kb: Long = "memory_cached" in Kilobytes, "Memory used as cache, kB";
        memory_redis_bytes: Long = "memory_redis" in Bytes, "Memory of the store itself, bytes";
        hit_rate: Double = "hit_rate" in Plain, "Share of reads that found their key, 0 to 1";
        evicted_keys: Long = "evicted_keys" in Plain, "Keys evicted to make room";
    }
}
