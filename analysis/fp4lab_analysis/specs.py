"""The parts of a QuantSpec's text, where a file does not state them itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from .results import Result


@dataclass(frozen=True)
class Spec:
    """BASE[@PROFILE][,key=value]..."""

    text: str
    base: str
    keys: tuple[tuple[str, str], ...]

    def get(self, key: str, default: str = "") -> str:
        return dict(self.keys).get(key, default)

    def without(self, *keys: str) -> str:
        """The text with some keys left out."""
        rest = [f"{k}={v}" for k, v in self.keys if k not in keys]
        return ",".join([self.base, *rest])


def parse(text: str) -> Spec:
    """Splits a canonical text; checking is the program's business."""
    base, *pairs = text.split(",")
    keys = tuple((p.partition("=")[0], p.partition("=")[2]) for p in pairs)
    return Spec(text, base, keys)


def element_bits(text: str) -> int:
    """Bits of the elements of a spec, from the name of its base; 4 where the name does not say."""
    base = parse(text).base.partition("@")[0]
    if match := re.search(r"e(\d)m(\d)", base):
        unsigned = base.startswith("u")
        return int(match.group(1)) + int(match.group(2)) + (0 if unsigned else 1)
    match = re.search(r"(?:fp|int)(\d+)", base)
    return int(match.group(1)) if match else 4


@dataclass(frozen=True)
class ErrorRow:
    """One row of an error study: a tensor under a spec."""

    run: Result
    tensor: str
    source: str
    spec: str
    base: str
    rule: str
    rounding: str
    block: float
    bits: float
    values: dict[str, float]

    @property
    def format(self) -> str:
        """The spec without scale rule and rounding: what is left to compare by."""
        return parse(self.spec).without("rule", "round")


def error_rows(runs: list[Result]) -> list[ErrorRow]:
    """Rows of all error studies. A study of one tensor gives that row; of a file of tensors, one row
    each and `total`."""
    rows: list[ErrorRow] = []
    for run in runs:
        table = run.table()
        tensors = table["tensor"]
        count = len(tensors)
        source = str(run.config.get("error.source", run.config.get("source.name", "")))
        numbers = {k: v for k, v in table.items() if isinstance(v, np.ndarray)}
        for i in range(count):
            if count == 2 and tensors[i] == "total":
                continue
            spec = str(table["spec"][i])
            parts = parse(spec)

            def text(name: str, other: str) -> str:
                return str(table[name][i]) if name in table else other  # noqa: B023

            rows.append(
                ErrorRow(
                    run,
                    str(tensors[i]),
                    source or str(tensors[i]),
                    spec,
                    text("base", parts.base),
                    text("scale_rule", parts.get("rule", "default")),
                    text("rounding", parts.get("round", "rne")),
                    float(numbers["block"][i]) if "block" in numbers else np.nan,
                    float(numbers["bits_per_value"][i]),
                    {name: float(column[i]) for name, column in numbers.items()},
                )
            )
    return rows


def source_of(row: ErrorRow) -> str:
    """What to call the data of a row: the source, and the tensor where a file has several."""
    return row.source if row.tensor in (row.source, "total") else f"{row.source}: {row.tensor}"
