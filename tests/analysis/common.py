"""Shared by the tests: where the fixtures are, and readings of files that do not go through the
package under test."""

from __future__ import annotations

import os
import tomllib
import unittest
from pathlib import Path

import h5py
import numpy as np

FIXTURES = Path(os.environ["FP4LAB_FIXTURES"])
PROGRAM = os.environ.get("FP4LAB_PROGRAM", "")
SOURCES = Path(__file__).resolve().parents[2]


def files(folder: str) -> list[Path]:
    return sorted((FIXTURES / folder / "runs").glob("*.h5"))


class Plain:
    """A file as plain h5py sees it."""

    def __init__(self, path: Path) -> None:
        with h5py.File(path, "r") as file:
            self.attrs = dict(file.attrs)
            self.data = {}
            file.visititems(self._keep)
        config = self.attrs["config"]
        self.config = tomllib.loads(config.decode() if isinstance(config, bytes) else config)

    def _keep(self, name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            value = item[()]
            if value.dtype.kind in "OS":
                value = np.array([v.decode() for v in value.ravel()], dtype=object)
            self.data["/" + name] = value

    def __getitem__(self, path: str) -> np.ndarray:
        return self.data[path]


def plain_runs(folder: str) -> list[Plain]:
    return [Plain(path) for path in files(folder)]


def drawn(figure, series: str, panel: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a series as recorded in a figure."""
    rows = [
        r for r in figure.rows if r["series"] == series and (panel is None or r["panel"] == panel)
    ]
    return np.array([r["x"] for r in rows]), np.array([r["y"] for r in rows], float)


class Case(unittest.TestCase):
    """assertEqual for arrays with NaN."""

    def same(self, got, want, rtol: float = 1e-12) -> None:
        np.testing.assert_allclose(np.asarray(got, float), np.asarray(want, float), rtol=rtol)
