"""What a sweep says, in sentences and tables: the best, its uncertainty, what mattered, what failed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from ..errors import NotInData
from ..groups import (
    Group,
    find_baseline,
    group_runs,
    natural,
    references,
    slots_on,
    task_of,
    tasks_of,
)
from ..metrics import Metric, by_seed, choose_metric, final_value
from ..plots.compare import effects_of
from ..results import STATES, Result, Results
from ..specs import element_bits, error_rows, source_of
from ..stats import Paired, paired, summarize
from ..tables import (
    Cell,
    Table,
    columns,
    interval,
    interval_cell,
    p_text,
    rounded,
    signed,
    spread_cell,
    with_spread,
)


@dataclass
class Section:
    """A part of the report: sentences for the first screen, tables, and the runs they are about."""

    title: str
    answers: list[str] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    task: str | None = None


def listing(names: Sequence[str], most: int = 4) -> str:
    shown = list(names[:most])
    more = len(names) - len(shown)
    if more > 0:
        return ", ".join(shown) + f" and {more} more"
    return shown[0] if len(shown) == 1 else ", ".join(shown[:-1]) + " and " + shown[-1]


@dataclass
class Scored:
    """A configuration with its final value and its difference from the baseline."""

    group: Group
    values: dict[int, float]
    difference: Paired | None

    @property
    def mean(self) -> float:
        return summarize(list(self.values.values())).mean


def score(runs: Sequence[Result], metric: Metric, baseline: str | None) -> list[Scored]:
    """All configurations, best first; those without a finite value last."""
    groups = group_runs(runs)
    scored = []
    for group, other in zip(groups, references(groups, baseline)):
        mine = by_seed(group.runs, metric)
        difference = None if other is None else paired(mine, by_seed(other.runs, metric))
        scored.append(Scored(group, mine, difference))
    sign = 1 if metric.lower_is_better else -1

    def order(s: Scored) -> tuple[bool, float, tuple]:
        mean = s.mean
        return (math.isnan(mean), sign * mean if math.isfinite(mean) else 0.0, natural(s.group.label))

    return sorted(scored, key=order)


def training_table(scored: Sequence[Scored], metric: Metric, base: Group | None) -> Table:
    """Mean ± sd, and the paired difference with its interval."""
    name = metric.label
    counts = ("#seeds", "#diverged")
    if base is None:
        table = Table(columns("configuration", f"#{name}", "#95 % interval", *counts))
    else:
        against = f"#minus {base.label}"
        compared = (against, "#95 % interval", "#p", "verdict")
        table = Table(columns("configuration", f"#{name}", *compared, *counts))
    for s in scored:
        summary = summarize(list(s.values.values()))
        cells: list[Cell | str] = [s.group.label, spread_cell(summary.mean, summary.sd)]
        if base is None:
            cells.append(interval_cell(summary.low, summary.high))
        elif s.difference is None:
            cells += [Cell("–"), Cell("–"), Cell("–"), "baseline"]
        else:
            d = s.difference
            cells += [
                Cell(signed(d.mean, d.sd), d.mean, (("mean", d.mean), ("sd", d.sd))),
                interval_cell(d.low, d.high),
                Cell(p_text(d.p), d.p),
                verdict(d, metric),
            ]
        cells += [
            Cell(str(len(s.group.runs)), len(s.group.runs)),
            Cell(str(s.group.diverged), s.group.diverged),
        ]
        table.add(*cells)
    table.caption = (
        f"Final {metric.label}, mean ± standard deviation over seeds"
        + ("." if base is None else "; differences are paired by seed, with Student's t interval.")
    )
    return table


def verdict(d: Paired, metric: Metric) -> str:
    """Whether a difference stands outside of the seed noise."""
    if d.n < 2:
        return "too few seeds"
    if not d.outside_noise:
        return "inside seed noise"
    return "worse" if (d.mean > 0) == metric.lower_is_better else "better"


def training_section(
    runs: Sequence[Result], task: str | None, baseline: str | None, several: bool
) -> Section:
    """One task: ranking, what mattered, what failed."""
    metric = choose_metric(runs)
    scored = score(runs, metric, baseline)
    groups = [s.group for s in scored]
    base = find_baseline(groups, baseline)
    section = Section(f"Training: {task}" if several else "Training", task=task)
    prefix = f"{task}: " if several else ""
    good = [s for s in scored if math.isfinite(s.mean) and s.difference is not None]
    if not good:
        good = [s for s in scored if math.isfinite(s.mean)]
    small = [s for s in good if 0 < bits_of(s.group) <= 4]
    what = "Best"
    if small and len(small) < len(good):  # fp32 and fp8 are there to compare with, not to win
        good, what = small, "Best in 4 bits"
    if good:
        section.answers.append(prefix + best_sentence(good, metric, base, what))
    section.tables.append(training_table(scored, metric, base))
    try:
        effects, _ = effects_of(runs, metric)
        if effects.effects:
            section.answers.append(prefix + effects_sentence(effects, metric))
            section.tables.append(effects_table(effects, metric))
    except NotInData:
        pass
    lost = [f"{s.group.label} ({s.group.diverged} of {len(s.group.runs)})" for s in scored if s.group.diverged]
    if lost:
        section.answers.append(f"{prefix}Diverged: {listing(lost)}.")
    return section


def bits_of(group: Group) -> int:
    """Widest elements of the quantized slots; 0 without any."""
    run = group.runs[0]
    specs = [str(run.config.get(f"slots.{slot}.spec", "none")) for slot in slots_on(run)]
    return max((element_bits(s) for s in specs if s != "none"), default=0)


def best_sentence(
    good: Sequence[Scored], metric: Metric, base: Group | None, what: str = "Best"
) -> str:
    """Who is best, by how much, and which others cannot be told from it."""
    best = good[0]
    summary = summarize(list(best.values.values()))
    text = f"{what} is {best.group.label}: {metric.label.split(' [')[0]} "
    text += with_spread(summary.mean, summary.sd)
    if best.difference is not None and base is not None:
        d = best.difference
        text += f", {signed(d.mean, d.sd)} against {base.label}"
        text += f" (95 % {interval(d.low, d.high)}, {d.n} seeds)" if d.n > 1 else " (one seed)"
        if d.n > 1 and not d.outside_noise:
            text += ", inside the seed noise"
    text += "."
    equal = []
    for other in good[1:]:
        between = paired(other.values, best.values)
        if between.n < 2 or not between.outside_noise:
            equal.append(other.group.label)
    if len(good) > 1 and all(len(s.group.runs) < 2 for s in good):
        text += " One seed each: no statement about noise is possible."
    elif equal:
        text += f" Not to be told apart from it by these seeds: {listing(equal)}."
    elif len(good) > 1:
        between = paired(good[1].values, best.values)
        text += (
            f" The next, {good[1].group.label}, is {rounded(abs(between.mean), between.sd)} behind "
            f"(95 % {interval(*sorted((abs(between.low), abs(between.high))))})."
        )
    return text


def effects_sentence(effects, metric: Metric) -> str:
    parts = sorted(effects.effects, key=lambda e: -e.share)[:3]
    named = [f"{' × '.join(e.term)} {100 * e.share:.0f} %" for e in parts]
    return f"What mattered for the {metric.label.split(' [')[0]} (share of its variance): {listing(named)}."


def effects_table(effects, metric: Metric) -> Table:
    table = Table(columns("term", "#df", "#share of variance", "#F", "#p"))
    for e in sorted(effects.effects, key=lambda e: -e.share):
        table.add(
            " × ".join(e.term),
            Cell(str(e.df), e.df),
            Cell(f"{100 * e.share:.1f} %", e.share),
            Cell(rounded(e.f, digits=3), e.f),
            Cell(p_text(e.p), e.p),
        )
    table.add(
        "rest",
        Cell(str(effects.residual_df), effects.residual_df),
        Cell(f"{100 * effects.residual_share:.1f} %", effects.residual_share),
        Cell("–"),
        Cell("–"),
    )
    table.caption = (
        f"Analysis of variance of the final {metric.label}: type II sums of squares, {effects.n} runs"
        + (f", {effects.left_out} without a finite value left out." if effects.left_out else ".")
    )
    return table


def error_section(runs: Sequence[Result]) -> Section:
    """Quantization error: best spec for each source, and over all."""
    section = Section("Quantization error")
    rows = [r for r in error_rows(list(runs))]
    totals = {id(r.run) for r in rows if r.tensor == "total"}
    rows = [r for r in rows if r.tensor == "total" or id(r.run) not in totals]
    cells: dict[tuple[str, str], list] = {}
    for r in rows:
        cells.setdefault((r.spec, source_of(r)), []).append(r)
    sources = list(dict.fromkeys(source_of(r) for r in rows))
    specs = list(dict.fromkeys(r.spec for r in rows))
    table = Table(columns("spec", "#bits a value", *[f"#{s} [dB]" for s in sources]))
    means: dict[tuple[str, str], float] = {}
    bits: dict[str, float] = {}
    for spec in specs:
        for source in sources:
            found = cells.get((spec, source), [])
            means[spec, source] = summarize([r.values["sqnr_db"] for r in found]).mean
        bits[spec] = summarize([r.bits for r in rows if r.spec == spec]).mean
    order = sorted(specs, key=lambda s: -summarize([means[s, k] for k in sources]).mean)
    for spec in order:
        numbers = [Cell(rounded(means[spec, k], 0.1), means[spec, k]) for k in sources]
        table.add(spec, Cell(f"{bits[spec]:.4g}", bits[spec]), *numbers)
    table.caption = "SQNR of each spec on each source; bits count scales and global factors."
    section.tables.append(table)
    small = [s for s in specs if bits[s] < 5] or specs
    wins: dict[str, list[str]] = {}
    for source in sources[:6]:
        have = [s for s in small if math.isfinite(means[s, source])]
        if have:
            best = max(have, key=lambda s: means[s, source])
            wins.setdefault(best, []).append(f"{means[best, source]:.1f} dB on {source}")
    parts = [f"{spec} ({', '.join(where)})" for spec, where in wins.items()]
    if parts:
        limit = " below 5 bits a value" if len(small) < len(specs) else ""
        section.answers.append(f"Least quantization error{limit}: {listing(parts)}.")
    return section


def table_section(runs: Sequence[Result], kind: str) -> Section:
    """Accumulators and roundings: last row of each table."""
    title = {"gemm": "Accumulators", "rounding": "Stochastic rounding"}[kind]
    section = Section(title)
    groups = group_runs(runs)
    if kind == "gemm":
        table = Table(columns("configuration", "#largest K", "#relative error", "#mean ULP", "#max ULP"))
        names = ("k", "relative_error", "mean_ulp", "max_ulp")
    else:
        table = Table(columns("spec", "#repeats", "#relative error of the mean", "#bias", "#variance"))
        names = ("repeats", "relative_error", "bias", "variance")
    ranked = []
    for group in groups:
        columns_of = group.runs[0].table()
        values = [float(columns_of[n][-1]) for n in names]  # type: ignore[arg-type]
        ranked.append((values[1], group.label, values))
    for _, label, values in sorted(ranked, key=lambda r: (math.isnan(r[0]), r[0], natural(r[1]))):
        table.add(label, *[Cell(rounded(v, digits=3), v) for v in values])
    table.caption = f"Last row of each study ({'largest K' if kind == 'gemm' else 'most repeats'})."
    section.tables.append(table)
    if ranked:
        error, label, values = min(ranked, key=lambda r: (math.isnan(r[0]), r[0]))
        what = f"at K = {values[0]:.0f}" if kind == "gemm" else f"of the mean of {values[0]:.0f}"
        section.answers.append(f"{title}: least error {what}: {label} ({rounded(error, digits=3)}).")
    return section


def sections_of(results: Results, baseline: str | None = None) -> list[Section]:
    """All parts that the data allow, training first."""
    sections: list[Section] = []
    tasks = tasks_of(results.runs)
    for task in tasks:
        runs = [r for r in results.runs if r.kind == "run" and task_of(r) == task]
        try:
            wanted = baseline
            if wanted is not None and len(tasks) > 1:
                labels = {v for g in group_runs(runs) for v in (g.label, *g.values.values())}
                wanted = wanted if wanted in labels else None
            sections.append(training_section(runs, task, wanted, len(tasks) > 1))
        except NotInData:
            continue
    if errors := results.with_data("/table/spec", "/table/tensor", kinds=("error",)):
        sections.append(error_section(errors))
    for kind, column in (("gemm", "/table/mean_ulp"), ("rounding", "/table/variance")):
        if runs := results.with_data(column, "/table/relative_error", kinds=(kind,)):
            sections.append(table_section(runs, kind))
    return sections


def problems_sentence(results: Results) -> str:
    """What never finished, in one sentence."""
    parts = []
    for state, words in STATES.items():
        count = sum(p.state == state for p in results.problems)
        if count:
            parts.append(f"{count} {words}")
    diverged = sum(r.diverged for r in results.runs)
    total = len(results.runs) + sum(p.name != "sweep.h5" for p in results.problems)
    text = f"{len(results.runs)} of {total} runs finished"
    if diverged:
        text += f", {diverged} of them diverged"
    return text + ("; " + ", ".join(parts) if parts else "") + "."


__all__ = ["Section", "final_value", "problems_sentence", "sections_of"]
