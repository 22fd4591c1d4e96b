#!/usr/bin/env python3
"""Makes the synchronous face of a module of the asynchronous one.

    make_sync.py vmette/aio/_session.py OUTPUT

What is written with async and await becomes the same without; vmette.aio._loop, which waits on the
running loop, becomes vmette._blocking, which blocks. Docstrings are changed alike, so that their
examples run as well. What the two faces cannot share is in the few modules of _elsewhere.
"""

import re
import sys
from pathlib import Path

_elsewhere = {"_loop": "_blocking", "_streams": "_streams"}

_words = {
    "AsyncIterator": "Iterator",
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
    "StopAsyncIteration": "StopIteration",
}


def synchronous(text):
    """The text of the synchronous module."""
    for name, other in _elsewhere.items():
        text = text.replace(f"from vmette.aio import {name} as", f"from vmette import {other} as")
    text = re.sub(r"\bvmette\.aio\.(_\w+)", r"vmette._sync.\1", text)
    text = text.replace("vmette.aio", "vmette")
    text = re.sub(r"\bAwaitable\[([^][]*)\]", r"\1", text)
    text = re.sub(r"\bAwaitable, ", "", text)
    text = re.sub(r"\basync (def|with|for)\b", r"\1", text)
    text = re.sub(r"\bawait\s+", "", text)
    for word, other in _words.items():
        text = re.sub(rf"\b{word}\b", other, text)
    return "# Made by make_sync.py of the asynchronous face. Change it there.\n" + text


def main():
    source, output = map(Path, sys.argv[1:])
    text = source.read_text(encoding="utf-8")
    made = synchronous(text.replace(f"vmette._sync.{source.stem} is made of this file.", ""))
    if re.search(r"\b(async|await|asyncio|Awaitable)\b", made.replace("vmette.aio", "")):
        sys.exit(f"{source}: something asynchronous is left in the synchronous face")
    output.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
