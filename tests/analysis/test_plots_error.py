"""Plots of studies without training, of files that the program wrote: what is drawn equals what the
files say."""

from __future__ import annotations

import math
import unittest

import numpy as np
from common import T95, Case, draw, drawn, of_kind, rows_of


def cells(folder: str, column: str) -> dict[tuple[str, str], list[float]]:
    """First row of each error study by (source, spec), seeds in order."""
    found: dict[tuple[str, str], list[float]] = {}
    for r in sorted(of_kind(folder, "error"), key=lambda r: r.config["seed"]):
        key = (r.config["error"]["source"], r.config["error"]["spec"])
        found.setdefault(key, []).append(float(r["/table/" + column][0]))
    return found


class Errors(Case):
    def test_bars_are_means_over_seeds(self) -> None:
        figure = draw("error", "first")
        want = cells("first", "sqnr_db")
        self.assertEqual(len(want), 20)
        got = {(r["series"], r["x"]): r for r in figure.rows}
        self.assertEqual(set(got), set(want))
        for key, values in want.items():
            self.assertEqual(len(values), 2)
            self.same(got[key]["y"], np.mean(values))
            half = T95[2] * np.std(values, ddof=1) / math.sqrt(2)
            self.same([got[key]["low"], got[key]["high"]], np.mean(values) + [-half, half], 1e-9)
        bars = figure.axes[0].containers
        widths = sorted(p.get_width() for c in bars if hasattr(c, "patches") for p in c.patches)
        self.same(widths, sorted(np.mean(v) for v in want.values()))

    def test_other_metrics(self) -> None:
        figure = draw("error", "first", metric="underflow_fraction")
        want = sorted(np.mean(v) for v in cells("first", "underflow_fraction").values())
        self.same(sorted(r["y"] for r in figure.rows), want)

    def test_two_sweeps_have_bars_of_their_own(self) -> None:
        figure = draw("error", "first", "second")
        for folder in ("first", "second"):
            for (source, spec), values in cells(folder, "sqnr_db").items():
                row = next(r for r in rows_of(figure, f"{folder}: {source}") if r["x"] == spec)
                self.same(row["y"], np.mean(values))
        bars = {c.get_label(): c.patches[0] for c in figure.axes[0].containers if hasattr(c, "patches")}
        one, other = bars["first: normal"], bars["second: normal"]
        self.assertEqual(one.get_facecolor(), other.get_facecolor())
        self.assertNotEqual(one.get_hatch(), other.get_hatch())

    def test_map_has_every_run_in_its_cell_and_hatches_the_rest(self) -> None:
        figure = draw("error-map", "first")
        got = {(r["panel"], r["series"], r["x"]): r["y"] for r in figure.rows}
        want = cells("first", "sqnr_db")
        at = {
            "mxfp4,rule=rceil,round=sr:16": ("mxfp4", "rceil\nsr:16"),
            "mxfp4,rule=rceil": ("mxfp4", "rceil\nrne"),
            "mxfp4,block=1x16": ("mxfp4,block=1x16", "floor\nrne"),
            "nvfp4,rule=4over6": ("nvfp4", "4over6\nrne"),
            "nvfp4": ("nvfp4", "two-level\nrne"),
        }
        for source in ("normal", "outliers"):
            for spec, (row, column) in at.items():
                self.same(got[(source, row, column)], np.mean(want[(source, spec)]))
        self.assertEqual(sum(not math.isnan(v) for v in got.values()), len(want))
        image = figure.axes[0].images[0].get_array()
        self.assertEqual(int((~np.ma.getmaskarray(image)).sum()), len(want) // 2)

    def test_rate_distortion(self) -> None:
        figure = draw("rate-distortion", "first", source="outliers")
        bits, sqnr = cells("first", "bits_per_value"), cells("first", "sqnr_db")
        x, y = drawn(figure, "mxfp8-e4m3", "Bits: outliers")
        key = ("outliers", "mxfp8-e4m3")
        self.same(x, bits[key])
        self.same(sorted(y), sorted(sqnr[key]))
        self.same(x[0], 8.25)
        x, y = drawn(figure, "mxfp4, stochastic", "Bits: outliers")
        self.same(sorted(y), sorted(sqnr[("outliers", "mxfp4,rule=rceil,round=sr:16")]))
        x, y = drawn(figure, "Gaussian bound, 6.02 dB a bit")
        self.same(y / x, [6.020599913279624] * 2)
        x, y = drawn(figure, "mxfp4, floor, rne", "Block size: outliers")
        self.same(x, [16, 32, 64])
        specs = ("mxfp4,block=1x16", "mxfp4", "mxfp4,block=1x64")
        self.same(y, [np.mean(sqnr[("outliers", spec)]) for spec in specs])

    def test_rate_distortion_of_two_sweeps(self) -> None:
        figure = draw("rate-distortion", "first", "second", source="normal")
        for folder, spec in (("first", "nvfp4"), ("second", "nvfp4"), ("second", "e2m1")):
            _, y = drawn(figure, f"{folder}: {spec}", "Bits: normal")
            want = cells(folder, "sqnr_db")[("normal", spec)]
            self.assertTrue(set(want) <= set(y), (folder, spec))
        x, y = drawn(figure, "second: mxfp4, floor, rne", "Block size: normal")
        self.same(x, [16, 32])


class Arithmetic(Case):
    def test_averages_of_stochastic_rounding(self) -> None:
        figure = draw("rounding", "first")
        for spec, unbiased in (("mxfp4,rule=rceil,round=sr:16", True), ("mxfp4,rule=rceil", False)):
            run = next(r for r in of_kind("first", "rounding") if r.config["rounding"]["spec"] == spec)
            x, y = drawn(figure, spec)
            self.same(x, run["/table/repeats"])
            self.same(x, [1, 2, 4, 8, 16, 32, 64])
            self.same(y, run["/table/relative_error"])
            row = next(r for r in figure.rows if r["series"] == "bias" and r["x"] == spec)
            self.assertEqual(row["y"], run["/table/bias"][-1])
            _, law = drawn(figure, f"{spec}: 1/√n law")
            if unbiased:
                signal = run["/table/rms_error"][0] / run["/table/relative_error"][0]
                self.same(law * signal, np.sqrt(run["/table/variance"][-1] / x), 1e-9)
                self.same(law[6] / y[6], 1.0, 0.1)  # the averages stay on it
                self.same(y[0] / y[6], 8.0, 0.15)
            else:
                self.assertEqual(len(law), 0)
                self.same(y, [y[0]] * 7)  # what is rounded the same way each time does not average out

    def test_averages_of_two_sweeps(self) -> None:
        figure = draw("rounding", "first", "second")
        for folder in ("first", "second"):
            spec = "mxfp4,rule=rceil,round=sr:16"
            run = next(
                r for r in of_kind(folder, "rounding") if r.config["rounding"]["spec"] == spec
            )
            _, y = drawn(figure, f"{folder}: {spec}")
            self.same(y, run["/table/relative_error"])
            row = next(r for r in rows_of(figure, folder) if r["x"] == spec)
            self.assertEqual(row["y"], run["/table/bias"][-1])
        row = next(r for r in rows_of(figure, "second") if r["x"] == "mxfp4,rule=rceil,round=sr:2")
        self.assertTrue(math.isnan(row["y"]))  # not in the second sweep

    def test_accumulators(self) -> None:
        for folders in (("first",), ("first", "second")):
            figure = draw("accumulator", *folders)
            for folder in folders:
                run = next(
                    r
                    for r in of_kind(folder, "gemm")
                    if r.config["gemm"]["accumulate"] == "acc:bf16"
                )
                name = "acc:bf16" if len(folders) == 1 else f"{folder}: acc:bf16"
                x, y = drawn(figure, name, "Error growth")
                self.same(x, [64, 256, 1024])
                self.same(y, run["/table/relative_error"])
                rows = [r for r in rows_of(figure, name) if r["x_name"].endswith("ULP")]
                bins = [
                    run[f"/table/ulp_{b}"][-1]
                    for b in ("0", "1", "2_3", "4_15", "16_255", "256_up")
                ]
                self.assertEqual(sum(bins), 256)
                self.same([r["y"] for r in rows], 100 * np.array(bins) / 256)
        bars = {c.get_label(): c.patches[0] for c in figure.axes[1].containers}
        one, other = bars["first: fp32-fma"], bars["second: fp32-fma"]
        self.assertEqual(one.get_facecolor(), other.get_facecolor())
        self.assertNotEqual(one.get_hatch(), other.get_hatch())


class Numbers(Case):
    """Against E2M1 as OCP's table has it."""

    VALUES = (0, 0.5, 1, 1.5, 2, 3, 4, 6)

    def nearest(self, x: np.ndarray) -> np.ndarray:
        grid = np.array(sorted({-v for v in self.VALUES} | set(self.VALUES)))
        return grid[np.abs(x[:, None] - grid).argmin(axis=1)]

    def test_transfer_curve(self) -> None:
        figure = draw("transfer", "formats.h5")
        x, y = drawn(figure, "e2m1, rne", "Transfer curve")
        _, thresholds = drawn(figure, "e2m1, rne", "Thresholds")
        half = [0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0]
        self.same(6 * thresholds, [-t for t in half[::-1]] + half)  # drawn over the range
        x, y = 6 * x, 6 * y
        probe = np.linspace(-7, 7, 1000) + 1e-4
        at = np.searchsorted(x, probe, side="right") - 1
        self.same(y[at], self.nearest(probe))
        x, error = drawn(figure, "e2m1, rne", "Error")
        self.same(6 * error, y - 6 * x, 1e-9)

    def test_estimators(self) -> None:
        figure = draw("estimators", "estimators.h5")
        v, ste = drawn(figure, "ste")
        self.same([v[0], v[-1]], [-7.5, 7.5])
        self.same(ste, np.ones_like(v))
        _, clipped = drawn(figure, "clipped-ste")
        self.same(clipped, (np.abs(v) <= 6).astype(float))
        _, ewgs = drawn(figure, "ewgs")
        inside = np.abs(v) < 5.99
        grid = np.array(sorted({-g for g in self.VALUES} | set(self.VALUES)), float)
        low = np.searchsorted(grid, v[inside], side="right") - 1
        width = grid[low + 1] - grid[low]
        want = 1 + 0.2 * (v[inside] - self.nearest(v[inside])) / width
        away = np.abs(np.abs(v[inside] - grid[low]) / width - 0.5) > 1e-3  # ties go either way
        self.same(ewgs[inside][away], want[away], 1e-5)
        _, stable = drawn(figure, "stableqat")
        c = np.sqrt(2) * np.pi * 0.21
        self.same(stable[np.argmin(np.abs(v))], (1 - c) / (1 + c), 1e-2)
        _, dge = drawn(figure, "dge")
        self.assertEqual(dge.max(), 3.0)  # its cap


if __name__ == "__main__":
    unittest.main()
