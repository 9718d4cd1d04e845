"""What the quantizers of a run do: statistics by layer, slot and step; histograms; shares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import style
from ..errors import InputError, NotInData
from ..figure import ResultFigure, heat, label_ticks, legend, legend_columns, line, outer_labels
from ..groups import Group, group_runs, slots_on
from ..registry import plot_kind
from ..results import Result, Results
from .curves import say_what_is_missing, trained

UNITS = {"sqnr_db": "SQNR [dB]"}
MOST_ROWS = 40


def pick(runs: list[Result], wanted: str | None, figure_note: list[str]) -> Result:
    """One run: the one whose id or configuration label is named, else the first that quantizes."""
    groups = group_runs(runs)
    if wanted is not None:
        for group in groups:
            for run in group.runs:
                if run.run_id.startswith(wanted) or group.label == wanted:
                    return run
        names = ", ".join(f"{g.label}" for g in groups[:12])
        raise InputError(f"--run '{wanted}' is none of: {names} (or the start of a run id)")
    chosen = quantizing(groups)
    if len(groups) > 1:
        others = ", ".join(g.label for g in groups if g is not chosen)
        figure_note.append(f"Drawn for {chosen.label}, first seed; --run takes also {others}.")
    return chosen.runs[0]


def quantizing(groups: list[Group]) -> Group:
    """The first configuration that quantizes something, else the first."""
    return next((g for g in groups if slots_on(g.runs[0])), groups[0])


@dataclass(frozen=True)
class Picked:
    """A run to draw, the number of its sweep, and what its series are called after."""

    run: Result
    layer: int
    prefix: str


def common_name(groups: list[Group], layers: list[int]) -> str | None:
    """The first configuration that quantizes something and that all sweeps have."""
    for group in groups:
        if slots_on(group.runs[0]) and all(
            any(g.layer == layer and g.name == group.name for g in groups) for layer in layers
        ):
            return group.name
    return None


def pick_each(runs: list[Result], wanted: str | None, figure_note: list[str]) -> list[Picked]:
    """One run, or one of each sweep where several are laid over each other: the first seed of the
    same configuration where a sweep has it."""
    groups = group_runs(runs)
    layers = list(dict.fromkeys(g.layer for g in groups))
    if len(layers) == 1:
        return [Picked(pick(runs, wanted, figure_note), 0, "")]
    found: list[Picked] = []
    name = wanted or common_name(groups, layers)
    for layer in layers:
        mine = [g for g in groups if g.layer == layer]
        group = next((g for g in mine if g.name == name), None)
        if group is None and wanted is not None:
            names = ", ".join(g.name for g in mine[:12])
            raise InputError(f"--run '{wanted}' is no configuration of {mine[0].origin}: {names}")
        group = group or quantizing(mine)
        name = name or group.name
        found.append(Picked(group.runs[0], layer, f"{group.label}: "))
    others = dict.fromkeys(g.name for g in groups if g.name != name)
    if others:
        figure_note.append(f"Drawn for {name}, first seed; --run takes also {', '.join(others)}.")
    return found


def name_of(run: Result) -> str:
    """Recipe and seed of a run, for titles."""
    return f"{run.config.get('recipe', run.run_id)}, seed {run.seed}"


def choose(names: list[str], wanted: str | None, what: str) -> list[int]:
    """Indices of the names that contain the text; all without one."""
    if wanted is None:
        return list(range(len(names)))
    exact = [i for i, n in enumerate(names) if n == wanted]
    found = exact or [i for i, n in enumerate(names) if wanted in n]
    if not found:
        raise InputError(f"--{what} '{wanted}' is none of {', '.join(names[:24])}")
    return found


def statistics_of(run: Result) -> list[str]:
    """Names of the statistics over [step, layer, slot] that a run holds."""
    return [
        path[8:] for path, shape in run.paths.items() if path.startswith("/layers/") and len(shape) == 3
    ]


@plot_kind(
    "layers",
    "Any statistic by layer, slot and step",
    "`/layers/sqnr_db` (`log.slots_every`)",
    layered=False,
)
def plot_layers(
    results: Results,
    *,
    statistic: str = "sqnr_db",
    run: str | None = None,
    layer: str | None = None,
    slot: str | None = None,
) -> ResultFigure:
    """Heat maps of a statistic: a panel for each slot, a row for each layer, a column for each
    sampled step. Cells that were not measured are hatched."""
    runs = trained(results, "/layers/step", "/layers/sqnr_db")
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    if statistic not in statistics_of(chosen):
        raise InputError(f"--statistic '{statistic}' is none of {', '.join(statistics_of(chosen))}")
    values = chosen.numbers(f"/layers/{statistic}")
    layers, slots = chosen.texts("/layers/layer"), chosen.texts("/layers/slot")
    rows, panels = choose(layers, layer, "layer"), choose(slots, slot, "slot")
    steps = [str(int(s)) for s in chosen.array("/layers/step")]
    shown = values[:, rows][:, :, panels]
    finite = shown[np.isfinite(shown)]
    if finite.size == 0:
        raise NotInData(f"{chosen.shown}: {statistic} holds no finite value for this choice")
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    figure = ResultFigure(down * max(0.42, 0.075 * min(len(rows), MOST_ROWS)) + 0.2)
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for ax in axes.ravel()[len(panels) :]:
        ax.set_visible(False)
    outer_labels(axes)
    signed = finite.min() < 0 < finite.max()
    top = float(np.abs(finite).max())
    image = None
    for ax, k in zip(axes.ravel(), panels):
        ax.set_title(slots[k])
        ax.set_xlabel("step")
        image = heat(
            ax,
            [layers[i] for i in rows],
            steps,
            values[:, rows, k].T,
            name=statistic,
            low=-top if signed else float(finite.min()),
            high=top if signed else float(finite.max()),
            cmap=style.DIVERGING if signed else style.SEQUENTIAL,
        )
        label_ticks(ax.xaxis, steps, 6)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label(UNITS.get(statistic, statistic.replace("_", " ")))
    figure.ids = [chosen.run_id]
    figure.caption = (
        f"{UNITS.get(statistic, statistic.replace('_', ' '))} of {name_of(chosen)}, by layer and "
        "step, for each slot."
    )
    for text in notes:
        figure.note(text)
    lost = int(np.isnan(shown).sum())
    if lost:
        figure.note(f"{lost} of {shown.size} cells hold no value and are hatched.")
    endless = int(np.isinf(shown).sum())
    if endless:
        why = ": nothing was lost there" if statistic == "sqnr_db" else ""
        figure.note(f"{endless} cells are infinite and have the colour at the end of the scale{why}.")
    return figure


def main_span(mass: np.ndarray, gap: int = 16) -> np.ndarray:
    """The bins from the first to the last that is used, without those that `gap` empty bins or more
    part from the bulk: the scale of a block of zeros is far from all others."""
    used = np.flatnonzero(mass)
    parts = np.split(used, np.flatnonzero(np.diff(used) > gap) + 1)
    bulk = max(parts, key=lambda part: float(mass[part].sum()))
    return np.arange(bulk[0], bulk[-1] + 1)


def histogram_over_time(
    results: Results,
    path: str,
    axis: str,
    title: str,
    run: str | None,
    layer: str | None,
    slot: str | None,
) -> ResultFigure:
    """Shares of codes or scales (rows) at each sampled step (columns), a panel for each slot."""
    runs = trained(results, "/layers/step", path)
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    counts = chosen.numbers(path)
    layers, slots = chosen.texts("/layers/layer"), chosen.texts("/layers/slot")
    rows, panels = choose(layers, layer, "layer"), choose(slots, slot, "slot")
    codes = chosen.array(f"/layers/{axis}").astype(int)
    steps = [str(int(s)) for s in chosen.array("/layers/step")]
    picked = counts[:, rows]
    have = np.isfinite(picked).any(axis=1)
    total = np.where(have, np.nansum(picked, axis=1), np.nan)  # [step, slot, code]
    with np.errstate(invalid="ignore", divide="ignore"):
        share = total / np.nansum(total, axis=2, keepdims=True)
    mass = np.nansum(share[:, panels], axis=(0, 1))
    if not mass.any():
        raise NotInData(f"{chosen.shown}: {path} holds no counts for this choice")
    span = main_span(mass)
    outside = np.setdiff1d(np.flatnonzero(mass), span)
    if outside.size:
        part = 100 * mass[outside].sum() / mass.sum()
        where = ", ".join(str(codes[i]) for i in outside[:4]) + (" …" if outside.size > 4 else "")
        notes.append(f"Not shown, as they are far away: {where}, {part:.2g} % of the counts.")
    high = float(np.nanmax(share[:, panels][:, :, span]))
    across = min(2 if axis == "code" else 3, len(panels))
    down = -(-len(panels) // across)
    figure = ResultFigure(down * 0.85 + 0.15)
    axes = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    for ax in axes.ravel()[len(panels) :]:
        ax.set_visible(False)
    outer_labels(axes)
    names = [f"{codes[i]:x}" if axis == "code" else str(codes[i]) for i in span]
    image = None
    for ax, k in zip(axes.ravel(), panels):
        ax.set_title(slots[k])
        ax.set_xlabel("step")
        ax.set_ylabel("code (hexadecimal)" if axis == "code" else "scale code")
        image = heat(ax, names, steps, share[:, k][:, span].T, name="share", low=0.0, high=high)
        ax.invert_yaxis()
        label_ticks(ax.yaxis, names, 16)
        label_ticks(ax.xaxis, steps, 5)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label("share of elements" if axis == "code" else "share of blocks")
    figure.ids = [chosen.run_id]
    which = layers[rows[0]] if len(rows) == 1 else f"{len(rows)} layers together"
    figure.caption = f"{title} over time in {name_of(chosen)}, {which}, for each slot."
    for text in notes:
        figure.note(text)
    empty = [slots[k] for k in panels if not np.isfinite(share[:, k]).any()]
    if empty:
        figure.note(f"Not quantized, so no histogram: {', '.join(empty)}.")
    return figure


@plot_kind("codes", "Code histograms over time", "`/layers/code_histogram`", layered=False)
def plot_codes(
    results: Results, *, run: str | None = None, layer: str | None = None, slot: str | None = None
) -> ResultFigure:
    """Share of each code at each sampled step, for each slot; layers are added up."""
    return histogram_over_time(
        results, "/layers/code_histogram", "code", "Share of each element code", run, layer, slot
    )


@plot_kind("scales", "Scale histograms over time", "`/layers/scale_histogram`", layered=False)
def plot_scales(
    results: Results, *, run: str | None = None, layer: str | None = None, slot: str | None = None
) -> ResultFigure:
    """Share of each scale code at each sampled step, for each slot; layers are added up."""
    return histogram_over_time(
        results, "/layers/scale_histogram", "bin", "Share of each scale code", run, layer, slot
    )


@plot_kind(
    "clipping",
    "Underflow and clip share",
    "`/layers/underflow_fraction`, `/layers/saturation_fraction`",
)
def plot_clipping(
    results: Results, *, run: str | None = None, layer: str | None = None
) -> ResultFigure:
    """Share of non-zero inputs that became zero, and share beyond the largest value, for each slot:
    mean over layers, with the range over layers as a band."""
    paths = ("/layers/underflow_fraction", "/layers/saturation_fraction")
    runs = trained(results, "/layers/step", *paths)
    notes: list[str] = []
    picked = pick_each(runs, run, notes)
    figure = ResultFigure(1.9)
    axes = figure.subplots(2, 1, sharex=True)
    outer_labels(axes.reshape(2, 1))
    titles = ("Underflow: non-zero inputs that became zero", "Clipped: beyond the largest value")
    names: list[str] = []
    counts: set[int] = set()
    for each in picked:
        layers, slots = each.run.texts("/layers/layer"), each.run.texts("/layers/slot")
        rows = choose(layers, layer, "layer")
        counts.add(len(rows))
        steps = each.run.numbers("/layers/step")
        for ax, path, title in zip(axes, paths, titles):
            ax.set_title(title)
            ax.set_xlabel("step")
            ax.set_ylabel("share [%]")
            values = 100 * each.run.numbers(path)[:, rows]
            for k, slot in enumerate(slots):
                if not np.isfinite(values[:, :, k]).any():
                    figure.note(f"{each.prefix}{slot} is not quantized.")
                    continue
                mean, low, high = mean_and_range(values[:, :, k])
                name = each.prefix + slot
                names.append(name)
                look = style.look(k, each.layer)
                edges = {"low": low, "high": high} if len(picked) == 1 else {}
                line(ax, steps, mean, name, look, markevery=1, shade=0.09, **edges)
    for ax in axes:
        ax.set_ylim(bottom=0)
    legend(axes[1], legend_columns(names), below=True)
    figure.ids = [each.run.run_id for each in picked]
    which = f"mean over {counts.pop()} layers" if counts != {1} else "one layer"
    if len(picked) == 1:
        which = layers[rows[0]] if len(rows) == 1 else f"mean and range over {len(rows)} layers"
    shown = " and ".join(dict.fromkeys(name_of(each.run) for each in picked))
    figure.caption = f"Underflow and clip share of each slot in {shown}: {which}."
    for text in notes:
        figure.note(text)
    drawn = [each.run for each in picked]
    say_what_is_missing(figure, results.subset(drawn), drawn)
    return figure


def mean_and_range(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, least and largest finite value of each row; NaN for a row without any."""
    have = np.isfinite(values)
    n = have.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(n > 0, np.where(have, values, 0).sum(axis=1) / n, np.nan)
    low = np.where(n > 0, np.where(have, values, np.inf).min(axis=1), np.nan)
    high = np.where(n > 0, np.where(have, values, -np.inf).max(axis=1), np.nan)
    return mean, low, high


GEMM_METRICS = {
    "cosine": "Cosine with the binary32 product",
    "rel_error": "Error of the product over the norm of the binary32 product",
    "pma": "Projection magnitude alignment <r, q> / <r, r> with the binary32 product r",
    "rho": "Norm of the binary32 product over the norm of the error",
}


@plot_kind("gemms", "Alignment of the products", "`/gemms` (`log.gemms_every`)")
def plot_gemms(results: Results, *, run: str | None = None, metric: str = "cosine") -> ResultFigure:
    """Cosine (or rel_error, pma, rho) of each product with the binary32 product, by depth, at the
    last sampled step; earlier samples as thin lines."""
    if metric not in GEMM_METRICS:
        raise InputError(f"--metric '{metric}' is none of {', '.join(GEMM_METRICS)}")
    runs = trained(results, "/gemms/step", f"/gemms/{metric}")
    notes: list[str] = []
    picked = pick_each(runs, run, notes)
    figure = ResultFigure(1.5)
    ax = figure.subplots()
    ax.set_title(GEMM_METRICS[metric])
    ax.set_xlabel("layer, in order of depth")
    ax.set_ylabel(metric.replace("_", " "))
    layers = list(dict.fromkeys(n for each in picked for n in each.run.texts("/gemms/layer")))
    labels: list[str] = []
    for each in picked:
        values = each.run.numbers(f"/gemms/{metric}")
        at = np.array([layers.index(n) for n in each.run.texts("/gemms/layer")], float)
        products = each.run.texts("/gemms/gemm")
        steps = each.run.array("/gemms/step")
        for k, product in enumerate(products):
            look = style.look(k, each.layer)
            if len(picked) == 1:
                for i in range(len(steps) - 1):
                    ax.plot(at, values[i, :, k], color=look.color, linewidth=0.6, alpha=0.35)
            labels.append(each.prefix + product)
            line(ax, at, values[-1, :, k], labels[-1], look, markevery=1)
    label_ticks(ax.xaxis, layers, 16)
    for label in ax.get_xticklabels():
        label.set_rotation(40)
        label.set_ha("right")
    legend(ax, legend_columns(labels), below=True)
    figure.ids = [each.run.run_id for each in picked]
    shown = " and ".join(dict.fromkeys(name_of(each.run) for each in picked))
    figure.caption = (
        f"{GEMM_METRICS[metric]}, for the three products of each layer in {shown} at step "
        f"{int(steps[-1])}" + ("; thin lines are earlier samples." if len(picked) == 1 else ".")
    )
    for text in notes:
        figure.note(text)
    return figure
