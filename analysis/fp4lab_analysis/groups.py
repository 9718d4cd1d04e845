"""Which runs are the same but for their seed, and what to call them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from .errors import InputError
from .results import Result, show

#: Slot keys follow from the recipe; they name a group only where the recipe does not tell it apart.
DERIVED = ("slots.", "phase.", "policy_rules", "optim.", "schedule.", "model.")


def is_seed(key: str) -> bool:
    """Whether a configuration key only says which random numbers were drawn."""
    last = key.rsplit(".", 1)[-1]
    return last == "seed" or last.startswith("seed_") or last.endswith("_seed")


def value_of(run: Result, key: str) -> str:
    """Value of a column of the sweep or of a key of the configuration, as text."""
    if run.columns and run.columns.get(key):  # empty where its part of the sweep does not vary it
        return run.columns[key]
    return show(run.config.get(key, "-"))


def varied_keys(runs: Sequence[Result]) -> list[str]:
    """Keys, seeds left out, that do not have one value in all runs: the columns that the sweeps name,
    where all runs belong to one with an index, else keys of the configuration. Of sweeps that are
    laid over each other the keys that vary inside of one: what the sweeps differ in is said by their
    names, and equal configurations stay together."""
    if all(run.columns is not None for run in runs):
        keys = sorted({key for run in runs for key in run.columns or {}})
    else:
        keys = sorted({key for run in runs for key in run.config})

    def varies(key: str, some: Sequence[Result]) -> bool:
        return len({value_of(r, key) for r in some}) > 1

    keys = [k for k in keys if not is_seed(k) and varies(k, runs)]
    sweeps = [[r for r in runs if r.origin == o] for o in dict.fromkeys(r.origin for r in runs)]
    inside = [k for k in keys if any(varies(k, sweep) for sweep in sweeps)]
    return inside or keys


def naming_keys(runs: Sequence[Result]) -> list[str]:
    """The fewest of the varied keys that tell the groups apart: the recipe first, then keys that a
    recipe does not set, then the others."""
    varied = varied_keys(runs)
    whole = {tuple(value_of(r, k) for k in varied) for r in runs}

    def rank(key: str) -> tuple[int, str]:
        if key == "recipe":
            return 0, key
        if key.startswith("slots."):
            return 3, key
        return (2 if key.startswith(DERIVED) else 1), key

    for key in sorted(varied, key=rank):  # as the labels of a list, which name all its points
        if rank(key)[0] < 2 and len({value_of(r, key) for r in runs}) == len(whole):
            return [key]
    chosen: list[str] = []
    told_apart = 1
    for key in sorted(varied, key=rank):
        tried = {tuple(value_of(r, k) for k in [*chosen, key]) for r in runs}
        if len(tried) > told_apart:
            chosen.append(key)
            told_apart = len(tried)
        if told_apart == len(whole):
            break
    return chosen


def task_of(run: Result) -> str:
    """What a run was trained on: runs of different tasks are never drawn on one axis."""
    parts = [show(run.config[k]) for k in ("preset", "model.kind", "data.name") if k in run.config]
    return " ".join(dict.fromkeys(parts)) or "task"


def tasks_of(runs: Sequence[Result]) -> list[str]:
    """Tasks of the training runs, the one with most runs first."""
    names = [task_of(r) for r in runs if r.kind == "run"]
    return sorted(dict.fromkeys(names), key=lambda n: (-names.count(n), n))


@dataclass
class Group:
    """Runs that differ in their seed alone."""

    label: str  # with the name of its sweep, when several are laid over each other
    values: dict[str, str]
    origin: str = ""
    runs: list[Result] = field(default_factory=list)
    layer: int = 0  # number of its sweep from 1 on when several are laid over each other, else 0
    index: int = 0  # number of its configuration: the same in every sweep

    @property
    def name(self) -> str:
        """The label without the name of the sweep."""
        return self.label.removeprefix(f"{self.origin}: ")

    @property
    def diverged(self) -> int:
        return sum(r.diverged for r in self.runs)


def slots_on(run: Result) -> list[str]:
    """The slots that a run quantizes in some layer. A policy of `none` switches off whatever the
    configuration says of them; with rules beside it the file's /policy decides."""
    slots = ("q1", "q2", "q3", "q4", "q5", "q6")
    if run.config.get("policy") == "none":
        if not run.config.get("policy_rules") or not run.has("/policy/spec"):
            return []
        specs = run.texts("/policy/spec")
        return [s for i, s in enumerate(slots) if any(t != "none" for t in specs[i :: len(slots)])]
    on = []
    for slot in slots:
        source = run.config.get(f"slots.{slot}.source")
        spec = run.config.get(f"slots.{slot}.spec", "none")
        if (source not in (None, "none")) or (source is None and spec != "none"):
            on.append(slot)
    return on


def slots_label(run: Result) -> str:
    """`q1 q3` for the quantized slots of a run, `none`, or `all six`."""
    on = slots_on(run)
    return "all six" if len(on) == 6 else " ".join(on) or "none"


def label_of(run: Result, keys: Sequence[str]) -> str:
    """Text for a legend: bare values of recipe and spec, `key=value` for the rest."""
    slot_keys = [k for k in keys if k.startswith("slots.") and k.endswith((".spec", ".source"))]
    named = [k for k in keys if k not in slot_keys]
    parts = []
    for key in named:
        last = key.rsplit(".", 1)[-1]
        bare = last in ("recipe", "spec", "accumulate", "source") or len(keys) == 1
        parts.append(value_of(run, key) if bare else f"{key}={value_of(run, key)}")
    if slot_keys:
        parts.append(f"slots {slots_label(run)}")
    return ", ".join(parts) or run.config.get("recipe") or run.attributes.get("title") or run.run_id


def natural(text: str) -> tuple[tuple[bool, float, str], ...]:
    """Sort key under which numbers in a text come by size: sr:2 before sr:16."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return tuple((True, float(p), "") if i % 2 else (False, 0.0, p) for i, p in enumerate(parts))


def group_runs(runs: Sequence[Result]) -> list[Group]:
    """Groups in a stable order: sweeps as named, then by label. With several sweeps the label
    starts with the sweep's name."""
    keys = naming_keys(runs)
    origins = list(dict.fromkeys(r.origin for r in runs))
    groups: dict[tuple[str, ...], Group] = {}
    for run in runs:
        values = {k: value_of(run, k) for k in keys}
        key = (run.origin, *values.values())
        if key not in groups:
            label = label_of(run, keys)
            if len(origins) > 1 and run.origin:
                label = f"{run.origin}: {label}"
            layer = origins.index(run.origin) + 1 if len(origins) > 1 else 0
            groups[key] = Group(label, values, run.origin, layer=layer)
        groups[key].runs.append(run)
    ordered = sorted(groups.values(), key=lambda g: (g.layer, not is_baseline(g), natural(g.label)))
    names = list(dict.fromkeys(tuple(g.values.values()) for g in ordered))
    for group in ordered:
        group.runs.sort(key=lambda r: (r.seed, r.run_id))
        group.index = names.index(tuple(group.values.values()))
    return ordered


def recipe_of(group: Group) -> str:
    return str(group.runs[0].config.get("recipe", ""))


def is_baseline(group: Group, recipe: str = "bf16") -> bool:
    """Whether a group is the unquantized reference: the recipe, and no slot on."""
    return recipe_of(group) == recipe and not slots_on(group.runs[0])


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
            if is_baseline(group, recipe):
                return group
    return None


def references(groups: Sequence[Group], wanted: str | None) -> list[Group | None]:
    """The reference of each group: of all groups that count as baseline, the one of its own sweep
    that shares most of its other values. None where there is no baseline, and for a baseline itself."""
    baseline = find_baseline(groups, wanted)
    if baseline is None:
        return [None] * len(groups)
    if wanted is None:
        candidates = [g for g in groups if is_baseline(g, recipe_of(baseline))]
    else:
        candidates = [g for g in groups if wanted in (g.label, *g.values.values())]
    found: list[Group | None] = []
    for group in groups:
        if any(group is c for c in candidates):
            found.append(None)
            continue

        def likeness(other: Group) -> tuple[bool, int]:
            same = sum(other.values.get(k) == v for k, v in group.values.items())  # noqa: B023
            return other.origin == group.origin, same  # noqa: B023

        found.append(max(candidates, key=likeness))
    return found
