"""Samples the resident memory of a process until it ends, then plots it: python3 watch_memory.py PID."""
import pathlib
import statistics
import sys
import time

WIDTH, HEIGHT, EVERY_S, WARM_UP_S = 66, 12, 2, 120

status = pathlib.Path(f"/proc/{sys.argv[1]}/status")
begun = time.monotonic()
samples = []
while True:
    try:
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        break
    samples.append((time.monotonic() - begun, int(line.split()[1]) / 1024))
    time.sleep(EVERY_S)

if not samples:
    sys.exit("the process had ended before the first sample")
end = samples[-1][0] or 1
columns = [0.0] * WIDTH
for at, mib in samples:
    column = min(WIDTH - 1, int(at / end * WIDTH))
    columns[column] = max(columns[column], mib)
step = max(25, -(-max(columns) // HEIGHT // 25) * 25)
for row in range(HEIGHT, 0, -1):
    low = (row - 1) * step
    bar = "".join("█" if mib > low + step / 2 else "▄" if mib > low else " " for mib in columns)
    print(f"{int(row * step):>5} MiB |{bar}")
print(f"    0 MiB +{'-' * WIDTH}")
print(f"           0 s{int(end):>{WIDTH - 4}} s")
warm = [mib for at, mib in samples if at > WARM_UP_S] or [mib for _, mib in samples]
print(f"each column is the highest of its samples; after {WARM_UP_S} s: least {min(warm):.0f}, "
      f"median {statistics.median(warm):.0f}, most {max(warm):.0f} MiB")
