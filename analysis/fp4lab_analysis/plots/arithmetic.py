"""Studies of arithmetic: stochastic rounding averaged, accumulators against length."""

from __future__ import annotations

import numpy as np

from .. import style
from ..errors import NotInData
from ..figure import ResultFigure, bars, legend, legend_columns, line
from ..groups import group_runs
from ..registry import plot_kind
from ..results import Result, Results
from .curves import plain_log_ticks


def tables(results: Results, kind: str, *columns: str) -> list[Result]:
    """Files of a kind whose table has the columns; raises NotInData."""
    runs = results.with_data(*(f"/table/{c}" for c in columns), kinds=(kind,))
    if not runs:
        raise NotInData(f"no file of kind {kind} here")
    return runs


def column(run: Result, name: str) -> np.ndarray:
    return run.numbers(f"/table/{name}")


@plot_kind(
    "rounding",
    "Bias of stochastic rounding and concentration of averages",
    "files of kind `rounding` with `/table`",
    reads="rounding",
)
def plot_rounding(results: Results) -> ResultFigure:
    """Top: error of the mean of n quantizations against n, with the 1/sqrt(n) line that an unbiased
    rounding of the same variance follows (thin). Bottom: bias of the mean over all repeats, away from
    (positive) or towards zero (negative)."""
    runs = tables(results, "rounding", "repeats", "relative_error", "bias", "variance", "rms_error")
    groups = group_runs(runs)
    names = list(dict.fromkeys(g.name for g in groups))
    figure = ResultFigure(1.35 + 0.1 + 0.14 * len(groups))
    top, bottom = figure.subplots(2, 1, gridspec_kw={"height_ratios": (3, 0.5 + 0.4 * len(groups))})
    top.set_title("Error of the mean of n quantizations")
    top.set_xlabel("n, quantizations averaged")
    top.set_ylabel("relative error")
    top.set_xscale("log", base=2)
    top.xaxis.set_major_formatter("{x:.0f}")
    top.set_yscale("log")
    layers = sorted({g.layer for g in groups})
    bias = np.full((len(layers), len(names)), np.nan)
    for group in groups:
        run = group.runs[0]
        n, error = column(run, "repeats"), column(run, "relative_error")
        look = style.look(group.index, group.layer)
        line(top, n, error, group.label, look, markevery=1)
        # The variance of one quantization is known best from all repeats; the ratio of the two error
        # columns is the size of the tensor.
        variance = column(run, "variance")[-1]
        with np.errstate(invalid="ignore", divide="ignore"):
            size = np.nanmedian(column(run, "rms_error") / error)
        if variance > 0 and np.isfinite(size):
            thin = style.Look(look.color, (0, (1, 1)), "", "")
            law = np.sqrt(variance / n) / size
            line(top, n, law, f"{group.label}: 1/√n law", thin, marks=False, linewidth=0.9)
            top.lines[-1].set_label("_law")
        bias[layers.index(group.layer), names.index(group.name)] = column(run, "bias")[-1]
        if len(group.runs) > 1:
            figure.note(f"{group.label}: first of {len(group.runs)} seeds drawn.")
    plain_log_ticks(top.yaxis)
    bottom.set_title("Bias of the mean over all repeats")
    bottom.set_xlabel("mean of sign(x) (mean − x), in units of the tensor")
    bottom.set_ylabel("spec")
    origins = {g.layer: g.origin for g in groups}
    series = [origins[k] for k in layers] if len(layers) > 1 else ["bias"]
    bars(bottom, names, series, bias, [style.look(max(0, k - 1), k) for k in layers])
    if len(layers) > 1:
        legend(bottom)
    legend(top, 1)
    figure.caption = (
        "Error of the mean of n quantizations of one tensor; dotted: what an unbiased rounding of the "
        "same variance would reach, proportional to 1/√n. A curve that leaves its law has a bias (bottom; "
        "negative is towards zero)."
    )
    return figure


ULP_BINS = (
    ("ulp_0", "0"),
    ("ulp_1", "1"),
    ("ulp_2_3", "2–3"),
    ("ulp_4_15", "4–15"),
    ("ulp_16_255", "16–255"),
    ("ulp_256_up", "≥ 256"),
)


@plot_kind(
    "accumulator",
    "Accumulator error growth and ULP histogram",
    "files of kind `gemm` with `/table`",
    reads="gemm",
)
def plot_accumulator(results: Results) -> ResultFigure:
    """Top: relative error of the product against the exact one as K grows. Bottom: distances from
    the exact result in binary32 ULP at the largest K."""
    runs = tables(results, "gemm", "k", "relative_error", "ulp_0")
    groups = group_runs(runs)
    labels = [g.label if len(groups) > 1 else str(g.runs[0].table()["accumulate"][0]) for g in groups]
    figure = ResultFigure(2.0)
    top, bottom = figure.subplots(2, 1)
    top.set_title("Error growth")
    top.set_xlabel("K, length of the dot products")
    top.set_ylabel("relative error")
    top.set_xscale("log", base=2)
    top.xaxis.set_major_formatter("{x:.0f}")
    bottom.set_title("Distance from the exact product at the largest K")
    bottom.set_xlabel("binary32 ULP")
    bottom.set_ylabel("share of outputs [%]")
    exact = []
    at = np.arange(len(ULP_BINS), dtype=float)
    width = 0.8 / len(groups)
    for i, (group, label) in enumerate(zip(groups, labels)):
        run = group.runs[0]
        look = style.look(group.index, group.layer)
        k, error = column(run, "k"), column(run, "relative_error")
        order = np.argsort(k, kind="stable")
        shown = np.where(error > 0, error, np.nan)[order]
        line(top, k[order], shown, label, look, markevery=1)
        if (error == 0).any():
            exact.append(f"{label} is exact at K = {', '.join(f'{v:.0f}' for v in k[error == 0])}.")
        counts = np.array([column(run, name)[order[-1]] for name, _ in ULP_BINS])
        share = 100 * counts / counts.sum()
        bottom.bar(
            at + (i - (len(groups) - 1) / 2) * width,
            share,
            width * 0.92,
            color=look.color,
            hatch=look.hatch,
            edgecolor=style.PAPER,
            linewidth=0.4,
            label=label,
        )
        figure.record(
            "Distance from the exact product at the largest K", label, "binary32 ULP",
            [name for _, name in ULP_BINS], "share of outputs [%]", share,
        )
    if any(np.isfinite(ln.get_ydata()).any() for ln in top.lines):
        top.set_yscale("log")
    bottom.set_xticks(at, [name for _, name in ULP_BINS])
    bottom.grid(axis="x", visible=False)
    legend(bottom, legend_columns(labels), below=True)
    figure.caption = (
        "Relative error of each accumulator against the exact product as K grows, and how far its "
        "outputs are from the exact ones at the largest K."
    )
    for text in exact:
        figure.note(f"{text} A logarithmic axis cannot show it.")
    return figure
