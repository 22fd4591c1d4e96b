"""Machines that are ready before somebody wants them. vmette._sync._pool is made of this file."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Callable, Optional

from vmette import _check, _core
from vmette._deadline import Deadline
from vmette._enums import ErrorCode
from vmette._errors import StateError, deadline
from vmette._options import Machine
from vmette._owned import Owned
from vmette._results import PoolCounts
from vmette._workers import Caller
from vmette.aio import _loop as io
from vmette.aio._session import Session

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from vmette._options import Options

__all__ = ["Pool"]


class Pool(Owned):
    """Keeps machines ready and hands each out once, first come, first served.

    ready: how many are kept ready. most: how many live at a time, 0 for no limit; at the limit a
    take waits until a session ends. idle: after so many seconds without a take the ready ones are
    ended, None for never. The other options describe the machines; with resume_snapshot they are
    clones of a warm one.

    >>> async with vmette.aio.Pool(ready=1) as pool:
    ...     async with await pool.take() as vm:
    ...         (await vm.run("echo quick", text=True)).stdout
    'quick\\n'
    """

    def __init__(
        self,
        *,
        ready: int = 1,
        most: int = 0,
        idle: Optional[float] = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__()
        self._machine = Machine(options, "Pool")
        self._size = (
            _check.integer("ready", ready),
            _check.integer("most", most),
            0 if idle is None else max(1, _check.milliseconds("idle", idle)),
        )
        self._core: Optional[_core.Pool] = None
        self._closed = False

    async def start(self) -> Pool:
        """Begins to start machines in the background, and returns the pool itself."""
        if self._core is not None or self._closed:
            raise StateError("the pool was started already; make another", code=ErrorCode.STATE)

        self._own()

        def create(caller: Caller) -> _core.Pool:
            return self._machine.resolved(
                lambda config: _core.Pool.create(config, *self._size), caller.gone
            )

        core: _core.Pool = await io.in_worker(create, _core.Pool.close)
        self._core = core
        return self

    def _open(self) -> _core.Pool:
        if self._core is None:
            how = "is closed" if self._closed else "was not started; enter it with a with statement"
            raise StateError(f"the pool {how}", code=ErrorCode.STATE)
        return self._core

    async def take(self, timeout: Optional[float] = None) -> Session:
        """A ready machine, an ordinary session of the caller's. When `timeout` seconds pass first the
        place in the queue is given up."""
        limit = Deadline(timeout)
        request = self._open().request()
        try:
            if not await io.readable(request.fd(), limit):
                raise deadline("the wait for a machine of the pool", timeout)
            return Session._of(request.take(0))
        finally:
            del request  # gives the place up, whoever keeps this frame with an exception

    def count(self) -> PoolCounts:
        """How the pool is doing at this moment."""
        return PoolCounts(*self._open().count())

    async def close(self) -> None:
        """Ends the machines that are ready or starting; those who wait get a `StateError`. Sessions
        that were taken are not touched."""
        core, self._core = self._core, None
        self._closed = True
        if core is not None:
            closing = core
            await io.in_worker(lambda _: closing.close())

    async def __aenter__(self) -> Pool:
        if self._core is None:
            await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._inherited():
            await self.close()

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_core", None) is not None and not self._inherited():
            warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        core: Any = self._core
        if core is None:
            return f"<vmette.aio.Pool {'closed' if self._closed else 'not started'}>"
        counts = self.count()
        return f"<vmette.aio.Pool ready={counts.ready} taken={counts.taken}>"


Pool.__module__ = "vmette.aio"
