#!/usr/bin/env python3
"""Runs the sweeps of experiments/directions and says which expected directions show.

usage: directions.py PROGRAM [--out DIR] [--jobs N] [--table FILE] [--only SWEEP ...]

Each sweep goes to DIR/NAME; what is there is not done again. With FP4LAB_DIRECTIONS=DIR nothing is
run: the results in DIR are evaluated. A comparison is paired by seed: mean, standard deviation and
standard error (SD / sqrt n) of the differences; one beyond two standard errors counts. Exit status: 0;
1 when a comparison that is declared as established holds no longer, or a run is missing; 77 without
h5py.
"""
import argparse
import dataclasses
import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Callable

HERE = pathlib.Path(__file__).resolve().parent
SWEEPS = HERE.parent.parent / "experiments" / "directions"
# Claims that did not show, or only sometimes: reported, not required. All others are established.
OPEN = (
    "alone is near bf16",  # small beside q1, but beyond noise
    "outlier tokens: Wgrad without Hadamard has the larger error, nvfp4",
    "text, nothing injected",
    "attention in FP4",
    "balances worse",
    "head in FP4: floor, RNE is worse",
)
NEAR = 0.25  # "near": a difference below this share of the second figure
NEUTRAL = 0.02  # a difference below this share of the second figure is none
NAMES = ("text", "head", "router", "outliers", "attention")


@dataclasses.dataclass
class Run:
    """What one result file says, as far as comparisons ask."""

    diverged: bool
    weights: str
    data: dict  # path -> array

    def loss(self) -> float:
        """Held-out loss at the end; where training was given up, its mean over the last tenth."""
        if not self.diverged and "/eval/loss" in self.data:
            return float(self.data["/eval/loss"][-1])
        tail = self.data["/series/loss"]
        return float(tail[-max(1, len(tail) // 10) :].mean())

    def gemm(self, field: str, product: str) -> float:
        """Mean over samples and layers, but the head, of one figure of y, dx or dw."""
        import numpy

        inner = [name != b"head" for name in self.data["/gemms/layer"]]
        values = self.data["/gemms/" + field][:, inner, ("y", "dx", "dw").index(product)]
        return float(numpy.nanmean(values))

    def sqnr(self) -> float:
        """Mean SQNR in dB over samples, layers and the slots that read raw tensors: q1 q2 q3 q5."""
        import numpy

        return float(numpy.nanmean(self.data["/layers/sqnr_db"][:, :, (0, 1, 2, 4)]))

    def entropy(self) -> float:
        """Mean attention entropy after the first sample, nats."""
        return float(self.data["/attention/entropy"][1:].mean())

    def flips(self) -> float:
        """Share of routed tokens that unquantized router arithmetic sends elsewhere."""
        load, flips = self.data["/router/load"], self.data["/router/flips"]
        return float(flips.sum() / load.sum())

    def imbalance(self) -> float:
        """Mean over samples and layers of the largest load over the mean load."""
        load = self.data["/router/load"].astype(float)
        return float((load.max(axis=-1) / load.mean(axis=-1)).mean())


@dataclasses.dataclass
class Check:
    """`first` against `second` of a sweep. want: "above": first - second is positive beyond noise;
    "not above": it is not; "neutral": it is noise, or below 2 % of second; "near": below 25 %;
    "equal": the two runs have the same weights and series, bit for bit."""

    row: int
    claim: str
    sweep: str
    first: str
    second: str
    figure: str
    metric: Callable[[Run], float] | None = None
    want: str = "above"

    @property
    def established(self) -> bool:
        """The test fails when it no longer shows."""
        return not any(part in self.claim for part in OPEN)


def loss(run: Run) -> float:
    return run.loss()


def checks() -> list[Check]:
    """Directions E of the specification that layers, policies and roundings alone can show."""
    out: list[Check] = []

    def add(row, claim, sweep, first, second, figure, metric=None, want="above"):
        out.append(Check(row, claim, sweep, first, second, figure, metric, want))

    held_out = "held-out loss"
    add(1, "bf16 is better than TetraJet", "text", "tetrajet", "bf16", held_out, loss)
    add(1, "bf16 is better than plain MXFP4", "text", "mxfp4-baseline", "bf16", held_out, loss)
    add(1, "TetraJet is no worse than plain MXFP4", "text", "tetrajet", "mxfp4-baseline", held_out,
        loss, "not above")
    add(2, "q1 alone costs", "text", "q1", "bf16", held_out, loss)
    for slot in ("q2", "q3", "q4", "q5", "q6"):
        add(2, f"q1 costs more than {slot}", "text", "q1", slot, held_out, loss)
    for slot in ("q2", "q3", "q4", "q5", "q6"):
        add(2, f"{slot} alone is near bf16", "text", slot, "bf16", held_out, loss, "not above")
    add(4, "SR in the forward is worse", "text", "tetrajet, SR forward", "tetrajet", held_out, loss)
    mlp = "mlp, all layers"
    for recipe in ("rceil, SR", "floor, RNE"):
        add(1, f"bf16 is better than {recipe} with the head in bf16 (mlp)", "head",
            f"{recipe}, head bf16", "bf16", held_out, loss)
    add(2, f"q1 alone costs ({mlp})", "head", "q1", "bf16", held_out, loss)
    for slot in ("q2", "q3", "q4", "q5", "q6"):
        add(2, f"q1 costs more than {slot} ({mlp})", "head", "q1", slot, held_out, loss)
        add(2, f"{slot} alone is near bf16 ({mlp})", "head", slot, "bf16", held_out, loss,
            "not above")
    add(4, f"SR in the forward is worse ({mlp})", "head", "rceil, SR, SR forward", "rceil, SR",
        held_out, loss)
    for sweep, where in (("text", "language model, head in bf16"), ("head", mlp)):
        add(5, f"per-tensor E2M1 dY: RNE is worse than SR ({where})", sweep, "dY e2m1 rne",
            "dY e2m1 sr", held_out, loss)
        add(5, f"per-tensor E3M0 dY: RNE is worse than LUQ ({where})", sweep, "dY e3m0 rne",
            "dY e3m0 luq", held_out, loss)
    add(7, "NVFP4 has the higher SQNR than MXFP4, TetraJet's slots", "text", "nvfp4 as tetrajet",
        "tetrajet", "SQNR, dB", Run.sqnr)
    add(7, "NVFP4 has the higher SQNR than MXFP4, plain slots", "text", "nvfp4 as mxfp4-baseline",
        "mxfp4-baseline", "SQNR, dB", Run.sqnr)
    add(7, "NVFP4 trains no worse, TetraJet's slots", "text", "nvfp4 as tetrajet", "tetrajet",
        held_out, loss, "not above")
    add(7, "NVFP4 trains no worse, plain slots", "text", "nvfp4 as mxfp4-baseline",
        "mxfp4-baseline", held_out, loss, "not above")
    add(8, "one level of scales collapses at a loss scale of 2^-12", "head",
        "single level, loss 2^-12", "nvfp4, loss 2^-12", held_out, loss)
    add(8, "one level of scales, loss scale 1", "head", "single level", "nvfp4", held_out, loss)
    for name in ("nvfp4", "mxfp4"):
        add(16, f"outlier tokens: Wgrad without Hadamard has the larger error, {name}", "outliers",
            f"{name} / outliers", f"{name}, RHT / outliers", "relative error of dW",
            lambda r: r.gemm("rel_error", "dw"))
        add(16, f"no outliers: a Hadamard is neutral for the error of Wgrad, {name}", "outliers",
            f"{name}, RHT / plain", f"{name} / plain", "relative error of dW",
            lambda r: r.gemm("rel_error", "dw"), "neutral")
    add(16, "text, nothing injected: a Hadamard is neutral for the error of Wgrad, nvfp4", "text",
        "nvfp4-basic, RHT on Wgrad", "nvfp4-basic", "relative error of dW",
        lambda r: r.gemm("rel_error", "dw"), "neutral")
    add(19, "1-D weights have the larger error of dX against dY Wq", "text", "nvfp4-basic",
        "nvfp4-basic, 2-D weights", "relative error of dX", lambda r: r.gemm("ste_rel_error", "dx"))
    add(19, "2-D weights train no worse", "text", "nvfp4-basic, 2-D weights", "nvfp4-basic",
        held_out, loss, "not above")
    add(20, "attention in FP4 has the higher entropy than in FP8", "attention", "attention fp4",
        "attention fp8", "entropy, nats", Run.entropy)
    add(21, "a router in FP4 sends tokens elsewhere", "router", "router fp4", "router bf16",
        "share of tokens", Run.flips)
    add(21, "a router in FP4 balances worse", "router", "router fp4", "router bf16",
        "largest / mean load", Run.imbalance)
    for bad in ("rceil, RNE", "floor, RNE", "floor, SR"):
        add(22, f"head in FP4: {bad} is worse than rceil, SR", "head", bad, "rceil, SR", held_out,
            loss)
        add(22, f"{bad}: the head in FP4 is worse than in bf16", "head", bad, f"{bad}, head bf16",
            held_out, loss)
    add(22, "rceil, SR survives: within 25 % of the loss with the head in bf16", "head", "rceil, SR",
        "rceil, SR, head bf16", held_out, loss, "near")
    add(23, "two-level NVFP4 at a loss scale of 2^-12 has the same bits", "head",
        "nvfp4, loss 2^-12", "nvfp4", "weights and losses", None, "equal")
    return sorted(out, key=lambda c: c.row)


def read_sweep(folder: pathlib.Path) -> dict[str, dict[int, Run]]:
    """Finished runs by label (labels of several axes joined by ' / ') and seed."""
    import h5py

    wanted = ("/series/loss", "/eval/loss", "/gemms/layer", "/gemms/rel_error", "/gemms/ste_rel_error",
              "/layers/sqnr_db", "/attention/entropy", "/router/load", "/router/flips")
    out: dict[str, dict[int, Run]] = {}
    with h5py.File(folder / "sweep.h5", "r") as index:
        labels = [k for k in ("variant", "quantizer", "data") if k in index]
        for i, status in enumerate(index["status"][:]):
            if status.decode() not in ("complete", "diverged"):
                continue
            label = " / ".join(index[k][i].decode() for k in labels)
            with h5py.File(folder / index["file"][i].decode(), "r") as file:
                data = {path: file[path][()] for path in wanted if path in file}
                run = Run(status.decode() == "diverged", str(file.attrs["weights_sha256"]), data)
            out.setdefault(label, {})[int(index["seed"][i])] = run
    return out


def same_bits(first: Run, second: Run) -> bool:
    series = ("/series/loss", "/eval/loss")
    return first.weights == second.weights and all(
        first.data[p].tobytes() == second.data[p].tobytes() for p in series)


@dataclasses.dataclass
class Finding:
    check: Check
    verdict: str
    holds: bool
    means: str
    difference: str
    diverged: str


def number(value: float) -> str:
    return f"{value:.4f}" if abs(value) < 100 else f"{value:.1f}"


def evaluate(check: Check, runs: dict[str, dict[int, Run]]) -> Finding:
    missing = [n for n in (check.first, check.second) if n not in runs]
    if missing:
        return Finding(check, "no runs of " + ", ".join(missing), False, "", "", "")
    a, b = runs[check.first], runs[check.second]
    seeds = sorted(set(a) & set(b))
    diverged = f"{sum(a[s].diverged for s in seeds)}, {sum(b[s].diverged for s in seeds)}"
    if check.want == "equal":
        same = sum(same_bits(a[s], b[s]) for s in seeds)
        holds = same == len(seeds) and same > 0
        return Finding(check, "shows" if holds else "does not show", holds,
                       f"{same} of {len(seeds)} the same", "", diverged)
    if len(seeds) < 2:
        return Finding(check, "fewer than two seeds", False, "", "", "")
    x, y = [check.metric(a[s]) for s in seeds], [check.metric(b[s]) for s in seeds]
    d = [p - q for p, q in zip(x, y)]
    n = len(d)
    mean = sum(d) / n
    sd = math.sqrt(sum((v - mean) ** 2 for v in d) / (n - 1))
    error = sd / math.sqrt(n)
    above, below = mean > 2 * error and mean != 0, -mean > 2 * error and mean != 0
    if check.want == "above":
        verdict = "shows" if above else "opposite" if below else "within noise"
        holds = above
    elif check.want in ("neutral", "near"):
        share = NEUTRAL if check.want == "neutral" else NEAR
        holds = not (above or below) or abs(mean) <= share * abs(sum(y) / n)
        verdict = "shows" if holds else "higher" if above else "lower"
    else:
        verdict = "does not show" if above else "shows, lower" if below else "shows, within noise"
        holds = not above
    return Finding(check, verdict, holds, f"{number(sum(x) / n)}, {number(sum(y) / n)}",
                   f"{mean:+.4f} ± {error:.4f} (SD {sd:.4f})", diverged)


def markdown(findings: list[Finding]) -> str:
    lines = [
        "| row | expected | first, second | figure | means | first − second ± SE | diverged | found |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for f in findings:
        c = f.check
        diverged = "" if f.diverged in ("0, 0", "") else f.diverged
        lines.append(f"| {c.row} | {c.claim} | {c.first}; {c.second} | {c.figure} | {f.means} | "
                     f"{f.difference} | {diverged} | {f.verdict} |")
    return "\n".join(lines) + "\n"


def run_sweeps(program: str, names: list[str], out: pathlib.Path, jobs: int) -> None:
    for name in names:
        command = [program, "sweep", str(SWEEPS / f"{name}.toml"), "--out", str(out / name),
                   "--jobs", str(jobs)]
        print(" ".join(command), flush=True)
        status = subprocess.run(command, check=False).returncode
        if status != 0:
            sys.exit(f"directions.py: the sweep {name} ended with status {status}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("directions-results"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--table", type=pathlib.Path, help="write the table here as well")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=list(NAMES))
    given = parser.parse_args()
    try:
        import h5py  # noqa: F401
    except ImportError:
        print("directions.py: h5py is missing (python3-h5py)")
        return 77
    folder = given.out
    if os.environ.get("FP4LAB_DIRECTIONS"):
        folder = pathlib.Path(os.environ["FP4LAB_DIRECTIONS"])
    else:
        run_sweeps(given.program, given.only, folder, given.jobs)
    results = {n: read_sweep(folder / n) for n in given.only if (folder / n / "sweep.h5").exists()}
    absent = [name for name in given.only if name not in results]
    if absent:
        print(f"directions.py: {folder} has no results of {', '.join(absent)}")
    findings = [evaluate(c, results[c.sweep]) for c in checks() if c.sweep in results]
    table = markdown(findings)
    print(table)
    if given.table:
        given.table.write_text(table)
    lost = [f for f in findings if f.check.established and not f.holds]
    for f in lost:
        print(f"row {f.check.row} no longer holds: {f.check.claim}: {f.verdict}")
    return 1 if lost or absent else 0


if __name__ == "__main__":
    sys.exit(main())
