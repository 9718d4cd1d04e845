"""Kills a sweep at random instants until it is done and compares it with an undisturbed one.

usage: crash.py PROGRAM KILLS [SEED]; prints what happened, exit status 1 when anything was lost.
"""
import hashlib
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

program, kills = sys.argv[1], int(sys.argv[2])
generator = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)

SWEEP = """
title = "crash test"
kind = "error"
[base]
error.rows = 128
error.columns = 1024
[[axis]]
key = "error.spec"
values = ["nvfp4", "mxfp4", "mxfp4,round=sr:16", "nvfp4,rule=4over6", "int4,block=1x32"]
[[axis]]
seeds = 8
"""


def children(pid: int) -> list[int]:
    """Process ids below `pid`."""
    found = []
    try:
        tasks = pathlib.Path(f"/proc/{pid}/task").iterdir()
        for task in tasks:
            for child in (task / "children").read_text().split():
                found += [int(child), *children(int(child))]
    except OSError:
        pass
    return found


def contents(folder: pathlib.Path) -> dict[str, str]:
    """Content hash of every finished run, from the program's own strict reader."""
    import h5py

    out = {}
    for path in sorted((folder / "runs").glob("*.h5")):
        with h5py.File(path, "r") as file:
            assert file.attrs["status"] == "complete", path
            out[path.stem] = str(file.attrs["content_sha256"])
    return out


def main() -> int:
    try:
        import h5py  # noqa: F401
    except ImportError:
        print("skipped: no h5py")
        return 77
    root = pathlib.Path(tempfile.mkdtemp(prefix="fp4lab-crash-"))
    (root / "s.toml").write_text(SWEEP)
    command = [program, "sweep", str(root / "s.toml"), "--jobs", "2", "--out"]
    environment = dict(os.environ, OMP_NUM_THREADS="1")
    subprocess.run([*command, str(root / "calm")], check=True, capture_output=True, env=environment)
    calm = contents(root / "calm")
    assert len(calm) == 40, len(calm)

    storm = root / "storm"
    killed = lost = 0
    sizes: dict[str, str] = {}
    while killed < kills:
        process = subprocess.Popen(
            [*command, str(storm), "--retry", "1000"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
        time.sleep(generator.uniform(0.0, 0.25))
        victims = [process.pid, *children(process.pid)]
        victim = generator.choice(victims)
        try:
            os.kill(victim, signal.SIGKILL)
            killed += 1
        except ProcessLookupError:
            pass
        if victim != process.pid:  # the owner goes on without that worker for a moment
            time.sleep(generator.uniform(0.0, 0.1))
            process.kill()
        process.wait()
        # What was finished stays finished, byte for byte.
        for path in (storm / "runs").glob("*.h5"):
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            if sizes.setdefault(path.stem, digest) != digest:
                print(f"run {path.stem} was written twice")
                lost += 1
        for run in list(sizes):
            if not (storm / "runs" / f"{run}.h5").exists():
                print(f"run {run} was finished and is gone")
                lost += 1
                del sizes[run]
        if len(sizes) == len(calm) and killed < kills:  # all done: begin again
            check = contents(storm)
            lost += sum(check.get(run) != digest for run, digest in calm.items())
            shutil.rmtree(storm)
            sizes.clear()
    subprocess.run([*command, str(storm)], check=True, capture_output=True, env=environment)
    after = contents(storm)
    differing = [run for run in calm if after.get(run) != calm[run]]
    extra = set(after) - set(calm)
    status = subprocess.run(
        [program, "sweep", "status", str(storm)], check=True, capture_output=True, text=True
    )
    good = not differing and not extra and lost == 0 and "40 done" in status.stdout
    same_index = (storm / "summary.csv").read_bytes() == (root / "calm" / "summary.csv").read_bytes()
    print(
        f"{killed} kills: {lost} runs lost or written twice, {len(differing)} different, "
        f"{len(extra)} unknown, index {'equal' if same_index else 'DIFFERENT'}"
    )
    shutil.rmtree(root)
    return 0 if good and same_index else 1


sys.exit(main())
