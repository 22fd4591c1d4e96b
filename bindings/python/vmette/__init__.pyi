from vmette import aio as aio
from vmette._enums import (
    Accel as Accel,
    End as End,
    ErrorCode as ErrorCode,
    FileType as FileType,
    LogLevel as LogLevel,
    Scope as Scope,
    ShareTransport as ShareTransport,
    State as State,
    Stdio as Stdio,
    VsockMode as VsockMode,
)
from vmette._errors import (
    CommandFailed as CommandFailed,
    ConfigError as ConfigError,
    DeadlineExceeded as DeadlineExceeded,
    Error as Error,
    FileError as FileError,
    GuestError as GuestError,
    HostError as HostError,
    RootfsError as RootfsError,
    SessionEnded as SessionEnded,
    SnapshotError as SnapshotError,
    SpawnError as SpawnError,
    StartError as StartError,
    StateError as StateError,
)
from vmette._exec import (
    CommandOptions as CommandOptions,
    DEVNULL as DEVNULL,
    PIPE as PIPE,
    PopenOptions as PopenOptions,
    PtyOptions as PtyOptions,
    RunOptions as RunOptions,
    STDOUT as STDOUT,
)
from vmette._log import (
    log_to as log_to,
)
from vmette._options import (
    Disk as Disk,
    Options as Options,
    SessionOptions as SessionOptions,
    Share as Share,
)
from vmette._provider import (
    Provider as Provider,
    ProviderContext as ProviderContext,
    RootfsArtifact as RootfsArtifact,
)
from vmette._results import (
    CompletedProcess as CompletedProcess,
    Copied as Copied,
    DirEntry as DirEntry,
    FileStat as FileStat,
    PoolCounts as PoolCounts,
    SessionOutput as SessionOutput,
    Stats as Stats,
    TimelineEntry as TimelineEntry,
)
from vmette._sync._files import (
    Files as Files,
)
from vmette._sync._guest_file import (
    GuestFile as GuestFile,
)
from vmette._sync._pool import (
    Pool as Pool,
)
from vmette._sync._process import (
    Popen as Popen,
    Pty as Pty,
)
from vmette._sync._run import (
    list_providers as list_providers,
    resolve_rootfs as resolve_rootfs,
    run as run,
    run_in_terminal as run_in_terminal,
    validate as validate,
)
from vmette._sync._session import (
    Session as Session,
)
from vmette._sync._snapshot import (
    Snapshot as Snapshot,
)

__version__: str

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
    "list_providers",
    "log_to",
    "resolve_rootfs",
    "run",
    "run_in_terminal",
    "validate",
]
