"""Runs `freshet sync` twice and tells what each run cost: time_sync.py FRESHET FOLDER."""

import json
import os
import subprocess
import sys
import time

binary, folder = sys.argv[1:]
command = [binary, "--config", f"{folder}/freshet.toml", "--lake", f"{folder}/lake", "--data-dir", f"{folder}/data"]
environment = {**os.environ, "HEROKU_API_KEY": "any"}
for name in ["first", "second"]:
    begun = time.monotonic()
    run = subprocess.Popen([*command, "sync", "--output", "json"], env=environment, stdout=subprocess.PIPE)
    report = json.loads(run.stdout.read())
    _, status, used = os.wait4(run.pid, 0)
    if status != 0:
        sys.exit(f"the {name} run ended with {os.waitstatus_to_exitcode(status)}")
    total = {field: sum(stream[field] for stream in report["streams"]) for field in ["read", "new", "changed", "gone"]}
    print(
        f"{name:>6}  {time.monotonic() - begun:.1f} s, {used.ru_utime + used.ru_stime:.1f} CPU s, peak {used.ru_maxrss / 1024:.0f} MiB, "
        f"{report['requests']} requests, {report['not_modified']} of them 304; objects: {total}"
    )
    slowest = sorted(report["streams"], key=lambda stream: -stream["seconds"])[:6]
    print("        " + ", ".join(f"{stream['stream']} {stream['seconds']:.1f} s" for stream in slowest))
