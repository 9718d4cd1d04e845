"""Comparisons of runs, oscillation, attention and routing: drawn data against the files."""

from __future__ import annotations

import math
import unittest

import numpy as np
from common import T95, Case, draw, drawn, files, results, rows_of, trained

import fp4lab_analysis as fa
from fp4lab_analysis.errors import InputError, NotInData

HALF3 = T95[3] / math.sqrt(3)


def final(runs) -> np.ndarray:
    return np.array([r["/eval/loss"][-1] for r in runs])


def with_slots(folder: str, wanted: set[str]) -> np.ndarray:
    """Final losses of the runs of the digits that quantize just these slots, by seed."""
    found = []
    for r in trained(folder, "t1 digits"):
        on = {q for q, v in r.config["slots"].items() if v["source"] != "none"}
        if on == wanted:
            found.append(r)
    return final(found)


class Comparisons(Case):
    def test_slots_are_paired_with_none(self) -> None:
        figure = draw("slots", "first", task="digits")
        none = with_slots("first", set())
        self.assertEqual(len(none), 3)
        every = {f"q{i}" for i in range(1, 7)}
        names = ["q1", "q2", "q3", "q5", "all six"]
        self.assertEqual([r["x"] for r in figure.rows], names)
        for row, name in zip(figure.rows, names):
            d = with_slots("first", every if name == "all six" else {name}) - none
            self.same(row["y"], d.mean(), 1e-9)
            half = HALF3 * d.std(ddof=1)
            self.same([row["low"], row["high"]], [d.mean() - half, d.mean() + half], 1e-9)
        with self.assertRaisesRegex(NotInData, "needs runs that quantize none"):
            fa.draw("slots", results("first"), task="t4")

    def test_slots_of_two_sweeps(self) -> None:
        figure = draw("slots", "first", "second", task="digits")
        d = with_slots("second", {"q3"}) - with_slots("second", set())
        row = next(r for r in rows_of(figure, "second") if r["x"] == "q3")
        self.same(row["y"], d.mean(), 1e-9)
        row = next(r for r in rows_of(figure, "second") if r["x"] == "q5")
        self.assertTrue(math.isnan(row["y"]))  # not in the second sweep

    def test_final_values(self) -> None:
        figure = draw("final", "first", task="t4")
        base = final(trained("first", "t4 grammar", "bf16"))
        rows = {r["series"]: r for r in figure.rows}
        self.assertEqual(sorted(rows), ["mxfp4-baseline", "nvfp4-basic", "tetrajet"])
        means = []
        for name, row in rows.items():
            d = final(trained("first", "t4 grammar", name)) - base
            self.same(row["y"], d.mean(), 1e-9)
            half = HALF3 * d.std(ddof=1)
            self.same([row["low"], row["high"]], [d.mean() - half, d.mean() + half], 1e-9)
            means.append(row["y"])
        self.assertEqual(means, sorted(means))  # the best on top
        figure = draw("final", "first", task="t4", metric="accuracy")
        means = [r["y"] for r in figure.rows]
        self.assertEqual(means, sorted(means, reverse=True))
        with self.assertRaisesRegex(InputError, "none of eval_loss"):
            fa.draw("final", results("first"), task="t4", metric="loss")

    def test_final_values_leave_out_what_diverged(self) -> None:
        figure = draw("final", "train")
        runs = [
            sorted(
                (r for r in trained_by_recipe() if r.recipe == name), key=lambda r: r.seed
            )
            for name in ("mxfp4-baseline", "bf16")
        ]
        d = final(runs[0])[:3] - final(runs[1])[:3]  # seed 3 diverged
        row = next(r for r in figure.rows if r["series"] == "mxfp4-baseline")
        self.same(row["y"], d.mean(), 1e-9)

    def test_final_values_of_two_sweeps(self) -> None:
        figure = draw("final", "first", "second", task="t4")
        for folder in ("first", "second"):
            d = final(trained(folder, "t4 grammar", "tetrajet")) - final(
                trained(folder, "t4 grammar", "bf16")
            )
            row = rows_of(figure, f"{folder}: tetrajet")[0]
            self.same([row["y"], row["high"]], [d.mean(), d.mean() + HALF3 * d.std(ddof=1)], 1e-9)
            self.assertEqual(row["x"], "tetrajet")
        self.assertEqual(figure.axes[0].get_title(loc="left"), "Final value minus bf16")

    def test_effects(self) -> None:
        figure = draw("effects", "first", task="glyphs")
        runs = [r for r in trained("first", "t1 glyphs") if r.status == "complete"]
        self.assertEqual(len(runs), 12)  # 2 x 2 x 3: those at the largest rate diverged
        y = final(runs)
        recipe = np.array([r.recipe for r in runs])
        rate = np.array([r.config["optim"]["lr"] for r in runs])
        seed = np.array([r.seed for r in runs])
        total = ((y - y.mean()) ** 2).sum()

        def between(*factors: np.ndarray) -> float:
            """Sum of squares between the cells of some factors."""
            cells = list(zip(*factors))
            parts = []
            for cell in set(cells):
                mask = np.array([c == cell for c in cells])
                parts.append(mask.sum() * (y[mask].mean() - y.mean()) ** 2)
            return sum(parts)

        a, b, s = between(recipe), between(rate), between(seed)
        ab = between(recipe, rate) - a - b
        rows = {r["x"]: r["y"] for r in figure.rows if r["series"] == "share"}
        for name, part in (
            ("recipe", a), ("optim.lr", b), ("recipe × optim.lr", ab), ("seed", s),
            ("rest", total - a - b - ab - s),
        ):  # balanced, so type II is plain
            self.same(rows[name], 100 * part / total, 1e-7)
        self.assertEqual(len(rows), 5)
        self.assertIn("6 runs have no finite value and are left out.", figure.notes)
        first = "recipe" if a > b else "optim.lr"
        panel = next(r for r in figure.rows if r["panel"].startswith("Means") and r["x"] == 0)
        one, other = (recipe, rate) if first == "recipe" else (rate, recipe)
        mask = (one == one.min()) & (other.astype(str) == panel["series"])
        self.same(panel["y"], y[mask].mean(), 1e-9)


def trained_by_recipe():
    from common import plain_runs

    return plain_runs("train")


class Oscillation(Case):
    @classmethod
    def setUpClass(cls) -> None:
        cls.runs = trained("first", "t4 grammar", "tetrajet")
        cls.one = cls.runs[0]

    def draw(self, kind: str, **options):
        return draw(kind, "first", task="t4", **options)

    def test_ratio_and_share_over_seeds(self) -> None:
        figure = self.draw("oscillation")
        for path, panel, factor in (
            ("ratio_mean", "Oscillation ratio, mean", 1),
            ("fraction_above_16", "Oscillating weights (ratio above 16)", 100),
        ):
            want = factor * np.array([r[f"/oscillation/{path}"].mean(axis=1) for r in self.runs])
            rows = rows_of(figure, "tetrajet", panel)
            self.same([r["x"] for r in rows], self.one["/oscillation/step"])
            self.same([r["y"] for r in rows], want.mean(axis=0), 1e-9)
            half = HALF3 * want.std(axis=0, ddof=1)
            self.same([r["high"] for r in rows], want.mean(axis=0) + half, 1e-9)

    def test_oscillation_of_two_sweeps(self) -> None:
        figure = draw("oscillation", "first", "second", task="t4")
        runs = trained("second", "t4 grammar", "tetrajet")
        want = np.mean([r["/oscillation/ratio_mean"].mean(axis=1) for r in runs], axis=0)
        _, y = drawn(figure, "second: tetrajet", "Oscillation ratio, mean")
        self.same(y, want, 1e-9)

    def test_confidence(self) -> None:
        figure = self.draw("confidence", run="tetrajet")
        path = "/oscillation/confidence_histogram"
        counts = self.one[path].sum(axis=1)
        x, y = drawn(figure, f"step {self.one['/oscillation/step'][-1]}")
        self.same(y, 100 * counts[-1] / counts[-1].sum())
        self.same(x, self.one.edges[path][:-1])
        self.same(counts.sum(axis=1), [counts[0].sum()] * len(counts))  # every weight, each time
        want = np.mean([r["/oscillation/confidence_mean"].mean(axis=1) for r in self.runs], axis=0)
        _, y = drawn(figure, "tetrajet", "Mean confidence over time")
        self.same(y, want, 1e-9)
        both = draw("confidence", "first", "second", task="t4", run="tetrajet")
        other = trained("second", "t4 grammar", "tetrajet")[0]
        counts = other[path].sum(axis=1)[-1]
        _, y = drawn(both, f"second: tetrajet: step {other['/oscillation/step'][-1]}")
        self.same(y, 100 * counts / counts.sum())

    def test_trajectories_are_those_that_change_most(self) -> None:
        figure = self.draw("trajectories", run="tetrajet", weights=3)
        codes = self.one["/traces/code"].astype(int)
        latent = self.one["/traces/latent"].astype(float)
        values = np.where(codes == 8, 0, codes)  # -0 is 0
        changes = (np.diff(values, axis=0) != 0).sum(axis=0)
        best = sorted(range(codes.shape[1]), key=lambda k: (-changes[k], k))[:3]
        self.assertGreater(changes[best[0]], 0)
        names = self.one["/policy/layer"]
        for k in best:
            layer = names[self.one["/traces/layer_index"][k]]
            weight = f"{layer}[{self.one['/traces/flat_index'][k]}]"
            title = f"{weight}: {changes[k]} change{'s' if changes[k] != 1 else ''}"
            x, y = drawn(figure, "latent weight", title)
            self.same(x, self.one["/traces/step"])
            self.same(y, latent[:, k])
            _, y = drawn(figure, f"code of {weight}")
            self.same(y, codes[:, k])
            near = [r["y"] for r in rows_of(figure, "threshold", title)]
            inside = [
                t for t in self.one["/traces/thresholds"]
                if latent[:, k].min() <= t <= latent[:, k].max()
            ]
            self.assertLessEqual(set(inside), set(near))
            self.assertTrue(inside)  # what changes its code crosses a threshold

    def test_one_weight_stays_about_its_threshold(self) -> None:
        """The toy: the weight that is sought, 0.8, lies between 0.5 and 1, so that the weight goes
        to the threshold 0.75 and is rounded up for (0.8 - 0.5) / 0.5 of the time."""
        run = trained("first", "t0 uniform")[0]
        figure = draw("trajectories", "first", task="toy1d")
        panels = {r["panel"] for r in figure.rows if r["series"] == "latent weight"}
        self.assertEqual(len(panels), 1)  # one weight, however often it was traced
        x, y = drawn(figure, "latent weight")
        self.assertEqual(len(x), 1000)
        self.same(y, run["/traces/latent"][:, 0].astype(float))
        self.assertLess(np.abs(y - 0.75).max(), 0.05)
        _, thresholds = drawn(figure, "threshold")
        self.same(thresholds, [0.75])
        code = next(r["series"] for r in figure.rows if r["series"].startswith("code of "))
        _, codes = drawn(figure, code)
        self.assertEqual(set(codes), {1.0, 2.0})
        self.assertAlmostEqual(float((codes == 2).mean()), 0.6, delta=0.06)
        _, share = drawn(draw("oscillation", "first", task="toy1d"), run.recipe)
        self.assertEqual(share[-1], 100.0)

    def test_codes_change_where_the_latent_weight_crosses(self) -> None:
        """The file's own thresholds and codes agree: what the picture shows is the quantizer."""
        codes = self.one["/traces/code"].astype(int)
        latent = self.one["/traces/latent"].astype(float)
        limits = self.one["/traces/thresholds"]
        between = np.searchsorted(limits, latent)
        for k in range(codes.shape[1]):
            off = np.isin(latent[:, k], limits)
            pairs = {(b, c) for b, c, o in zip(between[:, k], codes[:, k], off) if not o}
            negative = limits.size // 2
            for b, c in pairs:
                magnitude = abs(b - negative)
                self.assertEqual(c & 7, min(magnitude, 7), (k, b, c))

    def test_flips(self) -> None:
        figure = self.draw("flips", run="tetrajet")
        for path, panel in (("flips", "Code changes"), ("reversals", "Changes back (reversals)")):
            for i, layer in enumerate(self.one["/oscillation/layer"]):
                x, y = drawn(figure, layer, panel)
                self.same(y, self.one[f"/oscillation/{path}"][:, i])
            self.assertEqual(list(x), [str(s) for s in self.one["/oscillation/step"]])
        self.assertGreater(self.one["/oscillation/flips"].sum(), 0)

    def test_attention(self) -> None:
        figure = self.draw("attention")
        entropy = self.one["/attention/entropy"]
        for i, layer in enumerate(self.one["/attention/layer"]):
            rows = rows_of(figure, "tetrajet", layer)
            self.same([r["x"] for r in rows], self.one["/attention/step"])
            self.same([r["y"] for r in rows], entropy[:, i].mean(axis=1))
            self.same([r["low"] for r in rows], entropy[:, i].min(axis=1))
            self.same([r["high"] for r in rows], entropy[:, i].max(axis=1))
        both = draw("attention", "first", "second", task="t4")
        layer = self.one["/attention/layer"][0]
        other = trained("second", "t4 grammar", "tetrajet")[0]
        _, y = drawn(both, "second: tetrajet", layer)
        self.same(y, other["/attention/entropy"][:, 0].mean(axis=1))

    def test_router(self) -> None:
        run = trained("first", "t6 grammar", "tetrajet")[0]
        figure = draw("router", "first", task="t6", run="tetrajet")
        layers = list(run["/router/layer"])
        self.assertTrue(layers)
        for i, layer in enumerate(layers):
            load = run["/router/load"][:, i].astype(float)
            self.same(load.sum(axis=1), [load[0].sum()] * len(load))  # every token, each time
            for k in range(load.shape[1]):
                _, y = drawn(figure, f"expert {k}", layer)
                self.same(y, 100 * load[:, k] / load.sum(axis=1))
        have = run["/router/flips"] >= 0
        flips = 100 * run["/router/flips"][have].sum() / run["/router/load"].sum(axis=2)[have].sum()
        self.assertIn(f"{flips:.2g} % of the tokens", " ".join(figure.notes))

    def test_without_the_group(self) -> None:
        path = next(p for p in files("first") if "digits" in p.read_bytes().decode("latin-1"))
        for kind in ("oscillation", "confidence", "trajectories", "flips", "attention", "router"):
            with self.assertRaisesRegex(NotInData, "no training run here holds"):
                fa.draw(kind, fa.load([path]))


class OneSweep(Case):
    def test_kinds_that_show_one_sweep_say_so(self) -> None:
        for kind in ("layers", "codes", "scales", "trajectories", "flips", "router", "effects"):
            self.assertFalse(fa.kinds()[kind].layered)
            with self.assertRaisesRegex(InputError, "shows one sweep at a time; name one of first, second"):
                fa.draw(kind, results("first", "second"))
        layered = [name for name, kind in fa.kinds().items() if kind.layered]
        self.assertEqual(len(layered), 14)


if __name__ == "__main__":
    unittest.main()
