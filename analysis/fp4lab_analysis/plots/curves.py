"""Curves of training runs: loss with bands over seeds, gradient norm."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from .. import style
from ..errors import NotInData
from ..figure import ResultFigure, legend, legend_columns, line, outer_labels
from ..groups import Group, find_baseline, group_runs, references
from ..registry import plot_kind
from ..results import STATES, Result, Results
from ..stats import student_quantile


def trained(results: Results, *paths: str) -> list[Result]:
    """Runs of training that hold the data sets; raises NotInData."""
    runs = results.with_data(*paths, kinds=("run",))
    if not runs:
        what = ", ".join(paths)
        raise NotInData(f"no training run here holds {what}")
    return runs


def say_what_is_missing(figure: ResultFigure, results: Results, drawn: list[Result]) -> None:
    """Notes on diverged runs, runs without the data, and runs that never finished."""
    lost = []
    for run in drawn:
        if run.diverged:
            lost.append(f"{run.config.get('recipe', run.run_id)}, seed {run.seed}")
    if lost:
        more = f" and {len(lost) - 6} more" if len(lost) > 6 else ""
        figure.note(f"Diverged, so without values from there on: {'; '.join(lost[:6])}{more}.")
    without = len(results.of_kind("run")) - len(drawn)
    if without > 0:
        figure.note(f"{without} of {len(results.of_kind('run'))} runs hold no such data.")
    for state, words in STATES.items():
        names = [p.name for p in results.problems if p.state == state]
        if names:
            what = f"{len(names)} run{'s' if len(names) > 1 else ''} {words}"
            figure.note(f"{what}: {', '.join(names[:6])}{' …' if len(names) > 6 else '.'}")


def on_grid(runs: list[Result], x_path: str, y_path: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of several runs on the union of their steps: (steps, [run, step]); NaN where a run has
    no value."""
    steps = sorted({int(s) for r in runs for s in r.array(x_path)})
    at = {s: i for i, s in enumerate(steps)}
    values = np.full((len(runs), len(steps)), np.nan)
    for i, run in enumerate(runs):
        for s, v in zip(run.array(x_path), run.numbers(y_path)):
            values[i, at[int(s)]] = v
    return np.array(steps, float), values


def smooth(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last `window` points of each row; NaN stays NaN and is not averaged over."""
    if window <= 1:
        return values
    out = np.full_like(values, np.nan)
    for i in range(values.shape[1]):
        part = values[:, max(0, i - window + 1) : i + 1]
        have = np.isfinite(part)
        count = have.sum(axis=1)
        total = np.where(have, part, 0).sum(axis=1)
        with np.errstate(invalid="ignore"):
            out[:, i] = np.where(np.isfinite(values[:, i]), total / np.maximum(count, 1), np.nan)
    return out


def thinned(steps: np.ndarray, *curves: np.ndarray) -> list[np.ndarray]:
    """About 300 points of running means over a fortieth of the run, the last one among them: the eye
    sees no difference, and bands of thousands of points make a page heavy."""
    stride = max(1, len(steps) // 300)
    keep = np.arange(len(steps) - 1, -1, -stride)[::-1]
    return [steps[keep], *(c[keep] for c in curves)]


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean over runs and the 95 % interval of the mean, point by point; NaN where fewer than one
    (mean) or two (interval) runs have a value."""
    have = np.isfinite(values)
    n = have.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, np.where(have, values, 0).sum(axis=0) / n, np.nan)
        square = np.where(have, (values - mean) ** 2, 0).sum(axis=0)
        sd = np.where(n > 1, np.sqrt(square / (n - 1)), np.nan)
        factor = np.array([student_quantile(0.95, k - 1) if k > 1 else np.nan for k in n])
        half = factor * sd / np.sqrt(n)
    return mean, mean - half, mean + half


def look_of(group: Group, baseline: Group | None) -> style.Look:
    if baseline is not None and group.values == baseline.values:
        return style.Look(style.BASELINE, style.layer_dash(group.layer), "o", "")
    shift = 0 if baseline is None else 1
    return style.look(max(0, group.index - shift), group.layer)


def value_at(run: Result, x_path: str, y_path: str) -> dict[int, float]:
    return {int(s): float(v) for s, v in zip(run.array(x_path), run.numbers(y_path))}


@plot_kind("loss", "Loss curves and gap to the baseline", "`/series/loss`; `/eval/loss` if there")
def plot_loss(
    results: Results, *, baseline: str | None = None, smoothing: int | None = None
) -> ResultFigure:
    """Top: training loss (running mean), a band for the 95 % interval over seeds. Bottom: held-out
    loss minus that of the baseline, paired by seed (training loss where it was evaluated less than
    three times)."""
    runs = trained(results, "/series/step", "/series/loss")
    groups = group_runs(runs)
    base = find_baseline(groups, baseline)
    longest = max(len(r.array("/series/step")) for r in runs)
    window = max(1, longest // 40) if smoothing is None else max(1, smoothing)
    figure = ResultFigure(2.0)
    top, bottom = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1.25, 1)})
    top.set_title("Training loss")
    top.set_xlabel("step")
    top.xaxis.label.set_visible(False)
    top.set_ylabel("loss [nat]")
    held_out = all(r.has("/eval/step", "/eval/loss") for r in runs)
    held_out = held_out and max(len(r.array("/eval/step")) for r in runs) > 2  # else no curve
    what = "/eval" if held_out else "/series"
    reference = base.name if base is not None else "no baseline"
    kind = "Held-out" if held_out else "Training"
    bottom.set_title(f"{kind} loss minus {reference}")
    bottom.set_xlabel("step")
    bottom.set_ylabel("gap [nat]")
    for group, other in zip(groups, references(groups, baseline)):
        steps, values = on_grid(group.runs, "/series/step", "/series/loss")
        mean, low, high = band(smooth(values, window))
        if smoothing is None:
            steps, mean, low, high = thinned(steps, mean, low, high)
        look = look_of(group, base)
        line(top, steps, mean, counted(group), look, low=low, high=high)
        mark_ends(top, group.label, group.runs, look)
        if other is None:
            continue
        steps, mine = on_grid([*group.runs], f"{what}/step", f"{what}/loss")
        by_seed = {r.seed: value_at(r, f"{what}/step", f"{what}/loss") for r in other.runs}
        theirs = np.array(
            [[by_seed.get(r.seed, {}).get(int(s), np.nan) for s in steps] for r in group.runs]
        )
        gap = mine - theirs
        if not held_out:
            gap = smooth(gap, window)
        mean, low, high = band(gap)
        if smoothing is None and not held_out:
            steps, mean, low, high = thinned(steps, mean, low, high)
        line(bottom, steps, mean, group.label, look, low=low, high=high)
    bottom.axhline(0, color=style.BASELINE, linewidth=0.9)
    if base is None:
        bottom.text(
            0.5, 0.5, "no bf16 or fp32 run to compare with", ha="center", transform=bottom.transAxes
        )
        figure.note("No baseline: neither bf16 nor fp32 is here, and --baseline names none.")
    handles, labels = top.get_legend_handles_labels()
    legend(bottom, legend_columns(labels), below=True, entries=(handles, labels))
    figure.caption = (
        f"Training loss (mean of {window} steps) and {kind.lower()} loss relative to {reference}; "
        "bands are 95 % intervals of the mean over seeds, gaps are paired by seed."
    )
    say_what_is_missing(figure, results, runs)
    singles = [g.label for g in groups if len(g.runs) == 1]
    if singles:
        figure.note(f"One seed only, so no band: {', '.join(singles[:6])}.")
    return figure


def counted(group: Group) -> str:
    """Label with the number of seeds, and of those that diverged."""
    lost = f", {group.diverged} diverged" if group.diverged else ""
    return f"{group.label} (n={len(group.runs)}{lost})"


def mark_ends(
    ax: Axes, label: str, runs: list[Result], look: style.Look, path: str = "/series/loss"
) -> None:
    """A cross at the last finite value of each diverged run: from there on a mean is one of the runs
    that are left."""
    for run in runs:
        if not run.diverged:
            continue
        steps, values = run.numbers("/series/step"), run.numbers(path)
        have = np.flatnonzero(np.isfinite(values))
        if len(have):
            end = have[-1:]
            cross = style.Look(look.color, "none", "x", "")
            name = f"{label}: seed {run.seed} diverged"
            line(ax, steps[end], values[end], name, cross, markersize=8, markeredgewidth=2)
            ax.lines[-1].set_label("_" + name)
            ax.annotate(
                f"seed {run.seed} diverged",
                (steps[end][0], values[end][0]),
                xytext=(4, 8),
                textcoords="offset points",
                fontsize=7.5,
            )


def spikes_of(values: np.ndarray, window: int = 20, factor: float = 3.0) -> np.ndarray:
    """Indices where a value exceeds `factor` times the median of the `window` values before it."""
    found = []
    for i in range(1, len(values)):
        before = values[max(0, i - window) : i]
        before = before[np.isfinite(before)]
        if len(before) >= 5 and np.isfinite(values[i]) and values[i] > factor * np.median(before):
            found.append(i)
    return np.array(found, int)


MOST_PANELS = 12


def plain_log_ticks(axis: Axis) -> None:
    """Ticks at 1, 2, 5 times powers of ten, written as plain numbers."""
    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=8))
    axis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axis.set_minor_formatter(NullFormatter())


@plot_kind("grad-norm", "Gradient norm with spikes", "`/series/grad_norm`")
def plot_grad_norm(results: Results, *, baseline: str | None = None) -> ResultFigure:
    """Global gradient norm of the first seed of each configuration; a cross marks each step at which
    it exceeds three times the median of the 20 steps before."""
    runs = trained(results, "/series/step", "/series/grad_norm")
    groups = group_runs(runs)
    base = find_baseline(groups, baseline)
    names = list(dict.fromkeys(g.name for g in groups))
    panels = names[:MOST_PANELS]
    across = 2 if len(panels) > 1 else 1
    down = -(-len(panels) // across)
    figure = ResultFigure(0.6 * down + 0.25 if across > 1 else 1.2)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(panels) :]:
        ax.set_visible(False)
    outer_labels(axes)
    for ax, name in zip(axes.ravel(), panels):
        ax.set_title(name)
        ax.set_xlabel("step")
        ax.set_ylabel("norm")
        ax.set_yscale("log")
        plain_log_ticks(ax.yaxis)
        found = []
        for group in [g for g in groups if g.name == name]:
            run = group.runs[0]
            steps, values = run.numbers("/series/step"), run.numbers("/series/grad_norm")
            spikes = spikes_of(values)
            found.append(f"{len(spikes)} spike{'' if len(spikes) == 1 else 's'}")
            look = look_of(group, base)
            thin = style.Look(look.color, style.layer_dash(group.layer), "", "")
            line(ax, steps, values, group.label, thin, linewidth=0.9, marks=False)
            cross = style.Look(style.INK, "none", "+" if group.layer > 1 else "x", "")
            marked = f"{group.label}: spikes"
            line(ax, steps[spikes], values[spikes], marked, cross, markevery=1, markersize=5)
            mark_ends(ax, group.label, [run], look, "/series/grad_norm")
        ax.set_title(" and ".join(found), loc="right", fontsize=8, fontweight="normal")
    if results.overlaid:
        origins = {g.layer: g.origin for g in groups}
        lines = [Line2D([], [], color=style.INK, linestyle=style.layer_dash(k)) for k in origins]
        legend(axes[-1, 0], 4, below=True, entries=(lines, list(origins.values())))
    figure.caption = (
        "Global gradient norm before clipping, first seed of each configuration; crosses are spikes "
        "(more than three times the median of the 20 steps before)."
    )
    if len(names) > len(panels):
        figure.note(f"{len(names) - len(panels)} further configurations are not drawn.")
    say_what_is_missing(figure, results, runs)
    return figure
