"""Reports that several tests look at, each made once."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from common import FIXTURES, PROGRAM, results

from fp4lab_analysis.report import build_report


@functools.cache
def page_of(folder: str, figures: bool = True) -> str:
    """The page of a folder; without figures where a test does not look at them. That of `train` is
    made by the command: what it holds is compared with what this process draws."""
    if folder == "train" and figures:
        return page_by_program(folder)
    return build_report(results(folder), [folder], figures=figures)[0]


@functools.cache
def page_by_program(folder: str) -> str:
    """The same page from a process of its own: by the command, where it was built."""
    command = [PROGRAM] if PROGRAM else [sys.executable, "-m", "fp4lab_analysis"]
    environment = dict(os.environ, FP4LAB_PYTHON=sys.executable)
    environment.setdefault("PYTHONPATH", str(Path(__file__).resolve().parents[2] / "analysis"))
    with tempfile.TemporaryDirectory() as out:
        page = Path(out, "page.html")
        subprocess.run(
            [*command, "report", folder, "-o", str(page)],
            cwd=FIXTURES, env=environment, check=True, capture_output=True,
        )
        return page.read_text(encoding="utf-8")
