"""Would it pay to sort the rows of a file by (app, ts)? Freshet leaves them in the order of time.

    order.py LAKE

Takes all rows of `logs`, writes them in both orders with everything else alike, and prints the sizes and how many row groups a reader has to read,
by the bounds in the files, for questions of three kinds. It wants PyArrow: `scripts/setup --readers` installs one.
"""

import glob
import os
import sys
import tempfile

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

# A file of the usual size has some forty row groups; these are as many of fewer rows.
ROW_GROUP_ROWS = 16_384


def main(lake):
    files = [file for file in glob.glob(f"{lake}/logs/**/*.parquet", recursive=True) if "_delta_log" not in file]
    rows = pa.concat_tables([pq.read_table(file, partitioning=None) for file in files], promote_options="default")
    bounds = pc.min_max(rows["ts"]).as_py()
    step = (bounds["max"] - bounds["min"]) / 24
    first, last = bounds["min"] + 8 * step, bounds["min"] + 9 * step
    apps = sorted(pc.unique(rows["app"]).to_pylist())
    app = apps[len(apps) // 2]
    print(f"{rows.num_rows} rows of {len(apps)} apps")
    orders = {"ts": [("ts", "ascending")], "app, ts": [("app", "ascending"), ("ts", "ascending")]}
    for name, order in orders.items():
        with tempfile.NamedTemporaryFile(suffix=".parquet") as file:
            pq.write_table(rows.sort_by(order), file.name, compression="zstd", compression_level=3, row_group_size=ROW_GROUP_ROWS)
            size, groups = os.path.getsize(file.name), pq.ParquetFile(file.name).metadata
        index = {groups.row_group(0).column(at).path_in_schema: at for at in range(groups.num_columns)}
        of_app, in_time = [], []
        for at in range(groups.num_row_groups):
            by_app, by_time = (groups.row_group(at).column(index[column]).statistics for column in ("app", "ts"))
            of_app.append(by_app.min <= app <= by_app.max)
            in_time.append(by_time.max >= first and by_time.min <= last)
        both = sum(left and right for left, right in zip(of_app, in_time))
        print(
            f"by {name:8} {size / 1e6:7.1f} MB; of {groups.num_row_groups} row groups: one app, whole time {sum(of_app)}; "
            f"all apps, a 24th of the time {sum(in_time)}; one app, a 24th of the time {both}"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
