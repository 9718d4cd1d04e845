"""What the quantizers of a run do: statistics by layer, slot and step; histograms; shares."""

from __future__ import annotations

import numpy as np

from .. import style
from ..errors import InputError, NotInData
from ..figure import ResultFigure, heat, label_ticks, legend, legend_columns, line, outer_labels
from ..groups import group_runs
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
    chosen = next((g for g in groups if g.runs[0].config.get("recipe") != "bf16"), groups[0])
    if len(groups) > 1:
        others = ", ".join(g.label for g in groups if g is not chosen)
        figure_note.append(f"Drawn for {chosen.label}, first seed; --run takes also {others}.")
    return chosen.runs[0]


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


@plot_kind("layers", "Any statistic by layer, slot and step", "`/layers/sqnr_db` (`log.slots_every`)")
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
    bar.outline.set_visible(False)
    figure.ids = [chosen.run_id]
    figure.caption = (
        f"{UNITS.get(statistic, statistic.replace('_', ' '))} of {name_of(chosen)}, by layer and "
        "step, for each slot."
    )
    for text in notes:
        figure.note(text)
    lost = int((~np.isfinite(shown)).sum())
    if lost:
        figure.note(f"{lost} of {shown.size} cells hold no value and are hatched.")
    return figure


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
    used = np.flatnonzero(np.nansum(share[:, panels], axis=(0, 1)) > 0)
    if used.size == 0:
        raise NotInData(f"{chosen.shown}: {path} holds no counts for this choice")
    span = np.arange(used.min(), used.max() + 1)
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
    bar.outline.set_visible(False)
    figure.ids = [chosen.run_id]
    which = layers[rows[0]] if len(rows) == 1 else f"{len(rows)} layers together"
    figure.caption = f"{title} over time in {name_of(chosen)}, {which}, for each slot."
    for text in notes:
        figure.note(text)
    empty = [slots[k] for k in panels if not np.isfinite(share[:, k]).any()]
    if empty:
        figure.note(f"Not quantized, so no histogram: {', '.join(empty)}.")
    return figure


@plot_kind("codes", "Code histograms over time", "`/layers/code_histogram`")
def plot_codes(
    results: Results, *, run: str | None = None, layer: str | None = None, slot: str | None = None
) -> ResultFigure:
    """Share of each code at each sampled step, for each slot; layers are added up."""
    return histogram_over_time(
        results, "/layers/code_histogram", "code", "Share of each element code", run, layer, slot
    )


@plot_kind("scales", "Scale histograms over time", "`/layers/scale_histogram`")
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
    chosen = pick(runs, run, notes)
    layers, slots = chosen.texts("/layers/layer"), chosen.texts("/layers/slot")
    rows = choose(layers, layer, "layer")
    steps = chosen.numbers("/layers/step")
    figure = ResultFigure(1.9)
    axes = figure.subplots(2, 1, sharex=True)
    outer_labels(axes.reshape(2, 1))
    titles = ("Underflow: non-zero inputs that became zero", "Clipped: beyond the largest value")
    for ax, path, title in zip(axes, paths, titles):
        ax.set_title(title)
        ax.set_xlabel("step")
        ax.set_ylabel("share [%]")
        values = 100 * chosen.numbers(path)[:, rows]
        for k, name in enumerate(slots):
            part = values[:, :, k]
            have = np.isfinite(part)
            if not have.any():
                figure.note(f"{name} is not quantized.")
                continue
            n = have.sum(axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = np.where(n > 0, np.where(have, part, 0).sum(axis=1) / n, np.nan)
            low = np.where(n > 0, np.where(have, part, np.inf).min(axis=1), np.nan)
            high = np.where(n > 0, np.where(have, part, -np.inf).max(axis=1), np.nan)
            line(ax, steps, mean, name, style.look(k), low=low, high=high, markevery=1)
        ax.set_ylim(bottom=0)
    legend(axes[1], legend_columns(slots), below=True)
    figure.ids = [chosen.run_id]
    which = layers[rows[0]] if len(rows) == 1 else f"mean and range over {len(rows)} layers"
    figure.caption = f"Underflow and clip share of each slot in {name_of(chosen)}: {which}."
    for text in notes:
        figure.note(text)
    say_what_is_missing(figure, results.subset([chosen]), [chosen])
    return figure


@plot_kind("gemms", "Alignment of the products", "`/gemms` (`log.gemms_every`)")
def plot_gemms(results: Results, *, run: str | None = None, metric: str = "cosine") -> ResultFigure:
    """Cosine (or rel_error, pma, rho) of each product with the binary32 product, by depth, at the
    last sampled step; earlier samples as thin lines."""
    if metric not in ("cosine", "rel_error", "pma", "rho"):
        raise InputError(f"--metric '{metric}' is none of cosine, rel_error, pma, rho")
    runs = trained(results, "/gemms/step", f"/gemms/{metric}")
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    values = chosen.numbers(f"/gemms/{metric}")
    layers, products = chosen.texts("/gemms/layer"), chosen.texts("/gemms/gemm")
    steps = chosen.array("/gemms/step")
    figure = ResultFigure(1.5)
    ax = figure.subplots()
    ax.set_title(f"{metric} with the binary32 product")
    ax.set_xlabel("layer, in order of depth")
    ax.set_ylabel(metric)
    at = np.arange(len(layers))
    for k, product in enumerate(products):
        look = style.look(k)
        for i in range(len(steps) - 1):
            ax.plot(at, values[i, :, k], color=look.color, linewidth=0.6, alpha=0.35)
        line(ax, at, values[-1, :, k], product, look, markevery=1)
    label_ticks(ax.xaxis, layers, 12)
    for label in ax.get_xticklabels():
        label.set_rotation(30)
        label.set_ha("right")
    legend(ax, len(products))
    figure.ids = [chosen.run_id]
    figure.caption = (
        f"{metric} of the three products of each layer with their binary32 products in "
        f"{name_of(chosen)}, step {int(steps[-1])}; thin lines are earlier samples."
    )
    for text in notes:
        figure.note(text)
    return figure
