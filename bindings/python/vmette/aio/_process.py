"""Commands in a running machine. vmette._sync._process is made of this file."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, AnyStr, Callable, Dict, Generic, List, Optional, Set, Tuple, TypeVar

from vmette import _check, _core, _exec
from vmette._deadline import Deadline
from vmette._enums import ErrorCode, Scope
from vmette._errors import (
    DeadlineExceeded,
    Error,
    GuestError,
    SessionEnded,
    SpawnError,
    deadline,
    fresh,
    in_child,
)
from vmette._owned import Owned
from vmette._results import CompletedProcess
from vmette.aio import _loop as io
from vmette.aio import _streams as streams

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Type

__all__ = ["Popen", "Pty"]

_STDIN, _STDOUT, _STDERR = 0, 1, 2
# What a guest may take to report the end of a command that was killed.
_KILL_PATIENCE = 10.0
_CHUNK = 1 << 16


class _Process(Owned):
    """What a command with pipes and one on a terminal share."""

    def __init__(self, core: _core.Process, args: Any) -> None:
        super().__init__()
        self._core: Optional[_core.Process] = core
        self._lost: Optional[Error] = None
        self._returncode: Optional[int] = None
        self.args = args

    def _running(self) -> Optional[_core.Process]:
        """The command while it may still run."""
        if self._inherited():
            raise in_child("the command")
        if self._core is not None and self._core.ended():
            self._note_end(self._core)
        return self._core if self._returncode is None and self._lost is None else None

    def _note_end(self, core: _core.Process) -> None:
        if self._returncode is None:
            self._returncode = _exec.returncode(core)

    @property
    def pid(self) -> int:
        """Its process id in the guest."""
        return 0 if self._core is None else self._core.pid()

    @property
    def returncode(self) -> Optional[int]:
        """The exit code, -N when signal N ended it, None while it runs."""
        self._running()
        return self._returncode

    def poll(self) -> Optional[int]:
        """Same as `returncode`, but raises `SessionEnded` when the command is gone with its machine."""
        core = self._running()
        if core is not None:
            self._check_lost(core)
        if self._lost is not None:
            raise fresh(self._lost)
        return self.returncode

    async def wait(self, timeout: Optional[float] = None) -> int:
        """Waits for the end and returns the exit code. When `timeout` seconds pass first, raises
        `DeadlineExceeded` and leaves the command alone."""
        limit = Deadline(timeout)
        core = self._running()
        if core is not None and not await io.readable(core.exit_fd(), limit):
            raise deadline(f"the command {self.args!r}", timeout)
        if core is not None:
            self._check_lost(core)
        if self._lost is not None:
            raise fresh(self._lost)
        if core is not None:
            self._note_end(core)
        assert self._returncode is not None
        return self._returncode

    def _check_lost(self, core: _core.Process) -> None:
        if not core.ended():
            try:
                core.wait(0)
            except DeadlineExceeded:
                pass  # it runs
            except Error as error:
                self._lost = fresh(error)

    def send_signal(self, number: Any, *, scope: Scope = Scope.GROUP) -> None:
        """Sends a signal: a number of Linux, a `signal.Signals` or a name like "TERM". A command that
        has ended gets none."""
        signal = _check.signal_number("number", number)
        _check.choice("scope", scope, Scope)
        core = self._running()
        if core is not None:
            core.signal(signal, scope.value)

    def terminate(self) -> None:
        """Sends SIGTERM to its process group."""
        self.send_signal("TERM")

    def kill(self) -> None:
        """Kills it and everything that it started."""
        core = self._running()
        if core is not None:
            core.kill()

    async def _end(self) -> None:
        """Kills it and waits until the guest says so, or is not to be believed."""
        core = self._running()
        if core is None:
            return
        try:
            core.kill()
            await io.settled(core.exit_fd(), Deadline(_KILL_PATIENCE))
        except Error:
            pass  # the session has ended, and the command with it
        self._check_lost(core)

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        if getattr(self, "_core", None) is None or self._inherited():
            return
        if self._running() is not None:
            warn(f"{self!r} still runs", ResourceWarning, source=self)

    def __repr__(self) -> str:
        code = self._returncode if self._inherited() else self.returncode
        state = "lost" if self._lost else "running" if code is None else f"returncode={code}"
        return f"<vmette.aio.{type(self).__name__} {self.args!r} {state}>"


class Popen(_Process, Generic[AnyStr]):
    """A command with pipes, like `subprocess.Popen`. Made by `Session.popen()`.

    `stdin`, `stdout` and `stderr` are what the caller writes to and reads from, None where there is
    no pipe. Leaving the with-block closes them and waits for the end; an exception kills the command
    first.

    >>> async with vmette.aio.Session() as vm:
    ...     async with await vm.popen(["cat"], stdin=vmette.PIPE, text=True) as proc:
    ...         await proc.communicate("hello")
    ('hello', '')
    """

    stdin: streams.WriteEnd[AnyStr]
    stdout: streams.ReadEnd[AnyStr]
    stderr: streams.ReadEnd[AnyStr]

    def __init__(self, core: _core.Process, args: Any, coding: _exec.Coding) -> None:
        super().__init__(core, args)
        self._coding = coding
        fds = [core.take_fd(stream) for stream in (_STDIN, _STDOUT, _STDERR)]
        # Typed as if they were all there: who asks for no pipe does not use it.
        none: Any = None
        self.stdin = none if fds[0] < 0 else streams.open_writer(fds[0], coding)
        self.stdout = none if fds[1] < 0 else streams.open_reader(fds[1], coding)
        self.stderr = none if fds[2] < 0 else streams.open_reader(fds[2], coding)
        self._unsent: Optional[memoryview] = None  # of communicate()'s input
        self._received = (bytearray(), bytearray())
        self._before: Optional[List[Any]] = None  # read ahead by the streams

    async def communicate(
        self,
        input: Optional[AnyStr] = None,
        timeout: Optional[float] = None,
        *,
        max_bytes: int = 1 << 30,
    ) -> Tuple[AnyStr, AnyStr]:
        """Writes `input` to stdin, reads both outputs to their ends, waits, and returns what came.

        When `timeout` seconds pass first, raises `DeadlineExceeded` with what came until then; the
        command goes on, and calling this again without input goes on with it and loses nothing. More
        than `max_bytes` of output kills the command and raises `GuestError`.
        """
        limit = Deadline(timeout)
        most = _check.integer("max_bytes", max_bytes, 0, 2**62)
        self._unsent = self._to_send(input)
        await self._begin_pump()
        try:
            await self._pump(limit, most)
            await self.wait(limit.remaining())
        except DeadlineExceeded:
            error = deadline(f"the command {self.args!r}", timeout)
            error.stdout, error.stderr = (bytes(some) for some in self._received)
            raise error from None
        result: Tuple[AnyStr, AnyStr] = self._result()
        for stream in (self.stdout, self.stderr):
            await streams.close(stream)
        return result

    async def _begin_pump(self) -> None:
        if self.stdin is not None and not self.stdin.closed:
            await streams.flush(self.stdin)
            if not self._unsent:
                await streams.close(self.stdin)
        if self._before is None:
            self._before = [
                None if stream is None or stream.closed else streams.buffered(stream)
                for stream in (self.stdout, self.stderr)
            ]

    def _result(self) -> Any:
        """(stdout, stderr): what had been received before, and what came."""
        assert self._before is not None
        return tuple(
            None if stream is None else text if before is None else before + text
            for stream, before, text in zip(
                (self.stdout, self.stderr),
                self._before,
                (self._coding.decode(bytes(some)) for some in self._received),
            )
        )

    def _to_send(self, input: Optional[AnyStr]) -> memoryview:
        if input is None:
            return memoryview(b"") if self._unsent is None else self._unsent
        if self._unsent is not None:
            raise _check.wrong_value("input", input, "comes too late; pass it the first time only")
        data = memoryview(self._coding.encode("input", input)).cast("B")
        if data and self.stdin is None:
            raise _check.wrong_value("input", input, "goes nowhere; pass stdin=vmette.PIPE")
        return data

    async def _pump(self, limit: Deadline, most: int) -> None:
        """Feeds stdin and reads what is open until all of it has ended."""
        reading: Dict[int, bytearray] = {
            stream.fileno(): got
            for stream, got in zip((self.stdout, self.stderr), self._received)
            if stream is not None and not stream.closed
        }
        writing: List[int] = [self.stdin.fileno()] if self._unsent else []
        while reading or writing:
            ready: Set[int] = await io.any_ready(reading, writing, limit)
            if not ready:
                raise deadline("a stream", limit.timeout)
            if self._unsent and ready.intersection(writing):
                self._unsent = self._feed(writing[0], self._unsent)
                if not self._unsent:
                    writing.clear()
                    await streams.close(self.stdin)
            for fd in ready & reading.keys():
                piece = os.read(fd, _CHUNK)
                reading[fd].extend(piece)
                if not piece:
                    del reading[fd]
            if sum(map(len, self._received)) > most:
                await self._end()
                raise GuestError(
                    f"the command {self.args!r} printed more than {most} bytes; pass max_bytes=, or "
                    "read its streams",
                    code=ErrorCode.GUEST,
                    stage="exec",
                )

    @staticmethod
    def _feed(fd: int, data: memoryview) -> memoryview:
        streams.pump(fd, True)
        try:
            return data[os.write(fd, data[:_CHUNK]) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            return data[:0]  # it does not read the rest
        finally:
            streams.pump(fd, False)

    async def __aenter__(self) -> Popen[AnyStr]:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            if kind is not None and not self._inherited():
                await self._end()
        finally:
            for stream in (self.stdin, self.stdout, self.stderr):
                await streams.close(stream)
        if kind is None and not self._inherited():
            try:
                await self.wait()
            except SessionEnded:
                pass  # the command is gone with the machine
            except BaseException:
                await self._end()
                raise


class Pty(_Process):
    """A command on a terminal of its own. Made by `Session.pty()`.

    What it prints comes from `read()`, what is written is typed. Leaving the with-block kills it.

    >>> async with vmette.aio.Session() as vm:
    ...     async with await vm.pty("stty size", rows=30, cols=100) as pty:
    ...         await pty.read()
    b'30 100\\r\\n'
    """

    def __init__(self, core: _core.Process, args: Any) -> None:
        super().__init__(core, args)
        coding = _exec.Coding(False, {})
        self._writer = streams.open_writer(core.take_fd(_STDIN), coding)
        self._reader = streams.open_reader(core.take_fd(_STDOUT), coding)
        self._unread = b""

    def fileno(self) -> int:
        """The descriptor of what it prints, to wait for."""
        return self._reader.fileno()  # type: ignore[no-any-return]

    async def read(self, size: int = -1, timeout: Optional[float] = None) -> bytes:
        """At most `size` bytes as soon as there are some, nothing at the end; with -1 all until the
        end, or 16 MiB. Raises `DeadlineExceeded` when `timeout` seconds pass before that; what has
        come is `stdout` of the error, and comes again with the next read."""
        limit = Deadline(timeout)
        if size == 0:
            return b""
        if size > 0 and not self._unread:
            self._unread = await self._some(size, limit)
        while size < 0 and len(self._unread) < _exec.CAPTURE_LIMIT:
            piece = await self._some(_CHUNK, limit)
            if not piece:
                break
            self._unread += piece
        end = _exec.CAPTURE_LIMIT if size < 0 else size
        data, self._unread = self._unread[:end], self._unread[end:]
        return data

    async def _some(self, size: int, limit: Deadline) -> bytes:
        while True:
            if not await io.readable(self.fileno(), limit):
                error = deadline(f"a read from {self.args!r}", limit.timeout)
                error.stdout = self._unread
                raise error
            try:
                return os.read(self.fileno(), size)
            except BlockingIOError:
                continue  # somebody else was there first

    async def write(self, data: bytes) -> None:
        """Types it. b"\\x03" is Ctrl-C, b"\\x04" at the beginning of a line is the end of file."""
        await self._writer.write(_check.data("data", data))
        await self._writer.flush()

    def resize(self, rows: int, cols: int) -> None:
        """Changes the size of the terminal."""
        _check.integer("rows", rows, 1, 65535)
        _check.integer("cols", cols, 1, 65535)
        core = self._running()
        if core is not None:
            core.resize(rows, cols)

    async def close(self) -> None:
        """Kills the command and closes the terminal."""
        try:
            await self._end()
        finally:
            await self._close_streams()

    async def _close_streams(self) -> None:
        for stream in (self._writer, self._reader):
            await streams.close(stream)

    async def __aenter__(self) -> Pty:
        return self

    async def __aexit__(self, *_: object) -> None:
        await (self._close_streams() if self._inherited() else self.close())


P = TypeVar("P")


async def started(
    session: _core.Session, described: _core.Exec, wrap: Callable[[_core.Process], P]
) -> P:
    """What `wrap` makes of a command, once the guest has started it. Whatever cuts that short kills
    the command: nobody else would know of it."""
    core: Optional[_core.Process] = None
    try:
        core = session.exec(described)
        await io.readable(core.started_fd())
        core.wait_started(0)
        return wrap(core)
    except BaseException as error:
        if core is not None and not isinstance(error, SpawnError):
            _kill(core)
        raise


def _kill(core: _core.Process) -> None:
    try:
        core.kill()
    except Error:
        pass  # the session has ended, and the command with it


async def run(
    session: _core.Session,
    paused: Callable[[], bool],
    command: Any,
    text: bool,
    options: Any,
) -> CompletedProcess[Any]:
    """Runs a command to its end. Whatever cuts the wait short kills the command."""
    coding = _exec.Coding(text, options)
    check = _check.flag("check", options.get("check", False))
    timeout = options.get("timeout")
    core = session.exec(_exec.to_run(command, coding, options))
    try:
        limit = Deadline(None if timeout is None else min(timeout + _KILL_PATIENCE, 1e9))
        confirmed = await io.readable(core.complete_fd(), limit)
        while not confirmed and paused():
            confirmed = await io.readable(core.complete_fd(), Deadline(_KILL_PATIENCE))
        if confirmed:
            core.wait(0)
        else:
            _kill(core)  # the guest does not say that it has killed it
    except BaseException:
        _kill(core)
        raise
    stdout, stderr, truncated = _exec.captured(core, coding, options)
    if not confirmed or core.ending()[3]:
        late = deadline(f"the command {command!r}", timeout)
        late.stdout, late.stderr = stdout, stderr
        raise late
    done = _exec.completed(core, command, stdout, stderr, truncated)
    if check:
        done.check_returncode()
    return done


for _name in __all__:
    globals()[_name].__module__ = "vmette.aio"
