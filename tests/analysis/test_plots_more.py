"""Plots of oscillation, slots, effects, arithmetic, attention: drawn data against the files."""

from __future__ import annotations

import math
import unittest

import numpy as np
from common import FIXTURES, Case, drawn, files, plain_runs

import fp4lab_analysis as fa
from fp4lab_analysis.errors import InputError, NotInData

T95 = {2: 12.706204736432095, 3: 4.302652729696142, 4: 3.182446305284263}


def of_recipe(runs, recipe: str):
    return sorted((r for r in runs if r.config["recipe"] == recipe), key=lambda r: r.config["seed"])


class Comparisons(Case):
    def test_slots_are_paired_with_none(self) -> None:
        figure = fa.draw("slots", fa.load([FIXTURES / "slots"]))
        runs = plain_runs("slots")

        def loss(slot: str | None) -> np.ndarray:
            on = {
                "all six": {f"q{i}" for i in range(1, 7)},
                None: set(),
            }.get(slot, {slot})
            mine = [
                r
                for r in runs
                if {q for q, v in r.config["slots"].items() if v["spec"] != "none"} == on
            ]
            self.assertEqual(len(mine), 3)
            return np.array([r["/eval/loss"][-1] for r in sorted(mine, key=lambda r: r.config["seed"])])

        for slot in ("q1", "q5", "all six"):
            row = next(r for r in figure.rows if r["x"] == slot)
            d = loss(slot) - loss(None)
            self.same(row["y"], d.mean(), 1e-9)
            self.same(row["high"], d.mean() + T95[3] * d.std(ddof=1) / math.sqrt(3), 1e-9)
        self.assertEqual([r["x"] for r in figure.rows], ["q1", "q2", "q3", "q4", "q5", "q6", "all six"])
        with self.assertRaises(NotInData):
            fa.draw("slots", fa.load([FIXTURES / "train"]))

    def test_final_values(self) -> None:
        figure = fa.draw("final", fa.load([FIXTURES / "train"]))
        runs = plain_runs("train")
        base = np.array([r["/eval/loss"][-1] for r in of_recipe(runs, "bf16")])
        rows = {r["series"]: r for r in figure.rows}
        d = np.array([r["/eval/loss"][-1] for r in of_recipe(runs, "tetrajet")]) - base
        self.same(rows["tetrajet"]["y"], d.mean(), 1e-9)
        self.same(rows["tetrajet"]["low"], d.mean() - T95[4] * d.std(ddof=1) / 2, 1e-9)
        d = np.array([r["/eval/loss"][-1] for r in of_recipe(runs, "mxfp4-baseline")[:3]]) - base[:3]
        self.same(rows["mxfp4-baseline"]["y"], d.mean(), 1e-9)  # seed 3 diverged
        self.assertEqual(
            list(rows), ["four-over-six", "nvfp4-nvidia", "tetrajet", "mxfp4-baseline"]
        )
        figure = fa.draw("final", fa.load([FIXTURES / "train"]), metric="accuracy")
        self.assertEqual(figure.rows[0]["series"], "four-over-six")
        with self.assertRaisesRegex(InputError, "none of eval_loss"):
            fa.draw("final", fa.load([FIXTURES / "train"]), metric="loss")

    def test_effects(self) -> None:
        figure = fa.draw("effects", fa.load([FIXTURES / "factorial"]))
        runs = plain_runs("factorial")
        y = np.array([r["/eval/loss"][-1] for r in runs])
        recipe = np.array([r.config["recipe"] for r in runs])
        rate = np.array([r.config["optim"]["lr"] for r in runs])
        total = ((y - y.mean()) ** 2).sum()
        between = sum(
            (recipe == r).sum() * (y[recipe == r].mean() - y.mean()) ** 2 for r in set(recipe)
        )
        rows = {r["x"]: r["y"] for r in figure.rows if r["series"] == "share"}
        self.same(rows["recipe"], 100 * between / total, 1e-9)  # balanced, so type II is plain
        self.assertIn("recipe × optim.lr", rows)
        self.same(sum(rows.values()), 100.0, 1e-9)
        mask = (recipe == "tetrajet") & (rate == 0.004)
        row = next(r for r in figure.rows if r["series"] == "0.004" and r["x"] == 2)
        self.same(row["y"], y[mask].mean(), 1e-9)


class Oscillation(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.results = fa.load([FIXTURES / "train"])
        cls.one = of_recipe(plain_runs("train"), "tetrajet")[0]

    def test_ratio_and_share(self) -> None:
        figure = fa.draw("oscillation", self.results)
        _, y = drawn(figure, "tetrajet", "Oscillation ratio, mean")
        self.same(y, self.one["/oscillation/ratio_mean"].mean(axis=1))
        _, y = drawn(figure, "tetrajet", "Oscillating weights (ratio above 16)")
        self.same(y, 100 * self.one["/oscillation/fraction_above_16"].mean(axis=1))

    def test_confidence(self) -> None:
        figure = fa.draw("confidence", self.results, run="tetrajet")
        counts = self.one["/oscillation/confidence_histogram"].sum(axis=1)
        x, y = drawn(figure, "step 120")
        self.same(y, 100 * counts[-1] / counts[-1].sum())
        self.same(x, np.arange(20) / 20, 1e-9)

    def test_trajectories_are_those_that_change_most(self) -> None:
        figure = fa.draw("trajectories", self.results, run="tetrajet", weights=3)
        codes = self.one["/traces/code"].astype(int)
        changes = (np.diff(codes, axis=0) != 0).sum(axis=0)
        best = sorted(range(8), key=lambda k: (-changes[k], k))[:3]
        flat = self.one["/traces/flat_index"]
        for k in best:
            title = f"weight {flat[k]}: {changes[k]} code changes"
            _, y = drawn(figure, "latent weight", title)
            self.same(y, self.one["/traces/latent"][:, k].astype(float))
            _, y = drawn(figure, f"code of weight {flat[k]}")
            self.same(y, codes[:, k])
            near = [r["y"] for r in figure.rows if r["series"] == "threshold" and r["panel"] == title]
            low, high = self.one["/traces/latent"][:, k].min(), self.one["/traces/latent"][:, k].max()
            inside = [t for t in self.one["/traces/thresholds"] if low <= t <= high]
            self.assertLessEqual(set(inside), set(near))
            self.assertTrue(inside)

    def test_flips(self) -> None:
        figure = fa.draw("flips", self.results, run="tetrajet")
        _, y = drawn(figure, "block1.ffn-up", "Changes back (reversals)")
        self.same(y, self.one["/oscillation/reversals"][:, 3])

    def test_attention_and_router(self) -> None:
        figure = fa.draw("attention", self.results)
        rows = [r for r in figure.rows if r["panel"] == "block1.attn" and r["series"] == "tetrajet"]
        entropy = self.one["/attention/entropy"][:, 1]
        self.same([r["y"] for r in rows], entropy.mean(axis=1))
        self.same([r["high"] for r in rows], entropy.max(axis=1))
        figure = fa.draw("router", self.results, run="tetrajet")
        load = self.one["/router/load"][:, 0].astype(float)
        _, y = drawn(figure, "expert 2")
        self.same(y, 100 * load[:, 2] / load.sum(axis=1))
        flips = 100 * self.one["/router/flips"].sum() / load.sum()
        self.assertIn(f"{flips:.2g} % of the tokens", figure.notes[0])

    def test_without_the_group(self) -> None:
        path = next(p for p in files("slots"))
        for kind in ("oscillation", "confidence", "trajectories", "flips", "attention", "router"):
            with self.assertRaisesRegex(NotInData, "no training run here holds"):
                fa.draw(kind, fa.load([path]))


class Arithmetic(Case):
    def test_rounding(self) -> None:
        figure = fa.draw("rounding", fa.load([FIXTURES / "rounding"]))
        run = next(
            r for r in plain_runs("rounding") if r.config["rounding"]["spec"].endswith("sr:16")
        )
        x, y = drawn(figure, "mxfp4,rule=rceil,round=sr:16")
        self.same(x, run["/table/repeats"])
        self.same(y, run["/table/relative_error"])
        _, law = drawn(figure, "mxfp4,rule=rceil,round=sr:16: 1/√n law")
        signal = run["/table/rms_error"] / run["/table/relative_error"]
        self.same(law[1:], (run["/table/unbiased_rms"] / signal)[1:], 1e-9)
        self.same(law[6] / y[6], 1.0, 0.1)  # unbiased: on its law
        row = next(r for r in figure.rows if r["series"] == "bias" and r["x"].endswith("sr:16"))
        self.assertEqual(row["y"], run["/table/bias"][-1])

    def test_accumulator(self) -> None:
        figure = fa.draw("accumulator", fa.load([FIXTURES / "gemm"]))
        run = next(r for r in plain_runs("gemm") if r.config["gemm"]["accumulate"] == "acc:bf16")
        x, y = drawn(figure, "acc:bf16", "Error growth")
        self.same(x, run["/table/k"])
        self.same(y, run["/table/relative_error"])
        rows = [r for r in figure.rows if r["series"] == "acc:bf16" and r["x_name"].endswith("ULP")]
        bins = [run[f"/table/ulp_{b}"][-1] for b in ("0", "1", "2_3", "4_15", "16_255", "256_up")]
        self.same([r["y"] for r in rows], 100 * np.array(bins) / 256)


class Numbers(Case):
    """Against E2M1 as OCP's table has it."""

    VALUES = (0, 0.5, 1, 1.5, 2, 3, 4, 6)

    def nearest(self, x: np.ndarray) -> np.ndarray:
        grid = np.array(sorted({-v for v in self.VALUES} | set(self.VALUES)))
        return grid[np.abs(x[:, None] - grid).argmin(axis=1)]

    def test_transfer_curve(self) -> None:
        figure = fa.draw("transfer", fa.load([FIXTURES / "formats.h5"]))
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
        figure = fa.draw("estimators", fa.load([FIXTURES / "estimators.h5"]))
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
