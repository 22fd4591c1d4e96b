"""Calls that the guest answers. vmette._sync._call is made of this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vmette._errors import deadline
from vmette.aio import _loop as io

if TYPE_CHECKING:
    from vmette import _core
    from vmette._deadline import Deadline


async def answer(call: _core.Call, limit: Deadline, what: str) -> Any:
    """What the guest answers. Whatever cuts the wait short gives the call up."""
    try:
        if await io.readable(call.done_fd(), limit):
            return call.take()
        raise deadline(what, limit.timeout)
    finally:
        call.cancel()
