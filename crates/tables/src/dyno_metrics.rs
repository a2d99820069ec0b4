//! `dyno_metrics`: what log-runtime-metrics writes about a dyno every 20 seconds, in two lines.

use crate::metrics::metric_table;

metric_table! {
    TABLE as DynoMetrics, "dyno_metrics", "Load or memory of one dyno, from log-runtime-metrics", DynoMetrics,
    tags { dyno_id = dyno, "The dyno's own id (heroku.APP.UUID): another for each start"; }
    metrics {
        load_avg_1m: Double = "load_avg_1m" in Plain, "Runnable tasks, mean over 1 minute";
        load_avg_5m: Double = "load_avg_5m" in Plain, "Runnable tasks, mean over 5 minutes";
        load_avg_15m: Double = "load_avg_15m" in Plain, "Runnable tasks, mean over 15 minutes";
        memory_total_mb: Double = "memory_total" in Megabytes, "Resident, cached and swapped memory, MB";
        memory_rss_mb: Double = "memory_rss" in Megabytes, "Resident memory, MB";
        memory_cache_mb: Double = "memory_cache" in Megabytes, "Page cache, MB";
        memory_swap_mb: Double = "memory_swap" in Megabytes, "Swapped memory, MB";
        memory_quota_mb: Double = "memory_quota" in Megabytes, "The dyno's memory quota, MB; above it comes R14";
        memory_pgpgin_pages: Long = "memory_pgpgin" in Plain, "Pages read from disk since the start";
        memory_pgpgout_pages: Long = "memory_pgpgout" in Plain, "Pages written to disk since the start";
    }
}
