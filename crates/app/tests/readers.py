"""Opens every table of a lake with readers that are not ours and compares what they see with what was expected.

    readers.py LAKE EXPECTED.json

EXPECTED.json holds, by table, the count of rows and of each column its name, its Delta type, the count of values that are
not NULL and their sum: of numbers and booleans themselves, of text and binary the lengths in bytes, of times the
microseconds and of dates the days since 1970. Prints a line for each reader and one for each difference; exit code 1 when there is any.
"""

import glob
import json
import math
import os
import sys

import pyarrow as pa
import pyarrow.compute as pc

# ClickHouse has one type for text and binary, and no nanoseconds to lose in the others.
TYPES = {
    "STRING": ("string", "large_string", "string_view", "binary", "large_binary"),
    "BINARY": ("binary", "large_binary", "binary_view", "string", "large_string"),
    "INT": ("int32",),
    "BIGINT": ("int64",),
    "DOUBLE": ("double",),
    "BOOLEAN": ("bool", "uint8"),
    "DATE": ("date32[day]",),
    "TIMESTAMP": ("timestamp[us, tz=UTC]", "timestamp[us, tz=Etc/UTC]"),
}


def sum_of(values, delta_type):
    """One number that stands for all values of a column."""
    if delta_type in ("STRING", "BINARY"):
        binary = values.cast(pa.large_binary())
        total = pc.sum(pc.binary_length(binary))
    elif delta_type == "TIMESTAMP":
        total = pc.sum(values.cast(pa.int64()))
    elif delta_type == "DATE":
        total = pc.sum(values.cast(pa.int32()))
    elif delta_type == "BOOLEAN":
        total = pc.sum(values.cast(pa.bool_()))
    elif delta_type in ("INT", "BIGINT", "DOUBLE"):
        total = pc.sum(values)
    else:
        return None
    return total.as_py() or 0


def differences(table, expected):
    """What is not as expected in a table that a reader gave us."""
    if table.num_rows != expected["rows"]:
        yield f"{table.num_rows} rows, not {expected['rows']}"
    names = [column["name"] for column in expected["columns"]]
    if table.column_names != names:
        yield f"columns {table.column_names}, not {names}"
        return
    for column in expected["columns"]:
        name, delta_type = column["name"], column["type"]
        values = table.column(name)
        if delta_type in TYPES and str(values.type) not in TYPES[delta_type]:
            yield f"{name} is {values.type}, not {delta_type}"
            continue
        # ClickHouse's lists and maps cannot be NULL.
        if delta_type in TYPES and len(values) - values.null_count != column["values"]:
            yield f"{name} has {len(values) - values.null_count} values, not {column['values']}"
        total = sum_of(values, delta_type)
        if total is not None and not math.isclose(total, column["sum"], rel_tol=1e-9):
            yield f"the sum of {name} is {total}, not {column['sum']}"


def duckdb_with_delta():
    """A connection that needs no download."""
    import duckdb
    import duckdb_extension_delta

    connection = duckdb.connect(config={"allow_unsigned_extensions": "true"})
    folder = os.path.dirname(duckdb_extension_delta.__file__)
    (extension,) = glob.glob(f"{folder}/extensions/*/delta.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    connection.execute("SET TimeZone = 'UTC'")
    return connection


def duckdb_reader():
    connection = duckdb_with_delta()
    return lambda path: connection.execute(f"SELECT * FROM delta_scan('{path}')").to_arrow_table()


def chdb_reader(kernel):
    import chdb

    settings = f"allow_experimental_delta_kernel_rs={kernel}, session_timezone='UTC', output_format_arrow_string_as_string=0"

    def read(path):
        # It may read below the working directory only.
        os.chdir(os.path.dirname(path))
        answer = chdb.query(f"SELECT * FROM deltaLakeLocal('{path}') SETTINGS {settings}", "ArrowStream")
        return pa.ipc.open_stream(answer.bytes()).read_all()

    return read


def polars_reader():
    import polars

    return lambda path: polars.read_delta(path).to_arrow()


def deltalake_reader():
    from deltalake import DeltaTable

    return lambda path: DeltaTable(path).to_pyarrow_table()


READERS = {
    "DuckDB": duckdb_reader,
    "chDB, its own log reader": lambda: chdb_reader(0),
    "chDB, kernel": lambda: chdb_reader(1),
    "polars": polars_reader,
    "deltalake": deltalake_reader,
}


def main(lake, expected_path):
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    lake, bad = os.path.realpath(lake), 0
    for name, make in READERS.items():
        try:
            read = make()
        except ImportError as error:
            print(f"{name}: skipped, {error}")
            continue
        before = bad
        for table, columns in expected.items():
            try:
                found = list(differences(read(os.path.join(lake, table)), columns))
            except Exception as error:  # whatever a reader raises is a table it cannot read
                found = [f"cannot be read: {error!r}"]
            bad += len(found)
            for difference in found:
                print(f"{name}: {table}: {difference}")
        if bad == before:
            print(f"{name}: {len(expected)} tables agree")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
