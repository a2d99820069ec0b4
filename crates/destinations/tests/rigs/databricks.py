"""A Databricks workspace on PORT with its files below FOLDER, as far as the documented contract goes, and no friendlier than that.

What Freshet needs of it: tokens that expire, the Statement Execution API with its states, a warehouse that sleeps, the Files API over volumes,
Unity Catalog's tables, credentials for storage, and Zerobus. The SQL is Databricks' own: sqlglot reads it by that dialect, what this file does not know is
refused, and DuckDB does the work. Each statement reads its tables at one moment and commits at a later one, and fails as Delta Lake's do when
another commit has come between.

Below /fake is what no workspace has: settings and faults (POST), what was executed, and tables as Parquet (GET).
"""

import base64
import json
import logging
import os
import random
import re
import shutil
import sys
import threading
import time
import urllib.parse
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import duckdb
import sqlglot
from sqlglot import exp

PORT, FOLDER = int(sys.argv[1]), sys.argv[2]
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)

settings = {
    # Of tokens by OAuth, of storage credentials, and of statements.
    "token_seconds": 3600.0,
    "credential_seconds": 3600.0,
    "remember_seconds": 3600.0,
    # How long the warehouse takes to wake, and statements from what they read to what they write: at least, at most.
    "cold_start_ms": 0,
    "statement_ms": [0, 0],
    # Rows of a chunk of a result.
    "chunk_rows": 1000,
    # Whether tables may cluster themselves here.
    "cluster_by_auto": True,
    # How long rows take from Zerobus into their table; who says no while a right on the table itself is missing: token or insert; what
    # makes it refuse rows; and whether rights may be granted.
    "zerobus_ms": [0, 0],
    "zerobus_denies": None,
    "zerobus_refuses": None,
    "may_grant": True,
    # The server behind every external location, and whether tables may be changed or only be read.
    "s3": None,
    "may_write": True,
}
# Shares of requests that meet a fault, by its name; "after" means that what was asked for happens all the same, and of a zombie it happens
# so much later, when who asked has long given up. Where "only" is not empty, only statements with these words meet one.
NO_FAULTS = {"throttled": 0, "unavailable": 0, "cut_before": 0, "cut_after": 0, "failed_before": 0, "failed_after": 0, "zombie": 0}
faults = {**NO_FAULTS, "zombie_ms": [0, 300], "only": ""}
chance = random.Random(0)

lock = threading.RLock()
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'; CREATE MACRO timestamp_micros(n) AS make_timestamptz(n); CREATE MACRO pmod(a, b) AS a % b")
lent = []
tokens = {"dapi-of-the-test": None}
catalogs, schemas, volumes, tables = {"main"}, {"main.default"}, set(), {}
# Tables that a token is for; those with rights of their own; what has not landed.
scopes, granted, buffered = {}, set(), set()
warehouse = {"id": "0123456789abcdef", "name": "tests", "state": "STOPPED"}
statements, executed, requests, links = {}, [], {}, {}


class SqlError(Exception):
    def __init__(self, condition, message, code="BAD_REQUEST"):
        super().__init__(f"[{condition}] {message}")
        self.code = code


# What of SQL is known here.

TYPES = re.compile(
    r"STRING|INT|BIGINT|DOUBLE|BOOLEAN|TIMESTAMP|DATE|BINARY|ARRAY<STRING>|MAP<STRING, ?(STRING|DOUBLE)>"
    r"|ARRAY<STRUCT<shard: STRING, from_position: BIGINT, to_position: BIGINT>>"
)
SPANS = "array<struct<shard:string,from_position:bigint,to_position:bigint>>"
FUNCTIONS = {
    exp.And, exp.Or, exp.Array, exp.ArrayAgg, exp.Case, exp.Cast, exp.Coalesce, exp.Count, exp.CountIf, exp.CurrentTimestamp, exp.Exists, exp.Explode,
    exp.If, exp.JSONFormat, exp.Max, exp.ArgMax, exp.Min, exp.RowNumber, exp.Sum, exp.SortArray, exp.Length, exp.ParseJSON, exp.UnixMicros,
}
NAMED = {"MAP_ENTRIES", "ARRAY_SORT", "TIMESTAMP_MICROS", "FROM_JSON", "UNIX_MICROS", "MAX_BY", "PMOD", "XXHASH64"}
MAPS = {"STRING": "VARCHAR", "INT": "INTEGER", "TIMESTAMP": "TIMESTAMPTZ", "BINARY": "BLOB"}


def duck_type(text):
    """DuckDB's name of a type that a column may have."""
    text = text.replace(", ", ",")
    if match := re.fullmatch(r"MAP<STRING,(\w+)>", text):
        return f"MAP(VARCHAR, {MAPS.get(match[1], match[1])})"
    if text == "ARRAY<STRING>":
        return "VARCHAR[]"
    if text.startswith("ARRAY<STRUCT"):
        return "STRUCT(shard VARCHAR, from_position BIGINT, to_position BIGINT)[]"
    return MAPS.get(text, text)


def table_name(node):
    parts = [part.name.lower() for part in node.parts]
    if len(parts) != 3:
        raise SqlError("SCHEMA_NOT_FOUND", f"the name {node.sql()} has no catalog and schema")
    return ".".join(parts)


def known_table(name):
    if name not in tables:
        raise SqlError("TABLE_OR_VIEW_NOT_FOUND", f"The table or view `{name}` cannot be found. SQLSTATE: 42P01")
    if tables[name]["table_type"] != "MANAGED":
        raise SqlError("UNSUPPORTED_FEATURE", f"{name} is external and not kept here")
    return tables[name]


def volume_file(path):
    """The file of this machine behind a path of a volume."""
    parts = path.split("/")
    if len(parts) < 6 or parts[1] != "Volumes" or ".." in parts or ".".join(parts[2:5]).lower() not in volumes:
        return None
    return os.path.join(FOLDER, *parts[2:])


def to_duckdb(tree):
    """A Databricks query as DuckDB understands it, and the tables it reads."""
    tree, read = tree.copy(), set()
    for function in list(tree.find_all(exp.Func)):
        name = function.name.upper() if isinstance(function, exp.Anonymous) else function.sql_name().upper()
        if type(function) not in FUNCTIONS and name not in NAMED:
            raise SqlError("UNRESOLVED_ROUTINE", f"Cannot resolve routine `{name.lower()}` on search path")
        if name == "FROM_JSON":
            text, shape = function.expressions if isinstance(function, exp.Anonymous) else (function.this, function.expression)
            if shape.name.replace(" ", "") != SPANS:
                raise SqlError("INVALID_SCHEMA", f"Cannot parse the schema {shape.name}")
            shape = '[{"shard":"VARCHAR","from_position":"BIGINT","to_position":"BIGINT"}]'
            function.replace(exp.Anonymous(this="from_json", expressions=[text.copy(), exp.Literal.string(shape)]))
        if name == "XXHASH64":
            function.replace(exp.Anonymous(this="hash", expressions=function.expressions))
    common = {alias.alias for alias in tree.find_all(exp.CTE)}
    for node in list(tree.find_all(exp.Table)):
        if node.db.lower() == "parquet" and not node.catalog:
            file = volume_file(node.name)
            if file is None or not os.path.exists(file):
                raise SqlError("PATH_NOT_FOUND", f"Path does not exist: {node.name}. SQLSTATE: 42K03")
            if os.path.isdir(file):
                file = os.path.join(file, "*.parquet")
            new = exp.Table(this=exp.Anonymous(this="read_parquet", expressions=[exp.Literal.string(file)]))
        elif not node.db and (node.name in common or node.name.startswith("source_")):
            continue
        else:
            name = table_name(node)
            known_table(name)
            read.add(name)
            new = exp.Table(this=exp.to_identifier(name, quoted=True))
        alias = node.args.get("alias") or exp.TableAlias(this=exp.to_identifier(node.name, quoted=True))
        new.set("alias", alias.copy())
        for key in ("joins", "laterals"):
            new.set(key, node.args.get(key))
        node.replace(new)
    return tree, read


def sql(tree):
    return tree.sql("duckdb")


def run(text):
    try:
        return database.execute(text)
    except duckdb.Error as error:
        raise SqlError("INTERNAL_ERROR", f"{error} in {text[:2000]}") from error


# Statements: each returns columns with their types, and rows.


def counted(**counts):
    return [(name, "BIGINT") for name in counts], [tuple(counts.values())]


def pause():
    low, high = settings["statement_ms"]
    if high:
        time.sleep(chance.uniform(low, high) / 1000)


def snapshot(name):
    return known_table(name)["version"]


def commit(name, seen, partition, is_blind):
    """Raises when somebody has committed to the same rows since `seen`. As Delta does it, what only adds rows disturbs nobody."""
    table = known_table(name)
    for other_partition, other_is_blind in table["commits"][seen:]:
        apart = partition is not None and other_partition is not None and partition != other_partition
        serializable = table["properties"].get("delta.isolationLevel") == "Serializable"
        if not is_blind and not apart and (serializable or not other_is_blind):
            message = f"Files were added to {name} by a concurrent update. Please try the operation again."
            raise SqlError("DELTA_CONCURRENT_APPEND", message, chance.choice(["ABORTED", "BAD_REQUEST"]))
    table["commits"].append((partition, is_blind))
    table["version"] += 1


def partition_of(table, condition):
    """The value of the partition column that a condition names with a literal."""
    columns = table["partitioned_by"]
    if columns and condition is not None:
        for equal in condition.find_all(exp.EQ):
            if isinstance(equal.left, exp.Column) and equal.left.name == columns[0] and isinstance(equal.right, exp.Literal):
                return equal.right.name
    return None


def select(tree):
    with lock:
        query, _ = to_duckdb(tree)
        found = run(sql(query))
        columns = [(column[0], str(column[1])) for column in found.description]
        rows = found.fetchall()
    pause()
    return columns, rows


def materialize(query):
    """The rows of a query as they are now."""
    name = "source_" + uuid.uuid4().hex
    run(f"CREATE TEMP TABLE {name} AS {sql(query)}")
    return name


def literal(text):
    return "'" + text.replace("'", "''") + "'"


def insert(tree):
    name = table_name(tree.this)
    predicate = tree.args.get("where")
    predicate = predicate.this if isinstance(predicate, exp.Where) else predicate
    with lock:
        table = known_table(name)
        seen = snapshot(name)
        query, read = to_duckdb(tree.expression)
        source = materialize(query)
        # With deletion vectors conflicts are looked for row by row: who replaces no row that was there disturbs nobody, and deletes nothing.
        by_row = table["properties"].get("delta.enableDeletionVectors") != "false" and predicate is not None
        replaces_none = by_row and not run(f'SELECT count(*) FROM "{name}" WHERE {sql(to_duckdb(predicate)[0])}').fetchone()[0]
    pause()
    with lock:
        try:
            table = known_table(name)
            found = run(f"SELECT column_name, column_type FROM (DESCRIBE {source})").fetchall()
            if len(found) != len(table["columns"]):
                raise SqlError("INSERT_COLUMN_ARITY_MISMATCH", f"Cannot write to `{name}`: {len(found)} columns, the table has {len(table['columns'])}")
            for (_, have), column in zip(found, table["columns"]):
                want = duck_type(column["type_text"].upper())
                same = have.replace("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ") == want
                if not same and have != '"NULL"' and (have, want) not in [("INTEGER", "BIGINT")]:
                    raise SqlError("CANNOT_WRITE_INCOMPATIBLE_DATA_TO_TABLE", f"column {column['name']} of {name}: {have} is no {column['type_text']}")
            names = ", ".join(f'"{column["name"]}"' for column in table["columns"])
            run(f"CREATE OR REPLACE TEMP TABLE {source} AS SELECT * FROM {source} AS s({names})")
            if predicate is not None:
                where, _ = to_duckdb(predicate)
                if run(f"SELECT count(*) FROM {source} WHERE NOT coalesce({sql(where)}, false)").fetchone()[0]:
                    raise SqlError("DELTA_REPLACE_WHERE_MISMATCH", "Written data does not conform to the predicate")
            commit(name, seen, partition_of(table, predicate), replaces_none or (predicate is None and name not in read))
            if predicate is not None and not replaces_none:
                run(f'DELETE FROM "{name}" WHERE {sql(where)}')
            count = run(f'INSERT INTO "{name}" SELECT * FROM {source}').fetchone()[0]
        finally:
            database.execute(f"DROP TABLE IF EXISTS {source}")
    return counted(num_affected_rows=count, num_inserted_rows=count)


def merge(tree):
    name, target = table_name(tree.this), tree.this.alias_or_name
    using, on = tree.args["using"], tree.args["on"]
    if not isinstance(using, exp.Subquery):
        raise SqlError("PARSE_SYNTAX_ERROR", "this MERGE needs a query after USING")
    for clause in tree.args["whens"].expressions:
        if clause.args.get("source") or any(part.find(exp.Select) for part in (clause.args.get("condition"), clause.args.get("then")) if part):
            raise SqlError("UNSUPPORTED_FEATURE", "clauses of MERGE with subqueries, and NOT MATCHED BY SOURCE, are not known here")
    with lock:
        table = known_table(name)
        seen = snapshot(name)
        query, _ = to_duckdb(using.this)
        source = materialize(query)
    pause()
    with lock:
        try:
            where, _ = to_duckdb(on)
            twice = f'SELECT 1 FROM "{name}" AS {target} JOIN {source} AS {using.alias} ON {sql(where)} GROUP BY {target}.rowid HAVING count(*) > 1'
            if run(twice).fetchone():
                raise SqlError("DELTA_MULTIPLE_SOURCE_ROW_MATCHING_TARGET_ROW_IN_MERGE", f"several source rows matched a row of {name}")
            copy = tree.copy()
            copy.set("using", exp.alias_(exp.to_table(source), using.alias, table=True))
            whole, _ = to_duckdb(copy)
            run("BEGIN")
            try:
                actions = [row[0] for row in run(sql(whole) + " RETURNING merge_action").fetchall()]
                if actions:
                    commit(name, seen, partition_of(table, on), False)
                run("COMMIT")
            except BaseException:
                database.execute("ROLLBACK")
                raise
        finally:
            database.execute(f"DROP TABLE IF EXISTS {source}")
    count = {action: actions.count(action) for action in ("INSERT", "UPDATE", "DELETE")}
    return counted(
        num_affected_rows=len(actions), num_updated_rows=count["UPDATE"], num_deleted_rows=count["DELETE"], num_inserted_rows=count["INSERT"]
    )


def change(tree):
    """UPDATE and DELETE."""
    name = table_name(tree.this)
    where = tree.args.get("where")
    with lock:
        table = known_table(name)
        seen = snapshot(name)
    pause()
    with lock:
        whole, _ = to_duckdb(tree)
        run("BEGIN")
        try:
            count = run(sql(whole)).fetchone()[0]
            if count:
                commit(name, seen, partition_of(table, where), False)
            run("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise
    return counted(num_affected_rows=count)


def column_of(node):
    kind = node.args["kind"].sql("databricks")
    if not TYPES.fullmatch(kind):
        raise SqlError("UNSUPPORTED_DATATYPE", f"Unsupported data type {kind}")
    column = {"name": node.name, "type_text": kind.lower().replace(", ", ",").replace(": ", ":"), "nullable": True, "comment": None}
    for constraint in node.constraints:
        if isinstance(constraint.kind, exp.CommentColumnConstraint):
            column["comment"] = constraint.kind.this.name
        else:
            raise SqlError("PARSE_SYNTAX_ERROR", f"Syntax error at or near '{constraint.sql()}'")
    if re.search(r"[ ,;{}()\n\t=]", node.name):
        raise SqlError("DELTA_INVALID_CHARACTERS_IN_COLUMN_NAMES", f"column {node.name}")
    return column


def create_table(tree):
    shape = tree.this
    if not isinstance(shape, exp.Schema):
        raise SqlError("PARSE_SYNTAX_ERROR", "a table here has columns")
    name = table_name(shape.this)
    columns = [column_of(node) for node in shape.expressions]
    made = {"partitioned_by": [], "comment": None, "clustering": None, "properties": {}, "table_type": "MANAGED"}
    for given in tree.args["properties"].expressions if tree.args.get("properties") else []:
        if isinstance(given, exp.FileFormatProperty) and given.name.upper() == "DELTA":
            continue
        if isinstance(given, exp.SchemaCommentProperty):
            made["comment"] = given.this.name
        elif isinstance(given, exp.PartitionedByProperty):
            made["partitioned_by"] = [column.name for column in given.this.expressions]
        elif isinstance(given, exp.Cluster) or type(given).__name__ == "ClusterProperty" or type(given).__name__ == "ClusteredByProperty":
            if not settings["cluster_by_auto"]:
                message = "Please contact your Databricks representative to enable the cluster-by-auto feature."
                raise SqlError("CLUSTER_BY_AUTO_FEATURE_NOT_ENABLED", message)
            made["clustering"] = "AUTO"
        elif isinstance(given, exp.Property) and type(given) is exp.Property:
            made["properties"][given.this.name] = given.args["value"].name
        else:
            raise SqlError("PARSE_SYNTAX_ERROR", f"Syntax error at or near '{given.sql('databricks')}'")
    if made["partitioned_by"] and made["clustering"]:
        raise SqlError("SPECIFY_CLUSTER_BY_WITH_PARTITIONED_BY_IS_NOT_ALLOWED", "both are not possible")
    if len({column["name"].lower() for column in columns}) != len(columns):
        raise SqlError("COLUMN_ALREADY_EXISTS", "a column is there twice")
    with lock:
        need_schema(name)
        if name in tables:
            if not tree.args.get("exists"):
                raise SqlError("TABLE_OR_VIEW_ALREADY_EXISTS", f"Cannot create table `{name}` because it already exists")
            return [], []
        run(f'CREATE TABLE "{name}" (' + ", ".join(f'"{column["name"]}" {duck_type(column["type_text"].upper())}' for column in columns) + ")")
        new_table(name, columns, **made)
    return [], []


def new_table(name, columns, **rest):
    tables[name] = {"table_id": str(uuid.uuid4()), "columns": columns, "tags": {}, "version": 0, "commits": [], "storage_location": None, **rest}


def need_schema(name):
    if name.rsplit(".", 1)[0] not in schemas:
        raise SqlError("SCHEMA_NOT_FOUND", f"The schema of `{name}` cannot be found. SQLSTATE: 42704")


def alter_table(tree):
    name = table_name(tree.this)
    actions = tree.args["actions"]
    if not all(isinstance(action, (exp.Schema, exp.ColumnDef)) for action in actions):
        raise SqlError("PARSE_SYNTAX_ERROR", "of ALTER TABLE only ADD COLUMNS and SET TAGS are known here")
    added = [column_of(node) for action in actions for node in (action.expressions if isinstance(action, exp.Schema) else [action])]
    with lock:
        table = known_table(name)
        seen = {column["name"].lower() for column in table["columns"]}
        for column in added:
            if column["name"].lower() in seen:
                raise SqlError("FIELD_ALREADY_EXISTS", f"Cannot add column, because `{column['name']}` already exists in {name}")
        for column in added:
            run(f'ALTER TABLE "{name}" ADD COLUMN "{column["name"]}" {duck_type(column["type_text"].upper())}')
        table["columns"] += added
        commit(name, table["version"], None, False)
    return [], []


NAME = r"((?:`(?:[^`]|``)+`\.){%d}`(?:[^`]|``)+`)"
TEXT = r"'((?:[^'\\]|\\.)*)'"


def plain_name(quoted):
    return ".".join(part.replace("``", "`") for part in re.findall(r"`((?:[^`]|``)+)`", quoted)).lower()


def other(text):
    """What sqlglot does not read: volumes, tags, schemas."""
    if match := re.fullmatch(rf"CREATE VOLUME IF NOT EXISTS {NAME % 2}(?: COMMENT {TEXT})?", text):
        with lock:
            name = plain_name(match[1])
            need_schema(name)
            volumes.add(name)
            os.makedirs(os.path.join(FOLDER, *name.split(".")), exist_ok=True)
        return [], []
    if match := re.fullmatch(rf"CREATE SCHEMA IF NOT EXISTS {NAME % 1}(?: COMMENT {TEXT})?", text):
        name = plain_name(match[1])
        with lock:
            if name.split(".")[0] not in catalogs:
                raise SqlError("NO_SUCH_CATALOG_EXCEPTION", f"Catalog '{name.split('.')[0]}' was not found. SQLSTATE: 42704")
            schemas.add(name)
        return [], []
    if match := re.fullmatch(rf"ALTER TABLE {NAME % 2} SET TAGS \({TEXT} = {TEXT}(?:, {TEXT} = {TEXT})*\)", text):
        pairs = re.findall(rf"{TEXT} = {TEXT}", text)
        with lock:
            name = plain_name(match[1])
            if name not in tables:
                known_table(name)
            tables[name]["tags"].update(pairs)
        return [], []
    if match := re.fullmatch(rf"CREATE TABLE IF NOT EXISTS {NAME % 2} USING DELTA LOCATION {TEXT}", text):
        name, location = plain_name(match[1]), match[2]
        with lock:
            need_schema(name)
            if name not in tables:
                new_table(name, logged(location), table_type="EXTERNAL", comment=None, properties={}, partitioned_by=[], clustering=None)
                tables[name]["storage_location"] = location
        return [], []
    if match := re.fullmatch(rf"(?:MSCK )?REPAIR TABLE {NAME % 2} SYNC METADATA", text):
        with lock:
            name = plain_name(match[1])
            if name not in tables:
                known_table(name)
            if tables[name]["table_type"] == "EXTERNAL":
                tables[name]["columns"] = logged(tables[name]["storage_location"])
        return [], []
    if match := re.fullmatch(rf"GRANT SELECT, MODIFY ON TABLE {NAME % 2} TO `client-of-the-test`", text):
        with lock:
            known_table(plain_name(match[1]))
            if not settings["may_grant"]:
                raise SqlError("INSUFFICIENT_PERMISSIONS", f"User does not have MANAGE on Table '{plain_name(match[1])}'.")
            granted.add(tables[plain_name(match[1])]["table_id"])
        return [], []
    if match := re.fullmatch(rf"DESCRIBE HISTORY {NAME % 2} LIMIT 1", text):
        with lock:
            return [("version", "BIGINT")], [(known_table(plain_name(match[1]))["version"],)]
    return None


def logged(location):
    """The columns of the Delta table at a place of S3, by its log."""
    bucket, _, folder = location.removeprefix("s3://").partition("/")
    keys = {"aws_access_key_id": "the-workspace", "aws_secret_access_key": "the-workspace", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=settings["s3"], **keys)
    shape = None
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{folder}/_delta_log/"):
        for entry in (found["Key"] for found in page.get("Contents", []) if found["Key"].endswith(".json")):
            for line in client.get_object(Bucket=bucket, Key=entry)["Body"].read().decode().splitlines():
                shape = json.loads(line).get("metaData", {}).get("schemaString") or shape
    if shape is None:
        raise SqlError("DELTA_PATH_DOES_NOT_EXIST", f"{location} doesn't exist, or is not a Delta table.")

    def type_text(kind):
        if isinstance(kind, str):
            return {"long": "bigint", "integer": "int"}.get(kind, kind)
        if kind["type"] == "array":
            return f"array<{type_text(kind['elementType'])}>"
        return f"map<{type_text(kind['keyType'])},{type_text(kind['valueType'])}>"

    fields = json.loads(shape)["fields"]
    return [{"name": field["name"], "type_text": type_text(field["type"]), "nullable": True, "comment": field["metadata"].get("comment")} for field in fields]


def execute(text):
    found = other(text.strip())
    if found is not None:
        return found
    try:
        trees = sqlglot.parse(text, read="databricks")
    except sqlglot.errors.SqlglotError as error:
        raise SqlError("PARSE_SYNTAX_ERROR", f"Syntax error: {error}") from error
    if len(trees) != 1:
        raise SqlError("PARSE_SYNTAX_ERROR", "one statement at a time")
    tree = trees[0]
    if isinstance(tree, (exp.Select, exp.Union)):
        return select(tree)
    if isinstance(tree, exp.Insert) and not tree.args.get("overwrite") and isinstance(tree.this, exp.Table):
        return insert(tree)
    if isinstance(tree, exp.Merge):
        return merge(tree)
    if isinstance(tree, (exp.Update, exp.Delete)):
        return change(tree)
    if isinstance(tree, exp.Create) and tree.kind == "TABLE":
        return create_table(tree)
    if isinstance(tree, exp.Alter):
        return alter_table(tree)
    if isinstance(tree, exp.Drop) and tree.kind == "TABLE":
        name = table_name(tree.find(exp.Table))
        with lock:
            known_table(name)
            run(f'DROP TABLE "{name}"')
            del tables[name]
        return [], []
    raise SqlError("PARSE_SYNTAX_ERROR", f"Syntax error at or near '{text[:60]}'")


def as_text(value):
    """A value as the format JSON_ARRAY has it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if hasattr(value, "astimezone"):
        return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03}Z"
    return json.dumps(value, default=str) if isinstance(value, (list, dict)) else str(value)


class Statement:
    """One statement, from when it was accepted to when it is forgotten."""

    def __init__(self, text, fate, delay, is_external):
        self.id, self.text, self.state, self.at = str(uuid.uuid4()), text, "PENDING", time.time()
        self.error, self.columns, self.rows, self.is_external = None, [], [], is_external
        self.done = threading.Event()
        threading.Thread(target=self.work, args=(fate, delay), daemon=True).start()

    def work(self, fate, delay):
        time.sleep(delay)
        wake()
        if self.state == "PENDING":
            self.state = "RUNNING"
        try:
            if self.state == "CANCELED":
                return
            if fate == "failed_before":
                raise SqlError("INTERNAL_ERROR", "the cluster went away", chance.choice(["TEMPORARILY_UNAVAILABLE", "ABORTED", "DEADLINE_EXCEEDED"]))
            columns, rows = execute(self.text)
            if fate == "failed_after":
                raise SqlError("INTERNAL_ERROR", "the answer of the driver was lost", "TEMPORARILY_UNAVAILABLE")
            rows = [[as_text(value) for value in row] for row in rows]
            if not self.is_external and sum(len(value or "") for row in rows for value in row) > 25 << 20:
                raise SqlError("INLINE_RESULT_TOO_LARGE", "Inline byte limit exceeded. Statements executed with disposition=INLINE can have a result size of at most 26214400 bytes.")
            self.columns, self.rows = columns, rows
            if self.state == "RUNNING":
                self.state = "SUCCEEDED"
        except SqlError as error:
            self.error, self.state = {"error_code": error.code, "message": str(error)}, "FAILED"
        except Exception as error:  # A bug of this file: seen as such.
            self.error, self.state = {"error_code": "INTERNAL_ERROR", "message": f"[FAKE] {error!r}"}, "FAILED"
        finally:
            with lock:
                executed.append({"text": self.text, "state": self.state, "error": self.error})
            self.done.set()

    def answer(self):
        status = {"state": self.state}
        if self.error:
            status["error"] = self.error
        found = {"statement_id": self.id, "status": status}
        if self.state == "SUCCEEDED":
            step = settings["chunk_rows"]
            chunks = [
                {"chunk_index": at // step, "row_offset": at, "row_count": len(self.rows[at : at + step])} for at in range(0, len(self.rows), step)
            ]
            names = [{"name": name, "type_text": kind, "position": at} for at, (name, kind) in enumerate(self.columns)]
            found["manifest"] = {
                "format": "JSON_ARRAY", "schema": {"column_count": len(names), "columns": names}, "chunks": chunks,
                "total_chunk_count": len(chunks), "total_row_count": len(self.rows), "truncated": False,
            }
            found["result"] = self.chunk(0) if self.rows else {}
        return found

    def chunk(self, index):
        step = settings["chunk_rows"]
        rows = self.rows[index * step : (index + 1) * step]
        if not rows:
            return None
        found = {"chunk_index": index, "row_offset": index * step, "row_count": len(rows)}
        place = dict(found)
        if (index + 1) * step < len(self.rows):
            place["next_chunk_index"] = index + 1
            place["next_chunk_internal_link"] = f"/api/2.0/sql/statements/{self.id}/result/chunks/{index + 1}"
        if not self.is_external:
            return {**place, "data_array": rows}
        link = uuid.uuid4().hex
        links[link] = json.dumps(rows).encode()
        expires = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 900))
        return {"external_links": [{**place, "external_link": f"http://127.0.0.1:{PORT}/storage/{link}", "expiration": expires}]}


def wake():
    """Waits until the warehouse is awake, which it is after its cold start."""
    with lock:
        if warehouse["state"] == "STOPPED":
            warehouse["state"], warehouse["awake_at"] = "STARTING", time.time() + settings["cold_start_ms"] / 1000
        awake_at = warehouse.get("awake_at", 0)
    time.sleep(max(0, awake_at - time.time()))
    warehouse["state"] = "RUNNING"


class Refused(Exception):
    """An answer that is none of the good ones."""

    def __init__(self, status, code, message, headers=()):
        super().__init__(message)
        self.status, self.code, self.headers = status, code, headers


class Cut(Exception):
    """The connection ends without an answer."""


class Workspace(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        if not isinstance(body, bytes):
            body, headers = json.dumps(body).encode(), [*headers, ("Content-Type", "application/json")]
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name == "Content-Length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_request(self):
        url = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(url.path)
        query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            if path.startswith("/fake/"):
                return self.answer(200, fake(self.command, path, body))
            if path.startswith("/storage/"):
                if self.headers.get("Authorization"):
                    raise Refused(400, "InvalidArgument", "Only one auth mechanism allowed")
                return self.answer(200, links[path.rsplit("/", 1)[1]])
            if path.startswith("/oidc/"):
                return self.answer(200, login(self.headers, path, body))
            if path == "/.well-known/databricks-config":
                raise Refused(404, "NOT_FOUND", "not here")
            if path == "/":
                raise Refused(404, "NOT_FOUND", "nothing here")
            self.authenticate(zerobus_table(path))
            with lock:
                known = ("sql/statements", "sql/warehouses", "fs/files", "fs/directories", "unity-catalog", "zerobus")
                kind = next((kind for kind in known if kind in path), "other")
                requests[f"{self.command} {kind}"] = requests.get(f"{self.command} {kind}", 0) + 1
            fate = self.fate(path, body)
            status, answer, headers = api(self.command, path, query, body, fate)
            if fate == "cut_after":
                raise Cut
            return self.answer(status, answer, headers)
        except Refused as refused:
            if path.startswith("/oidc/"):
                return self.answer(refused.status, {"error": refused.code, "error_description": str(refused)}, list(refused.headers))
            return self.answer(refused.status, {"error_code": refused.code, "message": str(refused)}, list(refused.headers))
        except Cut:
            self.close_connection = True
            return None

    def authenticate(self, table):
        scheme, _, token = (self.headers.get("Authorization") or "").partition(" ")
        expiry = tokens.get(token, 0)
        if scheme != "Bearer" or (expiry is not None and expiry < time.time()) or scopes.get(token) != table:
            raise Refused(401, "UNAUTHENTICATED", "Credential was not sent or was of an unsupported type for this API, or has expired.")

    def fate(self, path, body):
        if faults["only"] and faults["only"].encode() not in body:
            return None
        with lock:
            at = chance.random()
            is_statement = self.command == "POST" and path.rstrip("/").endswith("/sql/statements")
            for name in ("throttled", "unavailable", "cut_before", "cut_after", "failed_before", "failed_after", "zombie"):
                at -= faults[name]
                if at < 0:
                    fate = name
                    break
            else:
                return None
        if fate == "throttled":
            raise Refused(429, "RESOURCE_EXHAUSTED", "Too many requests.", [("Retry-After", "0")])
        if fate == "unavailable":
            raise Refused(503, "TEMPORARILY_UNAVAILABLE", "The service is temporarily unavailable.")
        if fate == "cut_before":
            raise Cut
        return fate if is_statement or fate == "cut_after" else None

    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = handle_request


def fake(method, path, body):
    global chance
    what, _, rest = path.removeprefix("/fake/").partition("/")
    with lock:
        if method == "POST":
            given = json.loads(body)
            if what == "faults":
                chance = random.Random(given.pop("seed", 0))
                faults.update({**NO_FAULTS, "only": "", **given})
            elif what == "settings":
                settings.update(given)
            elif what == "age":
                at = time.time() - given["hours"] * 3600
                os.utime(place(given["path"]), (at, at))
            elif what == "stop":
                warehouse["state"] = "STOPPED"
            elif what == "forget":
                executed.clear()
                requests.clear()
            return {}
        if what == "table":
            file = os.path.join(FOLDER, uuid.uuid4().hex + ".parquet")
            # In its dictionaries -0.0 is 0.0.
            run(f'COPY "{rest}" TO {literal(file)} (FORMAT parquet, DICTIONARY_SIZE_LIMIT 0)')
            with open(file, "rb") as opened:
                found = opened.read()
            os.remove(file)
            return found
        return {"executed": executed, "requests": requests, "tables": tables, "lent": lent, "busy": len(buffered) + sum(not each.done.is_set() for each in statements.values())}


def login(headers, path, body):
    if path.startswith("/oidc/.well-known/"):
        here = f"http://{headers['Host']}/oidc"
        return {"authorization_endpoint": f"{here}/v1/authorize", "token_endpoint": f"{here}/v1/token"}
    form, scope = dict(urllib.parse.parse_qsl(body.decode())), None
    grant = form.get("grant_type")
    if path != "/oidc/v1/token" or form.get("scope") != "all-apis":
        raise Refused(400, "invalid_request", "no such grant")
    if grant == "client_credentials":
        expected = "Basic " + base64.b64encode(b"client-of-the-test:secret-of-the-test").decode()
        if headers.get("Authorization") != expected:
            raise Refused(401, "invalid_client", "Client authentication failed")
        if "resource" in form or "authorization_details" in form:
            scope = zerobus_scope(form)
    elif grant == "urn:ietf:params:oauth:grant-type:token-exchange":
        if form.get("subject_token_type") != "urn:ietf:params:oauth:token-type:jwt" or form.get("subject_token") != "jwt-of-the-test":
            raise Refused(400, "invalid_request", "the subject token is not accepted")
    else:
        raise Refused(400, "unsupported_grant_type", str(grant))
    token = "eyJ." + uuid.uuid4().hex
    if scope:
        scopes[token] = scope
    tokens[token] = time.time() + settings["token_seconds"]
    return {"access_token": token, "token_type": "Bearer", "expires_in": int(settings["token_seconds"]), "scope": "all-apis"}


def zerobus_scope(form):
    """The table that a token is asked for."""
    if form.get("resource") != "api://databricks/workspaces/1234567890123456/zerobusDirectWriteApi":
        raise Refused(400, "invalid_target", "no such resource")
    details = json.loads(form.get("authorization_details") or "[]")
    names = [each.get("object_full_path", "").lower() for each in details]
    kinds = [(each.get("type"), each.get("object_type"), each.get("privileges"), each.get("operations")) for each in details]
    right = "unity_catalog_privileges"
    wanted = [(right, "CATALOG", ["USE CATALOG"], None), (right, "SCHEMA", ["USE SCHEMA"], None), (right, "TABLE", ["SELECT", "MODIFY"], ["zerobuswrite"])]
    if kinds != wanted or names[1] != names[2].rpartition(".")[0] or names[0] != names[1].rpartition(".")[0]:
        raise Refused(400, "invalid_authorization_details", "these rights cannot be asked for")
    if names[2] not in tables or (settings["zerobus_denies"] == "token" and tables[names[2]]["table_id"] not in granted):
        raise Refused(400, "invalid_authorization_details", "The principal has no such rights on the table.")
    return names[2]


def zerobus_table(path):
    match = re.fullmatch(r"/zerobus/v1/tables/([^/]+)/insert", path)
    return match[1].lower() if match else None


# What a JSON value must be for a column of a type.
FITS = {
    "STRING": lambda value: isinstance(value, str),
    "INT": lambda value: type(value) is int and abs(value) <= 1 << 31,
    "BIGINT": lambda value: type(value) is int and abs(value) <= 1 << 63,
    "TIMESTAMP": lambda value: type(value) is int,
    "DATE": lambda value: type(value) is int,
    "DOUBLE": lambda value: type(value) in (int, float),
    "BOOLEAN": lambda value: type(value) is bool,
    "ARRAY<STRING>": lambda value: isinstance(value, list) and all(each is None or isinstance(each, str) for each in value),
    "MAP<STRING,STRING>": lambda value: isinstance(value, dict) and all(each is None or isinstance(each, str) for each in value.values()),
    "MAP<STRING,DOUBLE>": lambda value: isinstance(value, dict) and all(each is None or type(each) in (int, float) for each in value.values()),
}


def no_constant(text):
    raise ValueError(f"{text} is no JSON")


def zerobus(name, body):
    """Takes rows; they are in the table some time later, whatever comes of who sent them."""
    bad = lambda message: Refused(400, "INVALID_PARAMETER_VALUE", message)
    if len(body) > 10 << 20:
        raise bad("the request is too large")
    try:
        rows = json.loads(body, parse_constant=no_constant)
    except ValueError as error:
        raise bad(f"no JSON: {error}") from error
    with lock:
        if name not in tables:
            raise Refused(404, "NOT_FOUND", f'Table "{name}" cannot be found.')
        if settings["zerobus_denies"] == "insert" and tables[name]["table_id"] not in granted:
            raise Refused(403, "PERMISSION_DENIED", "Error code 4024: not authorized")
        types = {column["name"]: column["type_text"].upper().replace(" ", "") for column in tables[name]["columns"]}
    if settings["zerobus_refuses"] and settings["zerobus_refuses"].encode() in body:
        raise bad("I do not like it")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise bad("the body must be a list of objects")
    for row in rows:
        for field, value in row.items():
            if field not in types or (value is not None and (types[field] not in FITS or not FITS[types[field]](value))):
                raise bad(f"field {field} does not fit: {str(value)[:100]}")
    file = os.path.join(FOLDER, f"zerobus-{uuid.uuid4().hex}.json")
    with open(file, "wb") as out:
        out.write(body)
    buffered.add(file)
    low, high = settings["zerobus_ms"]
    threading.Timer(chance.uniform(low, high) / 1000, land, (name, file, types)).start()
    return 200, {}, ()


def land(name, file, types):
    numbers = {"TIMESTAMP": ("BIGINT", "make_timestamptz({})"), "DATE": ("INTEGER", "(DATE '1970-01-01' + {})")}
    read = ", ".join(f"{literal(column)}: {literal(numbers.get(kind, [duck_type(kind)])[0])}" for column, kind in types.items())
    shown = ", ".join(numbers[kind][1].format(f'"{column}"') if kind in numbers else f'"{column}"' for column, kind in types.items())
    names = ", ".join(f'"{column}"' for column in types)
    with lock:
        if name in tables:
            run(f'INSERT INTO "{name}" ({names}) SELECT {shown} FROM read_json({literal(file)}, format = \'array\', columns = {{{read}}}, maximum_object_size = 20000000)')
            commit(name, tables[name]["version"], None, True)
        buffered.discard(file)
    os.remove(file)


def api(method, path, query, body, fate):
    if table := zerobus_table(path):
        return zerobus(table, body)
    if path.startswith("/api/2.0/fs/files/"):
        return files(method, path.removeprefix("/api/2.0/fs/files"), query, body)
    if path.startswith("/api/2.0/fs/directories/"):
        return directories(method, path.removeprefix("/api/2.0/fs/directories"), query)
    given = json.loads(body) if body and method in ("POST", "PATCH") else {}
    path = path.rstrip("/")
    if path == "/api/2.0/preview/scim/v2/Me" and method == "GET":
        return 200, {"id": "1", "userName": "freshet@example.com", "active": True}, ()
    if path.startswith("/api/2.0/sql/warehouses"):
        return warehouses(method, path)
    if path.startswith("/api/2.0/sql/statements"):
        return statement(method, path, given, fate)
    if match := re.fullmatch(r"/api/2\.[01]/unity-catalog/(.+)", path):
        return catalog(method, match[1], query, given)
    raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")


def warehouses(method, path):
    shown = {name: warehouse[name] for name in ("id", "name", "state")} | {"cluster_size": "2X-Small", "warehouse_type": "PRO", "auto_stop_mins": 10}
    shown |= {"enable_serverless_compute": True}
    if path == "/api/2.0/sql/warehouses" and method == "GET":
        return 200, {"warehouses": [shown]}, ()
    found = re.fullmatch(r"/api/2\.0/sql/warehouses/([^/]+)(?:/(start|stop))?", path)
    if not found or found[1] != warehouse["id"]:
        raise Refused(404, "RESOURCE_DOES_NOT_EXIST", "no such warehouse")
    if found[2] == "start":
        threading.Thread(target=wake, daemon=True).start()
    elif found[2] == "stop":
        warehouse["state"] = "STOPPED"
    return 200, {} if found[2] else shown, ()


KNOWN_KEYS = {
    "statement", "warehouse_id", "catalog", "schema", "wait_timeout", "on_wait_timeout", "disposition", "format", "parameters", "row_limit",
    "byte_limit", "query_tags",
}


def statement(method, path, given, fate):
    if path == "/api/2.0/sql/statements" and method == "POST":
        wait = given.get("wait_timeout", "10s")
        seconds = int(wait[:-1]) if re.fullmatch(r"\d+s", wait) else -1
        problems = [
            (set(given) - KNOWN_KEYS, f"unknown fields {sorted(set(given) - KNOWN_KEYS)}"),
            (not isinstance(given.get("statement"), str) or not given["statement"].strip(), "statement is missing"),
            (len(given.get("statement") or "") > 16 << 20, "the statement is too long"),
            (given.get("warehouse_id") != warehouse["id"], f"{given.get('warehouse_id')} is not a valid endpoint id."),
            (seconds != 0 and not 5 <= seconds <= 50, "wait_timeout must be 0s or between 5s and 50s"),
            (given.get("on_wait_timeout", "CONTINUE") not in ("CONTINUE", "CANCEL"), "on_wait_timeout"),
            (given.get("disposition", "INLINE") not in ("INLINE", "EXTERNAL_LINKS"), "disposition"),
            (given.get("format", "JSON_ARRAY") != "JSON_ARRAY", "this format is not known here"),
            (len(given.get("query_tags", [])) > 20, "too many tags"),
            ("parameters" in given, "parameters are not known here"),
        ]
        for is_wrong, message in problems:
            if is_wrong:
                raise Refused(400, "INVALID_PARAMETER_VALUE", message)
        delay = chance.uniform(*faults["zombie_ms"]) / 1000 if fate == "zombie" else 0
        with lock:
            new = Statement(given["statement"], fate, delay, given.get("disposition") == "EXTERNAL_LINKS")
            statements[new.id] = new
        if fate == "zombie":
            raise Cut
        new.done.wait(seconds)
        if not new.done.is_set() and given.get("on_wait_timeout") == "CANCEL":
            new.state = "CANCELED"
        return 200, new.answer(), ()
    found = re.fullmatch(r"/api/2\.0/sql/statements/([^/]+)(?:/(cancel)|/result/chunks/(\d+))?", path)
    known = statements.get(found[1]) if found else None
    if known is None or known.at + settings["remember_seconds"] < time.time():
        raise Refused(404, "NOT_FOUND", f"The statement {found and found[1]} was not found.")
    if found[2] and method == "POST":
        if not known.done.is_set():
            known.state = "CANCELED"
        return 200, {}, ()
    if method != "GET":
        raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} {path}'")
    if found[3]:
        chunk = known.chunk(int(found[3])) if known.state == "SUCCEEDED" else None
        if chunk is None:
            raise Refused(404, "NOT_FOUND", "no such chunk")
        return 200, chunk, ()
    return 200, known.answer(), ()


def place(path):
    found = volume_file(path) or volume_file(path + "/")
    if found is None:
        raise Refused(404, "NOT_FOUND", f"The volume of {path} does not exist.")
    return found


def files(method, path, query, body):
    file = place(path)
    if method == "PUT":
        if os.path.exists(file) and query.get("overwrite") != "true":
            raise Refused(409, "ALREADY_EXISTS", "The file being created already exists.")
        # Whole or not at all, as readers see it.
        beside = os.path.join(FOLDER, uuid.uuid4().hex)
        with open(beside, "wb") as opened:
            opened.write(body)
        with lock:
            os.makedirs(os.path.dirname(file), exist_ok=True)
            os.replace(beside, file)
        return 204, b"", ()
    if not os.path.isfile(file):
        raise Refused(404, "NOT_FOUND", "The file being accessed is not found.")
    if method == "DELETE":
        os.remove(file)
        return 204, b"", ()
    size = ("Content-Length", str(os.path.getsize(file)))
    if method == "HEAD":
        return 200, b"", [size]
    with open(file, "rb") as opened:
        return 200, opened.read(), [size, ("Content-Type", "application/octet-stream")]


def directories(method, path, query):
    folder = place(path)
    if method == "PUT":
        os.makedirs(folder, exist_ok=True)
        return 204, b"", ()
    if not os.path.isdir(folder):
        raise Refused(404, "NOT_FOUND", "The directory being accessed is not found.")
    if method == "HEAD":
        return 200, b"", ()
    if method == "DELETE":
        with lock:
            if os.listdir(folder):
                raise Refused(400, "DIRECTORY_IS_NOT_EMPTY", "The directory is not empty.")
            os.rmdir(folder)
        return 204, b"", ()
    # Short pages, so that every test turns them.
    first, names = int(query.get("page_token", 0)), sorted(os.listdir(folder))
    contents = []
    for name in names[first : first + 5]:
        file = os.path.join(folder, name)
        entry = {"path": f"{path.rstrip('/')}/{name}", "name": name, "is_directory": os.path.isdir(file)}
        if os.path.isfile(file):
            entry |= {"file_size": os.path.getsize(file), "last_modified": int(os.path.getmtime(file) * 1000)}
        contents.append(entry)
    more = {"next_page_token": str(first + 5)} if len(names) > first + 5 else {}
    return 200, {"contents": contents, **more}, ()


def shown(name):
    table, (catalog_name, schema_name, own) = tables[name], name.split(".")
    columns = [{**column, "position": at, "type_name": column["type_text"].split("<")[0].upper()} for at, column in enumerate(table["columns"])]
    return {
        "name": own, "full_name": name, "catalog_name": catalog_name, "schema_name": schema_name, "table_type": table["table_type"],
        "data_source_format": "DELTA", "table_id": table["table_id"], "columns": columns, "comment": table["comment"],
        "properties": table["properties"], "storage_location": table["storage_location"] or f"s3://managed/{table['table_id']}",
    }


def catalog(method, what, query, given):
    with lock:
        kind, _, name = what.partition("/")
        name = name.lower()
        if method == "POST":
            return made(kind, given)
        if kind == "tables" and name:
            full = name.removesuffix("/exists")
            if name.endswith("/exists"):
                return 200, {"table_exists": full in tables}, ()
            if full.rsplit(".", 1)[0] not in schemas:
                raise Refused(404, "SCHEMA_DOES_NOT_EXIST", f"Schema '{full.rsplit('.', 1)[0]}' does not exist.")
            if full not in tables:
                raise Refused(404, "TABLE_DOES_NOT_EXIST", f"Table '{full}' does not exist.")
            if method == "DELETE":
                del tables[full]
                return 200, {}, ()
            return 200, shown(full), ()
        if kind in ("catalogs", "schemas", "volumes") and name:
            if name not in {"catalogs": catalogs, "schemas": schemas, "volumes": volumes}[kind]:
                raise Refused(404, f"{kind[:-1].upper()}_DOES_NOT_EXIST", f"{kind[:-1].title()} '{name}' does not exist.")
            return 200, {"name": name.rsplit(".", 1)[-1], "full_name": name}, ()
        within = ".".join(query[key] for key in ("catalog_name", "schema_name") if key in query)
        if kind == "tables":
            names = sorted(each for each in tables if each.rsplit(".", 1)[0] == within)
            first = int(query.get("page_token", 0))
            more = {"next_page_token": str(first + 5)} if len(names) > first + 5 else {}
            return 200, {"tables": [shown(each) for each in names[first : first + 5]], **more}, ()
        if kind in ("catalogs", "schemas", "volumes"):
            names = {"catalogs": catalogs, "schemas": schemas, "volumes": volumes}[kind]
            found = sorted(each for each in names if not within or each.rsplit(".", 1)[0] == within)
            return 200, {kind: [{"name": each.rsplit(".", 1)[-1], "full_name": each} for each in found]}, ()
    raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for '{method} unity-catalog/{what}'")


def made(kind, given):
    if kind in ("temporary-path-credentials", "temporary-table-credentials"):
        by_table = {table["table_id"]: table["storage_location"] for table in tables.values()}
        if kind == "temporary-table-credentials":
            if given.get("operation") not in ("READ", "READ_WRITE") or given.get("table_id") not in by_table:
                raise Refused(404, "TABLE_DOES_NOT_EXIST", "no such table, or no such operation")
            url, writes = by_table[given["table_id"]], given["operation"] == "READ_WRITE"
            if writes and not settings["may_write"]:
                raise Refused(403, "PERMISSION_DENIED", "User does not have EXTERNAL USE SCHEMA and MODIFY on the table.")
        else:
            if given.get("operation") not in ("PATH_READ", "PATH_READ_WRITE", "PATH_CREATE_TABLE") or "://" not in given.get("url", ""):
                raise Refused(400, "INVALID_PARAMETER_VALUE", "url or operation")
            url, writes = given["url"].rstrip("/"), given["operation"] != "PATH_READ"
            if not settings["may_write"]:
                raise Refused(403, "PERMISSION_DENIED", "User does not have EXTERNAL USE LOCATION on the external location.")
            if any(f"{url}/".startswith(f"{location}/") or f"{location}/".startswith(f"{url}/") for location in by_table.values() if location):
                raise Refused(400, "INVALID_PARAMETER_VALUE", f"Input path {url} overlaps with a table")
        expires = int((time.time() + settings["credential_seconds"]) * 1000)
        scope = base64.urlsafe_b64encode(url.removeprefix("s3://").encode()).decode()
        lent.append(url)
        keys = {"access_key_id": f"lent.{expires}.{'rw' if writes else 'r'}.{scope}", "secret_access_key": "secret", "session_token": "session"}
        return 200, {"url": url, "expiration_time": expires, "aws_temp_credentials": keys}, ()
    full = ".".join(given.get(key, "").lower() for key in ("catalog_name", "schema_name", "name") if key in given)
    if kind == "schemas":
        if given.get("catalog_name") not in catalogs:
            raise Refused(404, "CATALOG_DOES_NOT_EXIST", f"Catalog '{given.get('catalog_name')}' does not exist.")
        schemas.add(full)
        return 200, {"full_name": full}, ()
    if kind in ("tables", "volumes") and full.rsplit(".", 1)[0] not in schemas:
        raise Refused(404, "SCHEMA_DOES_NOT_EXIST", f"The schema of '{full}' does not exist.")
    if kind == "volumes":
        if given.get("volume_type") != "MANAGED":
            raise Refused(400, "INVALID_PARAMETER_VALUE", "volume_type")
        volumes.add(full)
        return 200, {"full_name": full}, ()
    if kind == "tables":
        if given.get("table_type") != "EXTERNAL" or given.get("data_source_format") != "DELTA" or "://" not in given.get("storage_location", ""):
            raise Refused(400, "INVALID_PARAMETER_VALUE", "Only EXTERNAL tables in the format DELTA with a storage_location can be created.")
        if full in tables:
            raise Refused(409, "TABLE_ALREADY_EXISTS", f"Table '{full}' already exists.")
        columns = [{"nullable": True, "comment": None, **column} for column in given.get("columns", [])]
        new_table(
            full, columns, table_type="EXTERNAL", comment=given.get("comment"), properties=given.get("properties", {}), partitioned_by=[], clustering=None
        )
        tables[full]["storage_location"] = given["storage_location"]
        return 200, shown(full), ()
    raise Refused(404, "ENDPOINT_NOT_FOUND", f"No API found for 'POST unity-catalog/{kind}'")


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


Server(("127.0.0.1", PORT), Workspace).serve_forever()
