"""One command in a machine of its own. vmette._sync._run is made of this file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from vmette import _check, _core
from vmette._exec import RunOptions
from vmette._options import Machine, Options
from vmette._results import CompletedProcess
from vmette.aio import _loop as io
from vmette.aio._session import Session

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from vmette._check import Command

__all__ = ["run", "run_in_terminal"]


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
        return await vm.run(command, text=text, **of_command)  # type: ignore[call-overload]


async def run_in_terminal(**options: Unpack[Options]) -> int:
    """Runs the option `command` on the caller's terminal, or an interactive shell without one, and
    returns its exit code: 128+n for signal n, 124 after a timeout.

    Uses stdin, stdout and stderr of the process, and its signals until it returns; one call at a
    time. `quiet` keeps it from printing a banner.

    >>> await vmette.aio.run_in_terminal(command="exit 3", quiet=True)
    3
    """
    machine = Machine(options, "run_in_terminal")
    done: Any = await io.in_worker(lambda _: _core.run(machine.core))
    return done[0]  # type: ignore[no-any-return]


for _name in __all__:
    globals()[_name].__module__ = "vmette.aio"
