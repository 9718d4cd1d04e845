"""What a number format does: transfer and error curve; factors of gradient estimators."""

from __future__ import annotations

import numpy as np

from .. import style
from ..errors import NotInData
from ..figure import ResultFigure, legend, legend_columns, line, outer_labels
from ..registry import plot_kind
from ..results import Result, Results


def one(results: Results, kind: str) -> list[Result]:
    runs = results.of_kind(kind)
    if not runs:
        raise NotInData(f"no table of kind {kind}: name a number format, as e2m1")
    return runs


def steps_of(low: np.ndarray, high: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Corners of the transfer curve: from a quarter below the range to a quarter above it."""
    values = np.append(low, high[-1])
    margin = 0.25 * max(abs(values[0]), abs(values[-1]))
    edges = np.concatenate([[min(values[0], at[0]) - margin], at, [max(values[-1], at[-1]) + margin]])
    return np.repeat(edges, 2)[1:-1], np.repeat(values, 2)


@plot_kind(
    "transfer",
    "Transfer and error curve of a format with its thresholds",
    "names of formats",
    layered=False,
    reads="format",
)
def plot_transfer(results: Results) -> ResultFigure:
    """Top: the value that each number becomes, with the thresholds as ticks. Bottom: the error."""
    curves: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
    for run in one(results, "format"):
        table = run.table()
        names = [f"{f}, {r}" for f, r in zip(table["format"], table["rounding"])]
        for name in dict.fromkeys(names):
            mask = np.array([n == name for n in names])
            low, high, at = (np.asarray(table[c])[mask] for c in ("low", "high", "at"))
            x, y = steps_of(low, high, at)
            curves.append((name, x, y, at))
    largest = [float(np.abs(y).max()) for _, _, y, _ in curves]
    scaled = len(set(largest)) > 1  # formats of different range are compared over it
    if scaled:
        curves = [(n, x / m, y / m, at / m) for (n, x, y, at), m in zip(curves, largest)]
    unit = " / largest value" if scaled else ""
    figure = ResultFigure(2.0)
    axes = figure.subplots(2, 1, sharex=True)
    outer_labels(axes.reshape(2, 1))
    top, bottom = axes
    top.set_title("Transfer curve")
    top.set_xlabel(f"x{unit}")
    top.set_ylabel(f"value{unit}")
    bottom.set_title("Error")
    bottom.set_xlabel(f"x{unit}")
    bottom.set_ylabel("(value − x) / largest value" if scaled else "value − x")
    for i, (name, x, y, at) in enumerate(curves):
        look = style.look(i)
        plain = style.Look(look.color, look.dash if len(curves) > 1 else "-", "", "")
        line(top, x, y, name, plain, marks=False)
        line(bottom, x, y - x, name, plain, marks=False)
        place = top.get_xaxis_transform()
        top.plot(at, np.full(len(at), 0.02 + 0.035 * i), "|", color=look.color, markersize=6,
                 transform=place)
        figure.record("Thresholds", name, "number", list(range(len(at))), "threshold", at)
    ends = [min(c[1][0] for c in curves), max(c[1][-1] for c in curves)]
    top.plot(ends, ends, color=style.MUTED, linewidth=0.8, linestyle=(0, (1, 2)))
    bottom.axhline(0, color=style.MUTED, linewidth=0.8)
    legend(bottom, legend_columns([c[0] for c in curves]), below=True)
    figure.caption = (
        f"Value (top) and error (bottom) of every number in {', '.join(c[0] for c in curves)}; ticks at "
        "the bottom of the upper panel are the decision thresholds, the dotted line is the identity."
    )
    return figure


@plot_kind(
    "estimators",
    "Factors of gradient estimators",
    "the name of a format",
    layered=False,
    reads="estimator",
)
def plot_estimators(results: Results) -> ResultFigure:
    """What each estimator multiplies the upstream gradient by, against the element over its scale; a
    panel for each, thin lines at the values of the format."""
    run = one(results, "estimator")[0]
    table = run.table()
    names = list(dict.fromkeys(table["estimator"]))
    v, factor, values = (np.asarray(table[c]) for c in ("v", "factor", "value"))
    column = np.array(table["estimator"])
    down = -(-len(names) // 3)
    figure = ResultFigure(0.62 * down + 0.1)
    axes = figure.subplots(down, 3, sharex=True, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(names) :]:
        ax.set_visible(False)
    outer_labels(axes)
    top = float(np.nanmax(factor[np.isfinite(factor)]))
    for ax, name in zip(axes.ravel(), names):
        mask = column == name
        ax.set_title(name)
        ax.set_xlabel("x / scale")
        ax.set_ylabel("factor")
        for value in np.unique(values):
            ax.axvline(value, color=style.GRID, linewidth=0.5)
        ax.grid(visible=False)
        solid = style.Look(style.PALETTE[0], "-", "", "")
        line(ax, v[mask], factor[mask], name, solid, marks=False, linewidth=1.0)
        ax.set_ylim(-0.05 * top, 1.05 * top)
    figure.caption = (
        f"Factor that each estimator puts in front of the gradient of an element, on {table['format'][0]} "
        "with default parameters (reste at the end of training); vertical lines are the values of the "
        "format. The straight-through estimator is 1 everywhere."
    )
    figure.note("lsq, lsq-plus have the factor of clipped-ste, diffq that of ste; pact clips by x.")
    return figure
