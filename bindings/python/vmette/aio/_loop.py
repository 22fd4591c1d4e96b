"""How the asynchronous face waits: on the running loop, without a thread for a call. The synchronous
face has the same functions in vmette._blocking."""

from __future__ import annotations

import asyncio
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Iterable, List, Optional, Set, Tuple, TypeVar

from vmette import _workers
from vmette._workers import Caller

if TYPE_CHECKING:
    from vmette._deadline import Deadline

T = TypeVar("T")

class _Waiting(List["asyncio.Future[Set[int]]"]):
    """Who waits for a descriptor in one direction: a loop has one callback for those.

    The table of a loop knows it weakly. The loop's callback and those who wait hold it, so that a
    loop which is dropped with all its tasks takes their machines with it.
    """


_Table = weakref.WeakValueDictionary[Tuple[int, bool], _Waiting]
_waiters: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Table] = weakref.WeakKeyDictionary()


def _add(
    loop: asyncio.AbstractEventLoop, fd: int, write: bool, future: asyncio.Future[Set[int]]
) -> _Waiting:
    table = _waiters.get(loop)
    if table is None:
        table = _waiters[loop] = weakref.WeakValueDictionary()
    waiting = table.get((fd, write))
    if waiting is None:
        waiting = table[fd, write] = _Waiting()
        (loop.add_writer if write else loop.add_reader)(fd, _wake, waiting, fd)
    waiting.append(future)
    return waiting


def _wake(waiting: _Waiting, fd: int) -> None:
    for future in waiting:
        if not future.done():
            future.set_result({fd})


def _drop(
    loop: asyncio.AbstractEventLoop,
    fd: int,
    write: bool,
    waiting: _Waiting,
    future: asyncio.Future[Set[int]],
) -> None:
    if future in waiting:
        waiting.remove(future)
    table = _waiters.get(loop)
    if waiting or table is None or table.get((fd, write)) is not waiting:
        return
    del table[fd, write]
    if not loop.is_closed():
        (loop.remove_writer if write else loop.remove_reader)(fd)


def _late(future: asyncio.Future[Set[int]]) -> None:
    if not future.done():
        future.set_result(set())


async def any_ready(
    reading: Iterable[int], writing: Iterable[int], deadline: Optional[Deadline] = None
) -> Set[int]:
    """One or more of the descriptors that are ready; none when the deadline has passed."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Set[int]] = loop.create_future()
    wanted = [(fd, False) for fd in reading] + [(fd, True) for fd in writing]
    begun: List[Tuple[int, bool, _Waiting]] = []
    left = None if deadline is None else deadline.remaining()
    timer = None if left is None else loop.call_later(left, _late, future)
    try:
        for fd, write in wanted:
            begun.append((fd, write, _add(loop, fd, write, future)))
        return await future
    finally:
        for fd, write, waiting in begun:
            _drop(loop, fd, write, waiting, future)
        if timer is not None:
            timer.cancel()


async def readable(fd: int, deadline: Optional[Deadline] = None) -> bool:
    """Waits until `fd` is readable; False when the deadline has passed."""
    return bool(await any_ready((fd,), (), deadline))


async def settled(fd: int, deadline: Optional[Deadline] = None) -> bool:
    """The same for cleaning up: a cancellation is seen when it is over."""
    cancelled: Optional[asyncio.CancelledError] = None
    task = asyncio.ensure_future(readable(fd, deadline))
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


def forget(fd: int) -> None:
    """`fd` is about to be closed: wakes who waits for it, in whichever loop that is running here."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    table = _waiters.get(loop)
    for write in (False, True):
        waiting = None if table is None else table.pop((fd, write), None)
        if waiting is not None:
            (loop.remove_writer if write else loop.remove_reader)(fd)
            _wake(waiting, fd)


async def in_worker(
    work: Callable[[Caller], T], discard: Optional[Callable[[T], object]] = None
) -> T:
    """What `work` returns. It runs on a worker, and gets the caller.

    When the task is cancelled, what it then returns is handed to `discard`.
    """
    loop = asyncio.get_running_loop()
    cancelled = False

    def gone() -> bool:
        # At the interpreter's end a loop that stands still will not go on.
        ends = not (loop.is_running() or threading.main_thread().is_alive())
        return cancelled or ends or loop.is_closed()

    def call_back(function: Callable[..., Any], *args: Any) -> Any:
        from concurrent.futures import Future, TimeoutError

        answer: Future[Any] = Future()

        def run() -> None:
            try:
                if cancelled:
                    raise asyncio.CancelledError
                answer.set_result(function(*args))
            except BaseException as failure:
                answer.set_exception(failure)

        loop.call_soon_threadsafe(run)  # a loop that was closed raises, and that gives up
        while True:
            try:
                return answer.result(0.2)
            except TimeoutError:
                if gone():
                    raise asyncio.CancelledError from None

    finished: asyncio.Future[None] = loop.create_future()

    def tell(_: object) -> None:
        try:
            loop.call_soon_threadsafe(_finish, finished)
        except RuntimeError:
            pass  # the loop was closed meanwhile, nobody waits

    future = _workers.submit(lambda: work(Caller(call_back, gone)))
    future.add_done_callback(tell)
    try:
        await finished
    except BaseException:
        cancelled = True
        _workers.discard_late(future, discard)
        raise
    try:
        return future.result()  # type: ignore[no-any-return]
    finally:
        del future  # what it raises has this frame in its traceback


def _finish(finished: asyncio.Future[None]) -> None:
    if not finished.done():
        finished.set_result(None)
