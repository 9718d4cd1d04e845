"""A figure that knows what it shows: the drawn numbers, what is missing, its caption.

The helpers here draw and record in one call, so that `--data` cannot differ from the picture.
"""

from __future__ import annotations

import csv
import io
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from . import style
from .errors import EnvironmentError_, InputError

FIELDS = ("panel", "series", "x_name", "x", "y_name", "y", "low", "high")
FORMATS = ("svg", "png", "pdf")


def text_of(value: Any) -> str:
    """A number as the shortest text that reads back the same, a missing one as empty."""
    if isinstance(value, str):
        return value
    number = float(value)
    if np.isnan(number):
        return ""
    if number == int(number) and abs(number) < 1e15 if np.isfinite(number) else False:
        return str(int(number))
    return repr(number)


class ResultFigure(Figure):
    """A matplotlib figure with `rows` (what is drawn), `notes` (what is not), `caption`, `ids`."""

    def __init__(self, rows: float = 1.0, width: float = style.WIDTH) -> None:
        super().__init__(figsize=style.size(rows, width))
        FigureCanvasAgg(self)
        # The layout is made once, before a picture is. An engine of the figure's own would be run
        # for each picture, inside of a first drawing that nobody sees.
        self.layout_maker = ConstrainedLayoutEngine()
        self._laid_out = False
        self.rows: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self.caption = ""
        self.ids: list[str] = []

    def colorbar(self, mappable: Any, ax: Any, **options: Any) -> Any:  # type: ignore[override]
        """A colour bar that the layout knows, without a frame."""
        bar = super().colorbar(mappable, ax=ax, use_gridspec=False, **options)
        bar.outline.set_visible(False)
        return bar

    def note(self, text: str) -> None:
        """Says something that the picture cannot show; each text once."""
        if text and text not in self.notes:
            self.notes.append(text)

    def record(
        self,
        panel: str,
        series: str,
        x_name: str,
        x: Sequence[Any],
        y_name: str,
        y: Sequence[Any],
        low: Sequence[Any] | None = None,
        high: Sequence[Any] | None = None,
    ) -> None:
        """Adds drawn points to the data of the figure."""
        for i, at in enumerate(x):
            self.rows.append(
                {
                    "panel": panel,
                    "series": series,
                    "x_name": x_name,
                    "x": at,
                    "y_name": y_name,
                    "y": y[i],
                    "low": np.nan if low is None else low[i],
                    "high": np.nan if high is None else high[i],
                }
            )

    def csv(self) -> str:
        """The drawn numbers, one point a line."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(FIELDS)
        for row in self.rows:
            writer.writerow([text_of(row[name]) for name in FIELDS])
        return out.getvalue()

    def image(self, form: str) -> bytes:
        """The picture as svg, png or pdf; equal data give equal bytes."""
        if form not in FORMATS:
            raise InputError(f"'{form}' is no picture format; there are {', '.join(FORMATS)}")
        title = self.caption.split(". ")[0]
        words = ["fp4lab", *self.ids]
        metadata: dict[str, Any] = {
            "svg": {"Date": None, "Title": title, "Keywords": words, "Creator": None},
            "png": {"Software": None, "Title": title, "Description": " ".join(words)},
            "pdf": {
                "CreationDate": None,
                "ModDate": None,
                "Producer": None,
                "Creator": None,
                "Title": title,
                "Keywords": " ".join(words),
            },
        }[form]
        out = io.BytesIO()
        with matplotlib.rc_context(style.RC):
            if not self._laid_out:
                self.layout_maker.execute(self)
                self._laid_out = True
            self.savefig(out, format=form, metadata=metadata)
        return stable_clip_ids(out.getvalue()) if form == "svg" else out.getvalue()

    def write(self, path: Path | str) -> None:
        """Writes the picture; the ending of the name says the format."""
        form = Path(path).suffix.removeprefix(".").lower()
        if form not in FORMATS:
            raise InputError(f"{path}: the name must end in .svg, .png or .pdf")
        write_file(path, self.image(form))


def stable_clip_ids(svg: bytes) -> bytes:
    """Numbers the clip paths in order of appearance. Older matplotlib derives their ids from
    addresses of objects (those of colour bars, whatever `svg.hashsalt` says)."""
    names: dict[bytes, bytes] = {}

    def rename(match: re.Match[bytes]) -> bytes:
        name = names.setdefault(match.group(2), b"clip%d" % len(names))
        return match.group(1) + name

    return re.sub(rb'(url\(#|<clipPath id=")(p[0-9a-f]{10})', rename, svg)


def write_file(path: Path | str, content: bytes | str) -> None:
    """Writes a temporary file beside the target and renames it: a final name is a whole file."""
    target = Path(path)
    data = content.encode("utf-8") if isinstance(content, str) else content
    try:
        if target.exists() and not target.is_file():  # a pipe or a device takes bytes as they come
            with open(target, "wb") as out:
                out.write(data)
            return
        target = target.resolve()
        descriptor, name = tempfile.mkstemp(
            prefix=f".{target.name}.", suffix=".part", dir=target.parent
        )
        try:
            with os.fdopen(descriptor, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(name, 0o666 & ~mask)
            os.replace(name, target)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise EnvironmentError_(f"{path}: cannot be written: {error.strerror}") from None


# --- marks ------------------------------------------------------------------------------------


def _panel(ax: Axes) -> str:
    return ax.get_title(loc="left") or ax.get_title()


def _figure(ax: Axes) -> ResultFigure:
    figure = ax.figure
    assert isinstance(figure, ResultFigure)
    return figure


def line(
    ax: Axes,
    x: Sequence[float] | np.ndarray,
    y: Sequence[float] | np.ndarray,
    label: str,
    look: style.Look,
    *,
    low: Sequence[float] | np.ndarray | None = None,
    high: Sequence[float] | np.ndarray | None = None,
    marks: bool | None = None,
    step: bool = False,
    shade: float = 0.18,
    **extra: Any,
) -> None:
    """A line with an optional band of opacity `shade`; gaps (NaN) stay gaps. Few points get markers
    on each, many get about eight. Labels of the axes must be set before."""
    xs, ys = np.asarray(x, float), np.asarray(y, float)
    every = max(1, len(xs) // 8)
    shown = len(xs) <= 40 if marks is None else marks
    options: dict[str, Any] = {
        "color": look.color,
        "linestyle": look.dash,
        "marker": look.marker if shown or len(xs) > 40 else None,
        "markevery": 1 if len(xs) <= 12 else every,
        "label": label,
    }
    if marks is False:
        options["marker"] = None
    if step:
        options["drawstyle"] = "steps-post"
    options.update(extra)
    ax.plot(xs, ys, **options)
    lows = None if low is None else np.asarray(low, float)
    highs = None if high is None else np.asarray(high, float)
    if lows is not None and highs is not None:
        ax.fill_between(xs, lows, highs, color=look.color, alpha=shade, linewidth=0)
    _figure(ax).record(_panel(ax), label, ax.get_xlabel(), xs, ax.get_ylabel(), ys, lows, highs)


def histogram(
    ax: Axes,
    edges: Sequence[float] | np.ndarray,
    values: Sequence[float] | np.ndarray,
    label: str,
    look: style.Look,
) -> None:
    """The outline of a histogram, with its last bin; recorded at the lower edges."""
    xs, ys = np.asarray(edges, float), np.asarray(values, float)
    ends = np.append(ys, ys[-1:])
    ax.plot(xs, ends, color=look.color, linestyle=look.dash, drawstyle="steps-post", label=label)
    _figure(ax).record(_panel(ax), label, ax.get_xlabel(), xs[:-1], ax.get_ylabel(), ys)


def bars(
    ax: Axes,
    groups: Sequence[str],
    series: Sequence[str],
    values: np.ndarray,
    looks: Sequence[style.Look],
    *,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
) -> None:
    """Horizontal bars: one block of bars for each group, one bar for each series. `values` is
    [series, group]; where a value is missing words (a dash, where many are) stand for its bar."""
    count = max(1, len(series))
    height = 0.8 / count
    absent = int((~np.isfinite(values)).sum())
    for i, name in enumerate(series):
        at = np.arange(len(groups)) + (i - (count - 1) / 2) * height
        shown = np.where(np.isfinite(values[i]), values[i], 0.0)
        ax.barh(
            at,
            shown,
            height * 0.9,
            color=looks[i].color,
            hatch=looks[i].hatch,
            edgecolor=style.PAPER,
            linewidth=0.4,
            label=name,
        )
        if low is not None and high is not None:
            have = np.isfinite(low[i]) & np.isfinite(high[i])
            ax.errorbar(
                values[i][have],
                at[have],
                xerr=[(values[i] - low[i])[have], (high[i] - values[i])[have]],
                fmt="none",
                ecolor=style.INK,
                elinewidth=0.9,
                capsize=2,
            )
        for k in np.flatnonzero(~np.isfinite(values[i])):
            ax.annotate(
                "no value" if absent <= 6 else "–",
                (0.0, at[k]),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=7,
                color=style.MUTED,
            )
        _figure(ax).record(
            _panel(ax),
            name,
            ax.get_ylabel() or "group",
            list(groups),
            ax.get_xlabel(),
            values[i],
            None if low is None else low[i],
            None if high is None else high[i],
        )
    ax.set_yticks(np.arange(len(groups)), list(groups))
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    ax.axvline(0, color=style.MUTED, linewidth=0.7)


def heat(
    ax: Axes,
    rows: Sequence[str],
    columns: Sequence[str],
    values: np.ndarray,
    *,
    name: str,
    low: float | None = None,
    high: float | None = None,
    cmap: str = style.SEQUENTIAL,
    write: str | None = None,
    norm: Any = None,
) -> Any:
    """A heat map of values [row, column]; missing cells are hatched, infinite ones have the colour at
    the end of the scale. `write` is a format for the number in each cell (left out when there are too
    many cells to read)."""
    colors: Colormap = matplotlib.colormaps[cmap].with_extremes(bad=(0, 0, 0, 0))
    ax.set_facecolor(style.MISSING)
    ax.patch.set_hatch("//")
    ax.patch.set_edgecolor(style.PAPER)
    masked = np.ma.masked_where(np.isnan(values), np.asarray(values, float))
    if np.isinf(masked).any() and low is not None and high is not None:
        masked = np.ma.clip(masked, low, high)
    limits = {} if norm is not None else {"vmin": low, "vmax": high}
    image = ax.imshow(masked, aspect="auto", cmap=colors, norm=norm, **limits)
    label_ticks(ax.yaxis, list(rows), 24)
    label_ticks(ax.xaxis, list(columns), 12)
    ax.grid(visible=False)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    if write is not None and values.size <= 160:
        for i in range(values.shape[0]):
            for k in range(values.shape[1]):
                if np.isfinite(values[i, k]):
                    shade = colors(image.norm(values[i, k]))
                    ax.text(
                        k,
                        i,
                        write.format(values[i, k]),
                        ha="center",
                        va="center",
                        fontsize=7.5,
                        color=style.ON_LIGHT if luminance(shade) > 0.25 else style.ON_DARK,
                    )
    for i, row in enumerate(rows):
        _figure(ax).record(
            _panel(ax), row, ax.get_xlabel(), list(columns), name, np.asarray(values[i], float)
        )
    return image


def luminance(color: Sequence[float]) -> float:
    """Relative luminance of an RGB colour, 0 to 1."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in color[:3]]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def label_ticks(axis: Any, names: Sequence[str], most: int) -> None:
    """Names at cells 0, 1, 2 ...; every n-th when there are more than `most`."""
    stride = max(1, -(-len(names) // most))
    places = list(range(0, len(names), stride))
    axis.set_ticks(places, [names[i] for i in places])


def outer_labels(axes: np.ndarray) -> None:
    """In a grid of panels that share their axes, shows the names of axes at the edge only. The names
    stay set: the recorded data carry them."""
    rows, columns = axes.shape
    for i in range(rows):
        for k in range(columns):
            below = i + 1 < rows and axes[i + 1, k].get_visible()
            axes[i, k].xaxis.label.set_visible(not below)
            axes[i, k].yaxis.label.set_visible(k == 0)
            axes[i, k].tick_params(labelbottom=not below)


def legend(
    ax: Axes,
    columns: int = 1,
    below: bool = False,
    entries: tuple[Sequence[Any], Sequence[str]] | None = None,
    **options: Any,
) -> None:
    """A legend of the axes (or of other `entries`); `below` puts it under the whole figure and makes
    that as much higher, so that long names of specs have room."""
    handles, labels = entries or ax.get_legend_handles_labels()
    if not handles:
        return
    if not below:
        ax.legend(handles, labels, ncol=columns, **options)
        return
    figure = ax.figure
    width, height = figure.get_size_inches()
    room = 0.18 * -(-len(labels) // columns) + 0.12
    height += room
    figure.set_size_inches(width, height)
    assert isinstance(figure, ResultFigure)
    figure.layout_maker.set(rect=(0, room / height, 1, 1 - room / height))
    figure.legend(handles, labels, ncol=columns, loc="lower left", borderaxespad=0.4, **options)


def legend_columns(labels: Sequence[str]) -> int:
    """Columns of a legend below: as many as the longest label leaves room for."""
    longest = max((len(label) for label in labels), default=1)
    return max(1, min(4, len(labels), int(92 / (longest + 9))))
