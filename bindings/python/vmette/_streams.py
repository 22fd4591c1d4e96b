"""A command's streams in the synchronous face: file objects. vmette.aio._streams has the same names."""

from __future__ import annotations

import io
from typing import IO, Any

from vmette._exec import Coding


# The types of Popen's streams.
ReadEnd = IO
WriteEnd = IO


def open_reader(fd: int, coding: Coding) -> Any:
    """A file object to read from, which owns `fd`."""
    raw = io.BufferedReader(io.FileIO(fd, "rb"), 1 << 16)
    if coding.encoding is None:
        return raw
    return io.TextIOWrapper(raw, encoding=coding.encoding, errors=coding.errors)


def open_writer(fd: int, coding: Coding) -> Any:
    """A file object to write to, which owns `fd`. Text goes out with every line."""
    raw = io.BufferedWriter(io.FileIO(fd, "wb"), 1 << 16)
    if coding.encoding is None:
        return raw
    return io.TextIOWrapper(
        raw, encoding=coding.encoding, errors=coding.errors, line_buffering=True, newline=""
    )


def close(stream: Any) -> None:
    """Closes it, whatever the other side has done; None is nothing to close."""
    if stream is None:
        return
    try:
        stream.close()
    except BrokenPipeError:
        pass  # nobody wants what was still buffered
