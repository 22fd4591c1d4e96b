"""A command's streams in the asynchronous face. vmette._streams has the same names."""

from __future__ import annotations

import codecs
import os
import warnings
from typing import Any, AnyStr, AsyncIterator, Callable, Generic, List, Optional

from vmette import _check
from vmette._exec import Coding
from vmette._owned import keep_from_children
from vmette.aio import _loop

__all__ = ["Reader", "Writer"]

_CHUNK = 1 << 18
# Of a line that comes in one piece: the guest may print one without an end.
LONGEST_LINE = 16 << 20


class _Stream:
    """A descriptor of the caller's."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor."""
        if self._fd < 0:
            raise ValueError("the stream is closed")
        return self._fd

    @property
    def closed(self) -> bool:
        """Whether close() was called."""
        return self._fd < 0

    def _close(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            _loop.forget(fd)
            os.close(fd)

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_fd", -1) >= 0:
            warn(f"unclosed {self!r}", ResourceWarning, source=self)
            fd, self._fd = self._fd, -1
            os.close(fd)

    def __repr__(self) -> str:
        state = "closed" if self.closed else f"fd={self._fd}"
        return f"<vmette.aio.{type(self).__name__} {state}>"


class Reader(_Stream, Generic[AnyStr]):
    """What a command writes: read it, or iterate over its lines.

    >>> async with vmette.aio.Session() as vm:
    ...     async with await vm.popen("seq 3", text=True) as proc:
    ...         [line async for line in proc.stdout]
    ['1\\n', '2\\n', '3\\n']
    """

    def __init__(self, fd: int, coding: Coding) -> None:
        super().__init__(fd)
        self._empty: Any = b"" if coding.encoding is None else ""
        self._decoder: Any = None
        if coding.encoding is not None:
            incremental = codecs.getincrementaldecoder(coding.encoding)(coding.errors)
            # As files opened as text do: \r\n and \r become \n.
            import io

            self._decoder = io.IncrementalNewlineDecoder(incremental, translate=True)
        self._buffer: Any = self._empty
        self._at = 0  # what of it was taken
        self._ended = False

    async def _fill(self) -> None:
        """Puts the next piece into the buffer, which is empty; nothing at the end.

        Waits even where there is something: who prints for ever must not keep the loop for himself.
        """
        while not self._ended:
            await _loop.readable(self.fileno())
            try:
                data = os.read(self.fileno(), _CHUNK)
            except BlockingIOError:
                continue
            self._ended = not data
            self._buffer = data if self._decoder is None else self._decoder.decode(data, not data)
            self._at = 0
            if self._buffer:
                return

    def _take(self, size: int) -> Any:
        data = self._buffer[self._at : self._at + size]
        self._at += len(data)
        if self._at == len(self._buffer):
            self._buffer, self._at = self._empty, 0
        return data

    def _put_back(self, pieces: List[Any]) -> None:
        self._buffer = self._empty.join([*pieces, self._buffer[self._at :]])
        self._at = 0

    async def _more(self) -> bool:
        if not self._buffer:
            await self._fill()
        return bool(self._buffer)

    def buffered(self) -> AnyStr:
        """What was received and nobody has read; it counts as read then."""
        return self._take(len(self._buffer))  # type: ignore[no-any-return]

    async def read(self, size: int = -1) -> AnyStr:
        """At most `size` bytes or characters, as soon as there are some; all of them for -1."""
        if size >= 0:
            if size:
                await self._more()
            return self._take(size)  # type: ignore[no-any-return]
        pieces: List[Any] = []
        try:
            while await self._more():
                pieces.append(self.buffered())
        except BaseException:
            self._put_back(pieces)  # a cancelled read loses nothing
            raise
        return self._empty.join(pieces)  # type: ignore[no-any-return]

    async def readline(self, limit: int = LONGEST_LINE) -> AnyStr:
        """The next line with its end; at the end of the stream what is left, or nothing. A line of
        more than `limit` bytes or characters comes in pieces of that size."""
        newline: Any = b"\n" if isinstance(self._empty, bytes) else "\n"
        pieces: List[Any] = []
        left = _check.integer("limit", limit, 1, 2**62)
        try:
            while left and await self._more():
                end = self._buffer.find(newline, self._at) + 1
                piece = self._take(min(left, (end or len(self._buffer)) - self._at))
                pieces.append(piece)
                left -= len(piece)
                if piece.endswith(newline):
                    break
        except BaseException:
            self._put_back(pieces)
            raise
        return self._empty.join(pieces)  # type: ignore[no-any-return]

    def __aiter__(self) -> AsyncIterator[AnyStr]:
        return self._lines()

    async def _lines(self) -> AsyncIterator[AnyStr]:
        while True:
            line = await self.readline()
            if not line:
                return
            yield line

    async def close(self) -> None:
        """Closes it: the command gets SIGPIPE when it writes more."""
        self._close()


class Writer(_Stream, Generic[AnyStr]):
    """What a command reads.

    >>> async with vmette.aio.Session() as vm:
    ...     proc = await vm.popen("wc -c", stdin=vmette.PIPE)
    ...     async with proc:
    ...         await proc.stdin.write(b"hello")
    ...         await proc.stdin.close()
    ...         await proc.stdout.read()
    b'5\\n'
    """

    def __init__(self, fd: int, coding: Coding) -> None:
        super().__init__(fd)
        self._coding = coding
        keep_from_children(self)

    async def write(self, data: AnyStr) -> None:
        """Writes all of it; waits while the command does not read. BrokenPipeError when it is gone."""
        view = memoryview(self._coding.encode("data", data)).cast("B")
        while view:
            await _loop.any_ready((), (self.fileno(),))
            try:
                view = view[os.write(self.fileno(), view[:_CHUNK]) :]
            except BlockingIOError:
                continue

    async def flush(self) -> None:
        """Does nothing: what was written is on its way."""

    async def close(self) -> None:
        """End of file for the command."""
        self._close()


# The types of Popen's streams.
ReadEnd = Reader
WriteEnd = Writer


def open_reader(fd: int, coding: Coding) -> Any:
    """A reader, which owns `fd`."""
    return Reader(fd, coding)


def open_writer(fd: int, coding: Coding) -> Any:
    """A writer, which owns `fd`."""
    return Writer(fd, coding)


def buffered(stream: Any) -> Any:
    """What a reader has received and nobody has read."""
    return stream.buffered()


async def flush(stream: Any) -> None:
    """Sends what was written before."""
    await stream.flush()


def pump(fd: int, on: bool) -> None:
    """Whether writing to `fd` must not block: it never does."""


async def close(stream: Optional[Any]) -> None:
    """Closes it, whatever the other side has done; None is nothing to close."""
    if stream is not None:
        await stream.close()


for _name in __all__:
    globals()[_name].__module__ = "vmette.aio"
