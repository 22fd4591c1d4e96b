#!/usr/bin/env python3
"""Runs clang-tidy over every source of ours that a build directory compiles.

clang_tidy.py PROGRAM BUILD_DIR. A file that was clean is not looked at again until it, one of our
headers, a .clang-tidy or the way it is compiled changes. Exit status 1 when there is a finding.
"""

import concurrent.futures
import hashlib
import json
import os
import subprocess
import sys

# What is shipped; the tests and benches are compiled with warnings as errors and left at that.
_FOLDERS = ("bindings", "examples", "guest-initramfs", "include", "lib")
_HEADERS = (".h", ".hpp", ".clang-tidy")


def main():
    program, build = sys.argv[1], os.path.abspath(sys.argv[2])
    source = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    work = os.path.join(build, "clang-tidy")
    os.makedirs(work, exist_ok=True)
    commands = sources(build, source)
    # One command for each file: what is compiled for two targets is looked at once.
    with open(os.path.join(work, "compile_commands.json"), "w", encoding="utf-8") as file:
        json.dump(list(commands.values()), file)
    shared = shared_digest(program, source)
    print(f"{len(commands)} files", flush=True)
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        clean = list(pool.map(lambda path: check(program, work, path, commands[path], shared),
                              sorted(commands)))
    sys.exit(0 if all(clean) else 1)


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


def shared_digest(program, source):
    """Of everything but the file itself that a finding can depend on."""
    whole = hashlib.sha256(subprocess.run([program, "--version"], stdout=subprocess.PIPE,
                                          check=True).stdout)
    paths = [os.path.join(source, ".clang-tidy")]
    for folder in _FOLDERS:
        for where, _, names in os.walk(os.path.join(source, folder)):
            paths += [os.path.join(where, name) for name in names if name.endswith(_HEADERS)]
    for path in sorted(paths):
        with open(path, "rb") as file:
            whole.update(path.encode() + file.read())
    return whole.hexdigest()


def check(program, work, path, command, shared):
    """True when the file is clean; prints the findings otherwise."""
    with open(path, "rb") as file:
        key = hashlib.sha256(shared.encode() + command["command"].encode() + file.read())
    stamp = os.path.join(work, key.hexdigest())
    if os.path.exists(stamp):
        return True
    run = subprocess.run([program, "-p", work, "--quiet", "--warnings-as-errors=*",
                          "--extra-arg=-Wno-unknown-warning-option", path],
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                         errors="replace", check=False)
    if run.returncode == 0:
        with open(stamp, "w", encoding="utf-8"):
            pass
        return True
    print(run.stdout, flush=True)
    return False


if __name__ == "__main__":
    main()
