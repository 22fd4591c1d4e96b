"""What belongs to the process that made it."""

from __future__ import annotations

import os


class Owned:
    """Something of which a child of fork() has a copy, and has to leave the thing itself alone."""

    _owner = -1

    def __init__(self) -> None:
        self._owner = os.getpid()

    def _inherited(self) -> bool:
        return os.getpid() != self._owner
