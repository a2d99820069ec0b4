-- What a skilled user would write without Freshet: three of its tables from a file of `heroku logs` output.
-- It loses the lines that are not UTF-8. Run by scripts/bench, which replaces LOG_FILE and FOLDER.
CREATE TEMP TABLE lines AS
SELECT regexp_extract(line, '^(\S+) ([^\[]+)\[([^\]]+)\]: (.*)$', ['ts', 'source', 'dyno', 'message']) AS part
FROM read_csv('LOG_FILE', columns = {'line': 'VARCHAR'}, delim = '', quote = '', escape = '', header = false, auto_detect = false,
              ignore_errors = true);

COPY (
    SELECT CAST(part.ts AS TIMESTAMPTZ) AS ts, CAST(part.ts[:10] AS DATE) AS date, part.source AS source, part.dyno AS dyno, part.message AS message
    FROM lines
) TO 'FOLDER/logs.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

COPY (
    SELECT CAST(part.ts AS TIMESTAMPTZ) AS ts,
           regexp_extract(part.message, '\bat=(\w+)', 1) AS at,
           regexp_extract(part.message, '\bcode=(\w+)', 1) AS code,
           regexp_extract(part.message, '\bmethod=(\w+)', 1) AS method,
           regexp_extract(part.message, 'path="([^"]*)"', 1) AS path,
           regexp_extract(part.message, '\bhost=(\S+)', 1) AS host,
           regexp_extract(part.message, '\brequest_id=(\S+)', 1) AS request_id,
           string_split(regexp_extract(part.message, 'fwd="([^"]*)"', 1), ',') AS fwd,
           regexp_extract(part.message, '\bdyno=(\S*)', 1) AS target_dyno,
           TRY_CAST(regexp_extract(part.message, '\bconnect=(\d+)ms', 1) AS INTEGER) AS connect_ms,
           TRY_CAST(regexp_extract(part.message, '\bservice=(\d+)ms', 1) AS INTEGER) AS service_ms,
           TRY_CAST(regexp_extract(part.message, '\bstatus=(\d+)', 1) AS INTEGER) AS status,
           TRY_CAST(regexp_extract(part.message, '\bbytes=(\d+)', 1) AS BIGINT) AS bytes,
           regexp_extract(part.message, '\bprotocol=(\S+)', 1) AS protocol
    FROM lines
    WHERE part.source = 'heroku' AND part.dyno = 'router'
) TO 'FOLDER/router_requests.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);

COPY (
    SELECT CAST(part.ts AS TIMESTAMPTZ) AS ts,
           regexp_extract(part.message, 'source=(\S+)', 1) AS dyno,
           TRY_CAST(regexp_extract(part.message, 'sample#load_avg_1m=([\d.]+)', 1) AS DOUBLE) AS load_avg_1m,
           TRY_CAST(regexp_extract(part.message, 'sample#load_avg_5m=([\d.]+)', 1) AS DOUBLE) AS load_avg_5m,
           TRY_CAST(regexp_extract(part.message, 'sample#load_avg_15m=([\d.]+)', 1) AS DOUBLE) AS load_avg_15m,
           TRY_CAST(regexp_extract(part.message, 'sample#memory_total=([\d.]+)MB', 1) AS DOUBLE) AS memory_total_mb,
           TRY_CAST(regexp_extract(part.message, 'sample#memory_rss=([\d.]+)MB', 1) AS DOUBLE) AS memory_rss_mb,
           TRY_CAST(regexp_extract(part.message, 'sample#memory_cache=([\d.]+)MB', 1) AS DOUBLE) AS memory_cache_mb,
           TRY_CAST(regexp_extract(part.message, 'sample#memory_swap=([\d.]+)MB', 1) AS DOUBLE) AS memory_swap_mb,
           TRY_CAST(regexp_extract(part.message, 'sample#memory_pgpgin=([\d.]+)pages', 1) AS DOUBLE) AS memory_pgpgin,
           TRY_CAST(regexp_extract(part.message, 'sample#memory_pgpgout=([\d.]+)pages', 1) AS DOUBLE) AS memory_pgpgout,
           TRY_CAST(regexp_extract(part.message, 'sample#memory_quota=([\d.]+)MB', 1) AS DOUBLE) AS memory_quota_mb
    FROM lines
    WHERE part.source = 'heroku' AND (part.message LIKE '%sample#memory_total%' OR part.message LIKE '%sample#load_avg%')
) TO 'FOLDER/dyno_metrics.parquet' (FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1);
