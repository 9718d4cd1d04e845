"""The one style sheet. Colours are Okabe and Ito's set, ordered so that neighbours differ in
lightness too; lines also differ in dash and marker, bars in hatch, so that grey prints read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

INK = "#1a1c1f"
MUTED = "#6b7078"
GRID = "#d9dce1"
PAPER = "#ffffff"
ON_LIGHT = "#111111"  # text on a cell of a heat map, whatever the page looks like
ON_DARK = "#fefefe"
BASELINE = INK
MISSING = "#e3e5e8"
ACCENT = "#d55e00"

PALETTE = (
    "#0072b2",  # blue
    "#d55e00",  # vermillion
    "#009e73",  # green
    "#cc79a7",  # purple
    "#e69f00",  # orange
    "#56b4e9",  # sky
    "#7a5195",  # violet
    "#8c6d31",  # brown
)
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.6)), (0, (1.2, 1.4)), (0, (6, 1.5, 1.2, 1.5)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
HATCHES = ("", "///", "..", "\\\\\\", "xx", "--", "o", "++")

SEQUENTIAL = "cividis"
DIVERGING = "PuOr"


@dataclass(frozen=True)
class Look:
    """How one series is drawn."""

    color: str
    dash: Any
    marker: str
    hatch: str


def layer_dash(layer: int) -> Any:
    """Dash of all lines of one of several sweeps, counted from 1."""
    return DASHES[max(0, layer - 1) % len(DASHES)]


def look(index: int, layer: int = 0) -> Look:
    """Look of the series number `index`. Of a sweep alone (layer 0) series differ in dash as well;
    of sweeps laid over each other (layers 1, 2, ...) colours tell configurations and dashes sweeps."""
    n = len(PALETTE)
    shift = 3 * max(0, layer - 1)
    return Look(
        PALETTE[index % n],
        DASHES[(index // n + index) % len(DASHES)] if layer == 0 else layer_dash(layer),
        MARKERS[(index + index // n + shift) % len(MARKERS)],
        HATCHES[(index + shift) % len(HATCHES)],
    )


BASELINE_LOOK = Look(BASELINE, "-", "o", "")

RC: dict[str, Any] = {
    "figure.dpi": 100,
    "savefig.dpi": 200,
    "figure.facecolor": PAPER,
    "savefig.facecolor": PAPER,
    "axes.facecolor": PAPER,
    "font.family": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 6.0,
    "axes.labelsize": 9.0,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "lines.linewidth": 1.4,
    "lines.markersize": 4.0,
    "hatch.linewidth": 0.6,
    "legend.fontsize": 8.0,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "legend.borderaxespad": 0.3,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
    "svg.fonttype": "path",
    "svg.hashsalt": "fp4lab",
    "svg.image_inline": True,
    "pdf.fonttype": 42,
    "path.simplify": True,
    "mathtext.fontset": "dejavusans",
    "axes.formatter.useoffset": False,
    "timezone": "UTC",
}

WIDTH = 6.4  # inches: a text column; 460 points on a phone at full size


def size(rows: float = 1.0, width: float = WIDTH) -> tuple[float, float]:
    """Figure size for `rows` panels of usual height."""
    return width, 0.35 + 2.55 * rows
