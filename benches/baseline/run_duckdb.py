"""Runs duckdb.sql over a log file: python3 duckdb.py LOG_FILE FOLDER."""
import pathlib
import sys

import duckdb

log_file, folder = sys.argv[1:]
pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
script = pathlib.Path(__file__).with_name("duckdb.sql").read_text()
duckdb.execute(script.replace("LOG_FILE", log_file).replace("FOLDER", folder))
