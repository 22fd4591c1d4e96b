"""What to run in a machine: from the caller's options to the library's description."""

from __future__ import annotations

import codecs
from typing import Any, Callable, Dict, Mapping, Optional, Tuple, TypedDict, Union

from vmette import _check, _core
from vmette._check import Text
from vmette._enums import Stdio
from vmette._options import environment
from vmette._results import CompletedProcess, decoded

PIPE = Stdio.PIPE
STDOUT = Stdio.STDOUT
DEVNULL = Stdio.DEVNULL

# Of each captured stream. A guest can print for ever, so there is always a limit.
CAPTURE_LIMIT = 16 << 20

# vmette_stdio's numbers.
_NULL, _PIPED, _CAPTURED = 0, 1, 2


class CommandOptions(TypedDict, total=False):
    """What every command may be given, all of it by keyword.

    cwd: its working directory, an absolute path; default "/". env: variables that are added to the
    session's; clear_env: instead of them. user: a name or uid of the guest, with ":group" or ":gid";
    default root. encoding, errors: how text is coded, with text=True; default "utf-8", "strict".

    >>> options = vmette.CommandOptions(cwd="/tmp", env={"WHO": "you"})
    >>> vmette.run("pwd; echo $WHO", text=True, **options).stdout
    '/tmp\\nyou\\n'
    """

    cwd: Text
    env: Optional[Mapping[str, Text]]
    clear_env: bool
    user: str
    encoding: str
    errors: str


class RunOptions(CommandOptions, total=False):
    """What `Session.run()` may be given besides.

    input: what the command reads from stdin; without it there is nothing to read. timeout: seconds
    after which the command and all that it started are killed. check: raise `CommandFailed` unless
    it ends with 0. stdout, stderr: `DEVNULL`, or `STDOUT` for stderr; else both are captured, up to
    capture_limit bytes each (default 16 MiB), and the result says if more came.

    >>> options = vmette.RunOptions(input=b"hello", stderr=vmette.DEVNULL)
    >>> with vmette.Session() as vm:
    ...     vm.run("cat", **options)
    CompletedProcess(args='cat', returncode=0, stdout=b'hello', stderr=None)
    """

    input: Union[bytes, bytearray, memoryview, str, None]
    timeout: Optional[float]
    check: bool
    stdout: int
    stderr: int
    capture_limit: int


class PopenOptions(CommandOptions, total=False):
    """What `Session.popen()` may be given besides.

    stdin: `PIPE` or `DEVNULL`, the default. stdout, stderr: `PIPE`, the default, or `DEVNULL`; stderr
    also `STDOUT`, which needs /bin/sh in the guest. kill_after: seconds after which the command and
    all that it started are killed.

    >>> options = vmette.PopenOptions(stderr=vmette.STDOUT, kill_after=60)
    >>> with vmette.Session() as vm:
    ...     with vm.popen("echo one; echo two >&2", **options) as proc:
    ...         list(proc.stdout)
    [b'one\\n', b'two\\n']
    """

    stdin: int
    stdout: int
    stderr: int
    kill_after: Optional[float]


class PtyOptions(TypedDict, total=False):
    """What `Session.pty()` may be given: size, TERM, whether the terminal echoes and whether it is
    raw when it begins; cwd, env, clear_env, user and kill_after as for `Session.popen()`.

    >>> options = vmette.PtyOptions(rows=30, cols=100)
    >>> with vmette.Session() as vm:
    ...     with vm.pty("stty size", **options) as pty:
    ...         pty.read()
    b'30 100\\r\\n'
    """

    rows: int
    cols: int
    term: str
    echo: bool
    raw: bool
    cwd: Text
    env: Mapping[str, Text]
    clear_env: bool
    user: str
    kill_after: Optional[float]


class Coding:
    """How a command's text is coded; with `encoding` None its bytes are left alone."""

    __slots__ = ("encoding", "errors")

    def __init__(self, text: Any, options: Mapping[str, Any]) -> None:
        named = [name for name in ("encoding", "errors") if options.get(name) is not None]
        if not _check.flag("text", text):
            if named:
                raise _check.wrong_value(named[0], options[named[0]], "needs text=True")
            self.encoding, self.errors = None, "strict"
            return
        self.encoding = options["encoding"] if "encoding" in named else "utf-8"
        self.errors = options["errors"] if "errors" in named else "strict"
        look_ups: Dict[str, Callable[[str], object]] = {
            "encoding": "".encode,
            "errors": codecs.lookup_error,
        }
        for name, look_up in look_ups.items():
            value = getattr(self, name)
            if not isinstance(value, str):
                raise _check.wrong_type(name, "a str", value)
            try:
                look_up(value)
            except (LookupError, ValueError) as error:
                raise _check.wrong_value(name, value, f"cannot be: {error}") from None

    def encode(self, name: str, value: Any) -> Any:
        if self.encoding is None:
            if isinstance(value, str):
                raise _check.wrong_type(name, "bytes (or pass text=True)", value)
            return _check.data(name, value)
        if not isinstance(value, str):
            raise _check.wrong_type(name, "str, as text=True says", value)
        return value.encode(self.encoding, self.errors)

    def decode(self, data: bytes, cut: bool = False) -> Any:
        """The text of all that was captured; of what was cut, without half a character."""
        return decoded(data, self.encoding, self.errors, cut)


def refuse_unknown(what: str, options: Mapping[str, Any], kind: Any) -> None:
    known = kind.__required_keys__ | kind.__optional_keys__
    for name in options:
        if name not in known:
            raise TypeError(
                f"{what}() has no option {name!r}; there are: text, {', '.join(sorted(known))}"
            )


def _describe(command: Any, options: Mapping[str, Any], merged: bool = False) -> _core.Exec:
    core = _core.Exec()
    if isinstance(command, str):
        line = _check.text("command", command)
        core.set_line(b"exec 2>&1\n" + line if merged else line)
    else:
        words = _check.argv("command", command)
        core.set_argv([b"/bin/sh", b"-c", b'exec "$@" 2>&1', b"sh", *words] if merged else words)
    for key, value in environment("env", options.get("env") or {}):
        core.add_env(key, value)
    if _check.flag("clear_env", options.get("clear_env", False)):
        core.set_clear_env(True)
    if options.get("cwd") is not None:
        core.set_cwd(_check.text("cwd", options["cwd"]))
    if options.get("user") is not None:
        core.set_user(_check.text("user", options["user"]))
    return core


def _kill_after(core: _core.Exec, name: str, value: Any) -> None:
    if value is not None:
        core.set_timeout_ms(max(1, _check.milliseconds(name, value, 2**62)))


def _output(name: str, value: Any, usual: int, allowed: Tuple[int, ...]) -> int:
    if value is None:
        return usual
    number = _check.integer(name, value, -3, 0)
    if number not in allowed:
        there = " or ".join(f"vmette.{Stdio(one).name}" for one in allowed)
        raise _check.wrong_value(name, value, f"cannot be here; pass {there}")
    return number


def to_run(command: Any, coding: Coding, options: Mapping[str, Any]) -> _core.Exec:
    """A command whose output is captured."""
    refuse_unknown("run", options, RunOptions)
    core = _describe(command, options)
    if options.get("input") is not None:
        core.set_stdin_bytes(coding.encode("input", options["input"]))
    out = _output("stdout", options.get("stdout"), PIPE, (PIPE, DEVNULL))
    err = _output("stderr", options.get("stderr"), PIPE, (PIPE, STDOUT, DEVNULL))
    if err == STDOUT and out == DEVNULL:
        err = DEVNULL
    core.set_stdout(_NULL if out == DEVNULL else _CAPTURED)
    core.set_stderr(_NULL if err == DEVNULL else _CAPTURED)
    limit = options.get("capture_limit")
    core.set_capture_limit(
        CAPTURE_LIMIT if limit is None else _check.integer("capture_limit", limit, 0, 2**62)
    )
    _kill_after(core, "timeout", options.get("timeout"))
    return core


def to_popen(command: Any, options: Mapping[str, Any]) -> _core.Exec:
    """A command with pipes."""
    refuse_unknown("popen", options, PopenOptions)
    stdin = _output("stdin", options.get("stdin"), DEVNULL, (PIPE, DEVNULL))
    out = _output("stdout", options.get("stdout"), PIPE, (PIPE, DEVNULL))
    err = _output("stderr", options.get("stderr"), PIPE, (PIPE, STDOUT, DEVNULL))
    core = _describe(command, options, merged=err == STDOUT)
    core.set_stdin(_PIPED if stdin == PIPE else _NULL)
    core.set_stdout(_PIPED if out == PIPE else _NULL)
    core.set_stderr(_PIPED if err == PIPE else _NULL)
    _kill_after(core, "kill_after", options.get("kill_after"))
    return core


def to_pty(command: Any, options: Mapping[str, Any]) -> _core.Exec:
    """A command on a terminal."""
    refuse_unknown("pty", options, PtyOptions)
    core = _describe(command, options)
    core.set_stdin(_PIPED)
    core.set_stdout(_PIPED)
    core.set_stderr(_NULL)
    core.set_tty(
        _check.integer("rows", options.get("rows", 24), 1, 65535),
        _check.integer("cols", options.get("cols", 80), 1, 65535),
        _check.text("term", options.get("term", "xterm-256color")),
    )
    core.set_tty_modes(
        _check.flag("echo", options.get("echo", True)),
        _check.flag("raw", options.get("raw", False)),
    )
    _kill_after(core, "kill_after", options.get("kill_after"))
    return core


def returncode(core: _core.Process) -> int:
    """The exit code, -N for signal N."""
    code, signal = core.ending()[:2]
    return -signal if signal else code


def completed(
    core: _core.Process, args: Any, stdout: Any, stderr: Any, truncated: bool
) -> CompletedProcess[Any]:
    """The result of a command that has ended."""
    _, _, out_of_memory, _, message, wall, user, system, rss = core.ending()
    return CompletedProcess(
        args=args,
        returncode=returncode(core),
        stdout=stdout,
        stderr=stderr,
        truncated=truncated,
        out_of_memory=out_of_memory,
        wall_time=wall / 1e6,
        user_time=user / 1e6,
        system_time=system / 1e6,
        max_rss_kib=rss,
        end_message=message,
    )


def captured(core: _core.Process, coding: Coding, options: Mapping[str, Any]) -> Tuple[Any, ...]:
    """(stdout, stderr, truncated) of a command of `to_run()`, None for what was not asked for."""
    out, err, both, truncated = core.output()
    late = core.ending()[3]

    def text(data: bytes) -> Any:
        try:
            return coding.decode(data, cut=truncated or late)
        except UnicodeDecodeError:
            if late:
                return data  # that the timeout passed is the news
            raise

    no_out, no_err = options.get("stdout") == DEVNULL, options.get("stderr") == DEVNULL
    if options.get("stderr") == STDOUT:
        return None if no_out else text(both), None, truncated
    return None if no_out else text(out), None if no_err else text(err), truncated
