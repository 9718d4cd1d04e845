"""Result files and sweep folders, read and checked.

A file is taken into memory and its seal (the SHA-256 behind the HDF5 part) is verified before HDF5
sees it: damaged HDF5 metadata can crash or hang a reader. Layout: experiments/SCHEMA.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .errors import InputError

SCHEMA_VERSION = 1
SEAL_MARK = b"\nfp4lab-seal "
SEAL_SIZE = len(SEAL_MARK) + 64 + 1
SIGNATURE = b"\x89HDF\r\n\x1a\n"
KINDS = ("run", "sweep", "error", "gemm", "rounding", "format", "estimator")


def unseal(data: bytes, shown: str) -> bytes:
    """The HDF5 part of a result file; raises InputError for anything else."""
    if not data:
        raise InputError(f"{shown}: the file is empty")
    if not data.startswith(SIGNATURE):
        raise InputError(f"{shown}: not an HDF5 file")
    if len(data) <= SEAL_SIZE or data[-SEAL_SIZE:][: len(SEAL_MARK)] != SEAL_MARK:
        raise InputError(
            f"{shown}: the seal at the end is missing: cut, damaged, or not written by fp4lab"
        )
    body, seal = data[:-SEAL_SIZE], data[-SEAL_SIZE + len(SEAL_MARK) : -1]
    if hashlib.sha256(body).hexdigest().encode() != seal:
        raise InputError(f"{shown}: damaged: the checksum of its bytes does not match its seal")
    return body


def plain(value: Any) -> Any:
    """An attribute as str, int or float."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.generic):
        return value.item()
    return value


def parse_config(text: str) -> dict[str, Any]:
    """The canonical `key = value` lines as a flat dictionary of dotted keys."""
    flat: dict[str, Any] = {}

    def walk(prefix: str, table: dict[str, Any]) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                walk(f"{prefix}{key}.", value)
            else:
                flat[prefix + key] = value

    try:
        walk("", tomllib.loads(text))
    except tomllib.TOMLDecodeError:
        return {}
    return flat


class Result:
    """One finished file. Data sets are read when asked for and kept."""

    def __init__(self, path: Path | str, origin: str = "", shown: str | None = None) -> None:
        self.path = Path(path)
        self.origin = origin
        self.columns: dict[str, str] | None = None  # of its sweep's index, when there is one
        self.shown = shown or str(path)
        self._cache: dict[str, np.ndarray | list[str]] = {}
        try:
            data = self.path.read_bytes()
        except IsADirectoryError:
            raise InputError(f"{self.shown}: a folder, not a result file") from None
        except OSError as error:
            raise InputError(f"{self.shown}: cannot be read: {error.strerror}") from None
        if self.path.name.endswith(".part"):
            raise InputError(f"{self.shown}: unfinished: the run that writes it has not ended")
        body = unseal(data, self.shown)
        try:
            with h5py.File(io.BytesIO(body), "r") as file:
                self.attributes = {name: plain(value) for name, value in file.attrs.items()}
                self.paths: dict[str, tuple[int, ...]] = {}
                file.visititems(self._remember)
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            raise InputError(f"{self.shown}: HDF5 cannot read it: {error}") from None
        version = self.attributes.get("fp4lab_schema")
        if version is None:
            raise InputError(f"{self.shown}: an HDF5 file, but no result of fp4lab")
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{self.shown}: schema {version}; this program reads schema {SCHEMA_VERSION}"
            )
        self.kind = str(self.attributes.get("kind", ""))
        self.status = str(self.attributes.get("status", ""))
        if not self.status:
            raise InputError(f"{self.shown}: unfinished: it has no status")
        if self.kind not in KINDS:
            raise InputError(f"{self.shown}: kind '{self.kind}'; known are {', '.join(KINDS)}")
        self.config = parse_config(str(self.attributes.get("config", "")))
        self.run_id = str(self.attributes.get("run_id", "")) or self.path.stem

    def _remember(self, name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            self.paths["/" + name] = item.shape

    def has(self, *paths: str) -> bool:
        """Whether all data sets are there and none is empty."""
        return all(p in self.paths and 0 not in self.paths[p] for p in paths)

    def _load(self, path: str) -> np.ndarray | list[str]:
        if path not in self._cache:
            if path not in self.paths:
                raise InputError(f"{self.shown}: no data set {path}")
            body = unseal(self.path.read_bytes(), self.shown)
            group = path.rsplit("/", 1)[0]
            with h5py.File(io.BytesIO(body), "r") as file:
                for name in self.paths:  # a group is read as a whole: it is asked for as a whole
                    if name.rsplit("/", 1)[0] != group:
                        continue
                    item = file[name]
                    if h5py.check_string_dtype(item.dtype) is not None:
                        self._cache[name] = [plain(v) for v in item[()].ravel().tolist()]
                    else:
                        self._cache[name] = item[()]
                    edges = item.attrs.get("bin_edges")
                    if edges is not None:
                        self._cache[name + "@bin_edges"] = np.asarray(edges, float)
        return self._cache[path]

    def array(self, path: str) -> np.ndarray:
        """Numbers as stored."""
        value = self._load(path)
        if isinstance(value, list):
            raise InputError(f"{self.shown}: {path} holds text, not numbers")
        return value

    def numbers(self, path: str) -> np.ndarray:
        """As float64 with missing values as NaN (integers: -1 means missing)."""
        value = self.array(path)
        if value.dtype.kind in "iu":
            return np.where(value == -1, np.nan, value.astype(float))
        return value.astype(float)

    def texts(self, path: str) -> list[str]:
        """Strings, flat."""
        value = self._load(path)
        return value if isinstance(value, list) else [str(v) for v in value.ravel().tolist()]

    def bin_edges(self, path: str) -> np.ndarray | None:
        """Edges of a histogram's bins, or None where the bins are codes."""
        self._load(path)
        edges = self._cache.get(path + "@bin_edges")
        return edges if isinstance(edges, np.ndarray) else None

    def table(self) -> dict[str, np.ndarray | list[str]]:
        """Columns of /table by name: float64 (NaN = missing) or text."""
        columns: dict[str, np.ndarray | list[str]] = {}
        for path in self.paths:
            if path.startswith("/table/") and path != "/table/row":
                value = self._load(path)
                columns[path[7:]] = value if isinstance(value, list) else self.numbers(path)
        return columns

    @property
    def seed(self) -> int:
        """Seed of the run, from the attribute or the configuration."""
        value = self.attributes.get("seed", self.config.get("seed", 0))
        return int(value) if isinstance(value, (int, float)) else 0

    @property
    def diverged(self) -> bool:
        return self.status == "diverged"


#: States of runs that are not there, with the words for them.
STATES = {
    "failed": "failed",
    "unfinished": "unfinished",
    "unreadable": "unreadable",
    "missing": "not run",
}


@dataclass(frozen=True)
class Problem:
    """A run that is not there as a finished file, in one line."""

    name: str
    state: str  # one of STATES
    line: str


@dataclass
class Results:
    """What a plot draws from: finished files, and what is missing."""

    runs: list[Result] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)  # as the user named them
    titles: list[str] = field(default_factory=list)  # of the sweeps

    def add_title(self, title: str) -> None:
        if title and title not in self.titles:
            self.titles.append(title)

    def lines(self) -> list[str]:
        """One line for each run that is not there; one for all that were not run."""
        lines = [f"{p.name} {STATES[p.state]}: {p.line}" for p in self.problems if p.state != "missing"]
        left = [p.name for p in self.problems if p.state == "missing"]
        if left:
            names = ", ".join(left[:4]) + (" …" if len(left) > 4 else "")
            lines.append(f"{len(left)} run{'s' if len(left) > 1 else ''} not run: {names}")
        return lines

    def of_kind(self, *kinds: str) -> list[Result]:
        return [r for r in self.runs if r.kind in kinds]

    def with_data(self, *paths: str, kinds: Sequence[str] = ()) -> list[Result]:
        """Files that hold all of the data sets."""
        return [r for r in self.runs if (not kinds or r.kind in kinds) and r.has(*paths)]

    def subset(self, runs: Iterable[Result]) -> "Results":
        return Results(list(runs), self.problems, self.sources, self.titles)

    @property
    def origins(self) -> list[str]:
        """Names of the sweeps or folders that the files come from, as they were named."""
        return list(dict.fromkeys(r.origin for r in self.runs))

    @property
    def overlaid(self) -> bool:
        """Whether runs of several sweeps or folders are laid over each other."""
        return len(self.origins) > 1


def _error_line(path: Path) -> str:
    """The reason that a failed run left behind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError):
        return "the reason cannot be read"
    if isinstance(content, dict):
        for key in ("error", "message", "what", "reason", "line"):
            if isinstance(content.get(key), str):
                return " ".join(content[key].split())[:300]
    return "no reason was written"


def show(value: Any) -> str:
    """A value of the configuration as the command line takes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:g}"
    if isinstance(value, list):
        return "[" + ",".join(show(v) for v in value) + "]"
    return str(value)


def _read_index(folder: Path, into: Results) -> dict[str, dict[str, str]]:
    """Varied columns of sweep.h5 by run id: the names that the sweep's author gave. Empty when there
    is no index, or none that can be read: the run files say it all."""
    path = folder / "sweep.h5"
    if not path.is_file():
        return {}
    try:
        index = Result(path)
        into.add_title(str(index.attributes.get("title", "")))
        names = [n for n in str(index.attributes.get("varied", "")).split() if n != "seed"]
        if not names:
            return {}
        ids = index.texts("/run")
        columns = {n: index._load("/" + n) for n in names if index.has("/" + n)}
    except InputError as error:
        line = str(error).removeprefix(f"{path}: ")
        into.problems.append(Problem("sweep.h5", "unreadable", line))
        return {}
    return {
        run: {n: show(plain(values[i])) for n, values in columns.items()} for i, run in enumerate(ids)
    }


def _read_plan(folder: Path, columns: bool, into: Results) -> dict[str, dict[str, str]]:
    """Ids of the runs that the folder's sweep.toml lists, each with its varied columns when they are
    asked for (no index says them). Empty for a folder without a plan, or without one that can be
    read."""
    try:
        text = (folder / "sweep.toml").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    if not columns:
        return {name: {} for name in re.findall(r'^id = "([0-9a-f]{12})"$', text, re.M)}
    try:
        plan = tomllib.loads(text)
        runs = plan.get("run", [])
        into.add_title(str(plan.get("title", "")))
        names = list(dict.fromkeys(n for r in runs for n in r["columns"] if n != "seed"))
        return {
            r["id"]: {n: show(r["columns"][n]) if n in r["columns"] else "" for n in names}
            for r in runs
        }
    except (tomllib.TOMLDecodeError, AttributeError, KeyError, TypeError):
        return {}


def _owner_line(path: Path) -> str:
    """Who claimed a run."""
    try:
        owner = json.loads(path.read_text(encoding="utf-8", errors="replace"))
        return f"claimed by {owner['host']}, process {owner['pid']}: it runs, or was killed"
    except (OSError, ValueError, KeyError, TypeError):
        return "claimed by a process that runs, or was killed"


def _read_folder(folder: Path, origin: str, into: Results) -> None:
    """All runs of a sweep folder (or of any folder of result files), and what is known of those that
    its plan lists and that are not there."""
    index = _read_index(folder, into)
    plan = _read_plan(folder, not index, into)
    index = index or plan
    runs = folder / "runs" if (folder / "runs").is_dir() else folder
    files = sorted(p for p in runs.iterdir() if p.is_file())
    lost: dict[str, Problem] = {}
    there: set[str] = set()
    for path in files:
        if not path.name.endswith(".h5") or path.name in ("sweep.h5", "links.h5"):
            continue
        try:
            result = Result(path, origin, str(path))
        except InputError as error:
            line = str(error).removeprefix(f"{path}: ")
            lost[path.stem] = Problem(path.stem, "unreadable", line)
            continue
        result.columns = index.get(result.run_id)
        if result.kind != "sweep":
            there |= {path.stem, result.run_id}
            into.runs.append(result)

    def add(name: str, state: str, line: str) -> None:
        if name not in there:
            lost.setdefault(name, Problem(name, state, line))

    for path in files:
        if path.name.endswith(".error.json"):
            add(path.name.removesuffix(".error.json"), "failed", _error_line(path))
    for path in files:
        if path.name.endswith(".h5.part"):
            name = re.sub(r"^\.|(\.\d+-\d+)?\.part$", "", path.name)
            add(name.removesuffix(".h5"), "unfinished", "stopped in the middle")
        elif path.name.endswith(".lock"):
            add(path.name.removesuffix(".lock"), "unfinished", _owner_line(path))
    for name in plan:
        add(name, "missing", "not run")
    into.problems += [lost[name] for name in sorted(lost)]


def load(paths: Sequence[Path | str]) -> Results:
    """Result files and sweep folders together. A file that cannot be used is an error; inside a
    folder it becomes a Problem. Raises InputError when nothing usable is left."""
    if not paths:
        raise InputError("no result file or sweep folder was named")
    results = Results(sources=[str(p) for p in paths])
    origins = origin_names(paths)
    for given, origin in zip(paths, origins):
        path = Path(given)
        if path.is_dir():
            before = len(results.runs)
            _read_folder(path, origin, results)
            if len(results.runs) == before:
                found = [p for p in results.problems if p.state != "missing"] or results.problems
                why = f"; {found[0].name}: {found[0].line}" if found else ""
                raise InputError(f"{given}: no finished result in this folder{why}")
            continue
        if path.name == "sweep.h5" and path.parent.is_dir():
            Result(path)  # an index that is damaged is said before its folder is read
            _read_folder(path.parent, origin, results)
            continue
        result = Result(path, origin, str(given))
        if result.kind == "sweep":
            raise InputError(f"{given}: an index; name the folder of its runs")
        results.runs.append(result)
    if not results.runs:
        raise InputError(f"{paths[0]}: no finished result in this folder")
    return results


def origin_names(paths: Sequence[Path | str]) -> list[str]:
    """A short name for each source; equal last parts are told apart by their parents. Single files
    named together are one source: they are one set of runs."""
    given = [Path(p) for p in paths]
    if all(not p.is_dir() for p in given) and len({p.parent for p in given}) == 1:
        return ["" for _ in given]
    parts = [p.resolve().parts for p in given]
    depth = 1
    while depth < 8:
        names = ["/".join(p[-depth:]) for p in parts]
        if len(set(names)) == len(set(parts)):
            break
        depth += 1
    return names


def finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def is_missing(value: float) -> bool:
    return not math.isfinite(value)
