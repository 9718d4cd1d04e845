"""Plots of training runs: what is drawn equals what an independent reading of the files gives."""

from __future__ import annotations

import unittest

import numpy as np
from common import FIXTURES, Case, Plain, drawn, files, plain_runs

import fp4lab_analysis as fa
from fp4lab_analysis.errors import InputError, NotInData
from fp4lab_analysis.plots.curves import spikes_of

T95 = {2: 12.706204736432095, 3: 4.302652729696142, 4: 3.182446305284263}


def of_recipe(runs: list[Plain], recipe: str) -> list[Plain]:
    return sorted((r for r in runs if r.config["recipe"] == recipe), key=lambda r: r.config["seed"])


class Curves(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.results = fa.load([FIXTURES / "train"])
        cls.plain = plain_runs("train")

    def test_mean_and_band_over_seeds(self) -> None:
        figure = fa.draw("loss", self.results, smoothing=1)
        loss = np.array([r["/series/loss"] for r in of_recipe(self.plain, "tetrajet")])
        rows = [r for r in figure.rows if r["series"] == "tetrajet (n=4)"]
        self.same([r["y"] for r in rows], loss.mean(axis=0))
        half = T95[4] * loss.std(axis=0, ddof=1) / 2
        self.same([r["high"] for r in rows], loss.mean(axis=0) + half, 1e-9)
        line = next(l for l in figure.axes[0].lines if l.get_label() == "tetrajet (n=4)")
        self.same(line.get_ydata(), loss.mean(axis=0))

    def test_running_mean(self) -> None:
        figure = fa.draw("loss", self.results, smoothing=5)
        loss = np.mean([r["/series/loss"] for r in of_recipe(self.plain, "bf16")], axis=0)
        _, y = drawn(figure, "bf16 (n=4)")
        self.same(y[0], loss[0])
        self.same(y[50], loss[46:51].mean(), 1e-9)

    def test_gap_is_paired_by_seed(self) -> None:
        figure = fa.draw("loss", self.results)
        mine = np.array([r["/eval/loss"] for r in of_recipe(self.plain, "nvfp4-nvidia")])
        base = np.array([r["/eval/loss"] for r in of_recipe(self.plain, "bf16")])
        x, y = drawn(figure, "nvfp4-nvidia", "Held-out loss minus bf16")
        self.same(x, [30, 60, 90, 120])
        self.same(y, (mine - base).mean(axis=0), 1e-9)

    def test_a_diverged_seed_leaves_the_mean_and_is_said(self) -> None:
        figure = fa.draw("loss", self.results, smoothing=1)
        loss = np.array([r["/series/loss"] for r in of_recipe(self.plain, "mxfp4-baseline")])
        self.assertTrue(np.isnan(loss[3, 70:]).all())
        _, y = drawn(figure, "mxfp4-baseline (n=4, 1 diverged)")
        self.same(y[69], loss[:, 69].mean())
        self.same(y[70], loss[:3, 70].mean())
        x, y = drawn(figure, "mxfp4-baseline: seed 3 diverged")
        self.same([x[0], y[0]], [69, loss[3, 69]])
        self.assertIn(
            "Diverged, so without values from there on: mxfp4-baseline, seed 3.", figure.notes
        )

    def test_another_baseline_and_an_unknown_one(self) -> None:
        figure = fa.draw("loss", self.results, baseline="tetrajet")
        self.assertEqual(figure.axes[1].get_title(loc="left"), "Held-out loss minus tetrajet")
        with self.assertRaisesRegex(InputError, "none of the drawn runs: bf16"):
            fa.draw("loss", self.results, baseline="nvidia")

    def test_two_sweeps_have_their_own_baselines(self) -> None:
        both = fa.load([FIXTURES / "train", FIXTURES / "train2"])
        figure = fa.draw("loss", both)
        other = plain_runs("train2")
        mine = np.array([r["/eval/loss"] for r in of_recipe(other, "tetrajet")])
        base = np.array([r["/eval/loss"] for r in of_recipe(other, "bf16")])
        _, y = drawn(figure, "train2: tetrajet", "Held-out loss minus train: bf16")
        self.same(y, (mine - base).mean(axis=0), 1e-9)
        first = next(l for l in figure.axes[1].lines if l.get_label() == "train: tetrajet")
        second = next(l for l in figure.axes[1].lines if l.get_label() == "train2: tetrajet")
        self.assertEqual(first.get_color(), second.get_color())
        self.assertNotEqual(
            first._unscaled_dash_pattern, second._unscaled_dash_pattern  # told apart in grey
        )

    def test_runs_of_a_killed_sweep(self) -> None:
        figure = fa.draw("loss", fa.load([FIXTURES / "killed"]))
        text = " ".join(figure.notes)
        for word in ("tetrajet, seed 1", "1 runs failed", "1 runs unfinished", "2 runs unreadable"):
            self.assertIn(word, text)

    def test_spikes(self) -> None:
        figure = fa.draw("grad-norm", self.results)
        run = of_recipe(self.plain, "bf16")[0]
        x, y = drawn(figure, "bf16")
        self.same(y, run["/series/grad_norm"])
        x, _ = drawn(figure, "bf16: spikes")
        norm = run["/series/grad_norm"]
        want = [
            i for i in range(5, len(norm)) if norm[i] > 3 * np.median(norm[max(0, i - 20) : i])
        ]
        self.assertEqual(list(x), want)
        self.assertEqual(list(spikes_of(np.array([1.0] * 9 + [np.nan, 4.0, 1.0]))), [10])


class Layers(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.results = fa.load([FIXTURES / "train"])
        cls.tetrajet = of_recipe(plain_runs("train"), "tetrajet")[0]

    def test_heat_map_of_a_statistic(self) -> None:
        figure = fa.draw("layers", self.results, run="tetrajet", statistic="underflow_fraction")
        values = self.tetrajet["/layers/underflow_fraction"]
        _, y = drawn(figure, "block1.attn-qkv", "q3")
        self.same(y, values[:, 2, 2])
        shown = figure.axes[5].images[0].get_array()
        self.same(shown, values[:, :, 5].T)
        one = fa.draw("layers", self.results, run="tetrajet", slot="q2", layer="block0")
        self.assertEqual({r["panel"] for r in one.rows}, {"q2"})
        self.assertEqual({r["series"] for r in one.rows}, {"block0.attn-qkv", "block0.ffn-up"})

    def test_names_that_are_not_there(self) -> None:
        for options, text in (
            ({"statistic": "snr"}, "none of .*sqnr_db"),
            ({"slot": "q9"}, "none of q1, q2"),
            ({"layer": "blok"}, "none of block0"),
            ({"run": "zzz"}, "none of: bf16"),
            ({"metric": "x"}, "takes no --metric"),
            ({"statistic": "choose4_fraction"}, "no finite value"),
        ):
            with self.assertRaisesRegex(InputError, text):
                fa.draw("layers", self.results, **options)

    def test_code_and_scale_histograms_are_shares_over_layers(self) -> None:
        for kind, path, code in (("codes", "code", "9"), ("scales", "scale", "120")):
            figure = fa.draw(kind, self.results, run="tetrajet")
            counts = self.tetrajet[f"/layers/{path}_histogram"].astype(float).sum(axis=1)
            share = counts / counts.sum(axis=2, keepdims=True)
            _, y = drawn(figure, code, "q4")
            self.same(y, share[:, 3, int(code)])

    def test_clipping(self) -> None:
        figure = fa.draw("clipping", self.results, run="tetrajet")
        values = 100 * self.tetrajet["/layers/saturation_fraction"][:, :, 5]
        rows = [r for r in figure.rows if r["series"] == "q6" and r["panel"].startswith("Clipped")]
        self.same([r["y"] for r in rows], values.mean(axis=1))
        self.same([r["low"] for r in rows], values.min(axis=1))

    def test_products(self) -> None:
        figure = fa.draw("gemms", self.results, run="tetrajet")
        _, y = drawn(figure, "dw")
        self.same(y, self.tetrajet["/gemms/cosine"][-1, :, 2])

    def test_files_without_the_group(self) -> None:
        path = next(p for p in files("train") if "/layers/step" not in Plain(p).data)
        for kind in ("layers", "codes", "scales", "clipping", "gemms"):
            with self.assertRaisesRegex(NotInData, "no training run here holds"):
                fa.draw(kind, fa.load([path]))
        with self.assertRaisesRegex(NotInData, "no file of kind error"):
            fa.draw("error", fa.load([path]))


if __name__ == "__main__":
    unittest.main()
