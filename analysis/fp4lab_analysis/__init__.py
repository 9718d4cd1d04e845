"""Plots, statistics and reports from the result files of fp4lab; reads nothing but HDF5.

    import fp4lab_analysis as fa
    figure = fa.draw("loss", fa.load(["results/"]))
    figure.write("loss.svg")
"""

from __future__ import annotations

import importlib
from typing import Any

_PLACES = {
    "Result": "results",
    "Results": "results",
    "load": "results",
    "draw": "registry",
    "kinds": "registry",
}

__all__ = sorted(_PLACES)


def __getattr__(name: str) -> Any:
    """Imports on first use: what a module is missing can then be said by whoever asked."""
    if name in _PLACES:
        return getattr(importlib.import_module(f".{_PLACES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
