#!/usr/bin/env python3
"""Runs an example program and compares what it prints, line by line in any order of lines that
come from commands running side by side."""
import subprocess
import sys

DEADLINE_S = 200


def main():
    *command, expected = sys.argv[1:]
    with open(expected, encoding="utf-8") as file:
        wanted = sorted(file.read().splitlines())
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=DEADLINE_S, text=True, check=False)
    printed = sorted(done.stdout.splitlines())
    if done.returncode != 0 or printed != wanted:
        sys.exit(f"exit {done.returncode}\nprinted:\n{done.stdout}\n{done.stderr}\n"
                 f"wanted:\n" + "\n".join(wanted))


main()
