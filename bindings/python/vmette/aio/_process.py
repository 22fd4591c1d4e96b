"""Commands in a running machine. vmette._sync._process is made of this file."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, AnyStr, Callable, Dict, Generic, List, Optional, Set, Tuple

from vmette import _check, _core, _exec
from vmette._deadline import Deadline
from vmette._enums import Scope
from vmette._errors import DeadlineExceeded, Error, SessionEnded, SpawnError, deadline, fresh
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


class _Process:
    """What a command with pipes and one on a terminal share."""

    def __init__(self, core: _core.Process, args: Any) -> None:
        self._core: Optional[_core.Process] = core
        self._lost: Optional[Error] = None
        self._returncode: Optional[int] = None
        self.args = args

    def _running(self) -> Optional[_core.Process]:
        """The command while it may still run."""
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
        if getattr(self, "_core", None) is not None and self._running() is not None:
            warn(f"{self!r} still runs", ResourceWarning, source=self)

    def __repr__(self) -> str:
        code = self.returncode
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

    async def communicate(
        self, input: Optional[AnyStr] = None, timeout: Optional[float] = None
    ) -> Tuple[AnyStr, AnyStr]:
        """Writes `input` to stdin, reads both outputs to their ends, waits, and returns what came.

        When `timeout` seconds pass first, raises `DeadlineExceeded` with what came until then; the
        command goes on, and calling this again without input goes on with it and loses nothing.
        """
        limit = Deadline(timeout)
        self._unsent = self._to_send(input)
        if self.stdin is not None and not self._unsent:
            await streams.close(self.stdin)
        out, err = self._received
        try:
            await self._pump(limit)
            await self.wait(limit.remaining())
        except DeadlineExceeded:
            error = deadline(f"the command {self.args!r}", timeout)
            error.stdout, error.stderr = bytes(out), bytes(err)
            raise error from None
        none: Any = None
        result = (
            none if self.stdout is None else self._coding.decode(bytes(out)),
            none if self.stderr is None else self._coding.decode(bytes(err)),
        )
        for stream in (self.stdout, self.stderr):
            await streams.close(stream)
        return result

    def _to_send(self, input: Optional[AnyStr]) -> memoryview:
        if input is None:
            return memoryview(b"") if self._unsent is None else self._unsent
        if self._unsent is not None:
            raise _check.wrong_value("input", input, "comes too late; pass it the first time only")
        data = memoryview(self._coding.encode("input", input)).cast("B")
        if data and self.stdin is None:
            raise _check.wrong_value("input", input, "goes nowhere; pass stdin=vmette.PIPE")
        return data

    async def _pump(self, limit: Deadline) -> None:
        """Feeds stdin and reads what is open until all of it has ended."""
        reading: Dict[int, bytearray] = {
            stream.fileno(): got
            for stream, got in zip((self.stdout, self.stderr), self._received)
            if stream is not None and not stream.closed
        }
        writing: List[int] = [self.stdin.fileno()] if self._unsent else []
        for fd in [*reading, *writing]:
            os.set_blocking(fd, False)
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

    @staticmethod
    def _feed(fd: int, data: memoryview) -> memoryview:
        try:
            return data[os.write(fd, data[:_CHUNK]) :]
        except BlockingIOError:
            return data
        except BrokenPipeError:
            return data[:0]  # it does not read the rest

    async def __aenter__(self) -> Popen[AnyStr]:
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        try:
            if kind is not None:
                await self._end()
        finally:
            for stream in (self.stdin, self.stdout, self.stderr):
                await streams.close(stream)
        if kind is None:
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

    def fileno(self) -> int:
        """The descriptor of what it prints, to wait for."""
        return self._reader.fileno()  # type: ignore[no-any-return]

    async def read(self, size: int = -1, timeout: Optional[float] = None) -> bytes:
        """At most `size` bytes as soon as there are some, nothing at the end; with -1 all until the
        end. Raises `DeadlineExceeded` when `timeout` seconds pass without any."""
        limit = Deadline(timeout)
        pieces: List[bytes] = []
        while True:
            if not await io.readable(self.fileno(), limit):
                raise deadline(f"a read from {self.args!r}", timeout)
            piece = os.read(self.fileno(), _CHUNK if size < 0 else size)
            if size >= 0:
                return piece
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)

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
            for stream in (self._writer, self._reader):
                await streams.close(stream)

    async def __aenter__(self) -> Pty:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def begun(core: _core.Process) -> _core.Process:
    """The command, once the guest has started it."""
    try:
        await io.readable(core.started_fd())
        core.wait_started(0)
    except BaseException as error:
        if not isinstance(error, SpawnError):
            _kill(core)
        raise
    return core


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
    timeout = options.get("timeout")
    core = session.exec(_exec.to_run(command, coding, options))
    try:
        limit = Deadline(None if timeout is None else timeout + _KILL_PATIENCE)
        while not await io.readable(core.complete_fd(), limit):
            if not paused():
                break  # the guest does not say that it has killed it
            limit = Deadline(_KILL_PATIENCE)
        core.wait(0)
    except BaseException:
        _kill(core)
        raise
    stdout, stderr, truncated = _exec.captured(core, coding, options)
    if core.ending()[3]:
        late = deadline(f"the command {command!r}", timeout)
        late.stdout, late.stderr = stdout, stderr
        raise late
    done = _exec.completed(core, command, stdout, stderr, truncated)
    if _check.flag("check", options.get("check", False)):
        done.check_returncode()
    return done


for _name in __all__:
    globals()[_name].__module__ = "vmette.aio"
