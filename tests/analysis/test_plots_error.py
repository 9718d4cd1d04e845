"""Plots of studies without training: what is drawn equals what the file says."""

from __future__ import annotations

import math
import unittest

import numpy as np
from common import FIXTURES, Case, drawn, plain_runs

import fp4lab_analysis as fa


def cell(run, column: str) -> float:
    return float(run["/table/" + column][0])


class Errors(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.results = fa.load([FIXTURES / "error"])
        cls.plain = plain_runs("error")

    def test_bars(self) -> None:
        figure = fa.draw("error", self.results)
        want = {
            (r.config["error"]["source"], r.config["error"]["spec"]): cell(r, "sqnr_db")
            for r in self.plain
        }
        got = {(r["series"], r["x"]): r["y"] for r in figure.rows}
        self.assertEqual(got, want)
        bars = figure.axes[0].containers
        widths = sorted(p.get_width() for c in bars if hasattr(c, "patches") for p in c.patches)
        self.same(widths, sorted(want.values()))

    def test_other_metrics(self) -> None:
        figure = fa.draw("error", self.results, metric="underflow_fraction")
        want = sorted(cell(r, "underflow_fraction") for r in self.plain)
        self.same(sorted(r["y"] for r in figure.rows), want)

    def test_map_has_every_run_in_its_cell_and_hatches_the_rest(self) -> None:
        figure = fa.draw("error-map", self.results)
        ways = {"floor\nrne", "rceil\nsr:16", "4over6\nrne", "two-level\nrne"}
        self.assertLessEqual(ways, {r["x"] for r in figure.rows})
        got = {(r["panel"], r["series"], r["x"]): r["y"] for r in figure.rows}
        spec = {
            (r.config["error"]["source"], r.config["error"]["spec"]): cell(r, "sqnr_db")
            for r in self.plain
        }
        self.assertEqual(got[("normal", "mxfp4", "rceil\nsr:16")], spec[("normal", "mxfp4,rule=rceil,round=sr:16")])
        self.assertEqual(got[("outliers", "nvfp4", "4over6\nrne")], spec[("outliers", "nvfp4,rule=4over6")])
        self.assertEqual(sum(not math.isnan(v) for v in got.values()), len(self.plain))
        image = figure.axes[0].images[0].get_array()
        self.assertEqual(int((~np.ma.getmaskarray(image)).sum()), 15)

    def test_rate_distortion(self) -> None:
        figure = fa.draw("rate-distortion", self.results, source="outliers")
        mine = [r for r in self.plain if r.config["error"]["source"] == "outliers"]
        x, y = drawn(figure, "mxfp8-e4m3", "Bits: outliers")
        want = next(r for r in mine if r.config["error"]["spec"] == "mxfp8-e4m3")
        self.same([x[0], y[0]], [cell(want, "bits_per_value"), cell(want, "sqnr_db")])
        self.same(x[0], 8.25)
        x, y = drawn(figure, "Gaussian bound, 6.02 dB a bit")
        self.same(y / x, [6.020599913279624] * 2)
        x, y = drawn(figure, "mxfp4, floor, rne", "Block size: outliers")
        self.same(x, [16, 32, 64])
        sizes = {"mxfp4,block=1x16": 0, "mxfp4": 1, "mxfp4,block=1x64": 2}
        for r in mine:
            if r.config["error"]["spec"] in sizes:
                self.assertEqual(y[sizes[r.config["error"]["spec"]]], cell(r, "sqnr_db"))


if __name__ == "__main__":
    unittest.main()
