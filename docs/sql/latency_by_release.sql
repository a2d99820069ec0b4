-- How fast each release of an app answered, and how often it failed: one row per app and release that served requests.
--
-- `freshet query` knows this view by its name. In DuckDB, run router_requests_enriched.sql as it says, and then this file.
--
-- Columns:
--     app, release_version, release_commit  as in router_requests_enriched; release_version is NULL before the first release that is known
--     first_ts, last_ts                     times of its first and its last request
--     requests                              how many it served
--     failed_requests                       how many of them ended with a status of 500 or above
--     p50_ms, p95_ms, p99_ms                milliseconds from the dyno's connection to the end of the response that as many percent stayed below
CREATE VIEW latency_by_release AS
SELECT
    app,
    release_version,
    release_commit,
    min(ts) AS first_ts,
    max(ts) AS last_ts,
    count(*) AS requests,
    count(*) FILTER (WHERE status >= 500) AS failed_requests,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY service_ms) AS p50_ms,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY service_ms) AS p95_ms,
    percentile_cont(0.99) WITHIN GROUP (ORDER BY service_ms) AS p99_ms
FROM router_requests_enriched
GROUP BY app, release_version, release_commit
