"""One table, three texts: Markdown, CSV, LaTeX."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "−": r"$-$",
    "–": "--",
    "∞": r"$\infty$",
    "√": r"$\surd$",
    "≥": r"$\geq$",
    "<": "$<$",
    ">": "$>$",
    "|": "$|$",
}


@dataclass
class Cell:
    """Text for people, and the number behind it (NaN for none) for sorting and CSV; `parts` names
    several numbers behind one text, as mean and sd, which get columns of their own in CSV."""

    text: str
    value: float = math.nan
    parts: tuple[tuple[str, float], ...] = ()


@dataclass
class Table:
    """Columns with a flag for numbers, rows of cells."""

    columns: list[tuple[str, bool]]
    rows: list[list[Cell]] = field(default_factory=list)
    caption: str = ""

    def add(self, *cells: Cell | str) -> None:
        row = [c if isinstance(c, Cell) else Cell(c) for c in cells]
        assert len(row) == len(self.columns)
        self.rows.append(row)

    def markdown(self) -> str:
        head = [name for name, _ in self.columns]
        body = [[c.text.replace("|", "\\|") for c in row] for row in self.rows]
        rule = ["---:" if number else "---" for _, number in self.columns]
        lines = [head, rule, *body]
        return "".join("| " + " | ".join(line) + " |\n" for line in lines)

    def csv(self) -> str:
        """Numbers unrounded where the cell has one."""
        names: list[list[str]] = []
        for i in range(len(self.columns)):
            found = dict.fromkeys(name for row in self.rows for name, _ in row[i].parts)
            names.append(list(found))
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        head: list[str] = []
        for (name, _), parts in zip(self.columns, names):
            head += [f"{name}, {part}" for part in parts] or [name]
        writer.writerow(head)
        for row in self.rows:
            line: list[str] = []
            for cell, parts in zip(row, names):
                if parts:
                    have = dict(cell.parts)
                    values = [have.get(part, math.nan) for part in parts]
                    line += [repr(v) if math.isfinite(v) else "" for v in values]
                elif math.isfinite(cell.value):
                    line.append(repr(cell.value))
                else:
                    line.append("" if cell.text == "–" else cell.text)
            writer.writerow(line)
        return out.getvalue()

    def latex(self) -> str:
        """A booktabs tabular."""

        def escape(text: str, number: bool = False) -> str:
            if number:
                text = re.sub(r"-(?=\d)", "−", text)
            return "".join(LATEX.get(c, c) for c in text)

        numbers = [number for _, number in self.columns]
        spec = "".join("r" if number else "l" for number in numbers)
        lines = [rf"\begin{{tabular}}{{{spec}}}", r"\toprule"]
        lines.append(" & ".join(escape(name) for name, _ in self.columns) + r" \\")
        lines.append(r"\midrule")
        for row in self.rows:
            cells = " & ".join(escape(c.text, n) for c, n in zip(row, numbers))
            if cells.startswith("["):  # else the \\ of the row before takes it as an argument
                cells = "{[}" + cells[1:]
            lines.append(cells + r" \\")
        return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"

    def text(self, form: str) -> str:
        return {"md": self.markdown, "csv": self.csv, "tex": self.latex}[form]()


def rounded(value: float, sd: float = math.nan, digits: int = 4) -> str:
    """A number with as many decimals as its spread deserves: two digits of `sd`."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else ("∞" if value > 0 else "−∞")
    if math.isfinite(sd) and sd > 0:
        decimals = min(8, max(0, 1 - math.floor(math.log10(sd))))
        return f"{value:.{decimals}f}"
    return f"{value:.{digits}g}"


def with_spread(mean: float, sd: float) -> str:
    """`mean ± sd`; the mean alone where there is no spread."""
    if math.isfinite(sd):
        return f"{rounded(mean, sd)} ± {rounded(sd, sd)}"
    return rounded(mean)


def signed(value: float, sd: float = math.nan) -> str:
    text = rounded(value, sd)
    return text if text.startswith(("-", "–", "−")) else "+" + text


def interval(low: float, high: float) -> str:
    """`[low, high]`, rounded to two digits of its width."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "–"
    width = (high - low) or abs(high) or 1.0
    return f"[{bound(low, width / 2)}, {bound(high, width / 2)}]"


def bound(value: float, spread: float) -> str:
    """An end of an interval, with more digits where it would read as zero and is not."""
    for digits in range(4):
        text = rounded(value, spread / 10**digits)
        if value == 0 or float(text) != 0:
            return text
    return text


def spread_cell(mean: float, sd: float) -> Cell:
    """`mean ± sd` with both numbers behind it."""
    return Cell(with_spread(mean, sd), mean, (("mean", mean), ("sd", sd)))


def interval_cell(low: float, high: float) -> Cell:
    """`[low, high]` with both numbers behind it."""
    return Cell(interval(low, high), low, (("low", low), ("high", high)))


def p_text(p: float) -> str:
    if not math.isfinite(p):
        return "–"
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def columns(*names: str) -> list[tuple[str, bool]]:
    """Names of columns; a leading `#` marks numbers."""
    return [(n.lstrip("#"), n.startswith("#")) for n in names]


def as_rows(table: Table) -> Sequence[Sequence[str]]:
    return [[c.text for c in row] for row in table.rows]
