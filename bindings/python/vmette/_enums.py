"""Closed sets. The numbers are those of vmette.h."""

from __future__ import annotations

import enum

__all__ = [
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
]


class ErrorCode(enum.IntEnum):
    """What a call failed with, as `Error.code`.

    >>> vmette.ErrorCode.DEADLINE.name
    'DEADLINE'
    """

    INVALID_ARGUMENT = 1
    INVALID_CONFIG = 2
    NOT_FOUND = 3
    START_FAILED = 4
    GUEST = 5
    SPAWN = 6
    DEADLINE = 7
    SESSION_ENDED = 8
    STATE = 9
    UNSUPPORTED = 10
    IO = 11
    NO_MEMORY = 12
    INTERNAL = 13
    INVALID_SPEC = 14
    OFFLINE_CACHE_MISS = 15
    NETWORK = 16
    PROVIDER = 17
    CANCELLED = 18
    FILE = 19
    RESTORE_FAILED = 20
    SNAPSHOT = 21


class State(enum.Enum):
    """Where a session is in its life, as `Session.state`.

    >>> vmette.Session().state
    <State.CREATED: 0>
    """

    CREATED = 0
    STARTING = 1
    READY = 2
    PAUSED = 3
    ENDED = 4


class End(enum.Enum):
    """Why a session ended, as `Session.end`.

    >>> vmette.Session().end
    <End.NONE: 0>
    """

    NONE = 0
    EXITED = 1
    TIMED_OUT = 2
    STOPPED = 3
    ERROR = 4


class Accel(enum.Enum):
    """What runs the guest's vCPUs: hardware where it works (AUTO), hardware or an error, emulation.

    >>> vmette.Session(accel=vmette.Accel.EMULATION).state
    <State.CREATED: 0>
    """

    AUTO = 0
    HARDWARE = 1
    EMULATION = 2


class ShareTransport(enum.Enum):
    """How directories of the host reach the guest.

    >>> vmette.Session(share_transport=vmette.ShareTransport.P9).state
    <State.CREATED: 0>
    """

    AUTO = 0
    VIRTIOFS = 1
    P9 = 2


class VsockMode(enum.Enum):
    """How a guest's vsock port is chosen.

    >>> vmette.Session(vsock=vmette.VsockMode.DISABLED).state
    <State.CREATED: 0>
    """

    DISABLED = 0
    AUTO = 1
    FIXED = 2


class Stdio(enum.IntEnum):
    """What a stream of a command is; the numbers are those of the module subprocess.

    PIPE: a file object of the caller's. STDOUT: for stderr, the same as stdout. DEVNULL: /dev/null in
    the guest.

    >>> vmette.Stdio.PIPE == vmette.PIPE == subprocess.PIPE
    True
    """

    PIPE = -1
    STDOUT = -2
    DEVNULL = -3


class Scope(enum.Enum):
    """Whom a signal reaches: the leading process of a command, its group, or all that it started.

    >>> vmette.Scope.TREE
    <Scope.TREE: 2>
    """

    PROCESS = 0
    GROUP = 1
    TREE = 2


class FileType(enum.Enum):
    """What a file of the guest is.

    >>> with vmette.Session() as vm:
    ...     vm.files.stat("/bin").type
    <FileType.DIRECTORY: 2>
    """

    UNKNOWN = 0
    REGULAR = 1
    DIRECTORY = 2
    SYMLINK = 3
    CHAR_DEVICE = 4
    BLOCK_DEVICE = 5
    FIFO = 6
    SOCKET = 7


class LogLevel(enum.Enum):
    """How much the library's log says, see `log_to()`.

    >>> vmette.log_to(None, level=vmette.LogLevel.OFF)
    """

    OFF = 0
    ERROR = 1
    INFO = 2
    DEBUG = 3
