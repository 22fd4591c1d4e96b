"""How the synchronous face waits. The asynchronous one has the same functions in vmette.aio._loop."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, Set, TypeVar

from vmette import _workers

if TYPE_CHECKING:
    from vmette._deadline import Deadline

T = TypeVar("T")
# Runs a function in the caller's thread, from a worker.
CallBack = Callable[..., Any]


def _milliseconds(deadline: Optional[Deadline]) -> Optional[float]:
    left = None if deadline is None else deadline.remaining()
    return None if left is None else left * 1000


def any_ready(
    reading: Iterable[int], writing: Iterable[int], deadline: Optional[Deadline] = None
) -> Set[int]:
    """Those of the descriptors that are ready; none when the deadline has passed.

    A signal handler that raises, as that of Ctrl-C, ends the wait at once.
    """
    poller = select.poll()
    for fd in reading:
        poller.register(fd, select.POLLIN)
    for fd in writing:
        poller.register(fd, select.POLLOUT)
    return {fd for fd, _ in poller.poll(_milliseconds(deadline))}


def readable(fd: int, deadline: Optional[Deadline] = None) -> bool:
    """Waits until `fd` is readable; False when the deadline has passed."""
    return bool(any_ready((fd,), (), deadline))


def settled(fd: int, deadline: Optional[Deadline] = None) -> bool:
    """The same for cleaning up, which is not to be cut short."""
    return readable(fd, deadline)


def forget(fd: int) -> None:
    """`fd` is about to be closed."""


class _Errand:
    """A call from a worker to the thread that waits for it."""

    def __init__(self, function: Callable[..., Any], args: Any) -> None:
        self._function = function
        self._args = args
        self._done = threading.Event()
        self._result: Any = None
        self.failure: Optional[BaseException] = None

    def run(self) -> None:
        try:
            self._result = self._function(*self._args)
        except BaseException as failure:
            self.failure = failure
        self._done.set()

    def refuse(self) -> None:
        self.failure = KeyboardInterrupt()
        self._done.set()

    def result(self) -> Any:
        self._done.wait()
        if self.failure is not None:
            raise self.failure
        return self._result


def in_worker(
    work: Callable[[CallBack], T], discard: Optional[Callable[[T], object]] = None
) -> T:
    """What `work` returns. It gets a function that runs another one in this thread.

    In the main thread it runs beside, so that Ctrl-C ends the wait at once; what it then returns is
    handed to `discard`. Other threads get no signals and do it themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        return work(lambda function, *args: function(*args))
    from queue import SimpleQueue

    errands: SimpleQueue[Optional[_Errand]] = SimpleQueue()
    given_up = False

    def call_back(function: Callable[..., Any], *args: Any) -> Any:
        errand = _Errand(function, args)
        if given_up:
            errand.refuse()
        else:
            errands.put(errand)
        return errand.result()

    future = _workers.submit(lambda: work(call_back))
    future.add_done_callback(lambda _: errands.put(None))
    try:
        while True:
            errand = errands.get()
            if errand is None:
                break
            errand.run()
    except BaseException:
        given_up = True
        while not errands.empty():
            late = errands.get()
            if late is not None:
                late.refuse()
        _workers.discard_late(future, discard)
        raise
    try:
        return future.result()  # type: ignore[no-any-return]
    finally:
        del future  # what it raises has this frame in its traceback
