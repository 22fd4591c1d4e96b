"""One command in a machine of its own. vmette._sync._run is made of this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, Literal, Optional, Tuple, overload

from vmette import _check, _core
from vmette._exec import RunOptions
from vmette._options import Machine, Options, SessionOptions
from vmette._provider import RootfsArtifact
from vmette._results import CompletedProcess
from vmette._workers import Caller
from vmette.aio import _loop as io
from vmette.aio._session import Session

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from vmette._check import Command, Text

__all__ = ["list_providers", "resolve_rootfs", "run", "run_in_terminal", "validate"]


class RunAllOptions(RunOptions, Options, total=False):  # type: ignore[misc]
    """Those of the command and those of its machine; `env` is the command's."""


@overload
async def run(
    command: Command, *, text: Literal[True], **options: Unpack[RunAllOptions]
) -> CompletedProcess[str]: ...
@overload
async def run(
    command: Command, *, text: Literal[False] = ..., **options: Unpack[RunAllOptions]
) -> CompletedProcess[bytes]: ...
@overload
async def run(
    command: Command, *, text: bool, **options: Unpack[RunAllOptions]
) -> CompletedProcess[Any]: ...
async def run(command: Command, *, text: bool = False, **options: Any) -> Any:
    """Boots a machine, runs a command in it, and ends it. Takes the options of `Session.run()` and
    those of `Session`.

    >>> (await vmette.aio.run("uname -s", text=True)).stdout
    'Linux\\n'
    """
    known = RunOptions.__required_keys__ | RunOptions.__optional_keys__
    of_command = {name: options.pop(name) for name in list(options) if name in known}
    if text is False and isinstance(of_command.get("input"), str):
        raise _check.wrong_type("input", "bytes (or pass text=True)", of_command["input"])
    async with Session(**options) as vm:
        return await vm.run(command, text=text, **of_command)


async def run_in_terminal(
    *, build_snapshot: Optional[Text] = None, **options: Unpack[SessionOptions]
) -> int:
    """Runs the option `command` on the caller's terminal, or an interactive shell without one, and
    returns its exit code: 128+n for signal n, 124 after a timeout.

    Uses stdin, stdout and stderr of the process, and its signals until it returns; one call at a
    time. A cancellation stops it. `quiet` keeps it from printing a banner. With `build_snapshot` the
    machine is saved there when the command has ended with 0.

    >>> await vmette.aio.run_in_terminal(command="exit 3", quiet=True)
    3
    """
    machine = Machine(options, "run_in_terminal")
    if build_snapshot is not None:
        machine.core.set_build_snapshot(_check.text("build_snapshot", build_snapshot))

    runs = False

    def unless_gone(caller: Caller) -> int:
        nonlocal runs
        runs = True
        try:
            return machine.resolved(
                lambda config: 0 if caller.gone() else _core.run(config)[0], caller.gone
            )
        finally:
            runs = False

    try:
        return await io.in_worker(unless_gone)
    except BaseException:
        if runs:  # and is not what has failed
            _core.run_stop()
        raise


async def validate(**options: Unpack[SessionOptions]) -> None:
    """Checks the options of a session as far as that can be without starting anything.

    >>> await vmette.aio.validate(vcpus=2, shares={"work": "."})
    """
    machine = Machine(options, "validate")
    await io.in_worker(lambda caller: machine.resolved(_core.Config.validate, caller.gone))


async def resolve_rootfs(spec: Text, **options: Unpack[Options]) -> RootfsArtifact:
    """What a root's spec stands for: asks the providers of the options, then the library's own.

    >>> (await vmette.aio.resolve_rootfs("/")).path
    '/'
    """
    machine = Machine(options, "resolve_rootfs")
    wanted = _check.text("spec", spec)
    made = await io.in_worker(
        lambda caller: machine.resolved(lambda config: config.resolve_rootfs(wanted), caller.gone)
    )
    return RootfsArtifact.of(made)


def list_providers(**options: Unpack[Options]) -> List[Tuple[str, str]]:
    """The names of the providers and what they claim, in the order in which they are asked.

    >>> [name for name, claims in vmette.aio.list_providers()]
    ['dir', 'squashfs', 'erofs', 'ext4']
    """
    return Machine(options, "list_providers").resolved(_core.Config.providers)


for _name in __all__:
    globals()[_name].__module__ = "vmette.aio"
