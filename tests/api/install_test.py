#!/usr/bin/env python3
"""Installs the build into an empty folder and uses it from there as a stranger would.

The folder is not the prefix that the build was configured for, so this also shows that an installed
tree can be moved. Both minimal examples are compiled with what pkg-config says, and boot; so does the
Python package. Where this user may mount, what is installed runs with the build directory hidden.
"""

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

GREETING = "Hello from vmette, a Linux guest\n"
PYTHON = """
import vmette
print(vmette.__file__)
print(vmette.run("echo Hello from $(hostname), a $(uname) guest", text=True).stdout, end="")
"""


def run(command, **options):
    print("+", shlex.join(map(str, command)), flush=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, **options)
    sys.stdout.write(done.stdout + done.stderr)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode}")
    return done.stdout


def expect(found, wanted):
    if found != wanted:
        sys.exit(f"expected {wanted!r}, got {found!r}")


def without(folder):
    """Words to put before a command so that it finds that folder empty; none where we may not."""
    words = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', folder]
    try:
        allowed = subprocess.run([*words, "true"], capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        allowed = False
    print("the build directory is", "hidden" if allowed else "there, we may not mount", flush=True)
    return words if allowed else []


def only(root, name):
    found = sorted(root.rglob(name))
    if len(found) != 1:
        sys.exit(f"expected one {name} under {root}, found {found}")
    return found[0]


def main():
    parser = argparse.ArgumentParser()
    for option in ("meson", "build", "source", "cc", "cxx", "pkg-config"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--python")
    options = parser.parse_args()
    examples = Path(options.source) / "examples"

    with tempfile.TemporaryDirectory(prefix="vmette-install-") as folder:
        root = Path(folder).resolve() / "tree"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("VMETTE_")}
        run([options.meson, "install", "-C", options.build, "--no-rebuild", "--quiet",
             "--destdir", root], env=environment)

        description = only(root, "vmette.pc")
        environment |= {
            "PKG_CONFIG_LIBDIR": str(description.parent),
            "PKG_CONFIG_SYSROOT_DIR": str(root),
        }
        flags = run([options.pkg_config, "--cflags", "--libs", "vmette"], env=environment).split()

        alone = without(options.build)
        sources = ((options.cc, "minimal.c", "-std=c11"), (options.cxx, "minimal.cpp", "-std=c++20"))
        for compiler, source, standard in sources:
            program = root / source.replace(".", "_")
            run([*shlex.split(compiler), standard, "-Wall", "-Wextra", "-Werror",
                 examples / source, "-o", program, *flags], env=environment)
            loading = {"LD_LIBRARY_PATH": str(description.parent.parent)}
            expect(run([*alone, program], env=environment | loading), GREETING)

        tool = only(root, "bin") / "vmette"
        expect(run([*alone, tool, "--quiet", "--", "echo", "hi"], env=environment), "hi\n")
        if "It works" not in run([*alone, tool, "quickstart"], env=environment):
            sys.exit("quickstart does not say that it works")
        if options.python:
            package = only(root, "_core.pyi").parent
            importing = environment | {"PYTHONPATH": str(package.parent)}
            said = run([*alone, options.python, "-c", PYTHON], env=importing, cwd=folder)
            expect(said, f"{package / '__init__.py'}\n{GREETING}")


if __name__ == "__main__":
    main()
