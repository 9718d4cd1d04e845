"""The kinds of plot: one table that the command, the report and the README are made from."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import matplotlib

from . import style
from .errors import InputError
from .figure import ResultFigure
from .results import Results


@dataclass(frozen=True)
class Kind:
    """One kind of plot."""

    name: str
    title: str
    needs: str  # what the files must hold
    draw: Callable[..., ResultFigure]

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword options that the kind takes."""
        parameters = inspect.signature(self.draw).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


_KINDS: dict[str, Kind] = {}


def plot_kind(name: str, title: str, needs: str) -> Callable[[Callable], Callable]:
    """Registers a `plot_x(results, *, options) -> ResultFigure` under a name of the command."""

    def register(function: Callable[..., ResultFigure]) -> Callable[..., ResultFigure]:
        def draw(results: Results, **options: Any) -> ResultFigure:
            with matplotlib.rc_context(style.RC):
                figure = function(results, **options)
            if not figure.ids:
                figure.ids = sorted({r.run_id for r in results.runs})[:64]
            return figure

        draw.__name__ = function.__name__
        draw.__doc__ = function.__doc__
        draw.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        _KINDS[name] = Kind(name, title, needs, draw)
        return draw

    return register


def kinds() -> dict[str, Kind]:
    """All kinds by name, in the order of the documentation."""
    from . import plots  # registers them  # noqa: F401

    return _KINDS


def find_kind(name: str) -> Kind:
    """By name; raises InputError with the nearest one."""
    wanted = name.lower().replace("_", "-")
    table = kinds()
    if wanted in table:
        return table[wanted]
    near = difflib.get_close_matches(wanted, list(table), 1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; there are {', '.join(table)}"
    raise InputError(f"unknown kind of plot '{name[:40]}'{hint}")


def draw(name: str, results: Results, **options: Any) -> ResultFigure:
    """Draws a kind with the options that were given; raises InputError for one it does not take."""
    kind = find_kind(name)
    given = {key: value for key, value in options.items() if value is not None}
    for key in given:
        if key not in kind.options:
            takes = ", ".join("--" + o for o in kind.options) or "none"
            raise InputError(f"plot {kind.name} takes no --{key}; its options: {takes}")
    return kind.draw(results, **given)


def kinds_markdown() -> str:
    """The table of kinds in analysis/README.md."""
    lines = ["| kind | shows | needs | options |", "|---|---|---|---|"]
    for kind in kinds().values():
        options = " ".join(f"`--{o}`" for o in kind.options)
        lines.append(f"| `{kind.name}` | {kind.title} | {kind.needs} | {options} |")
    return "\n".join(lines) + "\n"
