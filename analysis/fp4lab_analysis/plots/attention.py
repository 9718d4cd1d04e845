"""Attention and routing: entropy of the attention rows, load of the experts."""

from __future__ import annotations

import numpy as np

from .. import style
from ..figure import ResultFigure, legend, legend_columns, line, outer_labels
from ..groups import group_runs
from ..registry import plot_kind
from ..results import Results
from .curves import look_of, say_what_is_missing, trained
from .layers import name_of, pick


@plot_kind("attention", "Attention entropy", "`/attention/entropy` (`log.attention_every`)")
def plot_attention(results: Results) -> ResultFigure:
    """Mean entropy of the attention rows by layer, a panel for each; lines are configurations (first
    seed), bands the range over heads."""
    runs = trained(results, "/attention/step", "/attention/entropy")
    groups = group_runs(runs)
    layers = list(dict.fromkeys(n for g in groups for n in g.runs[0].texts("/attention/layer")))
    across = 2 if len(layers) > 1 else 1
    down = -(-len(layers) // across)
    figure = ResultFigure(0.8 * down + 0.2)
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for ax in axes.ravel()[len(layers) :]:
        ax.set_visible(False)
    outer_labels(axes)
    for ax, layer in zip(axes.ravel(), layers):
        ax.set_title(layer)
        ax.set_xlabel("step")
        ax.set_ylabel("entropy [nat]")
        for group in groups:
            run = group.runs[0]
            names = run.texts("/attention/layer")
            if layer not in names:
                continue
            values = run.numbers("/attention/entropy")[:, names.index(layer)]
            mean, low, high = values.mean(axis=1), values.min(axis=1), values.max(axis=1)
            steps = run.numbers("/attention/step")
            line(ax, steps, mean, group.label, look_of(group, None), low=low, high=high, markevery=1, shade=0.1)
    labels = [g.label for g in groups]
    legend(axes[0, 0], legend_columns(labels), below=True)
    figure.caption = (
        "Mean entropy of the attention rows over time, first seed of each configuration; bands are "
        "the range over heads. Low entropy means attention on few positions."
    )
    say_what_is_missing(figure, results, runs)
    return figure


@plot_kind("router", "Router load", "`/router/load` (`log.attention_every`)", layered=False)
def plot_router(results: Results, *, run: str | None = None) -> ResultFigure:
    """Share of tokens that each expert receives over time, a panel for each router, with the even
    share (dashed)."""
    runs = trained(results, "/router/step", "/router/load")
    notes: list[str] = []
    chosen = pick(runs, run, notes)
    layers = chosen.texts("/router/layer")
    load = chosen.numbers("/router/load")
    total = load.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(total > 0, 100 * load / total, np.nan)
    steps = chosen.numbers("/router/step")
    figure = ResultFigure(1.0 * len(layers) + 0.1)
    axes = figure.subplots(len(layers), 1, sharex=True, squeeze=False)
    outer_labels(axes)
    experts = chosen.array("/router/expert").astype(int)
    for i, (ax, layer) in enumerate(zip(axes[:, 0], layers)):
        ax.set_title(layer)
        ax.set_xlabel("step")
        ax.set_ylabel("share of tokens [%]")
        for k, expert in enumerate(experts):
            line(ax, steps, share[:, i, k], f"expert {expert}", style.look(k), markevery=1)
        ax.axhline(100 / len(experts), color=style.MUTED, linewidth=1.0, linestyle=(0, (4, 2)))
        ax.set_ylim(bottom=0)
    legend(axes[-1, 0], legend_columns([f"expert {e}" for e in experts]), below=True)
    figure.ids = [chosen.run_id]
    figure.caption = (
        f"Share of tokens routed to each expert in {name_of(chosen)}; the dashed line is an even "
        "share."
    )
    if chosen.has("/router/flips"):
        flips, tokens = chosen.numbers("/router/flips"), total[:, :, 0]
        have = np.isfinite(flips) & (tokens > 0)
        if have.any():
            part = 100 * flips[have].sum() / tokens[have].sum()
            figure.note(f"Quantized router arithmetic changed the experts of {part:.2g} % of the tokens.")
    for text in notes:
        figure.note(text)
    return figure
