"""The one number of a run that tables and comparisons are made of."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import InputError, NotInData
from .results import Result


@dataclass(frozen=True)
class Metric:
    """A final number: how it is called, and which way is better."""

    name: str
    label: str
    lower_is_better: bool
    differences: str  # name of a difference, with its unit


RUN_METRICS = {
    "eval_loss": Metric("eval_loss", "held-out loss [nat]", True, "held-out loss, difference [nat]"),
    "accuracy": Metric("accuracy", "held-out accuracy", False, "accuracy, difference"),
    "perplexity": Metric("perplexity", "held-out perplexity", True, "perplexity, difference"),
    "train_loss": Metric(
        "train_loss", "training loss, mean of the last 5 % of steps [nat]", True,
        "training loss, difference [nat]",
    ),
}
OTHER_METRICS = {
    "error": Metric("sqnr_db", "SQNR [dB]", False, "SQNR, difference [dB]"),
    "gemm": Metric("relative_error", "relative error at the largest K", True, "difference"),
    "rounding": Metric("relative_error", "relative error of the mean", True, "difference"),
}


def choose_metric(runs: Sequence[Result], wanted: str | None = None) -> Metric:
    """The metric of a set of training runs: the named one, else held-out loss, else training loss."""
    if wanted is not None:
        if wanted not in RUN_METRICS:
            raise InputError(f"--metric '{wanted}' is none of {', '.join(RUN_METRICS)}")
        metric = RUN_METRICS[wanted]
        if not any(math.isfinite(final_value(r, metric)) for r in runs):
            raise NotInData(f"no run here has a final {wanted}")
        return metric
    if any(r.has("/eval/step", "/eval/loss") for r in runs):
        return RUN_METRICS["eval_loss"]
    if any(r.has("/series/step", "/series/loss") for r in runs):
        return RUN_METRICS["train_loss"]
    raise NotInData("no training run here holds /eval/loss or /series/loss")


def final_value(run: Result, metric: Metric) -> float:
    """The number at the end of a run; NaN for a diverged run and where it was not measured."""
    if run.kind != "run":
        return _table_value(run, metric)
    if run.diverged:
        return math.nan
    if metric.name == "train_loss":
        if not run.has("/series/step", "/series/loss"):
            return math.nan
        loss = run.numbers("/series/loss")
        last = loss[-max(1, len(loss) // 20) :]
        return float(np.mean(last))
    path = {"eval_loss": "/eval/loss"}.get(metric.name, f"/eval/{metric.name}")
    if not run.has("/eval/step", path):
        return math.nan
    return float(run.numbers(path)[-1])


def _table_value(run: Result, metric: Metric) -> float:
    """Last row of a table: the total, the largest K, the most repeats."""
    column = f"/table/{metric.name}"
    return float(run.numbers(column)[-1]) if run.has(column) else math.nan


def by_seed(runs: Sequence[Result], metric: Metric) -> dict[int, float]:
    """Final values of a group by seed."""
    return {r.seed: final_value(r, metric) for r in runs}
