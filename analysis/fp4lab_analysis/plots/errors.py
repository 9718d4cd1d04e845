"""Quantization error of tensors: by spec, as a heat map, and against bits and block size."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes

from .. import style
from ..errors import InputError, NotInData
from ..figure import ResultFigure, bars, heat, legend, legend_columns, line
from ..registry import plot_kind
from ..results import Results
from ..specs import ErrorRow, error_rows, source_of
from ..stats import summarize

NEEDS = "files of kind `error` with `/table`"
METRICS = {
    "sqnr_db": "SQNR [dB]",
    "mse": "mean squared error",
    "relative_mse": "relative mean squared error",
    "max_abs_error": "largest error",
    "underflow_fraction": "underflow share",
    "saturation_fraction": "saturated share",
    "zero_fraction": "share of zeros",
}
#: dB a bit: the distortion-rate function of a Gaussian, D(R) = variance 2^-2R.
GAUSSIAN_DB = 20 * math.log10(2)


def rows_of(results: Results, metric: str = "sqnr_db") -> list[ErrorRow]:
    """All rows, or one line about what is missing."""
    runs = results.with_data("/table/spec", "/table/tensor", kinds=("error",))
    if not runs:
        raise NotInData("no file of kind error here: fp4lab error writes them")
    rows = error_rows(runs)
    if metric not in METRICS:
        raise InputError(f"--metric '{metric}' is none of {', '.join(METRICS)}")
    return rows


def shown_source(row: ErrorRow, results: Results) -> str:
    name = source_of(row)
    return f"{row.run.origin}: {name}" if results.overlaid and row.run.origin else name


def layer_of(origin: str, results: Results) -> int:
    """Number of a sweep from 1 on when several are laid over each other, else 0."""
    return results.origins.index(origin) + 1 if results.overlaid else 0


def looks_of(rows: list[ErrorRow], results: Results) -> dict[str, style.Look]:
    """A look for each source: of sweeps that are laid over each other the same colour for the same
    source."""
    names = list(dict.fromkeys(source_of(r) for r in rows))
    return {
        shown_source(r, results): style.look(
            names.index(source_of(r)), layer_of(r.run.origin, results)
        )
        for r in rows
    }


def collect(rows: list[ErrorRow], metric: str, results: Results) -> dict[tuple[str, str], list]:
    """Values by (source, spec), over seeds."""
    cells: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row.tensor != "total" and any(
            r.run is row.run and r.tensor == "total" for r in rows
        ):  # of a file of tensors the total is drawn
            continue
        cells.setdefault((shown_source(row, results), row.spec), []).append(row.values[metric])
    return cells


@plot_kind("error", "Quantization error by spec", NEEDS, reads="error")
def plot_error(results: Results, *, metric: str = "sqnr_db") -> ResultFigure:
    """Bars: one block for each spec, one bar for each source; with several seeds their mean and the
    95 % interval of the mean."""
    rows = rows_of(results, metric)
    cells = collect(rows, metric, results)
    sources = list(dict.fromkeys(source for source, _ in cells))
    order: dict[str, list[float]] = {}
    for (_, spec), found in cells.items():
        order.setdefault(spec, []).append(summarize(found).mean)
    sign = -1 if metric == "sqnr_db" else 1
    specs = sorted(order, key=lambda s: (sign * summarize(order[s]).mean, s))
    shape = (len(sources), len(specs))
    mean, low, high = np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape, np.nan)
    infinite = 0
    for i, source in enumerate(sources):
        for k, spec in enumerate(specs):
            values = cells.get((source, spec), [])
            infinite += sum(math.isinf(v) for v in values)
            s = summarize(values)
            mean[i, k], low[i, k], high[i, k] = s.mean, s.low, s.high
    figure = ResultFigure(max(1.0, 0.12 + len(specs) * (0.085 + 0.045 * len(sources))))
    ax = figure.subplots()
    ax.set_title("Quantization error")
    ax.set_xlabel(METRICS[metric])
    ax.set_ylabel("spec")
    looks = looks_of(rows, results)
    bars(ax, specs, sources, mean, [looks[s] for s in sources], low=low, high=high)
    legend(ax, legend_columns(sources), below=True)
    better = "longer is better" if metric == "sqnr_db" else "shorter is better"
    figure.caption = f"{METRICS[metric]} of each spec on {len(sources)} sources ({better})."
    missing = int(np.isnan(mean).sum())
    if infinite:
        figure.note(f"{infinite} values are infinite (no error at all) and have no bar.")
    if missing:
        figure.note(f"{missing} of {mean.size} cells have no finite value.")
    return figure


@plot_kind(
    "error-map", "Quantization error: format by scale and rounding", NEEDS, reads="error"
)
def plot_error_map(results: Results, *, metric: str = "sqnr_db") -> ResultFigure:
    """Heat map of format (rows) by scale rule and rounding (columns), a panel for each source."""
    rows = rows_of(results, metric)
    cells = collect(rows, metric, results)
    parts = {row.spec: (row.format, f"{row.rule}\n{row.rounding}") for row in rows}
    sources = list(dict.fromkeys(source for source, _ in cells))
    formats = sorted({parts[spec][0] for _, spec in cells})
    ways = sorted({parts[spec][1] for _, spec in cells})
    panels = len(sources)
    figure = ResultFigure(panels * max(0.5, 0.09 * len(formats)) + 0.35)
    axes = figure.subplots(panels, 1, squeeze=False, sharex=True)[:, 0]
    values = np.full((panels, len(formats), len(ways)), np.nan)
    for (source, spec), found in cells.items():
        form, way = parts[spec]
        values[sources.index(source), formats.index(form), ways.index(way)] = summarize(found).mean
    finite = values[np.isfinite(values)]
    if finite.size == 0:
        raise NotInData("no finite value to draw")
    for i, ax in enumerate(axes):
        ax.set_title(sources[i])
        ax.set_xlabel("scale rule, rounding")
        ax.xaxis.label.set_visible(i + 1 == panels)
        image = heat(
            ax,
            formats,
            ways,
            values[i],
            name=METRICS[metric],
            low=float(finite.min()),
            high=float(finite.max()),
            write="{:.1f}" if metric == "sqnr_db" else "{:.2g}",
        )
        for label in ax.get_xticklabels():
            label.set_fontsize(7)
    bar = figure.colorbar(image, ax=list(axes), shrink=min(1.0, 1.2 / panels), pad=0.02)
    bar.set_label(METRICS[metric])
    figure.caption = f"{METRICS[metric]} of each format under each scale rule and rounding."
    figure.note("Hatched cells were not run.")
    return figure


def draw_bits(ax: Axes, rows: list[ErrorRow], name: str, look: style.Look) -> None:
    """SQNR of one base against bits, hollow where it rounds stochastically."""
    for stochastic in (False, True):
        points = sorted(
            (r.bits, r.values["sqnr_db"]) for r in rows if r.rounding.startswith("sr") == stochastic
        )
        if points:
            line(
                ax,
                [b for b, _ in points],
                [v for _, v in points],
                f"{name}, stochastic" if stochastic else name,
                style.Look(look.color, "none", look.marker, ""),
                markersize=5.5,
                markevery=1,
                markerfacecolor=style.PAPER if stochastic else look.color,
            )


def draw_sizes(ax: Axes, rows: list[ErrorRow], name: str, look: style.Look) -> None:
    """Mean SQNR of one base against block size, a line for each way of scaling and rounding that was
    run with two sizes or more."""
    sizes: dict[tuple[str, str], dict[float, list[float]]] = {}
    for r in rows:
        if r.block > 0:
            way = sizes.setdefault((r.rule, r.rounding), {})
            way.setdefault(r.block, []).append(r.values["sqnr_db"])
    for (rule, rounding), found in sorted(sizes.items()):
        if len(found) < 2:
            continue
        blocks = sorted(found)
        means = [summarize(found[b]).mean for b in blocks]
        line(ax, blocks, means, f"{name}, {rule}, {rounding}", look, markevery=1)


@plot_kind("rate-distortion", "SQNR against bits and block size", NEEDS, reads="error")
def plot_rate_distortion(results: Results, *, source: str | None = None) -> ResultFigure:
    """Top: SQNR against bits a value, scales counted, with the Gaussian bound of 6.02 dB a bit.
    Bottom: SQNR against the number of elements that share a scale, a line for each way of scaling
    and rounding that was run with several sizes."""
    rows = rows_of(results)
    sources = list(dict.fromkeys(source_of(r) for r in rows))
    if source is not None and source not in sources:
        raise InputError(f"--source '{source}' is none of {', '.join(sources)}")
    chosen = source or sources[0]
    mine = [r for r in rows if source_of(r) == chosen]
    bases = sorted({r.base for r in mine})
    figure = ResultFigure(2.1)
    top, bottom = figure.subplots(2, 1)
    top.set_title(f"Bits: {chosen}")
    top.set_xlabel("bits a value, scales included [bit]")
    top.set_ylabel("SQNR [dB]")
    bottom.set_title(f"Block size: {chosen}")
    bottom.set_xlabel("elements that share a scale")
    bottom.set_ylabel("SQNR [dB]")
    bottom.set_xscale("log", base=2)
    bottom.xaxis.set_major_formatter("{x:.0f}")
    for origin in results.origins:
        layer = layer_of(origin, results)
        name = f"{origin}: " if layer else ""
        for i, base in enumerate(bases):
            some = [r for r in mine if r.base == base and r.run.origin == origin]
            look = style.look(i, layer)
            draw_bits(top, some, f"{name}{base}", look)
            draw_sizes(bottom, some, f"{name}{base}", look)
    seen = [r.bits for r in mine]
    edge = np.array([max(0.0, min(seen) - 0.4), max(seen) + 0.4])
    bound = style.Look(style.MUTED, (0, (4, 2)), "", "")
    line(top, edge, GAUSSIAN_DB * edge, "Gaussian bound, 6.02 dB a bit", bound, marks=False)
    if bottom.lines:
        legend(bottom)
    else:
        bottom.text(
            0.5, 0.5, "no rule was run with two sizes", ha="center", transform=bottom.transAxes
        )
        figure.note("No rule was run with two block sizes, so the lower panel is empty.")
    handles, labels = top.get_legend_handles_labels()
    legend(top, legend_columns(labels), below=True, entries=(handles, labels))
    figure.caption = (
        f"SQNR on {chosen} against bits a value and against elements a scale; hollow marks round "
        "stochastically. No quantizer of Gaussian data lies above the dashed bound."
    )
    others = [s for s in sources if s != chosen]
    if others:
        figure.note(f"Drawn for the source {chosen}; --source takes also {', '.join(others)}.")
    return figure
