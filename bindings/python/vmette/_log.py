"""The library's log."""

from __future__ import annotations

from typing import Any

from vmette import _check, _core
from vmette._enums import LogLevel


def log_to(file: Any, *, level: LogLevel = LogLevel.INFO) -> None:
    """Sends the library's log to a file object or a descriptor, one line per entry; None turns it off.

    For the whole process. The file stays the caller's and must stay open. A line that cannot be
    written at once is dropped.

    >>> with tempfile.TemporaryFile("w+") as file:
    ...     vmette.log_to(file)
    ...     with vmette.Session() as vm:
    ...         pass
    ...     vmette.log_to(None)
    ...     _ = file.seek(0)
    ...     file.read().count("\\n") > 0
    True
    """
    chosen = _check.choice("level", level, LogLevel)
    if file is None:
        _core.log_to_fd(-1, LogLevel.OFF.value)
        return
    fd = file.fileno() if hasattr(file, "fileno") else file
    _core.log_to_fd(_check.integer("file", fd, 0, 2**31 - 1), chosen.value)


log_to.__module__ = "vmette"
