"""Comparisons of whole runs: single slots, final values, main effects and interactions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .. import style
from ..errors import InputError, NotInData
from ..figure import ResultFigure, bars, label_ticks, legend, legend_columns, line
from ..groups import (
    Group,
    find_baseline,
    group_runs,
    is_seed,
    references,
    slots_label,
    value_of,
    varied_keys,
)
from ..metrics import Metric, by_seed, choose_metric, final_value
from ..registry import plot_kind
from ..results import Result, Results
from ..stats import Anova, Paired, anova, paired, summarize
from .curves import say_what_is_missing, trained

SLOT_ORDER = ["none", "q1", "q2", "q3", "q4", "q5", "q6"]


@plot_kind("slots", "Single-slot sensitivity", "runs that quantize different slots, one with none")
def plot_slots(results: Results, *, metric: str | None = None) -> ResultFigure:
    """Change of the final value when only some slots are quantized, paired by seed with the runs that
    quantize none; bars are means, whiskers 95 % intervals."""
    runs = trained(results, "/series/step")
    chosen = choose_metric(runs, metric)
    sweeps = [[r for r in runs if r.origin == o] for o in dict.fromkeys(r.origin for r in runs)]
    found = [slot_differences(sweep, chosen) for sweep in sweeps]

    def order(name: str) -> tuple[bool, int, str]:
        known = SLOT_ORDER.index(name) if name in SLOT_ORDER else 99
        return (name == "all six", known, name)

    names = sorted({n for differences in found for n in differences}, key=order)
    figure = ResultFigure(max(0.8, (0.05 + 0.12 * len(found)) * len(names) + 0.25))
    ax = figure.subplots()
    ax.set_title("Only these slots quantized")
    ax.set_xlabel(f"{chosen.differences} from none")
    ax.set_ylabel("slots")
    several = len(found) > 1
    series = [sweep[0].origin for sweep in sweeps] if several else ["difference"]
    none = Paired(0, math.nan, math.nan, math.nan, math.nan, math.nan, 0)
    table = [[differences.get(n, none) for n in names] for differences in found]
    bars(
        ax,
        names,
        series,
        np.array([[p.mean for p in row] for row in table]),
        [style.look(0, i + 1 if several else 0) for i in range(len(found))],
        low=np.array([[p.low for p in row] for row in table]),
        high=np.array([[p.high for p in row] for row in table]),
    )
    if several:
        legend(ax, legend_columns(series), below=True)
    figure.caption = (
        f"{chosen.label} with only these slots quantized minus that without quantization, paired by "
        "seed; whiskers are 95 % intervals over seeds."
    )
    specs = sorted({s for r in runs for k, s in r.config.items() if k.endswith(".spec") and s != "none"})
    if specs:
        figure.note(f"Specs: {'; '.join(map(str, specs[:6]))}.")
    few = sorted({n for row in table for n, p in zip(names, row) if p.n < 2}, key=order)
    if few:
        figure.note(f"Fewer than two pairs of seeds, so no interval: {', '.join(few)}.")
    say_what_is_missing(figure, results, runs)
    return figure


def slot_differences(runs: Sequence[Result], metric: Metric) -> dict[str, Paired]:
    """Final values of one sweep with some slots quantized minus those with none, by the slots."""
    by_slots: dict[str, list[Result]] = {}
    for run in runs:
        by_slots.setdefault(slots_label(run), []).append(run)
    if "none" not in by_slots or len(by_slots) < 3:
        raise NotInData("single-slot sensitivity needs runs that quantize none, one and other slots")
    for name, some in by_slots.items():
        if len({r.seed for r in some}) < len(some):
            raise NotInData(f"several configurations quantize the slots '{name}': which to compare?")
    base = by_seed(by_slots.pop("none"), metric)
    return {name: paired(by_seed(some, metric), base) for name, some in by_slots.items()}


@dataclass(frozen=True)
class Compared:
    """A configuration with its final value, or the difference from its baseline."""

    group: Group
    seeds: list[float]  # values or differences that are finite
    mean: float
    low: float
    high: float


def compare(group: Group, other: Group | None, metric: Metric) -> Compared:
    mine = by_seed(group.runs, metric)
    if other is None:
        s = summarize(list(mine.values()))
        return Compared(group, [v for v in mine.values() if math.isfinite(v)], s.mean, s.low, s.high)
    theirs = by_seed(other.runs, metric)
    p = paired(mine, theirs)
    both = [mine[k] - theirs[k] for k in sorted(mine) if k in theirs]
    return Compared(group, [v for v in both if math.isfinite(v)], p.mean, p.low, p.high)


def draw_compared(ax: Axes, y: float, c: Compared, look: style.Look) -> None:
    """Mean, interval and single seeds at height y."""
    ax.plot(c.seeds, [y] * len(c.seeds), "|", color=style.MUTED, markersize=7)
    if math.isfinite(c.low):
        ax.plot([c.low, c.high], [y, y], color=look.color, linewidth=2.2, solid_capstyle="butt")
    ax.plot([c.mean], [y], look.marker, color=look.color, markersize=5.5)
    if math.isnan(c.mean):
        text = "no finite value"
        ax.text(0.02, y, text, va="center", fontsize=7.5, transform=ax.get_yaxis_transform())
    figure = ax.figure
    assert isinstance(figure, ResultFigure)
    figure.record(
        ax.get_title(loc="left"), c.group.label, ax.get_ylabel(), [c.group.name], ax.get_xlabel(),
        [c.mean], [c.low], [c.high],
    )


@plot_kind("final", "Final values with their uncertainty", "`/eval/loss` or `/series/loss`")
def plot_final(
    results: Results, *, metric: str | None = None, baseline: str | None = None
) -> ResultFigure:
    """Final value of each configuration minus that of the baseline, paired by seed, with the 95 %
    interval; each seed's own difference as a dot. Without a baseline the values themselves."""
    runs = trained(results, "/series/step")
    chosen = choose_metric(runs, metric)
    groups = group_runs(runs)
    base = find_baseline(groups, baseline)
    rows: dict[str, list[Compared]] = {}
    for group, other in zip(groups, references(groups, baseline)):
        found = compare(group, other, chosen) if base is None or other is not None else None
        if found is not None:
            rows.setdefault(group.name, []).append(found)
    if not rows:
        raise NotInData("one configuration only: nothing to compare")
    sign = 1 if chosen.lower_is_better else -1

    def order(name: str) -> tuple[bool, float, str]:
        mean = summarize([c.mean for c in rows[name]]).mean
        return (math.isnan(mean), sign * mean if math.isfinite(mean) else 0.0, name)

    names = sorted(rows, key=order)
    layers = sorted({c.group.layer for found in rows.values() for c in found})
    figure = ResultFigure(max(0.7, (0.06 + 0.045 * len(layers)) * len(names) + 0.3))
    ax = figure.subplots()
    minus = "" if base is None else f" minus {base.name if results.overlaid else base.label}"
    ax.set_title(f"Final value{minus}")
    ax.set_xlabel(chosen.label if base is None else chosen.differences)
    ax.set_ylabel("configuration")
    for i, name in enumerate(names):
        for c in rows[name]:
            y = i + (layers.index(c.group.layer) - (len(layers) - 1) / 2) * 0.6 / len(layers)
            draw_compared(ax, y, c, style.look(max(0, c.group.layer - 1), c.group.layer))
    if results.overlaid:
        lines = [
            Line2D([], [], color=look.color, marker=look.marker, linewidth=2.2)
            for look in (style.look(k - 1, k) for k in layers)
        ]
        origins = {g.layer: g.origin for g in groups}
        labels = [origins[k] for k in layers]
        legend(ax, legend_columns(labels), below=True, entries=(lines, labels))
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    if base is not None:
        ax.axvline(0, color=style.BASELINE, linewidth=0.9)
    better = "left is better" if chosen.lower_is_better else "right is better"
    what = f"{minus}, paired by seed" if base is not None else ""
    if base is not None and results.overlaid:
        what = f"{minus} of the same sweep, paired by seed"
    figure.caption = (
        f"{chosen.label}{what} ({better}). Points are means, bars 95 % intervals of the mean over "
        "seeds, ticks single seeds."
    )
    single = [n for n in names if any(len(c.seeds) < 2 for c in rows[n])]
    if single:
        figure.note(f"Fewer than two seeds, so no interval: {', '.join(single[:6])}.")
    say_what_is_missing(figure, results, runs)
    return figure


def factors_of(runs: Sequence[Result]) -> dict[str, list[str]]:
    """The varied keys with their levels by run, seeds last as a factor of their own. Keys that
    follow from others (the same partition of the runs) are left out."""
    factors: dict[str, list[str]] = {}
    partitions: set[tuple[int, ...]] = set()
    keys = sorted(varied_keys(runs), key=lambda k: (k != "recipe", k.startswith("slots."), k))
    for key in keys:
        levels = [value_of(r, key) for r in runs]
        names = list(dict.fromkeys(levels))
        partition = tuple(names.index(v) for v in levels)
        if partition in partitions or is_seed(key):
            continue
        if key.startswith("slots.") and any(not k.startswith("slots.") for k in factors):
            continue  # a recipe is its slots
        partitions.add(partition)
        factors[key] = levels
    return factors


def effects_of(runs: Sequence[Result], metric: Metric) -> tuple[Anova, dict[str, list[str]]]:
    """Analysis of variance of the final values over the varied keys, the seed as a further factor
    without interactions."""
    factors = factors_of(runs)
    if len(factors) < 2:
        raise NotInData("main effects need a sweep over two or more keys")
    values = [final_value(r, metric) for r in runs]
    return anova(factors, values, block=[str(r.seed) for r in runs]), factors


@plot_kind(
    "effects", "Main effects and interactions", "a sweep over two or more keys", layered=False
)
def plot_effects(
    results: Results, *, metric: str | None = None, by: str | None = None
) -> ResultFigure:
    """Top: share of the variance of the final values that each axis of the sweep, each interaction of
    two, and the seed explain. Bottom: means by level of the two strongest axes (an interaction shows
    as lines that are not parallel)."""
    runs = trained(results, "/series/step")
    chosen = choose_metric(runs, metric)
    result, factors = effects_of(runs, chosen)
    if not result.effects:
        raise NotInData("too few finished runs for an analysis of variance")
    names = [" × ".join(e.term) for e in result.effects] + ["rest"]
    shares = [e.share for e in result.effects] + [result.residual_share]
    order = sorted(range(len(names) - 1), key=lambda i: -shares[i]) + [len(names) - 1]
    figure = ResultFigure(0.12 * len(names) + 1.45)
    heights = (0.6 + 0.28 * len(names), 2.4)
    top, bottom = figure.subplots(2, 1, gridspec_kw={"height_ratios": heights})
    top.set_title("What mattered")
    top.set_xlabel(f"share of the variance of the {chosen.label.split(' [')[0]} [%]")
    top.set_ylabel("axis")
    bars(
        top,
        [names[i] for i in order],
        ["share"],
        np.array([[100 * shares[i] for i in order]]),
        [style.look(0)],
    )
    mains = sorted(
        (e for e in result.effects if len(e.term) == 1 and e.term[0] != "seed"),
        key=lambda e: -e.share,
    )
    first = by or mains[0].term[0]
    if first not in factors:
        raise InputError(f"--by '{first}' is none of {', '.join(factors)}")
    second = next((e.term[0] for e in mains if e.term[0] != first), None)
    values = np.array([final_value(r, chosen) for r in runs])
    levels = sort_levels(factors[first])
    bottom.set_title("Means by level" if second is None else f"Means by level, a line for each {second}")
    bottom.set_xlabel(first)
    bottom.set_ylabel(chosen.label)
    others = sort_levels(factors[second]) if second else [""]
    for i, other in enumerate(others):
        stats = []
        for level in levels:
            mask = np.array(
                [
                    a == level and (second is None or factors[second][k] == other)
                    for k, a in enumerate(factors[first])
                ]
            )
            stats.append(summarize(values[mask]))
        line(
            bottom,
            range(len(levels)),
            [s.mean for s in stats],
            other or first,
            style.look(i),
            low=[s.low for s in stats],
            high=[s.high for s in stats],
            markevery=1,
        )
    label_ticks(bottom.xaxis, levels, 12)
    if second and len(others) <= 10:
        bottom.legend(title=second, title_fontsize=8)
    figure.caption = (
        f"Analysis of variance (type II) of the {chosen.label} over {result.n} runs: shares of the "
        "total sum of squares, and means by level with 95 % intervals."
    )
    if result.left_out:
        figure.note(f"{result.left_out} runs have no finite value and are left out.")
    if result.residual_df == 0:
        figure.note("No replicates: nothing is left to estimate the noise from.")
    say_what_is_missing(figure, results, runs)
    return figure


def sort_levels(levels: Sequence[str]) -> list[str]:
    """Numbers by size, names alphabetically."""

    def key(text: str) -> tuple[bool, float, str]:
        try:
            return False, float(text), text
        except ValueError:
            return True, 0.0, text

    return sorted(set(levels), key=key)
