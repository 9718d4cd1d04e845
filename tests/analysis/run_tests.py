"""Runs the tests of some files in one process; exit status 77 when a module is missing.

usage: run_tests.py [unittest options] TEST_FILE...
"""

import importlib.util
import sys
import unittest
from pathlib import Path

here = Path(__file__).resolve().parent
missing = [
    m for m in ("numpy", "h5py", "matplotlib", "jinja2") if importlib.util.find_spec(m) is None
]
if missing:
    print(f"skipped: {sys.executable} has no {', '.join(missing)}")
    sys.exit(77)
sys.dont_write_bytecode = True
sys.path[:0] = [str(here), str(here.parents[1] / "analysis")]
options = [w for w in sys.argv[1:] if w.startswith("-")]
names = [Path(w).stem if w.endswith(".py") else w for w in sys.argv[1:] if not w.startswith("-")]
program = unittest.main(module=None, argv=[sys.argv[0], *options, *names], exit=False)
result = program.result
if not result.wasSuccessful():
    sys.exit(1)
sys.exit(77 if result.testsRun == len(result.skipped) else 0)
