"""Which runs are the same but for their seed, and what to call them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .errors import InputError
from .results import Result

#: Slot keys follow from the recipe; they name a group only where the recipe does not tell it apart.
DERIVED = ("slots.", "phase.", "policy_rules", "optim.", "schedule.", "model.")


def is_seed(key: str) -> bool:
    """Whether a configuration key only says which random numbers were drawn."""
    last = key.rsplit(".", 1)[-1]
    return last == "seed" or last.startswith("seed_") or last.endswith("_seed")


def show(value: Any) -> str:
    """A value of the configuration as the command line takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return "[" + ",".join(show(v) for v in value) + "]"
    return str(value)


def varied_keys(runs: Sequence[Result]) -> list[str]:
    """Keys, seeds left out, that do not have one value in all runs."""
    keys = sorted({key for run in runs for key in run.config})
    different = []
    for key in keys:
        if is_seed(key):
            continue
        if len({show(run.config.get(key)) for run in runs}) > 1:
            different.append(key)
    return different


def naming_keys(runs: Sequence[Result]) -> list[str]:
    """The fewest of the varied keys that tell the groups apart: the recipe first, then keys that a
    recipe does not set, then the others."""
    varied = varied_keys(runs)
    whole = {tuple(show(r.config.get(k)) for k in varied) for r in runs}

    def rank(key: str) -> tuple[int, str]:
        if key == "recipe":
            return 0, key
        if key.startswith("slots."):
            return 3, key
        return (2 if key.startswith(DERIVED) else 1), key

    chosen: list[str] = []
    told_apart = 1
    for key in sorted(varied, key=rank):
        tried = {tuple(show(r.config.get(k)) for k in [*chosen, key]) for r in runs}
        if len(tried) > told_apart:
            chosen.append(key)
            told_apart = len(tried)
        if told_apart == len(whole):
            break
    return chosen


@dataclass
class Group:
    """Runs that differ in their seed alone."""

    label: str
    values: dict[str, str]
    origin: str = ""
    runs: list[Result] = field(default_factory=list)
    layer: int = 0  # number of the sweep, when several are laid over each other
    index: int = 0  # number within its sweep

    @property
    def diverged(self) -> int:
        return sum(r.diverged for r in self.runs)


def slots_label(run: Result) -> str:
    """`q1 q3` for the quantized slots of a run, `none`, or `all six`."""
    on = [f"q{i}" for i in range(1, 7) if run.config.get(f"slots.q{i}.spec", "none") != "none"]
    return "all six" if len(on) == 6 else " ".join(on) or "none"


def label_of(run: Result, keys: Sequence[str]) -> str:
    """Text for a legend: bare values of recipe and spec, `key=value` for the rest."""
    slot_keys = [k for k in keys if k.startswith("slots.") and k.endswith(".spec")]
    parts = []
    for key in keys:
        if key in slot_keys:
            continue
        text = show(run.config.get(key, "-"))
        bare = key == "recipe" or key.rsplit(".", 1)[-1] in ("spec", "accumulate", "source")
        parts.append(text if bare else f"{key}={text}")
    if slot_keys:
        parts.append(f"slots {slots_label(run)}")
    return ", ".join(parts) or run.config.get("recipe") or run.attributes.get("title") or run.run_id


def group_runs(runs: Sequence[Result]) -> list[Group]:
    """Groups in a stable order: sweeps as named, then by label. With several sweeps the label
    starts with the sweep's name."""
    keys = naming_keys(runs)
    origins = list(dict.fromkeys(r.origin for r in runs))
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        values = {k: show(run.config.get(k, "-")) for k in keys}
        key = (run.origin, *values.values())
        if key not in groups:
            label = label_of(run, keys)
            if len(origins) > 1 and run.origin:
                label = f"{run.origin}: {label}"
            groups[key] = Group(label, values, run.origin, layer=origins.index(run.origin))
        groups[key].runs.append(run)
    ordered = sorted(groups.values(), key=lambda g: (g.layer, not is_baseline(g), g.label))
    names = sorted({tuple(g.values.values()) for g in ordered})
    for group in ordered:
        group.runs.sort(key=lambda r: (r.seed, r.run_id))
        group.index = names.index(tuple(group.values.values()))
    return ordered


def is_baseline(group: Group) -> bool:
    """Whether a group is the unquantized reference: the recipe bf16 (or, failing that, fp32)."""
    recipe = str(group.runs[0].config.get("recipe", ""))
    return recipe == "bf16"


def find_baseline(groups: Sequence[Group], wanted: str | None) -> Group | None:
    """The group to compare with: the one named, else bf16, else fp32. Raises InputError for a name
    that none has."""
    if wanted is not None:
        for group in groups:
            if group.label == wanted or wanted in group.values.values():
                return group
        names = ", ".join(g.label for g in groups[:12])
        raise InputError(f"--baseline '{wanted}' is none of the drawn runs: {names}")
    for recipe in ("bf16", "fp32"):
        for group in groups:
            if str(group.runs[0].config.get("recipe", "")) == recipe:
                return group
    return None


def baseline_for(group: Group, groups: Sequence[Group], baseline: Group | None) -> Group | None:
    """The reference of a group: in its own sweep and with its other values when there is one."""
    if baseline is None:
        return None
    recipe = str(baseline.runs[0].config.get("recipe", ""))
    same_recipe = [g for g in groups if str(g.runs[0].config.get("recipe", "")) == recipe]
    for other in same_recipe:
        rest = {k: v for k, v in group.values.items() if not k.startswith(("recipe", "slots."))}
        if other.origin == group.origin and all(other.values.get(k) == v for k, v in rest.items()):
            return other
    return baseline
