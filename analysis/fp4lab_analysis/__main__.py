"""`python3 -m fp4lab_analysis`: what `fp4lab plot` and `fp4lab report` run."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import sysconfig

#: Module, Debian package, pip package.
MODULES = (
    ("numpy", "python3-numpy", "numpy"),
    ("h5py", "python3-h5py", "h5py"),
    ("matplotlib", "python3-matplotlib", "matplotlib"),
    ("jinja2", "python3-jinja2", "jinja2"),
)


def missing_modules() -> str:
    """One line that names what is missing and what brings it, or nothing."""
    missing = [row for row in MODULES if importlib.util.find_spec(row[0]) is None]
    if not missing:
        return ""
    names = ", ".join(row[0] for row in missing)
    pip = " ".join(row[2] for row in missing)
    python = sys.executable
    if pip_is_refused():
        apt = " ".join(row[1] for row in missing)
        return (
            f"{python} has no {names}: apt-get install {apt}, or {python} -m venv ENV && "
            f"ENV/bin/pip install {' '.join(row[2] for row in MODULES)}, and "
            "FP4LAB_PYTHON=ENV/bin/python3"
        )
    apt = " ".join(row[1] for row in MODULES)
    return (
        f"{python} has no {names}: {python} -m pip install {pip}, or apt-get install {apt} and "
        "FP4LAB_PYTHON=/usr/bin/python3"
    )


def pip_is_refused() -> bool:
    """Whether this is the interpreter of a distribution that lets its own packages alone bring
    modules (PEP 668); a virtual environment takes them from pip."""
    outside = sys.prefix == sys.base_prefix
    return outside and os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED"))


def stop(*_: object) -> None:
    raise KeyboardInterrupt


def main(words: list[str]) -> int:
    """Checks the interpreter, then runs a command. `probe` only checks."""
    if sys.version_info < (3, 11):  # tomllib
        version = ".".join(str(v) for v in sys.version_info[:3])
        print(f"fp4lab: {sys.executable} is Python {version}; it must be 3.11 or newer", file=sys.stderr)
        return 3
    line = missing_modules()
    if line:
        print(f"fp4lab: {line}", file=sys.stderr)
        return 3
    if words == ["probe"]:
        return 0
    # Small matrices: threads of the linear algebra would only wait for each other.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"
    signal.signal(signal.SIGTERM, stop)
    try:
        from .cli import run

        return run(words)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
