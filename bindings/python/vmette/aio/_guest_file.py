"""Files of a running machine as streams. vmette._sync._guest_file is made of this file."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, Optional

from vmette._exec import Coding
from vmette._owned import Owned
from vmette.aio import _loop as io
from vmette.aio import _streams as streams

if TYPE_CHECKING:
    from vmette import _core

__all__ = ["GuestFile"]


class GuestFile(Owned):
    """A file of the guest as a stream of bytes. Made by `Files.open()`; close it, which says whether
    all of it went well.

    >>> async with vmette.aio.Session() as vm:
    ...     async with await vm.files.open("/etc/passwd") as file:
    ...         (await file.readline()).startswith(b"root:")
    True
    """

    def __init__(self, transfer: _core.Transfer, path: Any, *, writes: bool) -> None:
        super().__init__()
        coding = Coding(False, {})
        self._transfer: Optional[_core.Transfer] = transfer
        self.name = path
        open_stream = streams.open_writer if writes else streams.open_reader
        self._stream = open_stream(transfer.take_fd(), coding)
        self._writes = writes
        self._ended = False

    def fileno(self) -> int:
        """The descriptor of the content, to wait for."""
        return self._stream.fileno()  # type: ignore[no-any-return]

    def readable(self) -> bool:
        """Whether it was opened to be read."""
        return not self._writes

    def writable(self) -> bool:
        """Whether it was opened to be written."""
        return self._writes

    def _there(self, writes: bool) -> _core.Transfer:
        if self._transfer is None:
            raise ValueError(f"the file {self.name!r} is closed")
        if self._writes != writes:
            way = "writing" if self._writes else "reading"
            raise OSError(f"the file {self.name!r} is open for {way}")
        return self._transfer

    async def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, all that is left for -1; nothing at the end."""
        transfer = self._there(False)
        data = await self._stream.read(size)
        if size < 0 or (size and not data):
            await self._check_whole(transfer)
        return data  # type: ignore[no-any-return]

    async def readline(self) -> bytes:
        """The next line with its end, nothing at the end."""
        transfer = self._there(False)
        line = await self._stream.readline()
        if not line:
            await self._check_whole(transfer)
        return line  # type: ignore[no-any-return]

    async def _check_whole(self, transfer: _core.Transfer) -> None:
        await io.readable(transfer.done_fd())
        self._ended = True
        transfer.wait(0)

    async def write(self, data: Any) -> None:
        """Writes all of it; waits while the guest is behind."""
        transfer = self._there(True)
        try:
            await self._stream.write(data)
        except BrokenPipeError:
            await self._check_whole(transfer)
            raise

    async def close(self) -> None:
        """Ends a write and waits until it is in its place; gives up what is left of a read."""
        transfer, self._transfer = self._transfer, None
        if transfer is None:
            return
        try:
            await streams.close(self._stream)
            if self._writes and not self._ended:
                await io.readable(transfer.done_fd())
                transfer.wait(0)
        finally:
            transfer.cancel()

    def _give_up(self) -> None:
        if self._transfer is not None:
            self._transfer.cancel()
            self._ended = True

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._lines()

    async def _lines(self) -> AsyncIterator[bytes]:
        while True:
            line = await self.readline()
            if not line:
                return
            yield line

    async def __aenter__(self) -> GuestFile:
        return self

    async def __aexit__(self, kind: Any, *_: object) -> None:
        if kind is not None or self._inherited():
            self._give_up()
        await self.close()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_transfer", None) is not None and not self._inherited():
            warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        state = "closed" if self._transfer is None else "w" if self._writes else "r"
        return f"<vmette.aio.GuestFile {self.name!r} {state}>"


GuestFile.__module__ = "vmette.aio"
