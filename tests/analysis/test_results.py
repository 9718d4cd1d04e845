"""Reading: damage, foreign files, folders that a kill left behind."""

from __future__ import annotations

import copy
import os
import tempfile
import time
import unittest
from pathlib import Path

import h5py
import numpy as np
from common import FIXTURES, Case, Plain, files, results

import fp4lab_analysis as fa
from fp4lab_analysis.errors import InputError
from fp4lab_analysis.groups import group_runs, slots_on
from fp4lab_analysis.results import Result, origin_names


def line_of(path) -> str:
    try:
        fa.load([path])
    except InputError as error:
        return str(error)
    return "no error"


class Reading(Case):
    def test_numbers_texts_and_attributes(self) -> None:
        path = files("train")[0]
        result, plain = Result(path), Plain(path)
        for name, value in plain.data.items():
            if value.dtype == object:
                self.assertEqual(result.texts(name), list(value.ravel()), name)
            else:
                np.testing.assert_array_equal(result.array(name), value, name)
        self.assertEqual(result.seed, plain.config["seed"])
        self.assertEqual(result.config["train.steps"], plain.config["train"]["steps"])

    def test_missing_integers_are_nan(self) -> None:
        for path in files("slots"):
            result = Result(path)
            if result.has("/layers/code_histogram"):
                self.assertFalse((result.numbers("/layers/code_histogram") == -1).any())

    def test_a_file_cut_anywhere_is_one_line_at_once(self) -> None:
        whole = files("train")[0].read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "cut.h5")
            for size in [*range(0, len(whole), 512), *range(len(whole) - 90, len(whole))]:
                path.write_bytes(whole[:size])
                start = time.monotonic()
                line = line_of(path)
                self.assertLess(time.monotonic() - start, 2.0)
                self.assertIn("cut.h5", line)
                self.assertNotIn("\n", line)

    def test_any_changed_byte_is_seen(self) -> None:
        whole = min(files("first"), key=lambda p: p.stat().st_size).read_bytes()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "flip.h5")
            for at in range(8, len(whole) - 90, len(whole) // 50):
                changed = bytearray(whole)
                changed[at] ^= 0x41
                path.write_bytes(changed)
                self.assertIn("checksum", line_of(path), at)

    def test_foreign_files(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "x.h5")
            path.write_bytes(b"")
            self.assertIn("empty", line_of(path))
            path.write_text("PK")
            self.assertIn("not an HDF5 file", line_of(path))
            with h5py.File(path, "w") as file:
                file["a"] = [1, 2]
            self.assertIn("not written by fp4lab", line_of(path))
            self.assertIn("cannot be read", line_of(Path(folder, "none.h5")))
            self.assertIn("no finished result", line_of(folder))

    def test_what_a_kill_left_is_listed(self) -> None:
        results = fa.load([FIXTURES / "killed"])
        self.assertEqual(len(results.runs), 6)
        states = {p.name: (p.state, p.line) for p in results.problems}
        self.assertEqual(states["aaaaaaaaaaaa"][0], "unfinished")
        self.assertEqual(states["bbbbbbbbbbbb"][0], "unreadable")
        self.assertIn("not an HDF5 file", states["cccccccccccc"][1])
        self.assertEqual(states["dddddddddddd"][0], "failed")
        self.assertIn("3 does not divide 64", states["dddddddddddd"][1])

    def test_what_a_real_kill_left_is_listed(self) -> None:
        found = results("stopped")
        self.assertEqual(len(found.runs), 1)
        states = sorted((p.state, p.line) for p in found.problems)
        self.assertEqual([s for s, _ in states], ["missing", "unfinished"])
        self.assertRegex(states[1][1], r"claimed by .*, process \d+")
        self.assertEqual(found.runs[0].columns, {"length": "short"})  # from its plan: no index yet

    def test_index_file_stands_for_its_folder(self) -> None:
        whole, index = fa.load([FIXTURES / "train"]), fa.load([FIXTURES / "train" / "sweep.h5"])
        self.assertEqual([r.run_id for r in whole.runs], [r.run_id for r in index.runs])


class Groups(Case):
    def test_groups_differ_in_seed_alone(self) -> None:
        groups = group_runs(fa.load([FIXTURES / "train"]).runs)
        self.assertEqual(groups[0].label, "bf16")
        for group in groups:
            self.assertEqual([r.seed for r in group.runs], [0, 1, 2, 3])
            self.assertEqual({r.config["recipe"] for r in group.runs}, {group.label})

    def test_further_keys_appear_in_the_label(self) -> None:
        runs = [r for r in results("first").runs if r.config.get("data.name") == "glyphs"]
        labels = {g.label for g in group_runs(runs)}
        self.assertIn("tetrajet, optim.lr=1000", labels)
        self.assertEqual(len(labels), 6)

    def test_slots_are_named(self) -> None:
        runs = [r for r in results("first").runs if r.config.get("data.name") == "digits"]
        labels = {g.label for g in group_runs(runs)}
        self.assertEqual(labels, {"none", "q1", "q2", "q3", "q5", "all"})  # as the index has them
        alone = fa.load([r.path for r in runs])
        labels = {g.label for g in group_runs(alone.runs)}
        self.assertIn("bf16, slots q3", labels)
        self.assertIn("tetrajet, slots all six", labels)

    def test_a_policy_that_switches_slots_off(self) -> None:
        run = next(r for r in results("first").runs if r.config.get("slots.q3.spec", "none") != "none")
        self.assertIn("q3", slots_on(run))
        off = copy.copy(run)
        off.config = {**run.config, "policy": "none"}
        self.assertEqual(slots_on(off), [])

    def test_two_sweeps_keep_their_names(self) -> None:
        both = results("first", "second")
        self.assertTrue(both.overlaid)
        groups = group_runs([r for r in both.runs if r.config.get("preset") == "t4"])
        found = {g.label: g for g in groups}
        one, other = found["first: tetrajet"], found["second: tetrajet"]  # not by steps, which differ
        self.assertEqual((one.index, one.layer, other.layer), (other.index, 1, 2))
        self.assertEqual((one.name, other.name), ("tetrajet", "tetrajet"))
        self.assertEqual(len(found), 6)
        self.assertEqual(origin_names([os.path.join("a", "x"), os.path.join("b", "x")]), ["a/x", "b/x"])


if __name__ == "__main__":
    unittest.main()
