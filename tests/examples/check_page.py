#!/usr/bin/env python3
"""Runs the Python blocks of a page, from top to bottom and in an empty directory, and compares what
each prints with the block without a language that follows it."""

import contextlib
import io
import os
import re
import sys
import tempfile

BLOCK = re.compile(r"^```(\w*)\n(.*?)^```\n", re.M | re.S)


def programs(text):
    """(line, code, what it should print) of each."""
    blocks = [(text.count("\n", 0, block.start()) + 2, block[1], block[2])
              for block in BLOCK.finditer(text)]
    for number, (line, language, code) in enumerate(blocks):
        if language == "python":
            following = blocks[number + 1:number + 2]
            wanted = [output for _, kind, output in following if kind == ""]
            yield line, code, "".join(wanted)


def main():
    page = sys.argv[1]
    with open(page, encoding="utf-8") as file:
        found = list(programs(file.read()))
    names = {"__name__": "__main__"}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for line, code, wanted in found:
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                # Line numbers are those of the page.
                exec(compile("\n" * (line - 1) + code, page, "exec"), names)
            if printed.getvalue() != wanted:
                failed += 1
                print(f"{page}:{line}: printed\n{printed.getvalue()}wanted\n{wanted}")
        os.chdir("/")
    print(f"{len(found)} blocks")
    return 1 if failed or not found else 0


if __name__ == "__main__":
    sys.exit(main())
