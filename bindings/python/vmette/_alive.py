"""Machines that run: ended when the interpreter ends, so that none outlives it by a moment."""

from __future__ import annotations

import atexit
import os
import select
import time
import weakref
from typing import Set

from vmette import _core
from vmette._errors import Error

# What the ends of all machines together may take.
_PATIENCE = 10.0

_alive: Set[weakref.ref[_core.Session]] = set()
_registered = False


def add(core: _core.Session) -> None:
    """Has the machine ended at the interpreter's end, if it still runs."""
    global _registered
    if not _registered:
        _registered = True
        atexit.register(_end_all)
    _alive.add(weakref.ref(core, _alive.discard))


def _end_all() -> None:
    cores = [core for core in (one() for one in list(_alive)) if core is not None]
    poller = select.poll()
    waiting = set()
    for core in cores:
        try:
            core.request_kill()
        except Error:
            continue
        poller.register(core.end_fd(), select.POLLIN)
        waiting.add(core.end_fd())
    end = time.monotonic() + _PATIENCE
    while waiting and time.monotonic() < end:
        for fd, _ in poller.poll(1000):
            poller.unregister(fd)
            waiting.discard(fd)


# Those of the parent are the parent's.
os.register_at_fork(after_in_child=_alive.clear)
