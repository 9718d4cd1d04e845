"""Lets the program run the sweeps of sweeps/, and kills one in the middle.

usage: make_runs.py PROGRAM FOLDER
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

program, folder = sys.argv[1], Path(sys.argv[2])
sweeps = Path(__file__).resolve().parent / "sweeps"
environment = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}

LONG = """
title = "One run ends, the next is killed, the last never begins"
[base]
preset = "t1"
model.dim = 16
train.batch = 8
train.eval_items = 8
[[axis]]
name = "length"
list = [
  { label = "short", "train.steps" = 20 },
  { label = "endless", "train.steps" = 100000000 },
  { label = "never", "train.steps" = 21 },
]
"""


def run(name: str) -> None:
    shutil.rmtree(folder / name, ignore_errors=True)
    command = [program, "sweep", str(sweeps / f"{name}.toml"), "--out", str(folder / name)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def kill_one() -> None:
    """SIGKILL while the second of three runs is under way."""
    out = folder / "stopped"
    shutil.rmtree(out, ignore_errors=True)
    config = folder / "stopped.toml"
    config.write_text(LONG)
    command = [program, "sweep", str(config), "--out", str(out), "--jobs", "1"]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        limit = time.monotonic() + 60
        while True:
            runs = out / "runs"
            ended = {p.stem for p in runs.glob("*.h5")} if runs.is_dir() else set()
            begun = {p.stem for p in runs.glob("*.lock")} if runs.is_dir() else set()
            if ended and begun - ended:
                break
            if process.poll() is not None or time.monotonic() > limit:
                sys.exit("the sweep that was to be killed has no run under way")
            time.sleep(0.01)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


folder.mkdir(parents=True, exist_ok=True)
run("first")
run("second")
kill_one()
