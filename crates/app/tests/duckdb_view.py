"""Runs a view of docs/sql in DuckDB as its file says, and prints the requests with what it adds to them.

    duckdb_view.py LAKE VIEW.sql
"""

import json
import sys

from readers import duckdb_with_delta


def main(lake, path):
    with open(path, encoding="utf-8") as file:
        view = file.read()
    connection = duckdb_with_delta()
    tables = [line.removeprefix("--").strip() for line in view.splitlines() if "delta_scan" in line]
    for table in tables:
        connection.execute(table.replace("./lake", lake))
    connection.execute(view)
    columns = ["request_id", "release_version", "release_commit", "dyno_size"]
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM router_requests_enriched ORDER BY ts").fetchall()
    # NULL is left out, as freshet query does.
    print(json.dumps([{name: value for name, value in zip(columns, row) if value is not None} for row in rows]))


if __name__ == "__main__":
    main(*sys.argv[1:])
