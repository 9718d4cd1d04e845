"""Weights that oscillate between two codes: ratio, confidence, trajectories, flips."""

from __future__ import annotations

import numpy as np
from matplotlib.ticker import MaxNLocator

from .. import style
from ..errors import InputError, NotInData
from ..figure import ResultFigure, heat, label_ticks, legend, legend_columns, line, outer_labels
from ..groups import group_runs
from ..registry import plot_kind
from ..results import Result, Results
from .curves import look_of, say_what_is_missing, trained
from .layers import choose, name_of, pick

MOST_TRACES = 6


def over_layers(run: Result, path: str) -> np.ndarray:
    """Mean over layers at each step; NaN where no layer has a value."""
    values = run.numbers(path)
    have = np.isfinite(values)
    n = have.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(n > 0, np.where(have, values, 0).sum(axis=1) / n, np.nan)


@plot_kind(
    "oscillation",
    "Oscillation ratio over time and share above 16",
    "`/oscillation/ratio_mean`, `fraction_above_16` (`log.osc_every`)",
)
def plot_oscillation(results: Results) -> ResultFigure:
    """Mean oscillation ratio sum|dWq| / sum|dW| (top) and share of weights with a ratio above 16
    (bottom) of the first seed of each configuration, mean over layers."""
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
            run = group.runs[0]
            values = over_layers(run, path) * (100 if name == "share [%]" else 1)
            line(ax, run.numbers("/oscillation/step"), values, group.label, look_of(group, None), markevery=1)
        ax.set_ylim(bottom=0)
    legend(axes[1], legend_columns([g.label for g in groups]), below=True)
    figure.ids = sorted({g.runs[0].run_id for g in groups})
    figure.caption = (
        "Oscillation of the quantized weights, mean over layers, first seed of each configuration; "
        "a weight counts as oscillating when its quantized value moves more than 16 times as far as "
        "the weight itself."
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
    Bottom: its histogram in one run at the first, middle and last window, over all layers."""
    path = "/oscillation/confidence_histogram"
    runs = trained(results, "/oscillation/step", path, "/oscillation/confidence_mean")
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    groups = group_runs(runs)
    figure = ResultFigure(2.05)
    top, bottom = figure.subplots(2, 1)
    top.set_title("Mean confidence over time")
    top.set_xlabel("step at the end of the window")
    top.set_ylabel("confidence, 0 to 1")
    for group in groups:
        first = group.runs[0]
        values = over_layers(first, "/oscillation/confidence_mean")
        line(top, first.numbers("/oscillation/step"), values, group.label, look_of(group, None), markevery=1)
    legend(top, 2 if len(groups) > 4 else 1)
    rows = choose(chosen.texts("/oscillation/layer"), layer, "layer")
    picked = chosen.numbers(path)[:, rows]
    have = np.isfinite(picked).any(axis=(1, 2))
    counts = np.nansum(picked, axis=1)
    steps = chosen.array("/oscillation/step")
    edges = chosen.bin_edges(path)
    if edges is None:
        raise InputError(f"{chosen.shown}: {path} has no bin_edges")
    bottom.set_title(f"Histogram in {name_of(chosen)}")
    bottom.set_xlabel("confidence: distance to the nearest threshold over half the bin")
    bottom.set_ylabel("share of weights [%]")
    good = np.flatnonzero(have & (counts.sum(axis=1) > 0))
    if good.size == 0:
        raise NotInData(f"{chosen.shown}: {path} holds no counts")
    for i, t in enumerate(dict.fromkeys((good[0], good[len(good) // 2], good[-1]))):
        share = 100 * counts[t] / counts[t].sum()
        line(bottom, edges[:-1], share, f"step {int(steps[t])}", style.look(i), step=True, marks=False)
    bottom.set_xlim(edges[0], edges[-1] if np.isfinite(edges[-1]) else edges[-2])
    bottom.set_ylim(bottom=0)
    legend(bottom)
    figure.caption = (
        "Quantization confidence of the weights: 0 on a decision threshold, 1 in the middle of a bin. "
        "Top: mean over layers, first seed. Bottom: histogram of one run."
    )
    for text in notes:
        figure.note(text)
    say_what_is_missing(figure, results, runs)
    return figure


@plot_kind(
    "trajectories",
    "Latent weights against their thresholds, codes underneath",
    "`/traces` (`log.trace_fraction`)",
)
def plot_trajectories(
    results: Results, *, run: str | None = None, weights: int | None = None
) -> ResultFigure:
    """Master weights over their block scales, step by step, with the decision thresholds of the
    format near them (dashed); underneath each the code that the weight was quantized to. Drawn are
    the traced weights whose code changes most often."""
    needed = ("/traces/step", "/traces/latent", "/traces/code", "/traces/thresholds")
    runs = trained(results, *needed)
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    steps = chosen.numbers("/traces/step")
    latent = chosen.numbers("/traces/latent")
    codes = chosen.array("/traces/code").astype(int)
    thresholds = chosen.numbers("/traces/thresholds")
    changes = (np.diff(codes, axis=0) != 0).sum(axis=0)
    count = min(MOST_TRACES if weights is None else max(1, weights), codes.shape[1])
    order = sorted(range(codes.shape[1]), key=lambda k: (-int(changes[k]), k))[:count]
    across = 2 if count > 1 else 1
    down = -(-count // across)
    figure = ResultFigure(0.9 * down + 0.1)
    outer = figure.add_gridspec(2 * down, across, height_ratios=(2.2, 1) * down)
    for i, k in enumerate(order):
        upper = figure.add_subplot(outer[2 * (i // across), i % across])
        lower = figure.add_subplot(outer[2 * (i // across) + 1, i % across], sharex=upper)
        place = int(chosen.array("/traces/flat_index")[k]) if chosen.has("/traces/flat_index") else k
        upper.set_title(f"weight {place}: {changes[k]} code changes")
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
        dark = style.Look(style.INK, "-", "", "")
        line(lower, steps, codes[:, k], f"code of weight {place}", dark, marks=False, step=True, linewidth=1.0)
        used = sorted(set(codes[:, k].tolist()))
        lower.set_yticks(used[:: max(1, len(used) // 4)], [f"{c:x}" for c in used[:: max(1, len(used) // 4)]])
        lower.set_ylim(min(used) - 0.5, max(used) + 0.5)
        if i // across != down - 1:
            lower.tick_params(labelbottom=False)
    figure.ids = [chosen.run_id]
    figure.caption = (
        f"Latent weights of {name_of(chosen)} over their block scales, with the decision thresholds "
        f"near them (dashed), and their codes (hexadecimal): the {count} of {codes.shape[1]} traced "
        "weights that change code most often."
    )
    for text in notes:
        figure.note(text)
    say_what_is_missing(figure, results, runs)
    return figure


@plot_kind("flips", "Code changes by layer and step", "`/oscillation/flips`, `reversals`")
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
    bar.outline.set_visible(False)
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
