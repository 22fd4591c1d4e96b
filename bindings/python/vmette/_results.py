"""What calls return. Plain values: they hold nothing of the machine."""

from __future__ import annotations

import codecs
import dataclasses
from typing import Any, AnyStr, Generic, Optional, Tuple

from vmette._enums import End, ErrorCode, FileType
from vmette._errors import CommandFailed

__all__ = [
    "CompletedProcess",
    "Copied",
    "DirEntry",
    "FileStat",
    "PoolCounts",
    "SessionOutput",
    "Stats",
    "TimelineEntry",
]


@dataclasses.dataclass(frozen=True)
class CompletedProcess(Generic[AnyStr]):
    """A command that has ended, shaped like `subprocess.CompletedProcess`.

    `returncode` is the exit code, or -N when signal N ended it. `stdout` and `stderr` are what it
    printed, None where it was not captured; `truncated` when more came than capture_limit. Times are
    seconds by the guest's clock, `max_rss_kib` the largest resident set of it or a child it waited
    for. `end_message` says how it ended, for example "killed by signal 9, out of memory".

    >>> with vmette.Session() as vm:
    ...     done = vm.run("echo hello", text=True)
    >>> done
    CompletedProcess(args='echo hello', returncode=0, stdout='hello\\n', stderr='')
    """

    args: Any
    returncode: int
    stdout: AnyStr
    stderr: AnyStr
    truncated: bool = dataclasses.field(default=False, repr=False)
    out_of_memory: bool = dataclasses.field(default=False, repr=False)
    wall_time: float = dataclasses.field(default=0.0, repr=False)
    user_time: float = dataclasses.field(default=0.0, repr=False)
    system_time: float = dataclasses.field(default=0.0, repr=False)
    max_rss_kib: int = dataclasses.field(default=0, repr=False)
    end_message: str = dataclasses.field(default="", repr=False)

    def check_returncode(self) -> None:
        """Raises `CommandFailed` unless the command ended with 0."""
        if self.returncode == 0:
            return
        error = CommandFailed(
            f"the command {self.args!r} did not end with 0: {self.end_message}",
            code=ErrorCode.GUEST,
            stage="exec",
        )
        error.cmd, error.returncode = self.args, self.returncode
        error.stdout, error.stderr = self.stdout, self.stderr
        raise error


@dataclasses.dataclass(frozen=True)
class SessionOutput:
    """What a session's own command has printed so far, see `SessionOptions`.

    >>> with vmette.Session(command="echo hi; exit 3", capture_output=True) as vm:
    ...     vm.wait()
    ...     vm.output().stdout, vm.output().exit_code
    (b'hi\\n', 3)
    """

    exit_code: int
    end_message: str
    stdout: bytes
    stderr: bytes
    combined: bytes
    truncated: bool


@dataclasses.dataclass(frozen=True)
class TimelineEntry:
    """A point of the boot, `seconds` after the launch.

    >>> with vmette.Session() as vm:
    ...     vm.timeline[0].name
    'helper spawned'
    """

    name: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class FileStat:
    """What a file of the guest is. `mode` has permission bits only, `target` is what a link says.

    >>> with vmette.Session() as vm:
    ...     vm.files.write_text("/tmp/note", "hello")
    ...     vm.files.stat("/tmp/note").size
    5
    """

    type: FileType
    mode: int
    size: int
    disk_bytes: int
    uid: int
    gid: int
    inode: int
    links: int
    device: int
    mtime_ns: int
    target: str

    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.type is FileType.DIRECTORY

    def is_file(self) -> bool:
        """Whether it is a file with content."""
        return self.type is FileType.REGULAR

    def is_symlink(self) -> bool:
        """Whether it is a symbolic link."""
        return self.type is FileType.SYMLINK


@dataclasses.dataclass(frozen=True)
class DirEntry:
    """A file in a directory of the guest. Names are text with surrogate escapes, as `os.fsdecode()`.

    >>> with vmette.Session() as vm:
    ...     vm.files.write_text("/tmp/a/note", "hello", parents=True)
    ...     [entry.path for entry in vm.files.iterdir("/tmp/a")]
    ['/tmp/a/note']
    """

    name: str
    path: str
    stat: FileStat

    def is_dir(self) -> bool:
        """Whether it is a directory; a link to one is not."""
        return self.stat.is_dir()

    def is_file(self) -> bool:
        """Whether it is a file with content; a link to one is not."""
        return self.stat.is_file()


@dataclasses.dataclass(frozen=True)
class Stats:
    """How the guest is doing.

    >>> with vmette.Session(mem_mib=256) as vm:
    ...     0 < vm.stats().memory_available_kib < 256 * 1024
    True
    """

    uptime: float
    memory_kib: int
    memory_available_kib: int
    load: Tuple[float, float, float]
    processes: int
    root_bytes: int
    root_available_bytes: int


@dataclasses.dataclass(frozen=True)
class Copied:
    """How much of a tree was copied: entries, bytes of content, and special files left out.

    >>> with vmette.Session() as vm:
    ...     vm.files.put(".", "/tmp/work").skipped
    0
    """

    entries: int
    bytes: int
    skipped: int


@dataclasses.dataclass(frozen=True)
class PoolCounts:
    """How a pool is doing.

    >>> with vmette.Pool(ready=1) as pool:
    ...     with pool.take() as vm:
    ...         pool.count().taken
    1
    """

    ready: int
    starting: int
    taken: int
    ending: int
    waiting: int
    started: int
    failed: int
    died: int
    last_error: str


@dataclasses.dataclass(frozen=True)
class Ending:
    """How a session ended: what stays of it when the machine is gone."""

    end: End
    exit_code: int
    message: str


def decoded(data: bytes, encoding: Optional[str], errors: str, cut: bool = False) -> Any:
    """Captured bytes as the caller wants them; half a character at the end of what was cut goes."""
    if encoding is None:
        return data
    decoder = codecs.getincrementaldecoder(encoding)(errors)
    # Line ends become \n, as in subprocess and in files opened as text.
    return decoder.decode(data, not cut).replace("\r\n", "\n").replace("\r", "\n")


for _name in __all__:
    globals()[_name].__module__ = "vmette"
