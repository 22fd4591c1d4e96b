"""A command's streams in the synchronous face: file objects. vmette.aio._streams has the same names."""

from __future__ import annotations

import io
import os
from typing import IO, Any

from vmette._enums import ErrorCode
from vmette._errors import StateError
from vmette._exec import Coding
from vmette._owned import keep_from_children


# The types of Popen's streams.
ReadEnd = IO
WriteEnd = IO


class _Raw(io.FileIO):
    """Knows whether something was read from it."""

    touched = False

    def readinto(self, buffer: Any) -> Any:
        self.touched = True
        return super().readinto(buffer)

    def readall(self) -> Any:
        self.touched = True
        return super().readall()


def open_reader(fd: int, coding: Coding) -> Any:
    """A file object to read from, which owns `fd`."""
    raw = io.BufferedReader(_Raw(fd, "rb"), 1 << 16)
    if coding.encoding is None:
        return raw
    return io.TextIOWrapper(raw, encoding=coding.encoding, errors=coding.errors)


def open_writer(fd: int, coding: Coding) -> Any:
    """A file object to write to, which owns `fd`. Text goes out with every line."""
    file = io.FileIO(fd, "wb")
    keep_from_children(file)
    raw = io.BufferedWriter(file, 1 << 16)
    if coding.encoding is None:
        return raw
    return io.TextIOWrapper(
        raw, encoding=coding.encoding, errors=coding.errors, line_buffering=True, newline=""
    )


def buffered(stream: Any) -> Any:
    """What a reader has received and nobody has read."""
    below: Any = stream.buffer if isinstance(stream, io.TextIOWrapper) else stream
    if not below.raw.touched:
        return "" if isinstance(stream, io.TextIOWrapper) else b""
    if isinstance(stream, io.TextIOWrapper):
        raise StateError(
            "text was read from the stream before; go on reading it instead of communicate()",
            code=ErrorCode.STATE,
        )
    os.set_blocking(stream.fileno(), False)
    try:
        return stream.read1(len(stream.peek()))
    finally:
        os.set_blocking(stream.fileno(), True)


def flush(stream: Any) -> None:
    """Sends what was written before."""
    try:
        stream.flush()
    except BrokenPipeError:
        pass  # it does not read


def pump(fd: int, on: bool) -> None:
    """Whether writing to `fd` must not block."""
    os.set_blocking(fd, not on)


def close(stream: Any) -> None:
    """Closes it, whatever the other side has done; None is nothing to close."""
    if stream is None:
        return
    try:
        stream.close()
    except BrokenPipeError:
        pass  # nobody wants what was still buffered
