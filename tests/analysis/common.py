"""Shared by the tests: where the fixtures are, and readings of files that do not go through the
package under test.

Two folders hold sweeps that the program itself ran (sweeps/*.toml): `first`, with something of every
kind, and `second`, to lay over it. The others are made by fixtures.cpp, for what a real run does not
do on request: diverge at a given step, be damaged, be two hundred.
"""

from __future__ import annotations

import functools
import os
import tomllib
import unittest
from pathlib import Path

import h5py
import numpy as np

FIXTURES = Path(os.environ["FP4LAB_FIXTURES"])
PROGRAM = os.environ.get("FP4LAB_PROGRAM", "")
SOURCES = Path(__file__).resolve().parents[2]
#: t with P(|T| <= t) = 0.95 for n - 1 degrees of freedom, from printed tables.
T95 = {2: 12.706204736432095, 3: 4.302652729696142, 4: 3.182446305284263}


def files(folder: str) -> list[Path]:
    return sorted((FIXTURES / folder / "runs").glob("*.h5"))


class Plain:
    """A file as plain h5py sees it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with h5py.File(path, "r") as file:
            self.attrs = dict(file.attrs)
            self.data = {}
            self.edges = {}
            file.visititems(self._keep)
        config = self.attrs["config"]
        self.config = tomllib.loads(config.decode() if isinstance(config, bytes) else config)
        self.kind = self.attrs["kind"]
        self.status = self.attrs["status"]

    def _keep(self, name: str, item: object) -> None:
        if isinstance(item, h5py.Dataset):
            value = item[()]
            if value.dtype.kind in "OS":
                value = np.array([v.decode() for v in value.ravel()], dtype=object)
            self.data["/" + name] = value
            if "bin_edges" in item.attrs:
                self.edges["/" + name] = item.attrs["bin_edges"]

    def __getitem__(self, path: str) -> np.ndarray:
        return self.data[path]

    @property
    def seed(self) -> int:
        return self.config["seed"]

    @property
    def recipe(self) -> str:
        return self.config["recipe"]


@functools.cache
def plain_runs(folder: str) -> list[Plain]:
    return [Plain(path) for path in files(folder)]


def trained(folder: str, task: str, recipe: str | None = None) -> list[Plain]:
    """Training runs of `preset data`, seeds in order."""
    preset, data = task.split()
    return sorted(
        (
            r
            for r in plain_runs(folder)
            if r.kind == "run"
            and (r.config["preset"], r.config["data"]["name"]) == (preset, data)
            and recipe in (None, r.recipe)
        ),
        key=lambda r: r.seed,
    )


def of_kind(folder: str, kind: str) -> list[Plain]:
    return [r for r in plain_runs(folder) if r.kind == kind]


@functools.cache
def results(*folders: str):
    """The package's reading of one or several folders, once."""
    import fp4lab_analysis as fa

    return fa.load([FIXTURES / folder for folder in folders])


def draw(kind: str, *folders: str, **options):
    """A figure of folders, drawn once for all tests that look at it."""
    return _drawn(kind, folders, tuple(sorted(options.items())))


@functools.cache
def _drawn(kind: str, folders: tuple[str, ...], options: tuple[tuple[str, object], ...]):
    import fp4lab_analysis as fa

    return fa.draw(kind, results(*folders), **dict(options))


def drawn(figure, series: str, panel: str | None = None) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a series as recorded in a figure."""
    rows = rows_of(figure, series, panel)
    return np.array([r["x"] for r in rows]), np.array([r["y"] for r in rows], float)


def rows_of(figure, series: str, panel: str | None = None) -> list[dict]:
    return [
        r for r in figure.rows if r["series"] == series and (panel is None or r["panel"] == panel)
    ]


class Case(unittest.TestCase):
    """assertEqual for arrays with NaN."""

    def same(self, got, want, rtol: float = 1e-12, atol: float = 1e-13) -> None:
        got, want = np.asarray(got, float), np.asarray(want, float)
        np.testing.assert_allclose(got, want, rtol=rtol, atol=atol)
