"""Points in time at which a wait is given up."""

from __future__ import annotations

import time
from typing import Optional

from vmette import _check


class Deadline:
    """`timeout` seconds from now, never for None."""

    __slots__ = ("timeout", "_at")

    def __init__(self, timeout: Optional[float], name: str = "timeout") -> None:
        self.timeout = _check.optional_seconds(name, timeout)
        self._at = None if self.timeout is None else time.monotonic() + self.timeout

    def remaining(self) -> Optional[float]:
        """Seconds that are left, 0 when it has passed."""
        return None if self._at is None else max(0.0, self._at - time.monotonic())
