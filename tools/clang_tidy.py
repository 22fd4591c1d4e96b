#!/usr/bin/env python3
"""Runs clang-tidy over every source of ours that a build directory compiles.

clang_tidy.py PROGRAM BUILD_DIR. A file that was clean is not looked at again, in this clone or
another, until it, a header that it includes, a .clang-tidy or the way it is compiled changes. Exit
status 1 when there is a finding.
"""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys
import time

# What is shipped; the tests and benches are compiled with warnings as errors and left at that.
_FOLDERS = ("bindings", "examples", "guest-initramfs", "include", "lib")
# Of what is known to be clean and was not met again.
_KEPT_SECONDS = 30 * 24 * 3600


def main():
    program, build = sys.argv[1], os.path.abspath(sys.argv[2])
    source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    work = os.path.join(build, "clang-tidy")
    os.makedirs(work, exist_ok=True)
    commands = sources(build, source)
    # One command for each file: what is compiled for two targets is looked at once.
    with open(os.path.join(work, "compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump(list(commands.values()), file)
    keys = Keys(program, build, source)
    folder = cache_folder()
    stamps = {path: keys.stamp(folder, entry) for path, entry in commands.items()}
    unknown = sorted(path for path in commands if not touched(stamps[path]))
    print(f"{len(commands)} files, {len(unknown)} of them new or changed", flush=True)
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        clean = list(pool.map(lambda path: check(program, work, path, stamps[path]), unknown))
    sys.exit(0 if all(clean) else 1)


def cache_folder():
    """An empty file for each clean one, named by its key."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(home, "vmette", "clang-tidy")
    os.makedirs(folder, exist_ok=True)
    oldest = time.time() - _KEPT_SECONDS
    for entry in os.scandir(folder):
        if entry.stat().st_mtime < oldest:
            os.unlink(entry.path)
    return folder


def touched(stamp):
    """Whether it is there; it is then kept longer."""
    try:
        os.utime(stamp or "")
    except FileNotFoundError:
        return False
    return True


def sources(build, source):
    """{path: compile command} of the files in our folders."""
    with open(os.path.join(build, "compile_commands.json"), encoding="utf-8") as file:
        entries = json.load(file)
    found = {}
    for entry in entries:
        path = os.path.normpath(os.path.join(entry["directory"], entry["file"]))
        if os.path.relpath(path, source).split(os.sep)[0] in _FOLDERS:
            found.setdefault(path, dict(entry, file=path))
    return found


class Keys:
    """Digests of everything that a finding can depend on, wherever source and build are."""

    def __init__(self, program, build, source):
        self._source = source
        self._files = {}
        version = subprocess.run([program, "--version"], stdout=subprocess.PIPE, check=True).stdout
        self._shared = hashlib.sha256(version)
        for where, folders, names in os.walk(source):
            folders[:] = sorted(name for name in folders if not name.startswith((".", "build")))
            if ".clang-tidy" in names:
                self._shared.update(self._digest(os.path.join(where, ".clang-tidy")))
        self._included = included(build)

    def stamp(self, folder, entry):
        """What is in `folder` when this file is clean; None where the build cannot tell yet what it
        includes."""
        key = self._shared.copy()
        key.update(entry["command"].replace(self._source, ".").encode())
        key.update(self._digest(entry["file"]))
        headers = self._included.get(entry.get("output"))
        if headers is None:
            return None
        for path in headers:
            key.update(self._digest(os.path.join(entry["directory"], path)))
        return os.path.join(folder, key.hexdigest())

    def _digest(self, path):
        path = os.path.realpath(path)
        if path not in self._files:
            name = path.replace(self._source, ".")
            with open(path, "rb") as file:
                self._files[path] = hashlib.sha256(name.encode() + file.read()).digest()
        return self._files[path]


def included(build):
    """{object: files that were read for it}, of a directory that was built."""
    found, files = {}, None
    listing = subprocess.run(["ninja", "-C", build, "-t", "deps"], stdout=subprocess.PIPE, text=True,
                             check=True).stdout
    for line in listing.splitlines():
        if line.startswith(" "):
            files.append(line.strip())
        elif ": #deps" in line:
            files = found.setdefault(line.split(": #deps")[0], [])
    return found


def check(program, work, path, stamp):
    """True when the file is clean; prints the findings otherwise."""
    run = subprocess.run([program, "-p", work, "--quiet", "--warnings-as-errors=*",
                          "--extra-arg=-Wno-unknown-warning-option", path],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace", check=False)
    if run.returncode == 0:
        if stamp:
            with open(stamp, "w", encoding="utf-8"):
                pass
        return True
    print(run.stdout, flush=True)
    return False


if __name__ == "__main__":
    main()
