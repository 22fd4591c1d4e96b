#!/usr/bin/env python3
"""Checks the types of the Python package in FOLDER: check_types.py WHAT FOLDER SOURCE

    strict   mypy --strict accepts the package, and usage.py as it is
    stubs    stubs and package agree, as stubtest sees them
    syntax   the oldest supported Python can parse every file
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent


def run(package, *words):
    """A module of this Python, for the package."""
    # mypy's cache takes callers of unpacked options for unchanged when these change.
    variables = {**os.environ, "MYPYPATH": str(package), "PYTHONPATH": str(package),
                 "MYPY_CACHE_DIR": os.devnull}
    print("+", *words, flush=True)
    done = subprocess.run([sys.executable, "-m", *words], env=variables, cwd=package, check=False)
    return done.returncode


def check_syntax(package, oldest):
    failed = 0
    paths = sorted([*package.glob("vmette/**/*.py"), *package.glob("vmette/**/*.pyi")])
    for path in paths:
        try:
            ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=oldest)
        except SyntaxError as error:
            print(f"{path}:{error.lineno}: {error.msg}: not in Python {oldest}")
            failed = 1
    print(f"{len(paths)} files")
    return failed if paths else 1


def main():
    what = sys.argv[1]
    package, source = (Path(folder).resolve() for folder in sys.argv[2:])
    settings = source / "pyproject.toml"
    oldest = re.search(r'requires-python = ">=3\.(\d+)"', settings.read_text(encoding="utf-8"))
    if what == "syntax":
        return check_syntax(package, (3, int(oldest.group(1))))
    if what == "stubs":
        return run(package, "mypy.stubtest", "vmette", "--concise", "--ignore-unused-allowlist",
                   "--mypy-config-file", str(settings), "--allowlist", str(HERE / "stubtest.allow"))
    return (run(package, "mypy", "--config-file", str(settings), "--package", "vmette")
            or run(package, "mypy", "--config-file", str(settings), str(HERE / "usage.py")))


if __name__ == "__main__":
    sys.exit(main())
