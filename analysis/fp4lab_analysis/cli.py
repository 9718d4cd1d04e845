"""The commands `plot`, `report` and `kinds`. Data go to standard output, messages to
standard error; exit codes are those of fp4lab: 0, 2 (input), 3 (environment), 130 (interrupted)."""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from .errors import AnalysisError, EnvironmentError_, InputError

OPTIONS = {
    "baseline": "recipe (or label) to compare with; default bf16, else fp32",
    "by": "configuration key to compare by",
    "layer": "layer, or a part of its name",
    "metric": "quantity to draw",
    "run": "one run: its label or the start of its id",
    "slot": "quantizer slot, q1 to q6",
    "smoothing": "steps of the running mean",
    "source": "source of the tensors",
    "statistic": "statistic of /layers",
    "weights": "number of traced weights to draw",
    "task": "which training task of a sweep: preset, model or data",
}


class Parser(argparse.ArgumentParser):
    """argparse with one-line errors."""

    def error(self, message: str) -> NoReturn:
        raise InputError(message)


def parser() -> Parser:
    top = Parser(prog="fp4lab", add_help=True)
    commands = top.add_subparsers(dest="command", required=True, parser_class=Parser)
    plot = commands.add_parser("plot", help="draw one kind of plot")
    plot.add_argument("kind")
    plot.add_argument("paths", nargs="+")
    plot.add_argument("-o", "--out", help="picture to write: .svg, .png or .pdf")
    plot.add_argument("--data", help="CSV file for the drawn numbers")
    for name, meaning in OPTIONS.items():
        plot.add_argument(f"--{name}", type=int if name in ("smoothing", "weights") else str, help=meaning)
    report = commands.add_parser("report", help="write one HTML page")
    report.add_argument("paths", nargs="+")
    report.add_argument("-o", "--out", help="page to write (default: report.html in the folder)")
    report.add_argument("--tables", help="folder for the tables as .md, .csv and .tex")
    report.add_argument("--baseline", help=OPTIONS["baseline"])
    commands.add_parser("kinds", help="list the kinds of plot as Markdown")
    return top


def make_folder(folder: Path) -> Path:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise EnvironmentError_(f"{folder}: cannot be made: {error.strerror}") from None
    return folder


def default_output(kind: str, paths: Sequence[str]) -> Path:
    """`plots/KIND.svg` in a sweep folder, else KIND.svg here."""
    first = Path(paths[0])
    if len(paths) == 1 and first.is_dir():
        return make_folder(first / "plots") / f"{kind}.svg"
    return Path(f"{kind}.svg")


def redraw_command(kind: str, paths: Sequence[str], options: dict[str, object]) -> str:
    """The command that draws a figure again."""
    words = ["fp4lab", "plot", kind, *paths]
    for key, value in options.items():
        if value is not None:
            words += [f"--{key}", str(value)]
    return " ".join(shlex.quote(w) for w in words)


def run_plot(arguments: argparse.Namespace) -> int:
    from .figure import write_file
    from .registry import draw, find_kind
    from .results import load

    kind = find_kind(arguments.kind)
    out = Path(arguments.out) if arguments.out else None
    if out is not None and out.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise InputError(f"{out}: the name must end in .svg, .png or .pdf")
    results = load(arguments.paths)
    options = {name: getattr(arguments, name) for name in OPTIONS}
    figure = draw(kind.name, results, **options)
    if out is None:
        out = default_output(kind.name, arguments.paths)
    figure.write(out)
    if arguments.data:
        write_file(arguments.data, figure.csv())
    for note in figure.notes:
        print(f"fp4lab plot: {note}", file=sys.stderr)
    print(out)
    return 0


def run_report(arguments: argparse.Namespace) -> int:
    """Writes the page and prints its path and the first three answers."""
    from .figure import write_file
    from .report import build_report
    from .results import load

    paths = arguments.paths
    folder = Path(paths[0]) if len(paths) == 1 and Path(paths[0]).is_dir() else Path()
    out = Path(arguments.out) if arguments.out else folder / "report.html"
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"{out}: the name must end in .html")
    results = load(paths)
    page, sections = build_report(results, paths, arguments.baseline)
    write_file(out, page)
    if arguments.tables:
        tables = make_folder(Path(arguments.tables))
        for section in sections:
            stem = re.sub(r"[^a-z0-9]+", "-", section.title.lower()).strip("-")
            for i, table in enumerate(section.tables):
                name = stem if i == 0 else f"{stem}-{i + 1}"
                for form in ("md", "csv", "tex"):
                    write_file(tables / f"{name}.{form}", table.text(form))
    for line in results.lines():
        print(f"fp4lab report: {line}", file=sys.stderr)
    print(out)
    for answer in [a for s in sections for a in s.answers][:3]:
        print(answer)
    return 0


def run_kinds(_: argparse.Namespace) -> int:
    from .registry import kinds_markdown

    sys.stdout.write(kinds_markdown())
    return 0


def run(words: Sequence[str]) -> int:
    """Runs one command; every failure is one line."""
    command = next((w for w in words if not w.startswith("-")), "")
    name = f"fp4lab {command}" if command in ("plot", "report") else "fp4lab"
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    try:
        arguments = parser().parse_args(list(words))
        commands = {"plot": run_plot, "report": run_report, "kinds": run_kinds}
        code = commands[arguments.command](arguments)
        sys.stdout.flush()
        return code
    except AnalysisError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return error.exit_code
    except ImportError as error:  # a module that is there and broken
        line = " ".join(str(error).split())[:300]
        print(f"{name}: {sys.executable} cannot load {error.name or 'a module'}: {line}", file=sys.stderr)
        return 3
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"{name}: standard output was closed", file=sys.stderr)
        return 3
    except MemoryError:
        print(f"{name}: not enough memory for this input", file=sys.stderr)
        return 3
