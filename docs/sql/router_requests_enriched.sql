-- Each request with the state of its app at that moment: the release that ran, its commit, and the size of the dyno.
--
-- `freshet query` knows this view by its name. In DuckDB, name the tables first and then run this file:
--
--     CREATE VIEW router_requests   AS SELECT * FROM delta_scan('./lake/router_requests');
--     CREATE VIEW releases          AS SELECT * FROM delta_scan('./lake/releases');
--     CREATE VIEW builds            AS SELECT * FROM delta_scan('./lake/builds');
--     CREATE VIEW formation_history AS SELECT * FROM delta_scan('./lake/formation_history');
--
-- Columns, after those of router_requests:
--     release_version      number of the release that ran; NULL before the first one that is known
--     release_description  what that release changed
--     release_user         e-mail address of who made it
--     release_commit       version of the code in it: for a push the hash of the commit
--     dyno_size            size of the dynos of that process type. What was before the first sync is taken from the first sync
--
-- `app` in router_requests is the name that the drain's address gives; it has to be the app's name at Heroku.
CREATE VIEW router_requests_enriched AS
WITH spans AS (
    SELECT
        app_name,
        version,
        description,
        user_email,
        slug_id,
        created_at AS began,
        lead(created_at) OVER (PARTITION BY app_id ORDER BY version) AS ended
    FROM releases
    WHERE status IS NULL OR status = 'succeeded'
),
commits AS (
    SELECT slug_id, max(source_blob_version) AS source_version
    FROM builds
    WHERE slug_id IS NOT NULL
    GROUP BY slug_id
),
sizes AS (
    SELECT
        app_name,
        type AS process_type,
        coalesce(dyno_size_name, size) AS dyno_size,
        valid_from AS began,
        valid_to AS ended,
        row_number() OVER (PARTITION BY app_id, type ORDER BY valid_from) = 1 AS is_first
    FROM formation_history
)
SELECT
    requests.*,
    spans.version AS release_version,
    spans.description AS release_description,
    spans.user_email AS release_user,
    commits.source_version AS release_commit,
    sizes.dyno_size
FROM router_requests AS requests
LEFT JOIN spans
    ON spans.app_name = requests.app
    AND requests.ts >= spans.began
    AND (spans.ended IS NULL OR requests.ts < spans.ended)
LEFT JOIN commits
    ON commits.slug_id = spans.slug_id
LEFT JOIN sizes
    ON sizes.app_name = requests.app
    AND sizes.process_type = split_part(requests.dyno, '.', 1)
    AND (requests.ts >= sizes.began OR sizes.is_first)
    AND (sizes.ended IS NULL OR requests.ts < sizes.ended)
