"""Runs untrusted code in a hardware-isolated Linux microVM on this machine.

>>> vmette.run("uname -s", text=True).stdout
'Linux\\n'

A `Session` is a machine that stays: commands, files, snapshots, pauses. `vmette.aio` has the same
names for asyncio. The import starts nothing, and each part is loaded when it is first used.
"""

import importlib as _importlib

from vmette import _core

_core.check_interpreter()

__version__ = _core.version

_parts = {
    "_enums": [
        "Accel",
        "End",
        "ErrorCode",
        "FileType",
        "LogLevel",
        "Scope",
        "ShareTransport",
        "State",
        "Stdio",
        "VsockMode",
    ],
    "_errors": [
        "CommandFailed",
        "ConfigError",
        "DeadlineExceeded",
        "Error",
        "FileError",
        "GuestError",
        "HostError",
        "RootfsError",
        "SessionEnded",
        "SnapshotError",
        "SpawnError",
        "StartError",
        "StateError",
    ],
    "_exec": [
        "CommandOptions",
        "DEVNULL",
        "PIPE",
        "PopenOptions",
        "PtyOptions",
        "RunOptions",
        "STDOUT",
    ],
    "_log": [
        "log_to",
    ],
    "_options": [
        "Disk",
        "Options",
        "SessionOptions",
        "Share",
    ],
    "_provider": [
        "Provider",
        "ProviderContext",
        "RootfsArtifact",
    ],
    "_results": [
        "CompletedProcess",
        "Copied",
        "DirEntry",
        "FileStat",
        "PoolCounts",
        "SessionOutput",
        "Stats",
        "TimelineEntry",
    ],
    "_sync._files": [
        "Files",
    ],
    "_sync._guest_file": [
        "GuestFile",
    ],
    "_sync._pool": [
        "Pool",
    ],
    "_sync._process": [
        "Popen",
        "Pty",
    ],
    "_sync._run": [
        "list_providers",
        "resolve_rootfs",
        "run",
        "run_in_terminal",
        "validate",
    ],
    "_sync._session": [
        "Session",
    ],
    "_sync._snapshot": [
        "Snapshot",
    ],
}
_homes = {name: f"vmette.{part}" for part, names in _parts.items() for name in names}

__all__ = sorted([*_homes, "aio"])


def __getattr__(name: str) -> object:
    if name == "aio":
        return _importlib.import_module("vmette.aio")
    if name not in _homes:
        raise AttributeError(f"module 'vmette' has no attribute {name!r}")
    found = globals()[name] = getattr(_importlib.import_module(_homes[name]), name)
    return found


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
