"""Pictures and CSV of every kind: byte identity, formats, README, the command's list of kinds."""

from __future__ import annotations

import contextlib
import csv
import functools
import io
import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import numpy as np
from common import FIXTURES, PROGRAM, SOURCES, Case, draw, results

import fp4lab_analysis as fa
from fp4lab_analysis import cli
from fp4lab_analysis.registry import kinds_markdown
from fp4lab_analysis.report.svg import inline
from pages import page_of

#: What feeds a kind that the report of `train` does not show.
FEEDS: dict[str, tuple[str, dict]] = {
    "error": ("first", {}),
    "error-map": ("first", {}),
    "rate-distortion": ("first", {}),
    "slots": ("first", {"task": "digits"}),
    "effects": ("first", {"task": "glyphs"}),
    "rounding": ("first", {}),
    "accumulator": ("first", {}),
    "transfer": ("formats.h5", {}),
    "estimators": ("estimators.h5", {}),
}


@functools.cache
def reread(folder: str):
    """A reading of its own, not that of the other tests."""
    return fa.load([FIXTURES / folder])


def run_program(*words: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [PROGRAM, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "FP4LAB_PYTHON": sys.executable, **environment},
        check=False,
    )


class EveryKind(Case):
    def test_equal_bytes_from_equal_data(self) -> None:
        """Kinds in the report of `train`, which another process made: drawn here too and compared
        with what the page holds. The rest: drawn twice."""
        page = page_of("train")
        anchors = re.findall(r'<figure id="([^"]+)">', page)
        self.assertGreaterEqual(len(anchors), 13)
        for name, kind in fa.kinds().items():
            with self.subTest(name):
                folder, options = FEEDS.get(name, ("train", {}))
                figure = draw(name, folder, **options)
                svg = figure.image("svg")
                if folder == "train":
                    label = f"{kind.title}. {figure.caption}"
                    self.assertIn(inline(svg, f"f{anchors.index(name)}-", label), page)
                else:
                    again = fa.draw(name, reread(folder), **options)
                    self.assertEqual(svg, again.image("svg"))
                    self.assertEqual(figure.csv(), again.csv())
                self.assertGreater(len(figure.rows), 0)
                self.assertTrue(figure.caption.endswith("."), figure.caption)
                self.names_of_axes(figure)

    def names_of_axes(self, figure) -> None:
        for ax in figure.axes:
            if ax.get_visible() and ax.get_label() != "<colorbar>" and not ax.images:
                self.assertTrue(ax.get_xlabel() and ax.get_ylabel())
        for row in figure.rows:
            self.assertTrue(row["x_name"] and row["y_name"], row)

    def test_png_and_pdf_have_no_dates(self) -> None:
        for form, start in (("png", b"\x89PNG"), ("pdf", b"%PDF")):
            one, two = (fa.draw("final", results("train")).image(form) for _ in range(2))
            self.assertEqual(one, two)
            self.assertTrue(one.startswith(start))
            self.assertNotIn(b"CreationDate", one)

    def test_pictures_name_their_runs(self) -> None:
        figure = draw("accumulator", "first")
        svg = figure.image("svg").decode()
        self.assertEqual(len(figure.ids), 3)
        for name in figure.ids:
            self.assertIn(name, svg)
        self.assertNotIn("<dc:date>", svg)

    def test_csv_reads_back_to_the_drawn_numbers(self) -> None:
        figure = draw("loss", "killed")
        rows = list(csv.DictReader(io.StringIO(figure.csv())))
        self.assertEqual(len(rows), len(figure.rows))
        for got, want in zip(rows, figure.rows):
            number = float(got["y"]) if got["y"] else np.nan
            np.testing.assert_equal(number, want["y"])
            self.assertEqual(got["series"], want["series"])


class Documents(Case):
    def test_readme_lists_the_kinds(self) -> None:
        page = SOURCES / "analysis" / "README.md"
        text = page.read_text(encoding="utf-8")
        pattern = re.compile(r"(<!-- kinds -->\n).*?(<!-- /kinds -->)", re.S)
        want = pattern.sub(lambda m: m.group(1) + kinds_markdown() + m.group(2), text)
        if os.environ.get("FP4LAB_UPDATE_DOCS"):
            page.write_text(want, encoding="utf-8")
            return
        self.assertEqual(text, want, "run this test once with FP4LAB_UPDATE_DOCS=1")


@unittest.skipUnless(PROGRAM, "the program was not built")
class Command(Case):
    def test_plot_writes_picture_and_numbers(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out, data = Path(folder, "x.svg"), Path(folder, "x.csv")
            words = ("loss", str(FIXTURES / "stopped"), "-o", str(out), "--data", str(data))
            done = run_program("plot", *words)
            self.assertEqual((done.returncode, done.stdout), (0, f"{out}\n"), done.stderr)
            self.assertIn("1 run not run", done.stderr)
            figure = draw("loss", "stopped")
            self.assertEqual(out.read_bytes(), figure.image("svg"))
            self.assertEqual(data.read_text(), figure.csv())
            self.assertEqual(sorted(p.name for p in Path(folder).iterdir()), ["x.csv", "x.svg"])

    def test_failures_are_one_line_with_their_code(self) -> None:
        damaged = str(FIXTURES / "killed" / "runs" / "bbbbbbbbbbbb.h5")
        small, here = str(FIXTURES / "stopped"), str(FIXTURES)
        for code, text, words in (
            (2, "did you mean 'loss'", ("plot", "los", small)),
            (2, "seal", ("plot", "loss", damaged)),
            (2, "must end in", ("plot", "loss", small, "-o", "x.jpg")),
            (3, "cannot be written", ("plot", "loss", small, "-o", here + "/none/x.svg")),
            (2, "one sweep at a time", ("plot", "flips", small, here + "/train")),
            (2, "no finished run", ("report", here + "/formats.h5", "-o", "x.html")),
        ):
            out, errors = io.StringIO(), io.StringIO()
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
                got = cli.run(words)
            self.assertEqual((got, out.getvalue()), (code, ""), (words, errors.getvalue()))
            self.assertEqual(errors.getvalue().count("\n"), 1, errors.getvalue())
            self.assertIn(text, errors.getvalue())
        done = run_program("plot", "loss", damaged)  # and so through the program
        self.assertEqual((done.returncode, done.stdout), (2, ""), done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("seal", done.stderr)

    def test_formats_are_drawn_without_a_file(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, "x.csv")
            picture = str(Path(folder, "x.svg"))
            words = ("transfer", "e2m1", "nf4", "-o", picture, "--data", str(out))
            done = run_program("plot", *words)
            self.assertEqual(done.returncode, 0, done.stderr)
            figure = draw("transfer", "formats.h5")
            self.assertEqual(out.read_text(), figure.csv())
        for text, words in (
            ("nearest: 'e2m1'", ("transfer", "e2m1x")),
            ("stochastic", ("transfer", "e2m1", "--round", "sr")),
            ("at most 8", ("estimators", "bf16")),
            ("--round goes with", ("estimators", "e2m1", "--round", "rna")),
        ):
            done = run_program("plot", *words)
            self.assertEqual((done.returncode, done.stderr.count("\n")), (2, 1), done.stderr)
            self.assertIn(text, done.stderr)

    def test_missing_python_or_module(self) -> None:
        done = run_program("plot", "loss", "x.h5", FP4LAB_PYTHON="/no/such/python")
        self.assertEqual(done.returncode, 3)
        self.assertIn("cannot be started", done.stderr)
        with tempfile.TemporaryDirectory() as folder:  # an interpreter without the modules
            python = Path(folder, "python3")
            python.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I -c "$CODE" "$@"\n')
            python.chmod(0o755)
            code = (
                f"import sys; sys.path.insert(0, {str(SOURCES / 'analysis')!r}); "
                "from fp4lab_analysis.__main__ import main; sys.exit(main(['probe']))"
            )
            done = run_program("plot", "loss", "x.h5", FP4LAB_PYTHON=str(python), CODE=code)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertIn("apt-get install python3-numpy python3-h5py", done.stderr)
        self.assertIn("pip install numpy h5py matplotlib jinja2", done.stderr)
        self.assertIn("FP4LAB_PYTHON=", done.stderr)

    def test_a_module_that_is_there_and_broken(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "h5py.py").write_text("raise ImportError('libhdf5.so: not found', name='h5py')\n")
            done = run_program("plot", "loss", "x.h5", PYTHONPATH=folder)
        self.assertEqual(done.returncode, 3, done.stderr)
        self.assertEqual(done.stderr.count("\n"), 1, done.stderr)
        self.assertIn("cannot load h5py: libhdf5.so: not found", done.stderr)

    def test_completion_knows_the_kinds(self) -> None:
        script = run_program("completion", "fish").stdout
        for name in fa.kinds():
            self.assertRegex(script, rf"\b{re.escape(name)}\b")
        source = (SOURCES / "experiments/cli/command_plot.cpp").read_text()
        listed = re.search(r"kKinds = \{(.*?)\};", source, re.S).group(1)
        self.assertEqual(re.findall(r'"([^"]+)"', listed), list(fa.kinds()))


if __name__ == "__main__":
    unittest.main()
