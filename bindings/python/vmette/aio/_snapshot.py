"""Machines that were saved. vmette._sync._snapshot is made of this file."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Awaitable, Callable, Dict, Optional

from vmette import _check, _core
from vmette._enums import ErrorCode
from vmette._errors import SnapshotError
from vmette._options import Machine
from vmette.aio import _loop as io
from vmette.aio._session import Session, removed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from vmette._check import Command, Text
    from vmette._options import Options, SessionOptions

__all__ = ["Snapshot"]


class Snapshot:
    """A saved machine: what is in a snapshot's directory.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     async def warm_up(vm):
    ...         await vm.files.write_text("/tmp/warm", "yes")
    ...     snapshot = await vmette.aio.Snapshot.build(folder + "/warm", warm_up=warm_up)
    ...     async with await snapshot.resume() as vm:
    ...         await vm.files.read_text("/tmp/warm")
    'yes'
    """

    def __init__(self, core: _core.Snapshot) -> None:
        self._core = core

    @classmethod
    async def build(
        cls,
        path: Text,
        *,
        warm_up: Optional[Callable[[Session], Awaitable[object]]] = None,
        **options: Unpack[SessionOptions],
    ) -> Snapshot:
        """Boots a machine, runs its command if it has one, and then `warm_up`, saves it at `path` and
        ends it. A command that does not end with 0 is a `SnapshotError`; what `warm_up` raises is
        raised, and nothing is saved. Programs that are left running are saved as they are."""
        where = _check.text("path", path)
        if warm_up is not None and not callable(warm_up):
            raise _check.wrong_type("warm_up", "a callable", warm_up)
        described: Dict[str, Any] = dict(options)
        command = described.pop("command", None)
        described["snapshottable"] = True
        async with Session(**described) as vm:
            if command is not None:
                await _prepare(vm, command)
            if warm_up is not None:
                await warm_up(vm)
            core = vm._running()
            saved = await io.in_worker(lambda _: core.snapshot(where), removed)
            try:
                await vm.kill()
            except BaseException:
                removed(saved)  # nobody would know of it
                raise
        return cls(saved)

    @classmethod
    async def open(cls, path: Text) -> Snapshot:
        """Opens the snapshot at `path`: its manifest and files are there and whole."""
        where = _check.text("path", path)
        return cls(await io.in_worker(lambda _: _core.Snapshot.open(where)))

    async def resume(self, **options: Unpack[Options]) -> Session:
        """A machine that begins as the snapshot, started and ready. Any number of them at once.

        The machine is that of the snapshot: options are what may differ, as env, shares (a tag of
        the snapshot's, or one of its resume_shares), timeouts and resume hooks. `SnapshotError`
        names what does not fit this host or these options.
        """
        core = self._core
        config = Machine(options, "resume").core if options else None
        machine = await io.in_worker(lambda _: core.resume(config), _core.Session.request_kill)
        return Session._of(machine)

    async def verify(self) -> None:
        """Reads every file that has a digest and compares; needs snapshot_digests when built."""
        core = self._core
        await io.in_worker(lambda _: core.verify())

    async def remove(self) -> None:
        """Deletes the directory. Machines that were resumed from it live on."""
        where = self._core.path()
        await io.in_worker(lambda _: _core.Snapshot.remove(where))

    @property
    def path(self) -> str:
        """Its directory, an absolute path."""
        return os.fsdecode(self._core.path())

    @property
    def created_at(self) -> str:
        """When it was saved, in RFC 3339 form, UTC."""
        return self._core.created_at()

    @property
    def manifest(self) -> Dict[str, Any]:
        """Its manifest, which docs/snapshots.md describes."""
        return json.loads(self._core.manifest())  # type: ignore[no-any-return]

    @property
    def vcpus(self) -> int:
        """vCPUs of the machine."""
        return self._core.vcpus()

    @property
    def mem_mib(self) -> int:
        """Memory of the machine."""
        return self._core.mem_mib()

    @property
    def pause_seconds(self) -> float:
        """For how long the machine's vCPUs stood still while it was saved."""
        return self._core.pause_us() / 1e6

    @property
    def bytes(self) -> int:
        """Bytes of its files; RAM that is zero takes no room."""
        return self._core.bytes()

    def __repr__(self) -> str:
        return f"<vmette.aio.Snapshot {self.path!r}>"


async def _prepare(vm: Session, command: Command) -> None:
    done = await vm.run(command, text=True, errors="replace")
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise SnapshotError(
            f"the command {command!r} did not end with 0: {done.end_message}"
            + "".join(f": {line}" for line in words),
            code=ErrorCode.SNAPSHOT,
            stage="command",
        )


Snapshot.__module__ = "vmette.aio"
