"""Runs untrusted code in a hardware-isolated Linux microVM on this machine.

>>> vmette.run("uname -s", text=True).stdout
'Linux\\n'

A `Session` is a machine that stays: commands, files, snapshots, pauses. `vmette.aio` has the same
names for asyncio. Nothing is started by the import.
"""

from typing import TYPE_CHECKING, Any

from vmette import _core

_core.check_interpreter()

from vmette._enums import (
    Accel,
    End,
    ErrorCode,
    FileType,
    LogLevel,
    Scope,
    ShareTransport,
    State,
    Stdio,
    VsockMode,
)
from vmette._errors import (
    CommandFailed,
    ConfigError,
    DeadlineExceeded,
    Error,
    FileError,
    GuestError,
    HostError,
    RootfsError,
    SessionEnded,
    SnapshotError,
    SpawnError,
    StartError,
    StateError,
)
from vmette._exec import DEVNULL, PIPE, STDOUT, CommandOptions, PopenOptions, PtyOptions, RunOptions
from vmette._log import log_to
from vmette._options import Disk, Options, SessionOptions, Share
from vmette._provider import Provider, ProviderContext, RootfsArtifact
from vmette._results import (
    CompletedProcess,
    Copied,
    DirEntry,
    FileStat,
    PoolCounts,
    SessionOutput,
    Stats,
    TimelineEntry,
)
from vmette._sync._files import Files, GuestFile
from vmette._sync._pool import Pool
from vmette._sync._process import Popen, Pty
from vmette._sync._run import run, run_in_terminal
from vmette._sync._session import Session
from vmette._sync._snapshot import Snapshot

if TYPE_CHECKING:
    from vmette import aio as aio

__version__: str = _core.version

__all__ = [
    "DEVNULL",
    "PIPE",
    "STDOUT",
    "Accel",
    "CommandFailed",
    "CommandOptions",
    "CompletedProcess",
    "ConfigError",
    "Copied",
    "DeadlineExceeded",
    "DirEntry",
    "Disk",
    "End",
    "Error",
    "ErrorCode",
    "FileError",
    "FileStat",
    "FileType",
    "Files",
    "GuestError",
    "GuestFile",
    "HostError",
    "LogLevel",
    "Options",
    "Pool",
    "PoolCounts",
    "Popen",
    "PopenOptions",
    "Provider",
    "ProviderContext",
    "Pty",
    "PtyOptions",
    "RootfsArtifact",
    "RootfsError",
    "RunOptions",
    "Scope",
    "Session",
    "SessionEnded",
    "SessionOptions",
    "SessionOutput",
    "Share",
    "ShareTransport",
    "Snapshot",
    "SnapshotError",
    "SpawnError",
    "StartError",
    "State",
    "StateError",
    "Stats",
    "Stdio",
    "TimelineEntry",
    "VsockMode",
    "aio",
    "log_to",
    "run",
    "run_in_terminal",
]


def __getattr__(name: str) -> Any:
    # asyncio takes longer to import than all the rest.
    if name == "aio":
        import importlib

        return importlib.import_module("vmette.aio")
    raise AttributeError(f"module 'vmette' has no attribute {name!r}")
