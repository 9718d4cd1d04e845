"""One sweep by one worker, two workers, shards in reverse order, four MPI ranks: the same results.

usage: modes.py PROGRAM; exit status 77 when mpirun is needed and not installed.
"""
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy

program = sys.argv[1]

SWEEP = """
title = "modes"
[[part]]
name = "errors"
kind = "error"
[part.base]
error.rows = 64
error.columns = 512
[[part.axis]]
key = "error.spec"
values = ["nvfp4", "mxfp4,round=sr:8", "int4"]
[[part.axis]]
seeds = 2
[[part]]
name = "training"
[part.base]
preset = "t1"
train.steps = 20
[[part.axis]]
key = "recipe"
values = ["bf16", "mxfp4-baseline"]
"""

# What the schema calls volatile.
VOLATILE = {
    "command_line", "host", "cpu", "isa", "threads", "executor", "code_path", "gpu", "driver",
    "started", "finished", "wall_s",
}


def statistics(folder: pathlib.Path) -> dict:
    """Every attribute and every byte of every data set of a folder, without the volatile ones."""
    out = {}
    for path in [folder / "sweep.h5", *sorted((folder / "runs").glob("*.h5"))]:
        with h5py.File(path, "r") as file:
            for name, value in file.attrs.items():
                if name not in VOLATILE:
                    out[path.name, "@" + name] = str(value)

            def visit(name: str, item: object) -> None:
                if isinstance(item, h5py.Dataset) and name != "series/step_time":
                    out[path.name, name] = numpy.asarray(item[()]).tobytes() if (
                        item.dtype.kind != "O"
                    ) else [bytes(v) for v in numpy.ravel(item[()])]

            file.visititems(visit)
    for name in ("summary.csv", "summary.md"):
        out[name] = (folder / name).read_bytes()
    return out


def same(folder: str, expected: dict, what: str) -> None:
    """Fails with the names of what differs."""
    found = statistics(root / folder)
    differing = [k for k in {**found, **expected} if found.get(k) != expected.get(k)]
    assert not differing, f"{what}: {differing[:8]}"


def run(*arguments: str, **more) -> subprocess.CompletedProcess:
    return subprocess.run(arguments, check=True, capture_output=True, text=True, **more)


root = pathlib.Path(tempfile.mkdtemp(prefix="fp4lab-modes-"))
config = str(root / "s.toml")
(root / "s.toml").write_text(SWEEP)

run(program, "sweep", config, "--jobs", "1", "--out", str(root / "one"))
expected = statistics(root / "one")
assert len(list((root / "one/runs").glob("*.h5"))) == 8

run(program, "sweep", config, "--jobs", "2", "--out", str(root / "two"))
same("two", expected, "two workers differ from one")

for shard in (2, 0, 1):
    run(program, "sweep", config, "--shard", f"{shard}/3", "--out", str(root / "shards"))
run(program, "merge", str(root / "shards"))
same("shards", expected, "shards differ")

# Nothing to do: nothing is written again.
before = {p: p.stat().st_mtime_ns for p in (root / "two/runs").iterdir()}
again = run(program, "sweep", config, "--out", str(root / "two"))
assert before == {p: p.stat().st_mtime_ns for p in (root / "two/runs").iterdir()}
assert "(0 now)" in again.stdout, again.stdout

# An interruption saves and exits with 130; the sweep then ends as if nothing had been.
process = subprocess.Popen(
    [program, "sweep", config, "--set", "train.steps=400", "--jobs", "1", "--out", str(root / "int")],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
time.sleep(1.0)
process.send_signal(signal.SIGINT)
assert process.wait(timeout=60) in (130, 0)
run(program, "sweep", "--out", str(root / "int"), "--jobs", "1")
run(program, "sweep", config, "--set", "train.steps=400", "--out", str(root / "calm"))
same("int", statistics(root / "calm"), "an interrupted sweep differs")

if shutil.which("mpirun") is None:
    print("all but MPI agree; skipped: mpirun is not installed")
    shutil.rmtree(root)
    sys.exit(77)
environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
run("mpirun", "--oversubscribe", "-n", "4", program, "sweep", config, "--out", str(root / "mpi"),
    env=environment)
same("mpi", expected, "four MPI ranks differ")
shutil.rmtree(root)
print("one worker, two workers, shards, an interruption and four MPI ranks agree")
