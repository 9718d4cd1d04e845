"""Means with intervals, paired differences, and the analysis of variance of a factorial sweep.

Student's t and Fisher's F come from the incomplete beta function (continued fraction, modified Lentz;
W. J. Lentz, Applied Optics 15, 1976), so that numpy is all that is needed.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np


def incomplete_beta(a: float, b: float, x: float) -> float:
    """Regularized incomplete beta function I_x(a, b), 0 <= x <= 1."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast on the other side
        return 1.0 - incomplete_beta(b, a, 1 - x)
    tiny = 1e-300
    c, d = 1.0, 1.0 / max(1 - (a + b) * x / (a + 1), tiny)
    value = d
    for m in range(1, 1000):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 + factor * d
            c = 1 + factor / c
            d = 1 / (d if abs(d) > tiny else tiny)
            c = c if abs(c) > tiny else tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    log_front = (
        math.lgamma(a + b)
        - math.lgamma(a)
        - math.lgamma(b)
        + a * math.log(x)
        + b * math.log1p(-x)
    )
    return math.exp(log_front) * value / a


def student_two_sided(t: float, df: float) -> float:
    """P(|T| >= |t|) for Student's t with `df` degrees of freedom."""
    return incomplete_beta(df / 2, 0.5, df / (df + t * t))


@functools.lru_cache(maxsize=4096)
def student_quantile(level: float, df: float) -> float:
    """t with P(|T| <= t) = level, by bisection."""
    low, high = 0.0, 1.0
    while student_two_sided(high, df) > 1 - level:
        high *= 2
    for _ in range(64):
        middle = (low + high) / 2
        if student_two_sided(middle, df) > 1 - level:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def fisher_tail(f: float, df1: float, df2: float) -> float:
    """P(F >= f) with (df1, df2) degrees of freedom."""
    if f <= 0:
        return 1.0
    return incomplete_beta(df2 / 2, df1 / 2, df2 / (df2 + df1 * f))


@dataclass(frozen=True)
class Summary:
    """Mean, sample standard deviation (NaN for n = 1) and the interval of the mean."""

    n: int
    mean: float
    sd: float
    low: float
    high: float
    missing: int = 0  # values that were not finite: diverged or absent


def summarize(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Summary:
    """Over the finite values; the others are counted, never averaged away silently."""
    all_values = np.asarray(values, float)
    v = all_values[np.isfinite(all_values)]
    missing = len(all_values) - len(v)
    if len(v) == 0:
        return Summary(0, math.nan, math.nan, math.nan, math.nan, missing)
    mean = float(np.mean(v))
    if len(v) == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan, missing)
    sd = float(np.std(v, ddof=1))
    half = student_quantile(level, len(v) - 1) * sd / math.sqrt(len(v))
    return Summary(len(v), mean, sd, mean - half, mean + half, missing)


@dataclass(frozen=True)
class Paired:
    """Mean difference over the pairs that both have a value."""

    n: int
    mean: float
    sd: float
    low: float
    high: float
    p: float  # two-sided, Student's t on the differences; NaN for fewer than two pairs
    unpaired: int  # keys that only one side has, or where one value is missing

    @property
    def outside_noise(self) -> bool:
        """Whether the interval leaves out zero."""
        return math.isfinite(self.low) and (self.low > 0 or self.high < 0)


def paired(a: dict[int, float], b: dict[int, float], level: float = 0.95) -> Paired:
    """a - b by common key (the seed)."""
    keys = sorted(set(a) | set(b))
    differences = [
        a[k] - b[k]
        for k in keys
        if k in a and k in b and math.isfinite(a[k]) and math.isfinite(b[k])
    ]
    s = summarize(differences, level)
    p = math.nan
    if s.n >= 2:
        if s.sd > 0:
            p = student_two_sided(s.mean / (s.sd / math.sqrt(s.n)), s.n - 1)
        else:
            p = 1.0 if s.mean == 0 else 0.0
    return Paired(s.n, s.mean, s.sd, s.low, s.high, p, len(keys) - s.n)


@dataclass(frozen=True)
class Effect:
    """One term of the analysis of variance."""

    term: tuple[str, ...]
    df: int
    sum_squares: float
    share: float  # of all terms and the rest together: in a balanced design, of the total
    f: float
    p: float


@dataclass(frozen=True)
class Anova:
    """Type II sums of squares: each term after all terms that do not contain it."""

    effects: list[Effect]
    residual_df: int
    residual_share: float
    n: int
    left_out: int  # rows without a finite value


def _columns(levels: Sequence[str]) -> np.ndarray:
    """Deviation coding of a factor: one column less than it has levels."""
    names = sorted(set(levels))
    code = np.zeros((len(levels), len(names) - 1))
    for i, level in enumerate(levels):
        k = names.index(level)
        if k == len(names) - 1:
            code[i] = -1
        else:
            code[i, k] = 1
    return code


def _residual(parts: Sequence[np.ndarray], y: np.ndarray) -> tuple[float, int]:
    """Sum of squares that the columns (and a constant) leave, and their rank."""
    matrix = np.column_stack([np.ones(len(y)), *parts])
    solution, _, rank, _ = np.linalg.lstsq(matrix, y, rcond=None)
    rest = y - matrix @ solution
    return float(rest @ rest), int(rank)


def anova(
    factors: Mapping[str, Sequence[str]],
    values: Sequence[float],
    interactions: bool = True,
    block: Sequence[str] | None = None,
) -> Anova:
    """Main effects and two-way interactions of factors with at least two levels; `block` (the seed)
    has a main effect alone, as the term `seed`. Rows without a finite value are left out and
    counted; empty cells cost an interaction degrees of freedom."""
    y_all = np.asarray(values, float)
    keep = np.isfinite(y_all)
    y = y_all[keep]
    kept = {
        name: [level for level, k in zip(levels, keep) if k] for name, levels in factors.items()
    }
    kept = {name: levels for name, levels in kept.items() if len(set(levels)) > 1}
    if len(y) < 3 or not kept:
        return Anova([], 0, math.nan, len(y), int((~keep).sum()))
    codes: dict[tuple[str, ...], np.ndarray] = {(n,): _columns(v) for n, v in kept.items()}
    if interactions:
        for a, b in itertools.combinations(kept, 2):
            product = codes[(a,)][:, :, None] * codes[(b,)][:, None, :]
            codes[(a, b)] = product.reshape(len(y), -1)
    if block is not None:
        seeds = [level for level, k in zip(block, keep) if k]
        if len(set(seeds)) > 1:
            codes[("seed",)] = _columns(seeds)
    total = float(np.sum((y - y.mean()) ** 2))
    rest, rank = _residual(list(codes.values()), y)
    residual_df = len(y) - rank
    exact = rest <= 1e-20 * max(total, 1e-300)
    effects = []
    for term in codes:
        others = [c for other, c in codes.items() if not set(term) <= set(other)]
        before, rank_before = _residual(others, y)
        after, rank_after = _residual([*others, codes[term]], y)
        df, gain = rank_after - rank_before, max(0.0, before - after)
        if df == 0:
            continue
        f = p = math.nan
        if residual_df > 0 and not exact:
            f = (gain / df) / (rest / residual_df)
            p = fisher_tail(f, df, residual_df)
        effects.append(Effect(term, df, gain, 0.0, f, p))
    parts = rest + sum(e.sum_squares for e in effects)
    effects = [replace(e, share=e.sum_squares / parts if parts > 0 else 0.0) for e in effects]
    share = rest / parts if parts > 0 else math.nan
    return Anova(effects, residual_df, share, len(y), int((~keep).sum()))
