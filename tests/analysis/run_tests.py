"""Runs the tests of one file; exit status 77 when a module is missing.

usage: run_tests.py TEST_FILE [unittest arguments]
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
program = unittest.main(module=Path(sys.argv[1]).stem, argv=sys.argv[1:], exit=False)
result = program.result
if not result.wasSuccessful():
    sys.exit(1)
sys.exit(77 if result.testsRun == len(result.skipped) else 0)
