"""Statistics against values from tables and by other routes."""

from __future__ import annotations

import itertools
import math
import unittest

import numpy as np
from common import Case

from fp4lab_analysis import stats
from fp4lab_analysis.tables import Cell, Table, columns, interval, rounded, with_spread


class Distributions(Case):
    def test_student_quantiles_of_printed_tables(self) -> None:
        for df, want in ((1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (30, 2.042), (120, 1.980)):
            self.assertAlmostEqual(stats.student_quantile(0.95, df), want, 3)
        self.assertAlmostEqual(stats.student_quantile(0.99, 5), 4.032, 3)

    def test_student_tail_has_closed_forms(self) -> None:
        for t in (0.1, 1.0, 3.0, 40.0):  # df 1: Cauchy; df 2: algebraic
            self.assertAlmostEqual(
                stats.student_two_sided(t, 1), 1 - 2 / math.pi * math.atan(t), 12
            )
            self.assertAlmostEqual(
                stats.student_two_sided(t, 2), 1 - t / math.sqrt(2 + t * t), 12
            )

    def test_fisher_tails_of_printed_tables(self) -> None:
        for f, a, b in ((4.96, 1, 10), (3.49, 3, 12), (2.87, 4, 20), (161.4, 1, 1)):
            self.assertAlmostEqual(stats.fisher_tail(f, a, b), 0.05, 3)
        self.assertAlmostEqual(stats.fisher_tail(2.0, 2, 8), (1 + 2 * 2.0 / 8) ** -4, 12)


class Means(Case):
    def test_summary(self) -> None:
        s = stats.summarize([1.0, 2.0, 3.0, math.nan, math.inf])
        self.assertEqual((s.n, s.mean, s.sd, s.missing), (3, 2.0, 1.0, 2))
        self.assertAlmostEqual(s.high - 2.0, 4.30265 / math.sqrt(3), 5)
        one = stats.summarize([5.0])
        self.assertTrue(math.isnan(one.sd) and math.isnan(one.low))
        self.assertEqual(stats.summarize([]).n, 0)

    def test_pairing_takes_out_what_seeds_share(self) -> None:
        shared = {seed: 10.0 * seed for seed in range(5)}
        noise = [0.01, -0.02, 0.0, 0.02, -0.01]
        a = {s: shared[s] + 0.1 + noise[s] for s in shared}
        p = stats.paired(a, shared)
        self.assertAlmostEqual(p.mean, 0.1)
        self.assertAlmostEqual(p.sd, float(np.std(noise, ddof=1)))
        self.assertTrue(p.outside_noise)
        t = 0.1 / (p.sd / math.sqrt(5))
        self.assertAlmostEqual(p.p, stats.student_two_sided(t, 4))

    def test_pairs_with_a_missing_side_are_counted(self) -> None:
        p = stats.paired({0: 1.0, 1: 2.0, 2: math.nan}, {0: 0.5, 1: 1.5, 2: 1.0, 3: 1.0})
        self.assertEqual((p.n, p.unpaired, p.mean, p.sd, p.p), (2, 2, 0.5, 0.0, 0.0))
        self.assertFalse(stats.paired({0: 1.0}, {0: 0.0}).outside_noise)


class Variance(Case):
    def balanced(self):
        """2 x 3 x 4 replicates; sums of squares by the textbook formulas of a balanced design."""
        rng = np.random.default_rng(5)
        rows = list(itertools.product("ab", "xyz", range(4)))
        y = np.array(
            [1.5 * (a == "b") + {"x": 0, "y": 1, "z": -2}[b] + 0.8 * (a == "b" and b == "z") for a, b, _ in rows]
        ) + 0.1 * rng.standard_normal(len(rows))
        return [r[0] for r in rows], [r[1] for r in rows], y

    def test_balanced_design_by_cell_means(self) -> None:
        a, b, y = self.balanced()
        result = stats.anova({"A": a, "B": b}, y)
        y3 = y.reshape(2, 3, 4)
        grand = y.mean()
        ss_a = 12 * ((y3.mean(axis=(1, 2)) - grand) ** 2).sum()
        ss_b = 8 * ((y3.mean(axis=(0, 2)) - grand) ** 2).sum()
        cell = y3.mean(axis=2)
        ss_ab = 4 * ((cell - y3.mean(axis=(1, 2))[:, None] - y3.mean(axis=(0, 2)) + grand) ** 2).sum()
        rest = ((y3 - cell[:, :, None]) ** 2).sum()
        found = {e.term: e for e in result.effects}
        self.same(found[("A",)].sum_squares, ss_a, 1e-9)
        self.same(found[("B",)].sum_squares, ss_b, 1e-9)
        self.same(found[("A", "B")].sum_squares, ss_ab, 1e-9)
        self.assertEqual([e.df for e in result.effects], [1, 2, 2])
        self.assertEqual(result.residual_df, 18)
        self.same(found[("A",)].f, ss_a / (rest / 18), 1e-9)
        self.same(sum(e.share for e in result.effects) + result.residual_share, 1.0, 1e-9)

    def test_unbalanced_terms_are_differences_of_nested_fits(self) -> None:
        a, b, y = self.balanced()
        y = y.copy()
        y[[0, 7, 13]] = np.nan
        result = stats.anova({"A": a, "B": b}, y)
        self.assertEqual((result.n, result.left_out), (21, 3))
        keep = np.isfinite(y)
        fa_, fb = np.array(a)[keep], np.array(b)[keep]

        def rest(*columns: np.ndarray) -> float:
            m = np.column_stack([np.ones(keep.sum()), *columns])
            return float(np.linalg.lstsq(m, y[keep], rcond=None)[1][0])

        da = (fa_ == "b").astype(float)
        db = np.stack([(fb == v).astype(float) for v in "yz"], axis=1)
        want = rest(db) - rest(da, db)
        found = {e.term: e.sum_squares for e in result.effects}
        self.same(found[("A",)], want, 1e-9)

    def test_no_replicates_no_f(self) -> None:
        result = stats.anova({"A": list("aabb"), "B": list("xyxy")}, [1.0, 2.0, 3.0, 5.0])
        self.assertEqual(result.residual_df, 0)
        self.assertTrue(all(math.isnan(e.f) for e in result.effects))


class Tables(Case):
    def test_three_texts(self) -> None:
        table = Table(columns("recipe", "#loss"))
        table.add("nvfp4_x & 50%", Cell("1.23 ± 0.04", 1.2345678901234567))
        self.assertEqual(
            table.markdown(), "| recipe | loss |\n| --- | ---: |\n| nvfp4_x & 50% | 1.23 ± 0.04 |\n"
        )
        self.assertEqual(table.csv(), "recipe,loss\nnvfp4_x & 50%,1.2345678901234567\n")
        self.assertIn(r"nvfp4\_x \& 50\% & 1.23 $\pm$ 0.04 \\", table.latex())

    def test_digits_follow_the_spread(self) -> None:
        self.assertEqual(with_spread(1.234567, 0.0123), "1.235 ± 0.012")
        self.assertEqual(with_spread(123.4, 12.0), "123 ± 12")
        self.assertEqual(with_spread(1.234567, math.nan), "1.235")
        self.assertEqual(rounded(math.nan), "–")
        self.assertEqual(interval(0.0101, 0.0499), "[0.010, 0.050]")
        self.assertEqual(interval(-0.00013, 0.046), "[-0.0001, 0.046]")  # not -0.000


if __name__ == "__main__":
    unittest.main()
