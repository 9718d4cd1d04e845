"""Weights that oscillate between two codes: ratio, confidence, trajectories, flips."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from .. import style
from ..errors import InputError, NotInData
from ..figure import (
    ResultFigure,
    heat,
    histogram,
    label_ticks,
    legend,
    legend_columns,
    line,
    outer_labels,
)
from ..groups import group_runs
from ..registry import plot_kind
from ..results import Result, Results
from .curves import band, look_of, say_what_is_missing, trained
from .layers import choose, mean_and_range, name_of, pick, pick_each

MOST_TRACES = 6


def over_layers(run: Result, path: str) -> np.ndarray:
    """Mean over layers at each step; NaN where no layer has a value."""
    return mean_and_range(run.numbers(path))[0]


def seeds_over_layers(runs: list[Result], path: str) -> tuple[np.ndarray, np.ndarray]:
    """Means over layers on the union of the runs' windows: (steps, [run, step])."""
    steps = sorted({int(s) for r in runs for s in r.array("/oscillation/step")})
    values = np.full((len(runs), len(steps)), np.nan)
    for i, run in enumerate(runs):
        at = [steps.index(int(s)) for s in run.array("/oscillation/step")]
        values[i, at] = over_layers(run, path)
    return np.array(steps, float), values


@plot_kind(
    "oscillation",
    "Oscillation ratio over time and share above 16",
    "`/oscillation/ratio_mean`, `fraction_above_16` (`log.osc_every`)",
)
def plot_oscillation(results: Results) -> ResultFigure:
    """Mean oscillation ratio sum|dWq| / sum|dW| (top) and share of weights with a ratio above 16
    (bottom), mean over layers and seeds, with a band for the 95 % interval over seeds."""
    paths = ("/oscillation/ratio_mean", "/oscillation/fraction_above_16")
    runs = trained(results, "/oscillation/step", *paths)
    groups = group_runs(runs)
    figure = ResultFigure(1.9)
    axes = figure.subplots(2, 1, sharex=True)
    outer_labels(axes.reshape(2, 1))
    titles = ("Oscillation ratio, mean", "Oscillating weights (ratio above 16)")
    for ax, path, title, name in zip(axes, paths, titles, ("ratio", "share [%]")):
        ax.set_title(title)
        ax.set_xlabel("step at the end of the window")
        ax.set_ylabel(name)
        for group in groups:
            steps, values = seeds_over_layers(group.runs, path)
            mean, low, high = band(values * (100 if name == "share [%]" else 1))
            look = look_of(group, None)
            line(ax, steps, mean, group.label, look, low=low, high=high, markevery=1)
        ax.set_ylim(bottom=0)
    legend(axes[1], legend_columns([g.label for g in groups]), below=True)
    figure.ids = sorted({r.run_id for r in runs})[:64]
    figure.caption = (
        "Oscillation of the quantized weights, mean over layers and seeds; bands are 95 % intervals "
        "over seeds. A weight counts as oscillating when its quantized value moves more than 16 times "
        "as far as the weight itself."
    )
    say_what_is_missing(figure, results, runs)
    return figure


@plot_kind(
    "confidence",
    "Quantization confidence: mean and histogram",
    "`/oscillation/confidence_histogram`, `confidence_mean`",
)
def plot_confidence(
    results: Results, *, run: str | None = None, layer: str | None = None
) -> ResultFigure:
    """Top: mean distance of the weights to the nearest threshold over time, for each configuration.
    Bottom: its histogram in one run at the first, middle and last window (of several sweeps at the
    last), over all layers."""
    path = "/oscillation/confidence_histogram"
    runs = trained(results, "/oscillation/step", path, "/oscillation/confidence_mean")
    notes: list[str] = []
    picked = pick_each(runs, run, notes)
    groups = group_runs(runs)
    figure = ResultFigure(2.05)
    top, bottom = figure.subplots(2, 1)
    top.set_title("Mean confidence over time")
    top.set_xlabel("step at the end of the window")
    top.set_ylabel("confidence, 0 to 1")
    for group in groups:
        steps, values = seeds_over_layers(group.runs, "/oscillation/confidence_mean")
        mean, low, high = band(values)
        line(top, steps, mean, group.label, look_of(group, None), low=low, high=high, markevery=1)
    handles = top.get_legend_handles_labels()
    several = len(picked) > 1
    bottom.set_title("Histogram at the last window" if several else f"Histogram in {name_of(picked[0].run)}")
    bottom.set_xlabel("confidence: distance to the nearest threshold over half the bin")
    bottom.set_ylabel("share of weights [%]")
    for each in picked:
        chosen = each.run
        edges = chosen.bin_edges(path)
        if edges is None:
            raise InputError(f"{chosen.shown}: {path} has no bin_edges")
        rows = choose(chosen.texts("/oscillation/layer"), layer, "layer")
        values = chosen.numbers(path)[:, rows]
        have = np.isfinite(values).any(axis=(1, 2))
        counts = np.nansum(values, axis=1)
        windows = chosen.array("/oscillation/step")
        good = np.flatnonzero(have & (counts.sum(axis=1) > 0))
        if good.size == 0:
            raise NotInData(f"{chosen.shown}: {path} holds no counts")
        last = (good[-1],) if several else (good[0], good[len(good) // 2], good[-1])
        for i, t in enumerate(dict.fromkeys(last)):
            share = 100 * counts[t] / counts[t].sum()
            name = f"{each.prefix}step {int(windows[t])}"
            look = style.look(i + max(0, each.layer - 1), each.layer)
            histogram(bottom, edges, share, name, look)
        bottom.set_xlim(edges[0], edges[-1] if np.isfinite(edges[-1]) else edges[-2])
    bottom.set_ylim(bottom=0)
    legend(bottom)
    labels = [g.label for g in groups]
    legend(top, legend_columns(labels), below=True, entries=handles)
    figure.caption = (
        "Quantization confidence of the weights: 0 on a decision threshold, 1 in the middle of a bin. "
        "Top: mean over layers and seeds with 95 % intervals over seeds. Bottom: histogram of "
        + ("one run of each sweep." if several else "one run.")
    )
    for text in notes:
        figure.note(text)
    say_what_is_missing(figure, results, runs)
    return figure


def weight_name(run: Result, k: int) -> str:
    """Layer and row-major position of a traced weight, as `blocks.0.ffn[17]`."""
    place = int(run.array("/traces/flat_index")[k]) if run.has("/traces/flat_index") else k
    if not run.has("/traces/layer_index", "/policy/layer"):
        return f"weight {place}"
    return f"{run.texts('/policy/layer')[int(run.array('/traces/layer_index')[k])]}[{place}]"


def value_changes(codes: np.ndarray, thresholds: int) -> np.ndarray:
    """How often each weight's quantized value changes. Codes are values, but for formats of sign and
    magnitude (one threshold less than 2^n - 1 values have), whose -0 is the value of +0."""
    size = thresholds + 2
    negative_zero = size // 2 if size & (size - 1) == 0 else -1
    values = np.where(codes == negative_zero, 0, codes)
    return (np.diff(values, axis=0) != 0).sum(axis=0)


def ranks_of(codes: np.ndarray, latent: np.ndarray) -> dict[int, int]:
    """Places of the used codes when they are put in the order of the weights that they stand for:
    bits of a code alone do not say how large its value is."""
    used = [int(c) for c in np.unique(codes)]
    mean = {c: float(np.nanmean(latent[codes == c])) for c in used}
    return {c: i for i, c in enumerate(sorted(used, key=lambda c: (mean[c], c)))}


def draw_codes(
    ax: Axes, steps: np.ndarray, codes: np.ndarray, rank: dict[int, int], name: str
) -> None:
    """Codes of one weight as steps, placed by value and labelled in hexadecimal."""
    places = np.array([rank[int(c)] for c in codes])
    ax.plot(steps, places, color=style.INK, linewidth=1.0, drawstyle="steps-post")
    by_rank = {r: c for c, r in rank.items()}
    low, high = int(places.min()), int(places.max())
    shown = range(low, high + 1, max(1, -(-(high - low + 1) // 4)))
    ax.set_yticks(list(shown), [f"{by_rank[r]:x}" for r in shown])
    ax.set_ylim(low - 0.5, high + 0.5)
    figure = ax.figure
    assert isinstance(figure, ResultFigure)
    figure.record("", name, ax.get_xlabel(), steps, ax.get_ylabel(), codes)


@plot_kind(
    "trajectories",
    "Latent weights against their thresholds, codes underneath",
    "`/traces` (`log.trace_fraction`)",
    layered=False,
)
def plot_trajectories(
    results: Results, *, run: str | None = None, weights: int | None = None
) -> ResultFigure:
    """Master weights over their block scales, step by step, with the decision thresholds of the
    format near them (dashed); underneath each the code that the weight was quantized to. Drawn are
    the traced weights whose quantized value changes most often (-0 and +0 are one value)."""
    needed = ("/traces/step", "/traces/latent", "/traces/code", "/traces/thresholds")
    runs = trained(results, *needed)
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    steps = chosen.numbers("/traces/step")
    latent = chosen.numbers("/traces/latent")
    codes = chosen.array("/traces/code").astype(int)
    thresholds = chosen.numbers("/traces/thresholds")
    changes = value_changes(codes, len(thresholds))
    names = [weight_name(chosen, k) for k in range(codes.shape[1])]
    once = [names.index(n) for n in dict.fromkeys(names)]  # a small layer is traced several times
    count = min(MOST_TRACES if weights is None else max(1, weights), len(once))
    order = sorted(once, key=lambda k: (-int(changes[k]), k))[:count]
    rank = ranks_of(codes, latent)
    across = 2 if count > 1 else 1
    down = -(-count // across)
    figure = ResultFigure(0.9 * down + 0.1)
    outer = figure.add_gridspec(2 * down, across, height_ratios=(2.2, 1) * down)
    for i, k in enumerate(order):
        upper = figure.add_subplot(outer[2 * (i // across), i % across])
        lower = figure.add_subplot(outer[2 * (i // across) + 1, i % across], sharex=upper)
        place = names[k]
        upper.set_title(f"{place}: {changes[k]} change{'s' if changes[k] != 1 else ''}")
        upper.set_xlabel("step")
        upper.xaxis.label.set_visible(False)
        upper.set_ylabel("w / scale")
        upper.tick_params(labelbottom=False)
        finite = latent[:, k][np.isfinite(latent[:, k])]
        span = max(float(np.ptp(finite)) if finite.size else 0.0, 0.02)
        low, high = float(finite.min()) - 0.3 * span, float(finite.max()) + 0.3 * span
        for threshold in thresholds:
            if low <= threshold <= high:
                upper.axhline(threshold, color=style.ACCENT, linewidth=1.0, linestyle=(0, (4, 2)))
                figure.record(
                    upper.get_title(loc="left"), "threshold", "step", steps[:1], "w / scale", [threshold]
                )
        solid = style.Look(style.PALETTE[0], "-", "", "")
        line(upper, steps, latent[:, k], "latent weight", solid, marks=False, linewidth=1.0)
        upper.set_ylim(low, high)
        upper.yaxis.set_major_locator(MaxNLocator(4))
        lower.set_title("")
        lower.set_xlabel("step")
        lower.set_ylabel("code")
        lower.xaxis.label.set_visible(i // across == down - 1)
        draw_codes(lower, steps, codes[:, k], rank, f"code of {place}")
        if i // across != down - 1:
            lower.tick_params(labelbottom=False)
    figure.ids = [chosen.run_id]
    figure.caption = (
        f"Latent weights of {name_of(chosen)} over their block scales, with the decision thresholds "
        "near them (dashed), and their codes (hexadecimal, in the order of their values): the "
        + (
            f"{count} of {len(once)} traced weights whose quantized value changes most often."
            if len(once) > 1
            else "one traced weight."
        )
    )
    for text in notes:
        figure.note(text)
    say_what_is_missing(figure, results, runs)
    return figure


@plot_kind(
    "flips", "Code changes by layer and step", "`/oscillation/flips`, `reversals`", layered=False
)
def plot_flips(results: Results, *, run: str | None = None) -> ResultFigure:
    """Heat maps of code changes in each window (left) and of those that go back (right), by layer."""
    paths = ("/oscillation/flips", "/oscillation/reversals")
    runs = trained(results, "/oscillation/step", *paths)
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    layers = chosen.texts("/oscillation/layer")
    steps = [str(int(s)) for s in chosen.array("/oscillation/step")]
    values = [chosen.numbers(p) for p in paths]
    finite = np.concatenate([v[np.isfinite(v)] for v in values])
    if finite.size == 0:
        raise NotInData(f"{chosen.shown}: /oscillation/flips holds no counts")
    figure = ResultFigure(max(0.6, 0.09 * len(layers)) + 0.2)
    axes = figure.subplots(1, 2, sharey=True)
    outer_labels(axes.reshape(1, 2))
    image = None
    for ax, title, v in zip(axes, ("Code changes", "Changes back (reversals)"), values):
        ax.set_title(title)
        ax.set_xlabel("step at the end of the window")
        image = heat(ax, layers, steps, v.T, name="count", low=0.0, high=float(finite.max()), write="{:.0f}")
        label_ticks(ax.xaxis, steps, 6)
    bar = figure.colorbar(image, ax=axes, pad=0.02)
    bar.set_label("weights in the window")
    figure.ids = [chosen.run_id]
    figure.caption = (
        f"Code changes of the quantized weights of {name_of(chosen)} in each window, and those that "
        "undo the change before."
    )
    for text in notes:
        figure.note(text)
    lost = sum(int((~np.isfinite(v)).sum()) for v in values)
    if lost:
        figure.note(f"{lost} cells hold no value and are hatched.")
    return figure
