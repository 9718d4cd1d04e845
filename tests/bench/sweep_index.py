"""How long 1,000 runs take to be merged and indexed.

usage: sweep_index.py PROGRAM [RUNS]; exit status 1 when one command takes more than 5 s of processor
time (wall time, printed too, is the same on an idle machine).

Two shards of a sweep of tiny runs are made in two folders; `merge` brings them together in a third
and writes the index, `merge` makes it again from the run files alone, `sweep status` scans them.
"""
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

program = str(pathlib.Path(sys.argv[1]).resolve())
runs = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
root = pathlib.Path(tempfile.mkdtemp(prefix="fp4lab-index-"))
specs = ["nvfp4", "mxfp4", "mxfp4,rule=rceil", "int4,block=1x32"]
(root / "s.toml").write_text(
    f"""
title = "index"
kind = "error"
[base]
error.rows = 4
error.columns = 32
[[axis]]
key = "error.spec"
values = [{", ".join(f'"{s}"' for s in specs)}]
[[axis]]
seeds = {runs // len(specs)}
"""
)


def seconds(*words: str) -> tuple[float, float]:
    """Processor and wall time."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run([program, *words], check=True, capture_output=True, text=True, cwd=root)
    wall, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    count = runs // len(specs) * len(specs)
    assert str(count) in done.stdout or words[0] == "sweep" and words[1] != "status", done.stdout[-500:]
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


slow = False
made = sum(seconds("sweep", "s.toml", "--shard", f"{i}/2", "--out", f"shard{i}")[1] for i in (0, 1))
print(f"{runs} tiny runs made in {made:.1f} s; processor and wall time to have them")
for what, command in (
    ("two folders merged", ("merge", "all", "shard0", "shard1")),
    ("indexed again", ("merge", "all")),
    ("scanned by sweep status", ("sweep", "status", "all")),
    ("found done by sweep", ("sweep", "s.toml", "--out", "all")),
):
    if command == ("merge", "all"):
        for name in ("sweep.h5", "summary.csv", "summary.md"):
            (root / "all" / name).unlink()
    processor, wall = seconds(*command)
    slow |= processor > 5
    print(f"  {what:24} {processor:.2f} s {wall:7.2f} s")
shutil.rmtree(root)
sys.exit(1 if slow else 0)
