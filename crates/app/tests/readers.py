"""Opens every table of a lake with readers that are not ours and compares what they see with what was expected.

    readers.py LAKE EXPECTED.json

LAKE is a folder, or s3://BUCKET/PATH on the server that AWS_ENDPOINT_URL names, with the keys of the environment. EXPECTED.json holds, by table, the count of rows and of each column its name, its Delta type, the count of values that are
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


def on_s3():
    """The server, and what deltalake and polars want to be told of it."""
    server = os.environ["AWS_ENDPOINT_URL"]
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION")
    return server, {**{name: os.environ[name] for name in names}, "AWS_ALLOW_HTTP": "true"}


def is_url(path):
    return "://" in path


def duckdb_on_s3(connection):
    """Lets it read from there, without a download."""
    import duckdb_extension_httpfs

    folder = os.path.dirname(duckdb_extension_httpfs.__file__)
    (extension,) = glob.glob(f"{folder}/extensions/*/httpfs.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
    server, options = on_s3()
    connection.execute(
        f"""CREATE SECRET (TYPE s3, KEY_ID '{options["AWS_ACCESS_KEY_ID"]}', SECRET '{options["AWS_SECRET_ACCESS_KEY"]}',
        REGION '{options["AWS_REGION"]}', ENDPOINT '{server.removeprefix("http://")}', USE_SSL false, URL_STYLE 'path')"""
    )


def duckdb_reader(lake):
    connection = duckdb_with_delta()
    if is_url(lake):
        duckdb_on_s3(connection)
    return lambda path: connection.execute(f"SELECT * FROM delta_scan('{path}')").to_arrow_table()


def chdb_reader(lake, kernel):
    import chdb

    settings = f"allow_experimental_delta_kernel_rs={kernel}, session_timezone='UTC', output_format_arrow_string_as_string=0"

    def read(path):
        if is_url(path):
            server, options = on_s3()
            url = f"{server}/{path.removeprefix('s3://')}/"
            place = f"deltaLake('{url}', '{options['AWS_ACCESS_KEY_ID']}', '{options['AWS_SECRET_ACCESS_KEY']}')"
        else:
            # It may read below the working directory only.
            os.chdir(os.path.dirname(path))
            place = f"deltaLakeLocal('{path}')"
        answer = chdb.query(f"SELECT * FROM {place} SETTINGS {settings}", "ArrowStream")
        return pa.ipc.open_stream(answer.bytes()).read_all()

    return read


def polars_reader(lake):
    import polars

    options = on_s3()[1] if is_url(lake) else None
    return lambda path: polars.read_delta(path, storage_options=options).to_arrow()


def deltalake_reader(lake):
    from deltalake import DeltaTable

    options = on_s3()[1] if is_url(lake) else None
    return lambda path: DeltaTable(path, storage_options=options).to_pyarrow_table()


def sail_reader(lake):
    """Spark SQL, by a server that is not Spark's."""
    import warnings

    warnings.filterwarnings("ignore")
    if is_url(lake):
        os.environ.update(on_s3()[1])
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    server = SparkConnectServer(ip="127.0.0.1", port=0)
    server.start(background=True)
    session = SparkSession.builder.remote(f"sc://127.0.0.1:{server.listening_address[1]}").getOrCreate()
    session.conf.set("spark.sql.session.timeZone", "UTC")
    # Kept as long as the session: it ends with the server.
    return lambda path, _server=server: session.read.format("delta").load(path).toArrow()


def spark_reader(_lake):
    """Spark itself, with Delta's own jars: the reference."""
    jars = glob.glob(os.path.join(os.environ.get("FRESHET_SPARK_JARS", ""), "*.jar"))
    if not jars:
        raise ImportError("FRESHET_SPARK_JARS names no folder with Delta's jars")
    from pyspark.sql import SparkSession

    settings = {
        "spark.jars": ",".join(jars),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.session.timeZone": "UTC",
        # For little data on a small machine.
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return lambda path: session.read.format("delta").load(path).toArrow()


READERS = {
    "DuckDB": duckdb_reader,
    "chDB, its own log reader": lambda lake: chdb_reader(lake, 0),
    "chDB, kernel": lambda lake: chdb_reader(lake, 1),
    "polars": polars_reader,
    "deltalake": deltalake_reader,
    "Sail": sail_reader,
    "Spark": spark_reader,
}


def main(lake, expected_path):
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    lake, bad = lake if is_url(lake) else os.path.realpath(lake), 0
    tried = 0
    for name, make in READERS.items():
        try:
            read = make(lake)
        except ImportError as error:
            print(f"{name}: skipped, {error}")
            continue
        before, tried = bad, tried + 1
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
    sys.stdout.flush()
    # Sail's threads do not end by themselves.
    os._exit(1 if bad or not tried else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
