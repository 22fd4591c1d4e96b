"""The exceptions. Everything that the library refuses is an `Error`."""

from __future__ import annotations

import errno as _errno
from typing import Any, Dict, Optional, Tuple, Type, Union

from vmette._enums import ErrorCode

__all__ = [
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
]


class Error(Exception):
    """What a call failed with. `str()` gives one line: what happened, with which value, what to do.

    `code` is an `ErrorCode`. `stage` says where it happened ("config", "helper", "kernel", "exec" ...)
    and may be empty. `details` has what else is known: "errno", "console" (the last lines of the
    guest's console), "elapsed_ms" since the session's start.

    >>> try:
    ...     vmette.run("true", vcpus=1000)
    ... except vmette.Error as error:
    ...     error.code, error.stage
    (<ErrorCode.INVALID_CONFIG: 2>, 'config')
    """

    code: ErrorCode
    stage: str
    details: Dict[str, Any]

    def __init__(
        self,
        message: str,
        *,
        code: ErrorCode = ErrorCode.INTERNAL,
        stage: str = "",
        details: Optional[Dict[str, Any]] = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.stage = stage
        self.details = dict(details or {})
        if isinstance(self, OSError):
            OSError.__setattr__(self, "errno", self.details.get("errno"))
            OSError.__setattr__(self, "strerror", message)

    def __str__(self) -> str:
        return str(self.args[0])

    def __reduce__(self) -> Tuple[Any, ...]:
        # The kinds of _by_errno have no name of their own to be found by.
        kind = next((one for one in _by_errno if isinstance(self, one)), type(self))
        return _again, (kind, self.args[0], self.code, self.stage, self.details), self.__dict__


class ConfigError(Error, ValueError):
    """An option or an argument has a value that cannot be; the message names it and the remedy.

    >>> vmette.Session(mem_mib=1).start()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    vmette.ConfigError: mem_mib: ...
    """


class StartError(Error):
    """The machine did not get ready, or something that it needs is not installed.

    >>> vmette.Session(helper="/nowhere").start()  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    vmette.StartError: ...
    """


class RootfsError(StartError):
    """The root could not be had: from the network, from the cache, or from a provider.

    >>> issubclass(vmette.RootfsError, vmette.StartError)
    True
    """


class GuestError(Error):
    """The guest broke the protocol, crashed, or could not do what it was told.

    >>> issubclass(vmette.FileError, vmette.GuestError)
    True
    """


class SpawnError(GuestError, OSError):
    """A command could not be started in the guest; `errno` says why. As with `FileError`.

    >>> with vmette.Session() as vm:
    ...     try:
    ...         vm.run(["/no/such/program"])
    ...     except vmette.SpawnError as error:
    ...         error.errno == errno.ENOENT
    True
    """


class FileError(GuestError, OSError):
    """A file operation failed in the guest: the message names the path, `errno` is Linux's.

    It is also the built-in exception of its errno: FileNotFoundError, PermissionError ...

    >>> with vmette.Session() as vm:
    ...     try:
    ...         vm.files.read_text("/nowhere")
    ...     except FileNotFoundError as error:
    ...         isinstance(error, vmette.FileError)
    True
    """


class HostError(Error, OSError):
    """The host's operating system refused; `errno` says why. As with `FileError`.

    >>> with vmette.Session() as vm:
    ...     try:
    ...         vm.files.put("/no/such/file", "/tmp/file")
    ...     except vmette.HostError as error:
    ...         error.errno == errno.ENOENT
    True
    """


class SnapshotError(Error):
    """A machine could not be saved, or a snapshot cannot be resumed here.

    >>> vmette.Snapshot.open("/nowhere")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    vmette.SnapshotError: ...
    """


class SessionEnded(Error):
    """The session has ended; the message says why.

    >>> with vmette.Session() as vm:
    ...     pass
    >>> vm.run("true")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    vmette.SessionEnded: ...
    """


class StateError(Error, RuntimeError):
    """The call does not fit the object's state, for example a second start.

    >>> vmette.Session().run("true")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    vmette.StateError: ...
    """


class DeadlineExceeded(Error, TimeoutError):
    """The caller's timeout passed. `stdout` and `stderr` have what a command printed until then.

    >>> with vmette.Session() as vm:
    ...     try:
    ...         vm.run("echo begun; sleep 60", timeout=0.5)
    ...     except TimeoutError as error:
    ...         error.stdout
    b'begun\\n'
    """

    stdout: Union[bytes, str, None] = None
    stderr: Union[bytes, str, None] = None


class CommandFailed(Error):
    """A command ran with `check=True` and did not end with 0.

    Has what `subprocess.CalledProcessError` has: `cmd`, `returncode`, `stdout`, `stderr`.

    >>> with vmette.Session() as vm:
    ...     try:
    ...         vm.run("exit 3", check=True)
    ...     except vmette.CommandFailed as error:
    ...         error.returncode
    3
    """

    cmd: Any = None
    returncode: int = -1
    stdout: Union[bytes, str, None] = None
    stderr: Union[bytes, str, None] = None


# What errors with an errno are besides: `except FileNotFoundError` is what people write.
_builtin: Dict[int, Type[OSError]] = {
    _errno.ENOENT: FileNotFoundError,
    _errno.EEXIST: FileExistsError,
    _errno.EISDIR: IsADirectoryError,
    _errno.ENOTDIR: NotADirectoryError,
    _errno.EACCES: PermissionError,
    _errno.EPERM: PermissionError,
}
_by_errno: Dict[Type[Error], Dict[int, Type[Error]]] = {
    kind: {number: type(kind.__name__, (kind, other), {}) for number, other in _builtin.items()}
    for kind in (FileError, HostError, SpawnError)
}

_of_code: Dict[ErrorCode, Type[Error]] = {
    ErrorCode.INVALID_ARGUMENT: ConfigError,
    ErrorCode.INVALID_CONFIG: ConfigError,
    ErrorCode.INVALID_SPEC: ConfigError,
    ErrorCode.NOT_FOUND: StartError,
    ErrorCode.START_FAILED: StartError,
    ErrorCode.OFFLINE_CACHE_MISS: RootfsError,
    ErrorCode.NETWORK: RootfsError,
    ErrorCode.PROVIDER: RootfsError,
    ErrorCode.GUEST: GuestError,
    ErrorCode.SPAWN: SpawnError,
    ErrorCode.FILE: FileError,
    ErrorCode.IO: HostError,
    ErrorCode.DEADLINE: DeadlineExceeded,
    ErrorCode.SESSION_ENDED: SessionEnded,
    ErrorCode.STATE: StateError,
    ErrorCode.RESTORE_FAILED: SnapshotError,
    ErrorCode.SNAPSHOT: SnapshotError,
}

# People and tracebacks see them where they are imported from.
for _name in __all__:
    globals()[_name].__module__ = "vmette"
for _kinds in _by_errno.values():
    for _kind in _kinds.values():
        _kind.__module__ = "vmette"


def _again(
    kind: Type[Error], message: str, code: ErrorCode, stage: str, details: Dict[str, Any]
) -> Error:
    exact = _by_errno.get(kind, {}).get(details.get("errno", 0), kind)
    return exact(message, code=code, stage=stage, details=details)


def from_core(
    code: int, message: str, stage: str, errno: int, console: bytes, elapsed_ms: int
) -> Error:
    """The exception of an error of the library. Called by the compiled module."""
    details: Dict[str, Any] = {}
    try:
        known = ErrorCode(code)
    except ValueError:  # of a newer library
        known, details["code"] = ErrorCode.INTERNAL, code
    if errno:
        details["errno"] = errno
    if console:
        details["console"] = console.decode("utf-8", "backslashreplace")
    if elapsed_ms:
        details["elapsed_ms"] = elapsed_ms
    return _again(_of_code.get(known, Error), message, known, stage, details)


def fresh(error: Error) -> Error:
    """The same error, without the frames that it has been through."""
    kind, args = error.__reduce__()[0], error.__reduce__()[1]
    again: Error = kind(*args)
    again.__dict__.update(error.__dict__)
    return again


def in_child(what: str) -> StateError:
    """The error of a use in a child of fork()."""
    return StateError(
        f"{what} belongs to the process that started it, and this is a child of fork(); start "
        "machines in the process that uses them",
        code=ErrorCode.STATE,
    )


def deadline(what: str, timeout: Optional[float]) -> DeadlineExceeded:
    """The error of a wait that was given up after `timeout` seconds."""
    return DeadlineExceeded(f"{what} was not over after {timeout:g} s", code=ErrorCode.DEADLINE)
