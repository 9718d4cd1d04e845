"""Cuts finished files at every 512 bytes and gives them to everything that reads them.

usage: cuts.py PROGRAM [all]; without `all` about eight cuts a file.

A reader answers within two seconds of processor time, with exit code 2 and one line that names the
file; or, where a damaged file is one of several, with 0 and a word about it. Never with a crash.
"""
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

program = str(pathlib.Path(sys.argv[1]).resolve())
whole = sys.argv[2:] == ["all"]
root = pathlib.Path(tempfile.mkdtemp(prefix="fp4lab-cuts-"))

(root / "s.toml").write_text(
    """
title = "cuts"
[[part]]
name = "errors"
kind = "error"
[part.base]
error.rows = 16
error.columns = 64
[[part.axis]]
key = "error.spec"
values = ["nvfp4", "mxfp4"]
[[part]]
name = "training"
[part.base]
preset = "t1"
data.name = "glyphs"
data.items = 64
train.steps = 3
train.batch = 8
model.dim = 32
"""
)


def fp4lab(*words: str, check: bool = True) -> subprocess.CompletedProcess:
    return subprocess.run(
        [program, *words], check=check, capture_output=True, text=True, cwd=root, timeout=120
    )


tiny = ["--set", "data.name=glyphs", "--set", "data.items=64", "--set", "train.steps=3",
        "--set", "train.batch=8", "--set", "model.dim=32", "--preset", "t1", "--baseline", "none"]
fp4lab("sweep", "s.toml", "--jobs", "1", "--out", "r")
fp4lab("quantize", "--spec", "nvfp4", "sample:gaussian", "--out", "q.h5")
fp4lab("quantize", "--spec", "nvfp4", "sample:gaussian", "--out", "q.json")
fp4lab("train", *tiny, "--out", "t.h5", "--save-weights", "w.safetensors", "--checkpoint", "saved")
runs = sorted((root / "r/runs").glob("*.h5"), key=lambda p: p.stat().st_size)
trained = str(runs[-1].relative_to(root))

# File, readers, whether the reader has to refuse (2) or may go on without the file (0).
SLOW = ("plot", "report")  # Python starts for these
readers: list[tuple[str, list[list[str]], set[int]]] = [
    (trained, [["sweep", "status", "r"], ["merge", "r"], ["sweep", "s.toml", "--dry-run", "--out", "r"],
               ["plot", "error", "r", "-o", "p.svg"], ["report", "r"]], {0}),
    (trained, [["plot", "loss", trained, "-o", "p.svg"], ["report", trained, "-o", "p.html"]], {2}),
    ("r/sweep.h5", [["sweep", "status", "r"], ["merge", "r"], ["plot", "error", "r", "-o", "p.svg"],
                    ["report", "r"]], {0}),
    ("r/sweep.toml", [["sweep", "status", "r"], ["merge", "r"], ["sweep", "--out", "r"]], {2}),
    ("t.h5", [["plot", "loss", "t.h5", "-o", "p.svg"]], {2}),
    ("q.h5", [["decode", "q.h5", "y.npy"], ["quantize", "--spec", "mxfp4", "q.h5:/scales"],
              ["error", "q.h5", "--spec", "mxfp4"], ["gemm", "q.h5", "q.h5"],
              ["cast", "--format", "e2m1", "sample:ramp", "q.h5:/more"]], {2}),
    ("q.json", [["decode", "q.json", "y.npy"]], {2}),
    ("q.codes.npy", [["decode", "q.json", "y.npy"], ["quantize", "--spec", "mxfp4", "q.codes.npy"]], {2}),
    ("w.safetensors", [["error", "w.safetensors", "--spec", "mxfp4"]], {2}),
    # A damaged checkpoint is passed over; its run begins again.
    (str(next((root / "saved").iterdir()).relative_to(root)),
     [["train", *tiny, "--checkpoint", "saved", "--resume", "--json"]], {0}),
]

bad: list[str] = []
answers = 0
for name, commands, codes in readers:
    path = root / name
    data = path.read_bytes()
    cuts = list(range(0, len(data), 512))
    if not whole:
        cuts = sorted({*cuts[:: max(1, len(cuts) // 6)], cuts[-1]})
    # The last bytes too: the seal, the end of a list.
    text = path.suffix in (".toml", ".json")  # complete without the last newline
    last = (len(data) - 40, len(data) - 78, len(data) - (2 if text else 1))
    cuts += [n for n in last if n > 0 and n not in cuts]
    for command in commands:
        slow = command[0] in SLOW
        for cut in cuts if whole or not slow else cuts[-1:]:
            folder = path.parent
            kept = root / "kept"
            if path.suffix == ".checkpoint":  # resuming writes there
                shutil.copytree(folder, kept)
            path.write_bytes(data[:cut])
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            done = fp4lab(*command, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            path.write_bytes(data)
            if kept.exists():
                shutil.rmtree(folder)
                kept.rename(folder)
            answers += 1
            where = f"{name} cut at {cut} of {len(data)}: {' '.join(command)}: "
            lines = done.stderr.splitlines()
            named = path.name in done.stderr or path.stem in done.stderr + done.stdout
            if cut == 0 and command[0] == "cast":  # an empty file gets its first data set
                continue
            if done.returncode not in codes:
                bad.append(f"{where}exit {done.returncode}: {done.stderr[:300]!r}")
            elif done.returncode == 2 and (len(lines) != 1 or not named):
                bad.append(f"{where}not one line that names the file: {done.stderr[:300]!r}")
            elif "Traceback" in done.stderr:
                bad.append(f"{where}{done.stderr[:300]!r}")
            # Python and its plots take a second or more to start; their reader is tested by itself.
            elif seconds > (10.0 if slow else 2.0):
                bad.append(f"{where}{seconds:.1f} s")
for line in bad:
    print(line)
print(f"{answers} answers, {len(bad)} wrong")
shutil.rmtree(root)
sys.exit(1 if bad else 0)
