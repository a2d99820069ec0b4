-- What is left of each app's error budget: 99.9 percent of the requests of thirty days should end with a status below 500. One row per app and day.
--
-- `freshet query` knows this view by its name. In DuckDB, name the table first and then run this file:
--
--     CREATE VIEW router_requests AS SELECT * FROM delta_scan('./lake/router_requests');
--
-- Columns:
--     app, date             the app, and the last of the thirty days (UTC)
--     requests              requests of that day
--     failed_requests       how many of them ended with a status of 500 or above
--     requests_30d          requests of the thirty days
--     failed_requests_30d   how many of them failed
--     availability_30d      share of those that did not fail, from 0 to 1
--     budget_left           share of the budget that is left: 1 when nothing failed, 0 when it is spent, below 0 when more failed than the goal allows
--
-- Another goal goes into the line below `goal`; days without a request have no row.
CREATE VIEW error_budget AS
WITH goal AS (
    SELECT CAST(0.999 AS DOUBLE) AS availability
),
days AS (
    SELECT
        app,
        date,
        count(*) AS requests,
        count(*) FILTER (WHERE status >= 500) AS failed_requests
    FROM router_requests
    GROUP BY app, date
),
windows AS (
    SELECT
        days.app,
        days.date,
        days.requests,
        days.failed_requests,
        sum(past.requests) AS requests_30d,
        sum(past.failed_requests) AS failed_requests_30d
    FROM days
    INNER JOIN days AS past
        ON past.date <= days.date
        AND past.date > days.date - INTERVAL '30' DAY
        AND (past.app IS NOT DISTINCT FROM days.app)
    GROUP BY days.app, days.date, days.requests, days.failed_requests
)
SELECT
    windows.app,
    windows.date,
    windows.requests,
    windows.failed_requests,
    windows.requests_30d,
    windows.failed_requests_30d,
    1 - CAST(windows.failed_requests_30d AS DOUBLE) / windows.requests_30d AS availability_30d,
    1 - CAST(windows.failed_requests_30d AS DOUBLE) / (windows.requests_30d * (1 - goal.availability)) AS budget_left
FROM windows
CROSS JOIN goal
