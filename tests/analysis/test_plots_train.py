"""Curves of training runs and statistics of their quantizers: what is drawn equals what an
independent reading of the files gives."""

from __future__ import annotations

import math
import unittest

import numpy as np
from common import T95, Case, Plain, draw, drawn, files, plain_runs, results, rows_of, trained

import fp4lab_analysis as fa
from fp4lab_analysis.errors import InputError, NotInData
from fp4lab_analysis.plots.curves import spikes_of, thinned

RECIPES = ["bf16", "mxfp4-baseline", "nvfp4-basic", "tetrajet"]


def language(recipe: str, folder: str = "first") -> list[Plain]:
    return trained(folder, "t4 grammar", recipe)


class Curves(Case):
    def test_mean_and_band_over_seeds(self) -> None:
        figure = draw("loss", "first", task="t4", smoothing=1)
        for recipe in RECIPES:
            runs = language(recipe)
            self.assertEqual([r.seed for r in runs], [0, 1, 2])
            loss = np.array([r["/series/loss"] for r in runs])
            rows = rows_of(figure, f"{recipe} (n=3)")
            self.same([r["x"] for r in rows], runs[0]["/series/step"])
            self.same([r["y"] for r in rows], loss.mean(axis=0))
            half = T95[3] * loss.std(axis=0, ddof=1) / math.sqrt(3)
            self.same([r["high"] for r in rows], loss.mean(axis=0) + half, 1e-9)
            line = next(l for l in figure.axes[0].lines if l.get_label() == f"{recipe} (n=3)")
            self.same(line.get_ydata(), loss.mean(axis=0))

    def test_running_mean(self) -> None:
        figure = draw("loss", "first", task="t4", smoothing=5)
        loss = np.mean([r["/series/loss"] for r in language("bf16")], axis=0)
        _, y = drawn(figure, "bf16 (n=3)")
        self.same(y[0], loss[0])
        self.same(y[30], loss[26:31].mean(), 1e-9)

    def test_long_curves_are_thinned(self) -> None:
        steps = np.arange(1000.0)
        x, y = thinned(steps, steps**2)
        self.assertEqual((x[-1], y[-1], len(x)), (999.0, 999.0**2, 334))
        self.same(np.diff(x), [3.0] * 333)
        self.assertEqual(len(thinned(steps[:300])[0]), 300)

    def test_gap_of_the_training_loss_where_few_were_evaluated(self) -> None:
        figure = draw("loss", "first", task="digits", smoothing=1)  # evaluated at the end alone
        self.assertEqual(figure.axes[1].get_title(loc="left"), "Training loss minus none")
        runs = {name: [] for name in ("none", "q1")}
        for r in trained("first", "t1 digits"):
            on = [q for q, v in r.config["slots"].items() if v["source"] != "none"]
            if not on or on == ["q1"]:
                runs["q1" if on else "none"].append(r["/series/loss"])
        gap = np.array(runs["q1"]) - np.array(runs["none"])
        _, y = drawn(figure, "q1", "Training loss minus none")
        self.same(y, gap.mean(axis=0), 1e-9)

    def test_gap_is_paired_by_seed(self) -> None:
        figure = draw("loss", "first", task="t4", smoothing=1)
        base = np.array([r["/eval/loss"] for r in language("bf16")])
        for recipe in RECIPES[1:]:
            gap = np.array([r["/eval/loss"] for r in language(recipe)]) - base
            rows = rows_of(figure, recipe, "Held-out loss minus bf16")
            self.same([r["x"] for r in rows], [0, 10, 20, 30, 40])
            self.same([r["y"] for r in rows], gap.mean(axis=0), 1e-9)
            half = T95[3] * gap.std(axis=0, ddof=1) / math.sqrt(3)
            self.same([r["low"] for r in rows], gap.mean(axis=0) - half, 1e-9)

    def test_two_sweeps_have_their_own_baselines(self) -> None:
        figure = draw("loss", "first", "second", task="t4")
        mine = np.array([r["/eval/loss"] for r in language("tetrajet", "second")])
        base = np.array([r["/eval/loss"] for r in language("bf16", "second")])
        _, y = drawn(figure, "second: tetrajet", "Held-out loss minus bf16")
        self.same(y, (mine - base).mean(axis=0), 1e-9)
        lines = {l.get_label(): l for l in figure.axes[1].lines}
        first, second = lines["first: tetrajet"], lines["second: tetrajet"]
        self.assertEqual(first.get_color(), second.get_color())
        self.assertNotEqual(
            first._unscaled_dash_pattern, second._unscaled_dash_pattern  # told apart in grey
        )
        self.assertEqual(
            first._unscaled_dash_pattern, lines["first: nvfp4-basic"]._unscaled_dash_pattern
        )

    def test_another_baseline_and_an_unknown_one(self) -> None:
        figure = draw("loss", "first", task="t4", baseline="tetrajet")
        self.assertEqual(figure.axes[1].get_title(loc="left"), "Held-out loss minus tetrajet")
        with self.assertRaisesRegex(InputError, "none of the drawn runs: bf16"):
            fa.draw("loss", results("first"), task="t4", baseline="nvidia")

    def test_spikes_of_the_gradient_norm(self) -> None:
        figure = draw("grad-norm", "first", task="t4")
        found = 0
        for recipe in RECIPES:
            norm = language(recipe)[0]["/series/grad_norm"]
            _, y = drawn(figure, recipe)
            self.same(y, norm)
            x, y = drawn(figure, f"{recipe}: spikes")
            want = [
                i for i in range(5, len(norm)) if norm[i] > 3 * np.median(norm[max(0, i - 20) : i])
            ]
            self.assertEqual(list(x), want)
            self.same(y, norm[want])
            found += len(want)
        figure = draw("grad-norm", "train")
        norm = trained_made("bf16")[0]["/series/grad_norm"]
        want = [i for i in range(5, len(norm)) if norm[i] > 3 * np.median(norm[max(0, i - 20) : i])]
        self.assertGreater(len(want), 1)
        self.assertEqual(list(drawn(figure, "bf16: spikes")[0]), want)
        self.assertEqual(list(spikes_of(np.array([1.0] * 9 + [np.nan, 4.0, 1.0]))), [10])

    def test_gradient_norms_of_two_sweeps_share_their_panels(self) -> None:
        figure = draw("grad-norm", "first", "second", task="t4")
        for folder in ("first", "second"):
            _, y = drawn(figure, f"{folder}: tetrajet", "tetrajet")
            self.same(y, language("tetrajet", folder)[0]["/series/grad_norm"])
        panels = [ax.get_title(loc="left") for ax in figure.axes if ax.get_visible()]
        self.assertEqual(sorted(panels), RECIPES)


def trained_made(recipe: str) -> list[Plain]:
    """Seeds of a recipe in the folder of made runs."""
    return sorted((r for r in plain_runs("train") if r.recipe == recipe), key=lambda r: r.seed)


class Gaps(Case):
    """What is missing is said, and nothing is averaged over it."""

    def test_a_diverged_seed_leaves_the_mean_and_is_said(self) -> None:
        figure = draw("loss", "train", smoothing=1)
        loss = np.array([r["/series/loss"] for r in trained_made("mxfp4-baseline")])
        self.assertTrue(np.isnan(loss[3, 70:]).all())
        _, y = drawn(figure, "mxfp4-baseline (n=4, 1 diverged)")
        self.same(y[69], loss[:, 69].mean())
        self.same(y[70], loss[:3, 70].mean())
        x, y = drawn(figure, "mxfp4-baseline: seed 3 diverged")
        self.same([x[0], y[0]], [69, loss[3, 69]])
        self.assertIn(
            "Diverged, so without values from there on: mxfp4-baseline, seed 3.", figure.notes
        )

    def test_a_run_that_really_diverged(self) -> None:
        lost = [r for r in trained("first", "t1 glyphs") if r.status == "diverged"]
        self.assertTrue(lost)
        self.assertEqual({r.config["optim"]["lr"] for r in lost}, {1000.0})
        for kind in ("loss", "grad-norm", "final"):
            figure = draw(kind, "first", task="glyphs")
            self.assertIn("Diverged", " ".join(figure.notes), kind)
        figure = draw("loss", "first", task="glyphs", smoothing=1)
        run = next(r for r in lost if r.recipe == "bf16")
        have = np.flatnonzero(np.isfinite(run["/series/loss"]))
        if len(have):
            x, y = drawn(figure, f"bf16, optim.lr=1000: seed {run.seed} diverged")
            self.same([x[0], y[0]], [have[-1], run["/series/loss"][have[-1]]])
        rows = {r["series"]: r["y"] for r in draw("final", "first", task="glyphs").rows}
        self.assertTrue(math.isnan(rows["tetrajet, optim.lr=1000"]))

    def test_runs_of_a_damaged_folder(self) -> None:
        text = " ".join(draw("loss", "killed").notes)
        for words in ("tetrajet, seed 1", "1 run failed", "1 run unfinished", "2 runs unreadable"):
            self.assertIn(words, text)

    def test_a_sweep_that_was_really_killed(self) -> None:
        figure = draw("loss", "stopped")
        self.assertEqual(len({r["series"] for r in figure.rows}), 1)
        text = " ".join(figure.notes)
        self.assertIn("1 run unfinished", text)
        self.assertIn("1 run not run", text)

    def test_files_without_the_group(self) -> None:
        path = next(p for p in files("train") if "/layers/step" not in Plain(p).data)
        for kind in ("layers", "codes", "scales", "clipping", "gemms"):
            with self.assertRaisesRegex(NotInData, "no training run here holds"):
                fa.draw(kind, fa.load([path]))
        with self.assertRaisesRegex(NotInData, "no file of kind error"):
            fa.draw("error", fa.load([path]))


class Layers(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.tetrajet = language("tetrajet")[0]
        cls.layers = list(cls.tetrajet["/layers/layer"])

    def draw(self, kind: str, **options):
        return draw(kind, "first", task="t4", run="tetrajet", **options)

    def test_heat_map_of_every_statistic(self) -> None:
        names = [
            n.removeprefix("/layers/") for n, v in self.tetrajet.data.items()
            if n.startswith("/layers/") and v.ndim == 3
        ]
        self.assertGreaterEqual(len(names), 11)
        for name in names:
            values = self.tetrajet[f"/layers/{name}"]
            if not np.isfinite(values).any():
                continue
            figure = self.draw("layers", statistic=name)
            for slot in range(6):
                for i, layer in enumerate(self.layers):
                    x, y = drawn(figure, layer, f"q{slot + 1}")
                    self.same(y, values[:, i, slot])
            self.assertEqual(list(x), [str(s) for s in self.tetrajet["/layers/step"]])
            shown = np.ma.filled(figure.axes[5].images[0].get_array(), np.nan)
            low, high = figure.axes[5].images[0].get_clim()
            self.same(shown, np.clip(values[:, :, 5].T, low, high))  # infinite: end of the scale
            finite = values[np.isfinite(values)]
            self.assertLessEqual(low, finite.min())
            self.assertGreaterEqual(high, finite.max())

    def test_a_part_of_a_heat_map(self) -> None:
        one = self.draw("layers", slot="q2", layer=self.layers[1])
        self.assertEqual({r["panel"] for r in one.rows}, {"q2"})
        self.assertEqual({r["series"] for r in one.rows}, {self.layers[1]})

    def test_names_that_are_not_there(self) -> None:
        for options, text in (
            ({"statistic": "snr"}, "none of .*sqnr_db"),
            ({"slot": "q9"}, "none of q1, q2"),
            ({"layer": "blok"}, f"none of {self.layers[0]}"),
            ({"run": "zzz"}, "none of: bf16"),
            ({"metric": "x"}, "takes no --metric"),
            ({"statistic": "choose4_fraction", "run": "tetrajet"}, "no finite value"),
        ):
            with self.assertRaisesRegex(InputError, text):
                fa.draw("layers", results("first"), task="t4", **options)

    def test_code_and_scale_histograms_are_shares_over_layers(self) -> None:
        for kind, path in (("codes", "code"), ("scales", "scale")):
            figure = self.draw(kind)
            counts = self.tetrajet[f"/layers/{path}_histogram"].clip(min=0).astype(float).sum(axis=1)
            share = counts / counts.sum(axis=2, keepdims=True)
            used = np.flatnonzero(counts.sum(axis=(0, 1)) > 0)
            low = used.min()
            if kind == "scales":  # blocks of zeros have the least scale, far from the others
                self.assertGreater(used[1] - used[0], 16)
                low = used[1]
            for slot in range(6):
                for code in range(low, used.max() + 1):
                    name = f"{code:x}" if kind == "codes" else str(code)
                    _, y = drawn(figure, name, f"q{slot + 1}")
                    self.same(y, share[:, slot, code])
            rows = {r["series"] for r in figure.rows}
            self.assertEqual(len(rows), used.max() - low + 1)
            self.assertEqual(kind == "scales", any("Not shown" in n for n in figure.notes))

    def test_clipping(self) -> None:
        figure = self.draw("clipping")
        for path, title in (("underflow", "Underflow"), ("saturation", "Clipped")):
            for slot in range(6):
                values = 100 * self.tetrajet[f"/layers/{path}_fraction"][:, :, slot]
                rows = [r for r in rows_of(figure, f"q{slot + 1}") if r["panel"].startswith(title)]
                self.same([r["y"] for r in rows], np.nanmean(values, axis=1), 1e-9)
                self.same([r["low"] for r in rows], np.nanmin(values, axis=1))
                self.same([r["high"] for r in rows], np.nanmax(values, axis=1))

    def test_clipping_of_two_sweeps(self) -> None:
        figure = draw("clipping", "first", "second", task="t4", run="tetrajet")
        for folder in ("first", "second"):
            values = language("tetrajet", folder)[0]["/layers/saturation_fraction"][:, :, 2]
            rows = rows_of(figure, f"{folder}: tetrajet: q3")
            y = [r["y"] for r in rows if r["panel"].startswith("Clipped")]
            self.same(y, 100 * np.nanmean(values, axis=1), 1e-9)
        for ax in figure.axes:  # all of it is inside of the picture
            top = max(np.nanmax(line.get_ydata()) for line in ax.lines)
            self.assertLess(top, ax.get_ylim()[1])
        with self.assertRaisesRegex(InputError, "no configuration of second"):
            fa.draw("clipping", results("first", "second"), task="t4", run="nvfp4-basic")

    def test_products(self) -> None:
        for metric in ("cosine", "rel_error", "pma", "rho"):
            figure = self.draw("gemms", metric=metric)
            for k, product in enumerate(("y", "dx", "dw")):
                _, y = drawn(figure, product)
                self.same(y, self.tetrajet[f"/gemms/{metric}"][-1, :, k])
        figure = draw("gemms", "first", "second", task="t4")
        self.assertEqual(  # the configuration that both sweeps have
            {r["series"].rsplit(":", 1)[0] for r in figure.rows}, {"first: tetrajet", "second: tetrajet"}
        )
        _, y = drawn(figure, "second: tetrajet: dw")
        self.same(y, language("tetrajet", "second")[0]["/gemms/cosine"][-1, :, 2])


if __name__ == "__main__":
    unittest.main()
