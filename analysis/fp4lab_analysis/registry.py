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
from .groups import task_of, tasks_of
from .results import Results


@dataclass(frozen=True)
class Kind:
    """One kind of plot."""

    name: str
    title: str
    needs: str  # what the files must hold
    draw: Callable[..., ResultFigure]
    layered: bool  # whether several sweeps can be laid over each other

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the keyword options that the kind takes."""
        parameters = inspect.signature(self.draw).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)


_KINDS: dict[str, Kind] = {}


def plot_kind(
    name: str, title: str, needs: str, *, layered: bool = True, reads: str = "run"
) -> Callable[[Callable], Callable]:
    """Registers a `plot_x(results, *, options) -> ResultFigure` under a name of the command.
    `layered`: several sweeps are drawn over each other; otherwise they are refused in one line.
    `reads`: kind of the files that it draws from."""

    def register(function: Callable[..., ResultFigure]) -> Callable[..., ResultFigure]:
        def draw(results: Results, *, task: str | None = None, **options: Any) -> ResultFigure:
            if not layered and results.subset(results.of_kind(reads)).overlaid:
                raise InputError(one_sweep(name, results))
            results, note = of_task(results, task) if reads == "run" else (results, "")
            with matplotlib.rc_context(style.RC):
                figure = function(results, **options)
            figure.note(note)
            figure.caption = figure.caption[:1].upper() + figure.caption[1:]
            if not figure.ids:
                figure.ids = sorted({r.run_id for r in results.of_kind(reads)})[:64]
            return figure

        draw.__name__ = function.__name__
        draw.__doc__ = function.__doc__
        draw.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        _KINDS[name] = Kind(name, title, needs, draw, layered)
        return draw

    return register


def one_sweep(name: str, results: Results) -> str:
    """The line for sweeps that a kind cannot lay over each other."""
    names = ", ".join(results.origins)
    return f"plot {name} shows one sweep at a time; name one of {names} (plot final takes several)"


def of_task(results: Results, wanted: str | None) -> tuple[Results, str]:
    """The training runs of one task (when none is named one that all sweeps have, else the one with
    most runs), and a note on the others. Files of other kinds stay."""
    tasks = tasks_of(results.runs)
    if wanted is not None:
        found = [t for t in tasks if t == wanted] or [t for t in tasks if wanted in t.split()]
        if not found:
            raise InputError(f"--task '{wanted}' is none of {', '.join(tasks) or 'no training run'}")
        chosen = found[0]
    elif len(tasks) > 1:
        sweeps = [{task_of(r) for r in results.runs if r.origin == o} for o in results.origins]
        chosen = next((t for t in tasks if all(t in sweep for sweep in sweeps)), tasks[0])
    else:
        return results, ""
    kept = results.subset(r for r in results.runs if r.kind != "run" or task_of(r) == chosen)
    others = [t for t in tasks if t != chosen]
    notes = []
    if wanted is None:
        notes.append(f"Drawn for {chosen}; --task takes also {', '.join(others)}.")
    have = {r.origin for r in kept.of_kind("run")}
    if without := [o for o in results.origins if o not in have]:
        notes.append(f"No run of this task in {', '.join(without)}.")
    return kept, " ".join(notes)


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
        if key != "task" and key not in kind.options:
            takes = ", ".join("--" + o for o in kind.options) or "none"
            raise InputError(f"plot {kind.name} takes no --{key}; its options: {takes}")
    return kind.draw(results, **given)


def kinds_markdown() -> str:
    """The table of kinds in analysis/README.md."""
    lines = ["| kind | shows | needs | options | two sweeps |", "|---|---|---|---|---|"]
    for kind in kinds().values():
        options = " ".join(f"`--{o}`" for o in kind.options)
        both = "yes" if kind.layered else "no"
        lines.append(f"| `{kind.name}` | {kind.title} | {kind.needs} | {options} | {both} |")
    return "\n".join(lines) + "\n"
