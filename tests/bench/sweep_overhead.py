"""What a sweep costs beside the bare training: instruments, worker process, locks, synced files.

usage: sweep_overhead.py PROGRAM [ROUNDS]

The same runs (a) as `fp4lab train` with all instruments off, (b) as `fp4lab train` with them at their
default cadence, (c) through `fp4lab sweep --jobs 1`, one thread each, in turn. Printed is the median
over rounds of the ratio to (a), of processor time (parents and workers together) and of wall time.
"""
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

program = str(pathlib.Path(sys.argv[1]).resolve())
rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5

RECIPES = ("bf16", "nvfp4-nvidia", "mxfp4-baseline")
TEXT = {"preset": '"t4"', "train.steps": "150", "train.batch": "16"}
DIGITS = {"preset": '"t1"', "train.steps": "600", "train.batch": "64"}
OFF = ["log.slots_every=0", "log.norms_every=0", "log.attention_every=0"]


def lines(keys: dict[str, str]) -> str:
    return "".join(f"{k} = {v}\n" for k, v in keys.items())


root = pathlib.Path(tempfile.mkdtemp(prefix="fp4lab-overhead-"))
part = """[[part]]
name = "{name}"
[part.base]
{base}[[part.axis]]
key = "recipe"
values = [{recipes}]
"""
recipes = ", ".join(f'"{r}"' for r in RECIPES)
(root / "s.toml").write_text(
    'title = "overhead"\n'
    + part.format(name="text", base=lines(TEXT), recipes=recipes)
    + part.format(name="digits", base=lines(DIGITS), recipes=recipes)
)
configs = []
for name, keys in (("text", TEXT), ("digits", DIGITS)):
    for recipe in RECIPES:
        configs.append(root / f"{name}-{recipe}.toml")
        configs[-1].write_text(lines({**keys, "recipe": f'"{recipe}"'}))


def measured(commands: list[list[str]]) -> tuple[float, float]:
    """Processor and wall seconds."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    for command in commands:
        subprocess.run(command, check=True, capture_output=True, cwd=root)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def train(sets: list[str]) -> list[list[str]]:
    extra = [word for s in sets for word in ("--set", s)]
    return [[program, "train", str(c), "--threads", "1", "--json", *extra] for c in configs]


def sweep() -> list[list[str]]:
    shutil.rmtree(root / "r", ignore_errors=True)
    return [[program, "sweep", "s.toml", "--jobs", "1", "--threads", "1", "--out", "r"]]


bare, instruments, swept = [], [], []
for _ in range(rounds):
    bare.append(measured(train(OFF)))
    instruments.append(measured(train([])))
    swept.append(measured(sweep()))
shutil.rmtree(root)

print(f"sweep overhead: {len(configs)} runs, bare training "
      f"{statistics.median(b[0] for b in bare):.2f} s of processor time")
for name, times in (("instruments at default cadence", instruments), ("sweep --jobs 1", swept)):
    processor, wall = (
        100 * (statistics.median(t[i] / b[i] for t, b in zip(times, bare)) - 1) for i in (0, 1)
    )
    print(f"  {name:32} {processor:+.1f} % processor time, {wall:+.1f} % wall time")
