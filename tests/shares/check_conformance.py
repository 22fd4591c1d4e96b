#!/usr/bin/env python3
"""Runs conformance.py in a machine over every transport and beside it on the host itself, prints
one table, and fails where a transport does not do what docs/rootfs.md says of it."""

import argparse
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SKIPPED = 77

# What a share refuses on purpose, and what a transport cannot do. All else must work.
REFUSED = {"setuid_file": "EPERM", "setgid_file": "EPERM", "setgid_directory": "EPERM",
           "device_node": "EPERM"}
EXPECTED = {
    "virtiofs": {**REFUSED, "file_capability": "EPERM"},
    "9p": {**REFUSED, "file_capability": "ENOTSUP", "utimens_nanoseconds": "whole seconds",
           "fifo": "ENXIO", "unix_socket": "ENXIO"},
}


def results(output):
    return dict(line.split(": ", 1) for line in output.splitlines())


def in_machine(cli, transport, directory):
    command = [cli, "--quiet", "--rootfs", "/", "--share-transport", transport,
               "--share", f"box={directory}", "--share-ro", f"checks={HERE}",
               "--", "python3", "/mnt/checks/conformance.py", "/mnt/box"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    if run.returncode != 0:
        sys.exit(f"{transport}: exit code {run.returncode}: {run.stderr}")
    return results(run.stdout)


def on_host(directory):
    run = subprocess.run([sys.executable, HERE / "conformance.py", directory],
                         capture_output=True, text=True, timeout=200, check=True)
    return results(run.stdout)


def kept(directory):
    """What the host sees of the files that conformance.py left behind."""
    file = os.stat(directory / "kept/file")
    return {
        "mode": oct(stat.S_IMODE(file.st_mode)),
        "mtime": file.st_mtime,
        "links": file.st_nlink,
        "symlink": os.readlink(directory / "kept/symlink"),
        "xattr": os.getxattr(directory / "kept/file", "user.color"),
        "owner": (file.st_uid, file.st_gid),
        "owner of a file by 1000": os.stat(directory / "kept/by-1000").st_uid,
        "directory": oct(stat.S_IMODE(os.stat(directory / "kept").st_mode)),
        "large": os.stat(directory / "large").st_size,
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cli", required=True)
    options = parser.parse_args()
    if os.geteuid() != 0:
        print("skipped: virtiofsd and chown need root")
        sys.exit(SKIPPED)
    table, seen = {}, {}
    with tempfile.TemporaryDirectory(prefix="vmette-conformance-") as folder:
        for column in ("host", *EXPECTED):
            directory = Path(folder) / column
            directory.mkdir()
            table[column] = (on_host(directory) if column == "host"
                             else in_machine(options.cli, column, directory))
            seen[column] = kept(directory)
    print(f"{'':22}" + "".join(f"{column:16}" for column in table))
    wrong = []
    for check in table["host"]:
        row = [table[column].get(check, "not run") for column in table]
        print(f"{check:22}" + "".join(f"{result:16}" for result in row))
        wrong += [f"{column}: {check}: {table[column].get(check)}" for column in EXPECTED
                  if table[column].get(check) != EXPECTED[column].get(check, "yes")]
    wrong += [f"{column}: the host sees {seen[column]}, of its own files {seen['host']}"
              for column in EXPECTED if seen[column] != seen["host"]]
    print("\n".join(wrong))
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
