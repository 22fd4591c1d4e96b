"""Threads for calls that need the host's disk or network and have no descriptor to wait for: making a
machine's root, saves, resumes, copies of trees. A few for the whole process, made when needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

MOST = 8


class Caller(NamedTuple):
    """Who waits for a worker, as that sees it."""

    # Runs a function in the caller's thread.
    call: Callable[..., Any]
    # Whether it waits no longer: what may take long gives up then.
    gone: Callable[[], bool]

_pool: Optional[ThreadPoolExecutor] = None


def submit(work: Callable[[], Any]) -> Future[Any]:
    """Runs `work` on one of the threads."""
    global _pool
    if _pool is None:
        from concurrent.futures import ThreadPoolExecutor

        _pool = ThreadPoolExecutor(MOST, thread_name_prefix="vmette")
    return _pool.submit(work)


def discard_late(future: Future[Any], discard: Optional[Callable[[Any], object]]) -> None:
    """Nobody waits any more: what comes is handed to `discard`."""

    def drop(done: Future[Any]) -> None:
        if not done.cancelled() and done.exception() is None and discard is not None:
            discard(done.result())

    if not future.cancel():
        future.add_done_callback(drop)


def _forget() -> None:
    global _pool
    _pool = None


# The child of a fork has none of the threads.
os.register_at_fork(after_in_child=_forget)
