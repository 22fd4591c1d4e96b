"""What belongs to the process that made it, and not to children of fork()."""

from __future__ import annotations

import os
import weakref
from typing import Any


class Owned:
    """Something of which a child of fork() has a copy, and has to leave the thing itself alone."""

    _owner = -1

    def __init__(self) -> None:
        self._own()

    def _own(self) -> None:
        """From now on it is this process's."""
        self._owner = os.getpid()

    def _inherited(self) -> bool:
        return os.getpid() != self._owner


_writers: weakref.WeakSet[Any] = weakref.WeakSet()


def keep_from_children(writer: Any) -> None:
    """In a child of fork() `writer` leads nowhere: what is buffered is not sent twice, and the guest
    sees the end when this process closes it."""
    _writers.add(writer)


def _lead_nowhere() -> None:
    for writer in list(_writers):
        if not writer.closed:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, writer.fileno(), inheritable=False)
            os.close(nowhere)


os.register_at_fork(after_in_child=_lead_nowhere)
