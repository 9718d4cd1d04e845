"""The tables of a report, of runs that the program made: every number against an independent
computation from the files; LaTeX that is balanced and escaped."""

from __future__ import annotations

import csv
import io
import math
import re
import unittest

import numpy as np
from common import T95, Case, results, trained

from fp4lab_analysis import stats
from fp4lab_analysis.report.answer import sections_of
from fp4lab_analysis.tables import Cell, Table, columns


def final(runs) -> np.ndarray:
    return np.array([r["/eval/loss"][-1] for r in runs])


def rows(table: Table) -> dict[str, dict[str, str]]:
    """The CSV text by first column."""
    found = list(csv.DictReader(io.StringIO(table.csv())))
    return {next(iter(row.values())): row for row in found}


class Training(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.sections = {s.task: s for s in sections_of(results("first")) if s.task}

    def test_means_differences_and_intervals(self) -> None:
        table = rows(self.sections["t4 gpt-mini grammar"].tables[0])
        base = final(trained("first", "t4 grammar", "bf16"))
        loss = "held-out loss [nat]"
        self.assertEqual(len(table), 4)
        for name, row in table.items():
            mine = final(trained("first", "t4 grammar", name))
            self.assertEqual((float(row["seeds"]), float(row["diverged"])), (3, 0))
            self.same(float(row[f"{loss}, mean"]), mine.mean())
            self.same(float(row[f"{loss}, sd"]), mine.std(ddof=1), 1e-9)
            if name == "bf16":
                self.assertEqual(row["verdict"], "baseline")
                continue
            d = mine - base
            sd = d.std(ddof=1)
            half = T95[3] * sd / math.sqrt(3)
            self.same(float(row["minus bf16, mean"]), d.mean(), 1e-9)
            self.same(float(row["minus bf16, sd"]), sd, 1e-9)
            self.same(float(row["95 % interval, low"]), d.mean() - half, 1e-9)
            self.same(float(row["95 % interval, high"]), d.mean() + half, 1e-9)
            t = abs(d.mean()) / (sd / math.sqrt(3))  # two degrees of freedom: closed form
            self.same(float(row["p"]), 1 - t / math.sqrt(2 + t * t), 1e-9)
            inside = d.mean() - half <= 0 <= d.mean() + half
            want = "inside seed noise" if inside else ("worse" if d.mean() > 0 else "better")
            self.assertEqual(row["verdict"], want)

    def test_main_effects_and_interaction(self) -> None:
        table = rows(self.sections["t1 mlp glyphs"].tables[1])
        runs = [r for r in trained("first", "t1 glyphs") if r.status == "complete"]
        y = final(runs).reshape(-1)
        recipe = np.array([r.recipe for r in runs])
        rate = np.array([r.config["optim"]["lr"] for r in runs])
        seed = np.array([r.seed for r in runs])
        # 2 x 2 x 3, balanced: a contrast of +1 and -1 for each factor of two levels.
        a = np.where(recipe == "bf16", 1.0, -1.0)
        b = np.where(rate == rate.min(), 1.0, -1.0)
        squares = {
            "recipe": (a @ y) ** 2 / 12,
            "optim.lr": (b @ y) ** 2 / 12,
            "recipe × optim.lr": ((a * b) @ y) ** 2 / 12,
            "seed": 4 * sum((y[seed == s].mean() - y.mean()) ** 2 for s in range(3)),
        }
        total = ((y - y.mean()) ** 2).sum()
        rest = total - sum(squares.values())
        for name, value in squares.items():
            df = 2 if name == "seed" else 1
            f = (value / df) / (rest / 6)
            self.same(float(table[name]["df"]), df)
            self.same(float(table[name]["share of variance"]), value / total, 1e-7)
            self.same(float(table[name]["F"]), f, 1e-6)
            if df == 1:  # the square of a Student variable with 6 degrees of freedom
                p = stats.student_two_sided(math.sqrt(f), 6)
                self.same(float(table[name]["p"]), p, 1e-6)
        self.same(float(table["rest"]["df"]), 6)
        self.same(float(table["rest"]["share of variance"]), rest / total, 1e-6)


def check_latex(case: unittest.TestCase, text: str) -> None:
    """What LaTeX would stop at: unbalanced groups, wrong numbers of cells, bare special characters."""
    lines = text.splitlines()
    spec = re.fullmatch(r"\\begin\{tabular\}\{([lr]+)\}", lines[0])
    case.assertIsNotNone(spec, lines[0])
    case.assertEqual(
        (lines[1], lines[3], lines[-2], lines[-1]),
        (r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"),
    )
    for line in [lines[2], *lines[4:-2]]:
        case.assertTrue(line.endswith(r" \\"), line)
        body = line[:-3]
        case.assertEqual(len(re.findall(r"(?<!\\)&", body)) + 1, len(spec.group(1)), line)
        plain = re.sub(r"\\[a-zA-Z]+(\{\})?|\\[&%$#_{}]", "", body)
        case.assertEqual(plain.count("{"), plain.count("}"), line)
        case.assertEqual(plain.count("$") % 2, 0, line)
        outside = re.sub(r"\$[^$]*\$", "", plain)
        case.assertNotRegex(outside, r"[<>|^_#%~\\]", line)
        case.assertTrue(all(ord(c) < 0x100 for c in line), line)
        case.assertFalse(body.lstrip().startswith("["), line)


class Latex(Case):
    def test_every_table_of_a_report(self) -> None:
        count = 0
        for folder in ("first", "train"):
            for section in sections_of(results(folder)):
                for table in section.tables:
                    check_latex(self, table.latex())
                    count += len(table.rows)
        self.assertGreater(count, 40)

    def test_names_that_latex_would_trip_over(self) -> None:
        table = Table(columns("a_b & c", "#1/√n", "#p"))
        table.add("[x]_{y}^2 ~ 50 % \\ <|>", Cell("−∞"), Cell("< 0.001"))
        table.add("#3 × $4 ≥ –", Cell("-0.5 ± 0.1"), Cell("[-0.2, 0.3]"))
        check_latex(self, table.latex())
        self.assertIn(r"{[}x]\_\{y\}", table.latex())
        self.assertIn(r"$-$0.5 $\pm$ 0.1 & [$-$0.2, 0.3] \\", table.latex())


if __name__ == "__main__":
    unittest.main()
