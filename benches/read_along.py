"""Reads a lake all the time while a daemon writes to it, merges its files and deletes old ones, until the daemon ends.

    read_along.py PID FRESHET LAKE

Two readers take turns, `freshet query` and DuckDB, each from the start to the end of a table; between them `freshet tables optimize` and `vacuum` do what the
daemon does too. A count that shrinks, or a reader that fails, is a failure. Prints what was done, and ends with exit code 1 after a failure.
"""

import glob
import json
import os
import subprocess
import sys
import time

import duckdb
import duckdb_extension_delta

TABLE, PAUSE_S, UPKEEP_EVERY_S = "logs", 1, 20


def is_alive(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def duckdb_reader(lake):
    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    (extension,) = glob.glob(os.path.join(os.path.dirname(duckdb_extension_delta.__file__), "extensions/*/delta.duckdb_extension"))
    connection.execute(f"LOAD '{extension}'")
    query = f"SELECT count(*), sum(length(message)) FROM delta_scan('{lake}/{TABLE}')"
    return lambda: connection.execute(query).fetchone()[0]


def freshet_reader(freshet, lake):
    query = f"SELECT count(*) AS n, sum(length(message)) AS bytes FROM {TABLE}"
    command = [freshet, "--lake", lake, "--output", "json", "query", query]

    def read():
        ended = subprocess.run(command, capture_output=True, text=True)
        if ended.returncode != 0:
            raise RuntimeError(ended.stderr.strip())
        return json.loads(ended.stdout.splitlines()[0])["n"]

    return read


def main(process, freshet, lake):
    readers = {"freshet query": freshet_reader(freshet, lake), "DuckDB": duckdb_reader(lake)}
    done = {name: {"reads": 0, "rows": 0, "slowest_s": 0.0} for name in readers}
    upkeep, failures, upkeep_at = 0, [], time.monotonic()
    while not os.path.isdir(f"{lake}/{TABLE}/_delta_log"):
        time.sleep(0.2)
    while is_alive(int(process)):
        for name, read in readers.items():
            seen, begun = done[name], time.monotonic()
            try:
                rows = read()
            except Exception as error:  # whatever a reader raises is a read that failed
                failures.append(f"{name}: {error}")
                continue
            if rows < seen["rows"]:
                failures.append(f"{name}: {rows} rows after {seen['rows']}")
            seen["reads"], seen["rows"] = seen["reads"] + 1, rows
            seen["slowest_s"] = max(seen["slowest_s"], round(time.monotonic() - begun, 2))
        if time.monotonic() - upkeep_at > UPKEEP_EVERY_S:
            for verb in (["optimize"], ["vacuum", "--retention", "1h"]):
                ended = subprocess.run([freshet, "--lake", lake, "-q", "tables", *verb], capture_output=True, text=True)
                # 75: the daemon was at it.
                if ended.returncode not in (0, 75):
                    failures.append(f"tables {verb[0]}: {ended.stderr.strip()}")
            upkeep, upkeep_at = upkeep + 1, time.monotonic()
        time.sleep(PAUSE_S)
    for name, seen in done.items():
        print(f"{name}: {seen['reads']} whole reads, {seen['rows']} rows in the last, the slowest took {seen['slowest_s']} s")
    print(f"{upkeep} rounds of optimize and vacuum beside the daemon's own; {len(failures)} failures")
    for failure in failures[:20]:
        print(f"  {failure}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
