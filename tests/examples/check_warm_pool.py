#!/usr/bin/env python3
"""Runs the examples of a warm pool on a small Debian with Python, and compares what they print.

check_warm_pool.py IMAGE_SCRIPT EXPECTED PROGRAM... Leaves nothing behind, as the programs must.
"""
import os
import shutil
import subprocess
import sys
import tempfile

DEADLINE_S = 200
SKIPPED = 77


def main():
    script, expected, *programs = sys.argv[1:]
    for needed in ("dpkg-query", "mksquashfs"):
        if shutil.which(needed) is None:
            print(f"no {needed} here")
            return SKIPPED
    with open(expected, encoding="utf-8") as file:
        wanted = sorted(file.read().splitlines())
    with tempfile.TemporaryDirectory() as top:
        image, work = os.path.join(top, "debian.squashfs"), os.path.join(top, "work")
        os.mkdir(work)
        subprocess.run([sys.executable, script, image, work], check=True)
        return int(any([complain(program, image, top, wanted) for program in programs]))


def complain(program, image, top, wanted):
    folder = tempfile.mkdtemp(dir=top)
    done = subprocess.run([program, image, folder], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=DEADLINE_S,
                          text=True, check=False)
    left = os.listdir(folder)
    good = done.returncode == 0 and sorted(done.stdout.splitlines()) == wanted and not left
    if not good:
        print(f"{program}: exit {done.returncode}, left behind: {left}\n{done.stdout}{done.stderr}")
    return not good


sys.exit(main())
