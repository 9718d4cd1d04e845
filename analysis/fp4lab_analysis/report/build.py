"""Puts the report together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from ..errors import InputError, NotInData
from ..figure import ResultFigure
from ..groups import group_runs, is_seed, tasks_of
from ..registry import Kind, draw, kinds
from ..results import Results, origin_names, show
from ..tables import Cell, Table, columns
from .answer import Section, problems_sentence, sections_of
from .svg import inline

HERE = Path(__file__).parent
#: Kinds in the order of the page; kinds that are not named follow in the order of the registry.
ORDER = ("final", "loss", "effects", "slots", "error", "error-map", "rate-distortion")
#: Kinds that draw training runs: once for each task.
TRAINING = ("final", "loss", "effects", "slots", "grad-norm", "layers", "codes", "scales", "clipping",
            "gemms", "oscillation", "confidence", "trajectories", "flips", "attention", "router")
SPREAD = ("error", "error-map", "rate-distortion", "rounding", "accumulator")


@dataclass
class Drawn:
    """A figure on the page."""

    kind: tuple[int, str]  # place among the kinds, title of the kind
    which: str  # task or sweep, where there are several
    anchor: str
    title: str
    svg: str
    caption: str
    notes: list[str]
    command: str


@dataclass
class Said:
    """An answer in three parts: the task where there are several, what it is about, the rest."""

    task: str
    lead: str
    rest: str

    @staticmethod
    def of(answer: str, section: Section) -> "Said":
        task = section.task if section.task and answer.startswith(f"{section.task}: ") else ""
        text = answer.removeprefix(f"{task}: ") if task else answer
        lead, colon, rest = text.partition(": ")
        return Said(task, lead + colon.strip(), rest) if colon else Said(task, "", text)


def order_of(name: str) -> int:
    names = list(ORDER) + [k for k in kinds() if k not in ORDER]
    return names.index(name)


def draw_all(results: Results, paths: Sequence[str], baseline: str | None) -> list[Drawn]:
    """Every kind that the data allow, training kinds once for each task."""
    from ..cli import redraw_command

    found: list[Drawn] = []
    for name in sorted(kinds(), key=order_of):
        kind = kinds()[name]
        for part, part_paths, origin in parts_for(kind, results, paths):
            tasks = tasks_of(part.runs)
            choices: list[str | None] = list(tasks) if name in TRAINING and len(tasks) > 1 else [None]
            for task in choices:
                options: dict[str, Any] = {"task": task}
                if baseline is not None and "baseline" in kind.options:
                    options["baseline"] = baseline
                figure = draw_if_possible(name, part, options)
                if figure is None:
                    continue
                which = ", ".join(w for w in (task, origin) if w)
                title = f"{kind.title} ({which})" if which else kind.title
                anchor = re.sub(r"[^a-z0-9]+", "-", f"{name}-{which}".lower()).strip("-")
                svg = inline(figure.image("svg"), f"f{len(found)}-", f"{title}. {figure.caption}")
                command = redraw_command(name, part_paths, options)
                place = (order_of(name), kind.title)
                found.append(
                    Drawn(place, which, anchor, title, svg, figure.caption, figure.notes, command)
                )
    return found


def parts_for(
    kind: Kind, results: Results, paths: Sequence[str]
) -> list[tuple[Results, Sequence[str], str]]:
    """What to draw a kind from: everything, or each sweep by itself where it cannot lay several over
    each other; with the paths that the command would name."""
    if kind.layered or not results.overlaid:
        return [(results, paths, "")]
    return [
        (results.subset(r for r in results.runs if r.origin == origin), [path], origin)
        for path, origin in zip(paths, origin_names(paths))
    ]


def draw_if_possible(name: str, results: Results, options: dict[str, Any]) -> ResultFigure | None:
    """The figure, or None where the data do not allow it. A baseline that a task does not have is
    left out of its options."""
    try:
        return draw(name, results, **options)
    except InputError:
        if "baseline" not in options:
            return None
    options.pop("baseline")
    return draw_if_possible(name, results, options)


def runs_table(results: Results) -> Table:
    """One row a run."""
    table = Table(columns("run", "kind", "configuration", "#seed", "status", "#seconds"))
    kinds_here = list(dict.fromkeys(r.kind for r in results.runs))
    for kind in kinds_here:
        for group in group_runs([r for r in results.runs if r.kind == kind]):
            for run in group.runs:
                seconds = run.attributes.get("wall_s")
                number = float(seconds) if isinstance(seconds, (int, float)) else float("nan")
                table.add(
                    run.run_id,
                    run.kind,
                    group.label,
                    Cell(str(run.seed), run.seed),
                    run.status,
                    Cell(f"{number:.1f}" if number == number else "–", number),
                )
    for problem in results.problems:
        if problem.state != "missing":
            table.add(problem.name, "–", problem.line, Cell("–"), problem.state, Cell("–"))
    table.caption = "Every run of the folder, and what is known of those that did not finish."
    return table


def settings_table(results: Results) -> Table:
    """Keys that have one value in all files of a kind."""
    table = Table(columns("kind", "key", "value"))
    for kind in dict.fromkeys(r.kind for r in results.runs):
        runs = results.of_kind(kind)
        for key in sorted(set.intersection(*[set(r.config) for r in runs])):
            values = {show(r.config[key]) for r in runs}
            if len(values) == 1 and not is_seed(key):
                table.add(kind, key, values.pop())
    table.caption = "What all runs of a kind have in common."
    return table


def provenance(results: Results) -> list[tuple[str, str]]:
    """Software, commits and machines that the files name."""
    rows = []
    for name, title in (
        ("software_version", "fp4lab"),
        ("git_commit", "commit"),
        ("compiler", "compiler"),
        ("flags", "flags"),
        ("host", "machine"),
        ("cpu", "processor"),
        ("isa", "vector instructions"),
        ("executor", "executor"),
        ("code_path", "code path"),
        ("gpu", "device"),
    ):
        values = list(dict.fromkeys(str(r.attributes[name]) for r in results.runs if r.attributes.get(name)))
        if values:
            rows.append((title, ", ".join(values[:6])))
    if any(r.attributes.get("git_dirty") for r in results.runs):
        rows.append(("note", "some runs come from a tree with uncommitted changes"))
    return rows


def what_was_run(results: Results) -> str:
    """One sentence."""
    names = {"run": "training", "error": "error", "gemm": "product", "rounding": "rounding",
             "format": "format", "estimator": "estimator"}
    counts = []
    for kind in dict.fromkeys(r.kind for r in results.runs):
        runs = results.of_kind(kind)
        configurations = len(group_runs(runs))
        seeds = len({r.seed for r in runs})
        what = f"{len(runs)} {names.get(kind, kind)} run{'s' if len(runs) != 1 else ''}"
        if configurations != len(runs):
            what += f" ({configurations} configurations, {seeds} seeds)"
        counts.append(what)
    return ", ".join(counts)


def build_report(
    results: Results, paths: Sequence[str], baseline: str | None = None, figures: bool = True
) -> tuple[str, list[Section]]:
    """The page, with or without its figures, and its sections. Raises NotInData when there is nothing
    to say."""
    sections = sections_of(results, baseline)
    if not sections:
        raise NotInData(f"{paths[0]}: no finished run that a report could be made of")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(HERE)), autoescape=True, trim_blocks=True,
        lstrip_blocks=True, undefined=jinja2.StrictUndefined,
    )
    environment.filters["breakable"] = breakable
    words = ["fp4lab", "report", *paths] + (["--baseline", baseline] if baseline else [])
    page = environment.get_template("report.html").render(
        title=title_of(results, paths),
        run=what_was_run(results),
        state=problems_sentence(results),
        answers=[Said.of(a, s) for s in sections for a in s.answers],
        sections=sections,
        figures=draw_all(results, paths, baseline) if figures else [],
        problems=results.lines(),
        runs=runs_table(results),
        settings=settings_table(results),
        provenance=provenance(results),
        command=" ".join(words),
        css=(HERE / "report.css").read_text(encoding="utf-8"),
        js=(HERE / "report.js").read_text(encoding="utf-8"),
    )
    return page, sections


def breakable(text: str) -> Markup:
    """The text with places to break it behind the commas of a spec."""
    return escape(text).replace(",", Markup(",<wbr>"))


def title_of(results: Results, paths: Sequence[str]) -> str:
    if results.titles and len(results.titles) == len(paths):
        return " and ".join(results.titles[:3])
    names = [Path(p).resolve().name for p in paths]
    return " and ".join(names[:3]) + (" …" if len(names) > 3 else "")
