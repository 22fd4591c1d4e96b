"""One virtual machine. vmette._sync._session is made of this file."""

from __future__ import annotations

import warnings
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    List,
    Literal,
    Optional,
    Sequence,
    Tuple,
    overload,
)

from vmette import _alive, _check, _core, _exec
from vmette._deadline import Deadline
from vmette._enums import End, ErrorCode, State
from vmette._errors import SessionEnded, StateError, deadline, in_child
from vmette._options import Machine
from vmette._owned import Owned
from vmette._results import CompletedProcess, Ending, SessionOutput, Stats, TimelineEntry
from vmette.aio import _loop as io
from vmette.aio._call import answer
from vmette.aio._files import Files
from vmette.aio._process import Popen, Pty, run, started

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Type

    from typing_extensions import Unpack

    from vmette._check import Command, Text
    from vmette._exec import PopenOptions, PtyOptions, RunOptions
    from vmette._options import Options, SessionOptions
    from vmette.aio._snapshot import Snapshot

__all__ = ["Session"]

# What an end may take before it is one by force; the library's own patience is shorter.
_END_PATIENCE = 10.0


class Session(Owned):
    """One virtual machine. Its options, all by keyword, are those of `Options` and
    `SessionOptions`.

    `async with` starts it and ends it; `start()` and `close()` do so by hand. Any number of tasks or
    threads may use it at a time.

    >>> async with vmette.aio.Session(mem_mib=256, env={"WHO": "you"}) as vm:
    ...     done = await vm.run("echo hello $WHO", text=True)
    >>> done.stdout
    'hello you\\n'
    """

    def __init__(self, **options: Unpack[SessionOptions]) -> None:
        super().__init__()
        self._machine = Machine(options, "Session")
        self._core: Optional[_core.Session] = None
        self._begun = False
        self._last: Optional[_Remains] = None

    @classmethod
    def _of(cls, core: _core.Session) -> Session:
        """A session of a machine that runs already."""
        session = cls()
        session._begun = True
        session._core = core
        _alive.add(core)
        return session

    async def start(self) -> Session:
        """Boots the machine and waits until it is ready. Returns the session itself."""
        machine = self._machine
        if self._begun:
            raise StateError(
                "the session was started already; make another one", code=ErrorCode.STATE
            )
        self._begun = True
        self._own()
        self._core = core = await io.in_worker(
            lambda caller: machine.resolved(_launched, caller.gone), _core.Session.request_kill
        )
        try:
            await io.readable(core.ready_fd())
            core.wait_ready(0)
        except BaseException:
            await self.kill()
            raise
        return self

    def _running(self) -> _core.Session:
        """The machine, for calls that need one."""
        if self._inherited():
            raise in_child("the session")
        core = self._core
        if core is not None:
            return core
        if self._last is not None:
            raise SessionEnded(
                f"the session is closed: {self._last.ending.message}",
                code=ErrorCode.SESSION_ENDED,
            )
        raise StateError(
            "the session is not running; enter it with a with statement, or call start()",
            code=ErrorCode.STATE,
        )

    @property
    def files(self) -> Files:
        """The machine's files."""
        return Files(self._running)

    # ---- Commands ----

    @overload
    async def run(
        self, command: Command, *, text: Literal[True], **options: Unpack[RunOptions]
    ) -> CompletedProcess[str]: ...
    @overload
    async def run(
        self, command: Command, *, text: Literal[False] = ..., **options: Unpack[RunOptions]
    ) -> CompletedProcess[bytes]: ...
    @overload
    async def run(
        self, command: Command, *, text: bool, **options: Unpack[RunOptions]
    ) -> CompletedProcess[Any]: ...
    async def run(self, command: Command, *, text: bool = False, **options: Any) -> Any:
        """Runs a command to its end, like `subprocess.run()`: a line for /bin/sh, or an argument
        vector. Its options are those of `RunOptions`.

        Raises `SpawnError` when it cannot be started, `DeadlineExceeded` when `timeout` has killed
        it, `SessionEnded` when the machine ends before it does. An exception that cuts the wait
        short, as a cancellation or Ctrl-C, kills it.

        >>> async with vmette.aio.Session() as vm:
        ...     done = await vm.run(["tr", "a-z", "A-Z"], input="shout", text=True)
        >>> done.stdout, done.returncode
        ('SHOUT', 0)
        """
        core = self._running()
        return await run(core, lambda: self.state is State.PAUSED, command, text, options)

    @overload
    async def popen(
        self, command: Command, *, text: Literal[True], **options: Unpack[PopenOptions]
    ) -> Popen[str]: ...
    @overload
    async def popen(
        self, command: Command, *, text: Literal[False] = ..., **options: Unpack[PopenOptions]
    ) -> Popen[bytes]: ...
    @overload
    async def popen(
        self, command: Command, *, text: bool, **options: Unpack[PopenOptions]
    ) -> Popen[Any]: ...
    async def popen(self, command: Command, *, text: bool = False, **options: Any) -> Any:
        """Starts a command and leaves it running, like `subprocess.Popen`. Its options are those of
        `PopenOptions`.

        >>> async with vmette.aio.Session() as vm:
        ...     async with await vm.popen("echo one; echo two", text=True) as proc:
        ...         async for line in proc.stdout:
        ...             print(line, end="")
        one
        two
        """
        coding = _exec.Coding(text, options)
        described = _exec.to_popen(command, options)
        return await started(
            self._running(), described, lambda core: Popen[Any](core, command, coding)
        )

    async def pty(self, command: Command = "exec sh -l", **options: Unpack[PtyOptions]) -> Pty:
        """Starts a command on a terminal of its own, a shell by default. Its options are those of
        `PtyOptions`.

        >>> async with vmette.aio.Session() as vm:
        ...     async with await vm.pty("echo $TERM", term="vt100") as pty:
        ...         await pty.read()
        b'vt100\\r\\n'
        """
        described = _exec.to_pty(command, options)
        return await started(self._running(), described, lambda core: Pty(core, command))

    # ---- Life ----

    async def pause(self) -> None:
        """Stops the vCPUs. The time until `resume()` counts for no timeout."""
        core = self._running()
        await io.in_worker(lambda _: core.pause())

    async def resume(self) -> None:
        """Lets the vCPUs go on."""
        core = self._running()
        await io.in_worker(lambda _: core.unpause())

    async def wait(self, timeout: Optional[float] = None) -> None:
        """Waits until the machine has ended, by its own command, its timeout or somebody's wish."""
        core = self._core
        if self._last is None:
            core = self._running()
        if core is not None and not await io.readable(core.end_fd(), Deadline(timeout)):
            raise deadline("the session", timeout)

    async def stop(self, grace: float = 0.0) -> None:
        """Ends the machine in an orderly way: commands get SIGTERM and, `grace` seconds later,
        SIGKILL; file systems are flushed. Nothing of it is left when this returns."""
        patience = _check.milliseconds("grace", grace)
        core = self._core
        if core is not None:
            core.request_stop(patience)
        await self._ended(grace + _END_PATIENCE)

    async def kill(self) -> None:
        """Ends the machine at once, like a power cut. Nothing of it is left when this returns."""
        core = self._core
        if core is not None:
            core.request_kill()
        await self._ended(_END_PATIENCE)

    async def close(self) -> None:
        """Same as `stop()`; a session that has ended or was never started is closed too."""
        await self.stop()

    async def _ended(self, patience: float) -> None:
        core = self._core
        self._begun = True
        if core is None:
            self._last = self._last or _Remains(None)
            return
        try:
            await io.settled(core.end_fd(), Deadline(patience))
        finally:
            if self._last is None:
                self._last = _Remains(core)
            self._core = None

    async def __aenter__(self) -> Session:
        if self._core is None:
            await self.start()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self._inherited():
            return  # a child of fork() leaves the block, and the machine is its parent's
        if kind is None:
            await self.close()
        else:
            await self.kill()

    # ---- What it says of itself ----

    @property
    def state(self) -> State:
        """Where it is in its life."""
        core = self._core
        if core is not None:
            return State(core.state())
        return State.CREATED if self._last is None else State.ENDED

    def _ending(self) -> Ending:
        core = self._core
        if core is not None:
            return Ending(*_end_and(core))
        return Ending(End.NONE, -1, "") if self._last is None else self._last.ending

    @property
    def end(self) -> End:
        """Why it ended."""
        return self._ending().end

    @property
    def exit_code(self) -> Optional[int]:
        """Its own command's exit code, 128+n for signal n, 124 after its timeout, 0 when it was
        stopped, 1 when it failed; None before the end."""
        ending = self._ending()
        return None if ending.end is End.NONE else ending.exit_code

    @property
    def end_message(self) -> str:
        """One line about the end, empty before it."""
        return self._ending().message

    @property
    def timeline(self) -> List[TimelineEntry]:
        """Points of the boot, in order.

        >>> async with vmette.aio.Session() as vm:
        ...     [entry.name for entry in vm.timeline if entry.name == "agent hello"]
        ['agent hello']
        """
        core = self._core
        if core is not None:
            return list(_timeline(core))
        return [] if self._last is None else list(self._last.timeline)

    @property
    def cmdline(self) -> str:
        """The kernel's full command line, empty before the machine exists."""
        core = self._core
        if core is not None:
            return core.cmdline()
        return "" if self._last is None else self._last.cmdline

    @property
    def vsock_port(self) -> Optional[int]:
        """The host's vsock port, None when there is none."""
        core = self._core
        return None if core is None else core.vsock_port() or None

    def console_tail(self) -> str:
        """The last 64 KiB that the guest printed on its console."""
        core = self._core
        if core is not None:
            data = core.console()
        else:
            data = b"" if self._last is None else self._last.console
        return data.decode("utf-8", "replace")

    def output(self) -> SessionOutput:
        """What the session's own command has printed so far; needs capture_output."""
        if self._core is None and self._last is not None and self._last.output is not None:
            return self._last.output
        return SessionOutput(*self._running().output())

    async def stats(self, *, timeout: Optional[float] = None) -> Stats:
        """How the guest is doing: memory, load, processes, disk."""
        limit = Deadline(timeout)
        raw = await answer(self._running().begin_stats(), limit, "the wait for the guest's stats")
        return Stats(raw[0] / 1e6, *raw[1:])

    # ---- Copies ----

    async def snapshot(self, path: Text) -> Snapshot:
        """Saves the machine at `path`, a directory that must not exist; it then goes on. Needs
        snapshottable=True, or a session that was resumed itself."""
        from vmette.aio._snapshot import Snapshot

        core, where = self._running(), _check.text("path", path)
        return Snapshot(await io.in_worker(lambda _: core.snapshot(where), removed))

    async def fork(self, count: int = 1, **options: Unpack[Options]) -> List[Session]:
        """Makes machines that begin as this one is now; it goes on. Either all of them or none. The
        options are those of `Snapshot.resume()`.

        >>> async with vmette.aio.Session(snapshottable=True) as vm:
        ...     await vm.run("echo state > /tmp/file")
        ...     [copy] = await vm.fork(1)
        ...     async with copy:
        ...         await copy.files.read_text("/tmp/file")
        CompletedProcess(args='echo state > /tmp/file', returncode=0, stdout=b'', stderr=b'')
        'state\\n'
        """
        core, number = self._running(), _check.integer("count", count, 1, 4096)
        config = Machine(options, "fork").core if options else None
        copies = await io.in_worker(lambda _: core.fork(number, config), _end_all)
        return [Session._of(copy) for copy in copies]

    def __del__(self, warn: Callable[..., None] = warnings.warn) -> None:
        core = getattr(self, "_core", None)
        if core is not None and not self._inherited() and core.ending()[0] == End.NONE.value:
            warn(f"unclosed {self!r}", ResourceWarning, source=self)

    def __repr__(self) -> str:
        message = self.end_message
        return f"<vmette.aio.Session {self.state.name.lower()}{': ' + message if message else ''}>"


class _Remains:
    """What stays of a machine that is gone, so that its descriptors need not."""

    def __init__(self, core: Optional[_core.Session]) -> None:
        self.output: Optional[SessionOutput] = None
        if core is None:
            self.ending = Ending(End.NONE, -1, "it was never started")
            self.timeline: List[TimelineEntry] = []
            self.console, self.cmdline = b"", ""
            return
        self.ending = Ending(*_end_and(core))
        self.timeline = _timeline(core)
        self.console, self.cmdline = core.console(), core.cmdline()
        try:
            self.output = SessionOutput(*core.output())
        except StateError:
            pass  # it captured none


def _launched(config: _core.Config) -> _core.Session:
    core = _core.Session.create(config)
    core.launch()
    _alive.add(core)
    return core


def _end_all(cores: Sequence[_core.Session]) -> None:
    for core in cores:
        core.request_kill()


def removed(snapshot: _core.Snapshot) -> None:
    """Removes a snapshot that nobody will know of."""
    _core.Snapshot.remove(snapshot.path())


def _end_and(core: _core.Session) -> Tuple[End, int, str]:
    end, code, message = core.ending()
    return End(end), code, message


def _timeline(core: _core.Session) -> List[TimelineEntry]:
    return [TimelineEntry(name, us / 1e6) for name, us in core.timeline()]


Session.__module__ = "vmette.aio"
