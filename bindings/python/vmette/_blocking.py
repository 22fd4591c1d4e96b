"""How the synchronous face waits. The asynchronous one has the same functions in vmette.aio._loop."""

from __future__ import annotations

import select
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterable, Optional, Set, TypeVar

from vmette import _workers
from vmette._workers import Caller

if TYPE_CHECKING:
    from vmette._deadline import Deadline

T = TypeVar("T")
# poll() takes no more at a time.
_LONGEST = 2**31 - 1


def _milliseconds(deadline: Optional[Deadline]) -> Optional[float]:
    left = None if deadline is None else deadline.remaining()
    return None if left is None else min(left * 1000, _LONGEST)


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
    while True:
        ready = {fd for fd, _ in poller.poll(_milliseconds(deadline))}
        if ready or deadline is None or deadline.remaining() == 0:
            return ready


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
    work: Callable[[Caller], T], discard: Optional[Callable[[T], object]] = None
) -> T:
    """What `work` returns. It gets the caller.

    In the main thread it runs beside, so that Ctrl-C ends the wait at once; what it then returns is
    handed to `discard`. Other threads get no signals and do it themselves.
    """
    if threading.current_thread() is not threading.main_thread():
        return work(Caller(lambda function, *args: function(*args), lambda: False))
    from queue import SimpleQueue

    errands: SimpleQueue[Optional[_Errand]] = SimpleQueue()
    given_up = False

    def call_back(function: Callable[..., Any], *args: Any) -> Any:
        errand = _Errand(function, args)
        errands.put(errand)
        if given_up:
            errand.refuse()
        return errand.result()

    errand: Optional[_Errand] = None
    future = _workers.submit(lambda: work(Caller(call_back, lambda: given_up)))
    future.add_done_callback(lambda _: errands.put(None))
    try:
        while True:
            errand = errands.get()
            if errand is None:
                break
            errand.run()
    except BaseException:
        given_up = True
        while errand is not None or not errands.empty():
            if errand is not None:
                errand.refuse()
            errand = None if errands.empty() else errands.get()
        _workers.discard_late(future, discard)
        raise
    try:
        return future.result()  # type: ignore[no-any-return]
    finally:
        del future  # what it raises has this frame in its traceback
