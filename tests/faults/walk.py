"""Makes every writing call of the program fail in turn and looks at what is left.

usage: walk.py PROGRAM SHIM [all | SCENARIO...]; without more a thinned walk of a few seconds.

A scenario is a command and the files it should leave. Run once undisturbed it gives their content and
the number of its writing calls; then, for each call and each kind of fault (shim.c), in a fresh folder:

- exit code 3 and one line on standard error, or 0 when the fault could be survived (a short write);
- every file that has its final name is whole: what it was before the command, or what the command
  makes of it; after exit code 3 the outputs of one `quantize` are all old or all absent;
- no temporary and no lock is left;
- after exit code 3 the same command without faults ends with 0 and leaves what an undisturbed one
  leaves.
"""
import dataclasses
import hashlib
import mmap
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable

PROGRAM, SHIM = (str(pathlib.Path(p).resolve()) for p in sys.argv[1:3])
KINDS = ("ENOSPC", "EIO", "full", "short", "short-full")
# Calls whose failure may be survived: the content is synced and has its name already, or a copy takes
# the place of a second name.
SURVIVABLE = ("fsync", "close", "link")

SWEEP = """
title = "faults"
kind = "error"
[base]
error.rows = 8
error.columns = 32
[[axis]]
key = "error.spec"
values = [SPECS]
"""
TRAIN = """
preset = "t1"
data.name = "glyphs"
data.items = 64
train.steps = 2
train.batch = 8
model.dim = 32
"""
# Root attributes that differ from run to run; experiments/SCHEMA.md calls them volatile.
VOLATILE = {
    "command_line", "host", "cpu", "isa", "threads", "executor", "code_path", "gpu", "driver",
    "started", "finished", "wall_s",
}


@dataclasses.dataclass
class Scenario:
    name: str
    command: list[str]  # "@" is the folder
    prepare: Callable[[pathlib.Path], None] = lambda folder: None
    together: bool = False  # the outputs appear all or not at all
    more: bool = False  # slow to start: left to the whole walk


def program(folder: pathlib.Path, *words: str) -> None:
    """An undisturbed command of a preparation."""
    command = [PROGRAM, *(w.replace("@", str(folder)) for w in words)]
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)


def write_sweep(*specs: str) -> Callable[[pathlib.Path], None]:
    def prepare(folder: pathlib.Path) -> None:
        quoted = ", ".join(f'"{s}"' for s in specs)
        (folder / "s.toml").write_text(SWEEP.replace("SPECS", quoted))

    return prepare


def finished_sweep(folder: pathlib.Path) -> None:
    write_sweep("nvfp4")(folder)
    program(folder, "sweep", "@/s.toml", "--jobs", "1", "--out", "@/r")
    write_sweep("nvfp4", "mxfp4")(folder)


def stale_index(folder: pathlib.Path) -> None:
    """A sweep whose index is that of an earlier state."""
    finished_sweep(folder)
    before = {n: (folder / "r" / n).read_bytes() for n in ("sweep.h5", "summary.csv", "summary.md")}
    program(folder, "sweep", "@/s.toml", "--extend", "--jobs", "1", "--out", "@/r")
    for name, content in before.items():
        (folder / "r" / name).write_bytes(content)


def other_folder(folder: pathlib.Path) -> None:
    finished_sweep(folder)
    (folder / "r").rename(folder / "a")


def train_sweep(folder: pathlib.Path) -> None:
    (folder / "t.toml").write_text('title = "faults"\n[base]\n' + TRAIN)


def train_config(folder: pathlib.Path) -> None:
    (folder / "t.toml").write_text(TRAIN)


def old_arrays(folder: pathlib.Path) -> None:
    program(folder, "quantize", "--spec", "mxfp4", "sample:ramp", "--out", "@/q.json")
    program(folder, "quantize", "--spec", "mxfp4", "sample:ramp", "--out", "@/q.h5:/old")


QUANTIZE = ["quantize", "--spec", "nvfp4", "sample:ramp"]
SWEEP_ONE = ["sweep", "@/s.toml", "--jobs", "1", "--out", "@/r"]
SCENARIOS = [
    Scenario("sweep", SWEEP_ONE, write_sweep("nvfp4")),
    Scenario("sweep-extend", [*SWEEP_ONE, "--extend"], finished_sweep),
    Scenario("sweep-train", ["sweep", "@/t.toml", "--jobs", "1", "--out", "@/r"], train_sweep),
    Scenario("merge", ["merge", "@/r", "--links"], stale_index),
    Scenario("merge-folders", ["merge", "@/r", "@/a"], other_folder),
    Scenario("quantize-npy", [*QUANTIZE, "--out", "@/q.json", "--dequant", "@/y.npy"], together=True),
    Scenario("quantize-h5", [*QUANTIZE, "--out", "@/q.h5"], together=True),
    Scenario(
        "quantize-over-old",
        [*QUANTIZE, "--out", "@/q.json", "--dequant", "@/q.h5:/y"],
        old_arrays,
        together=True,
    ),
    Scenario("cast", ["cast", "--format", "e2m1", "sample:ramp", "@/c.npy"], together=True),
    Scenario(
        "train",
        ["train", "@/t.toml", "--out", "@/t.h5", "--checkpoint", "@/saved", "--save-weights",
         "@/w.safetensors"],
        train_config,
    ),
    Scenario("plot", ["plot", "error", "@/r", "-o", "@/p.svg", "--data", "@/p.csv"], finished_sweep,
             more=True),
    Scenario("report", ["report", "@/r"], finished_sweep, more=True),
]
ENVIRONMENT = {
    **{k: v for k, v in os.environ.items() if not k.startswith("FP4LAB_")},
    "OMP_NUM_THREADS": "1",
    "MPLCONFIGDIR": os.path.join(tempfile.gettempdir(), "fp4lab-faults-mpl"),
}


def content(path: pathlib.Path) -> str:
    """What a file holds, without what may differ from run to run; fails for an unsound file."""
    data = path.read_bytes()
    mark = b"\nfp4lab-seal "
    if path.suffix == ".h5" and (path.parent.name == "runs" or mark in data[-80:]):
        body, seal = data[: -len(mark) - 65], data[-65:-1]
        assert data[-len(mark) - 65 : -65] == mark, f"{path}: no seal"
        assert hashlib.sha256(body).hexdigest().encode() == seal, f"{path}: broken seal"
        import h5py

        with h5py.File(path, "r") as file:
            kept = {k: str(v) for k, v in file.attrs.items() if k not in VOLATILE}
        return str(sorted(kept.items()))
    if is_index(path.name):
        assert data.endswith(b"\n"), f"{path}: cut"
    if path.suffix == ".checkpoint":  # holds the time that steps took
        head, body = data.split(b"\n", 1)
        assert head.split()[-1] == hashlib.sha256(body).hexdigest().encode(), f"{path}: damaged"
        return "a checkpoint"
    if path.suffix == ".html":  # says when and where it was made
        assert data.rstrip().endswith(b"</html>"), path
        return "a page"
    return hashlib.sha256(data).hexdigest()


def is_index(name: str) -> bool:
    """The index of a sweep says what is there: after a failure, that runs are missing. That it is
    whole has been checked by then."""
    return pathlib.Path(name).name in ("sweep.h5", "summary.csv", "summary.md")


def files_of(folder: pathlib.Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): content(p)
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.endswith(".error.json")
    }


def run(scenario: Scenario, folder: pathlib.Path, at: int, kind: str) -> tuple:
    """Exit code, standard error, number of counted calls, the call that met the fault."""
    state = folder.parent / "state"
    state.write_bytes(bytes(mmap.PAGESIZE))
    environment = {
        **ENVIRONMENT,
        "LD_PRELOAD": SHIM,
        "FP4LAB_FAULT_ROOT": str(folder),
        "FP4LAB_FAULT_STATE": str(state),
        "FP4LAB_FAULT_AT": str(at),
        "FP4LAB_FAULT_KIND": kind,
    }
    words = [w.replace("@", str(folder)) for w in scenario.command]
    done = subprocess.run([PROGRAM, *words], capture_output=True, text=True, env=environment, timeout=60)
    data = state.read_bytes()
    hit = data[8:512].split(b"\0")[0].decode().replace(str(folder), "@")
    return done.returncode, done.stderr, struct.unpack("<Q", data[:8])[0], hit


class Walk:
    """One scenario: its undisturbed result and all faults."""

    def __init__(self, scenario: Scenario, root: pathlib.Path) -> None:
        self.scenario, self.root = scenario, root
        self.prepared = root / "prepared"
        self.prepared.mkdir()
        # Paths are part of what some commands write: every attempt happens in one place.
        self.folder = root / "work"
        self.folder.mkdir()
        scenario.prepare(self.folder)
        self.before = files_of(self.folder)
        shutil.copytree(self.folder, self.prepared, dirs_exist_ok=True)
        code, errors, self.calls, _ = run(scenario, self.folder, 0, "")
        assert code == 0, f"{scenario.name}: exit {code} without a fault: {errors}"
        self.after = files_of(self.folder)
        assert self.calls > 3, f"{scenario.name}: the shim saw {self.calls} calls"
        assert self.after != self.before, f"{scenario.name} wrote nothing"

    def check(self, at: int, kind: str) -> str:
        """One fault; a line about what is wrong, or nothing."""
        shutil.rmtree(self.folder)
        shutil.copytree(self.prepared, self.folder)
        code, errors, _, hit = run(self.scenario, self.folder, at, kind)
        where = f"{self.scenario.name}, {kind} at call {at} ({hit}), exit {code}: "
        try:
            found = files_of(self.folder)
        except (AssertionError, OSError) as damage:
            return f"{where}{damage}"
        if not hit:
            return f"{where}the call was not reached"
        strange = [
            name
            for name, what in found.items()
            if what not in (self.before.get(name), self.after.get(name)) and not is_index(name)
        ]
        if strange:
            return f"{where}neither old nor new, or a leftover: {strange}"
        if code == 0:
            # A full disk does not hinder what needs no room.
            harmless = kind not in ("ENOSPC", "EIO") or hit.split()[0] in SURVIVABLE
            if not harmless:
                return f"{where}the fault went unnoticed"
            if found != self.after:
                return f"{where}exit 0, but not all files are there"
        elif code == 3:
            lines = errors.splitlines()
            if len(lines) != 1 or not lines[0].startswith("fp4lab"):
                return f"{where}not one line: {errors[:400]!r}"
            if self.scenario.together and found != self.before:
                return f"{where}some outputs are new: {set(found) ^ set(self.before)}"
            if kind == "short":
                return f"{where}a short write is no failure: {errors}"
        else:
            return f"{where}{errors[:400]!r}"
        if code == 0:
            return ""
        code, errors, _, _ = run(self.scenario, self.folder, 0, "")
        # A second attempt saves into the other of a run's two checkpoints.
        found, wanted = (
            {n: c for n, c in files.items() if not n.endswith(".checkpoint")}
            for files in (files_of(self.folder), self.after)
        )
        if code != 0 or found != wanted:
            return f"{where}the repeated command did not heal: exit {code}, {errors[:400]}"
        if list(self.folder.rglob("*.error.json")):
            return f"{where}an error file outlived the success"
        return ""


def main() -> int:
    try:
        import h5py  # noqa: F401
    except ImportError:
        print("skipped: no h5py")
        return 77
    names = sys.argv[3:]
    whole = "all" in names
    bad: list[str] = []
    faults = 0
    for number, scenario in enumerate(SCENARIOS):
        if not whole and (scenario.name not in names if names else scenario.more):
            continue
        # Named so that no path of two walks at a time is the same.
        root = pathlib.Path(tempfile.mkdtemp(prefix="fp4lab-faults-")).resolve()
        walk = Walk(scenario, root)
        for at in range(1, walk.calls + 1):
            for index, kind in enumerate(KINDS):
                thinned = not names and (11 * at + index + number) % 55 != 0
                if thinned or (names and scenario.more and index not in (0, 2)):
                    continue
                faults += 1
                line = walk.check(at, kind)
                if line:
                    bad.append(line)
                    print(line, flush=True)
        shutil.rmtree(root)
        if names:
            print(f"{scenario.name}: {walk.calls} writing calls", flush=True)
    print(f"{faults} faults injected, {len(bad)} with a wrong outcome")
    return 1 if bad or faults == 0 else 0


sys.exit(main())
