"""Files of a running machine. vmette._sync._files is made of this file."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any, AsyncIterator, Callable, List, Optional, Tuple

from vmette import _check, _core
from vmette._deadline import Deadline
from vmette._enums import ErrorCode, FileType
from vmette._errors import Error, FileError
from vmette._results import Copied, DirEntry, FileStat
from vmette._workers import Caller
from vmette.aio import _loop as io
from vmette.aio._call import answer
from vmette.aio._guest_file import GuestFile

if TYPE_CHECKING:
    from vmette._check import Text

__all__ = ["Files"]

# vmette_file_flags.
_FOLLOW, _PARENTS, _RECURSIVE, _APPEND, _EXCLUSIVE, _ATOMIC, _OWNERS = (1 << n for n in range(7))
_KEEP_MODE = 2**32 - 1
_EVERYTHING = 2**64 - 1
# Of a file that is read in one piece, unless the caller allows more.
READ_LIMIT = 256 << 20


def _flags(**chosen: Any) -> int:
    bits = 0
    for name, value in chosen.items():
        bits |= _BITS[name] if _check.flag(name, value) else 0
    return bits


_BITS = {
    "follow": _FOLLOW,
    "parents": _PARENTS,
    "recursive": _RECURSIVE,
    "exclusive": _EXCLUSIVE,
    "atomic": _ATOMIC,
    "owners": _OWNERS,
}


def _stat(raw: Tuple[Any, ...]) -> FileStat:
    fields = [FileType(raw[0]), *raw[1:-1], os.fsdecode(raw[-1])]
    return FileStat(*fields)


def _mode(mode: Optional[int]) -> int:
    return _KEEP_MODE if mode is None else _check.integer("mode", mode, 0, 0o7777)


class Files:
    """The files of a running machine, as root sees them: `Session.files`.

    Paths are absolute paths of the guest. What fails there is a `FileError`, which is also the
    built-in exception of its errno. A `timeout` in seconds that passes gives the call up.

    >>> async with vmette.aio.Session() as vm:
    ...     await vm.files.write_text("/tmp/greeting", "hello")
    ...     await vm.files.read_text("/tmp/greeting")
    'hello'
    """

    def __init__(self, session: Callable[[], _core.Session]) -> None:
        self._session = session

    async def _ask(
        self,
        doing: str,
        path: Text,
        timeout: Optional[float],
        begin: Callable[..., _core.Call],
        *args: Any,
    ) -> Any:
        """What the guest answers to the call that `begin` makes of the path and `args`."""
        where, limit = _check.absolute("path", path), Deadline(timeout)
        return await answer(begin(self._session(), where, *args), limit, f"{doing} {path!r}")

    async def read_bytes(
        self, path: Text, *, max_bytes: int = READ_LIMIT, timeout: Optional[float] = None
    ) -> bytes:
        """The content. A file of more than `max_bytes` fails with EFBIG; see `open()` for those."""
        most = _check.integer("max_bytes", max_bytes, 0, 2**62)
        begin = _core.Session.begin_read_file
        return await self._ask("reading", path, timeout, begin, most)  # type: ignore[no-any-return]

    async def read_text(
        self,
        path: Text,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        max_bytes: int = READ_LIMIT,
        timeout: Optional[float] = None,
    ) -> str:
        """The content as text, line ends as they are."""
        data = await self.read_bytes(path, max_bytes=max_bytes, timeout=timeout)
        return data.decode(encoding, errors)

    async def write_bytes(
        self,
        path: Text,
        data: Any,
        *,
        mode: Optional[int] = None,
        atomic: bool = False,
        exclusive: bool = False,
        parents: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """Makes or replaces the file. `atomic`: readers see the old content or the new one;
        `exclusive`: fails where there is something; `parents`: makes directories that are missing.
        `mode`: permission bits, else 0644 for a new file and what it has for another."""
        content, bits = _check.data("data", data), _mode(mode)
        flags = _flags(atomic=atomic, exclusive=exclusive, parents=parents)
        begin = _core.Session.begin_write_file
        await self._ask("writing", path, timeout, begin, content, flags, bits)

    async def write_text(
        self,
        path: Text,
        data: str,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        mode: Optional[int] = None,
        atomic: bool = False,
        exclusive: bool = False,
        parents: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """As `write_bytes()`, for text."""
        if not isinstance(data, str):
            raise _check.wrong_type("data", "str", data)
        await self.write_bytes(
            path,
            data.encode(encoding, errors),
            mode=mode,
            atomic=atomic,
            exclusive=exclusive,
            parents=parents,
            timeout=timeout,
        )

    async def append_bytes(
        self, path: Text, data: Any, *, parents: bool = False, timeout: Optional[float] = None
    ) -> None:
        """Writes behind what the file holds; makes it when it is missing."""
        content, flags = _check.data("data", data), _APPEND | _flags(parents=parents)
        begin = _core.Session.begin_write_file
        await self._ask("writing", path, timeout, begin, content, flags, _KEEP_MODE)

    async def append_text(
        self,
        path: Text,
        data: str,
        encoding: str = "utf-8",
        errors: str = "strict",
        *,
        parents: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """As `append_bytes()`, for text."""
        await self.append_bytes(
            path, data.encode(encoding, errors), parents=parents, timeout=timeout
        )

    async def open(
        self,
        path: Text,
        mode: str = "rb",
        *,
        offset: int = 0,
        length: Optional[int] = None,
        permissions: Optional[int] = None,
        atomic: bool = False,
        parents: bool = False,
    ) -> GuestFile:
        """Opens a file as a stream, for those larger than memory. `mode`: "rb", "wb", "xb" or "ab".

        Reading begins at `offset` and brings at most `length` bytes. What is written is in its
        place when the file is closed, which raises what went wrong.

        >>> async with vmette.aio.Session() as vm:
        ...     async with await vm.files.open("/tmp/big", "wb") as file:
        ...         for part in range(3):
        ...             await file.write(b"part\\n")
        ...     async with await vm.files.open("/tmp/big", offset=5) as file:
        ...         await file.read()
        b'part\\npart\\n'
        """
        where = _check.absolute("path", path)
        if mode == "rb":
            most = _EVERYTHING if length is None else _check.integer("length", length, 0, 2**63)
            begin = _check.integer("offset", offset, 0, 2**63)
            return GuestFile(self._session().open_read(where, begin, most), path, writes=False)
        if mode not in ("wb", "xb", "ab"):
            raise _check.wrong_value(
                "mode", mode, "is none of 'rb', 'wb', 'xb', 'ab': files are bytes"
            )
        flags = _flags(atomic=atomic, parents=parents, exclusive=mode[0] == "x")
        flags |= _APPEND if mode[0] == "a" else 0
        transfer = self._session().open_write(where, flags, _mode(permissions))
        return GuestFile(transfer, path, writes=True)

    async def stat(
        self, path: Text, *, follow: bool = True, timeout: Optional[float] = None
    ) -> FileStat:
        """What there is at a path, with `follow` at the end of the links."""
        begin, flags = _core.Session.begin_stat, _flags(follow=follow)
        return _stat(await self._ask("stat of", path, timeout, begin, flags))

    async def exists(self, path: Text, *, timeout: Optional[float] = None) -> bool:
        """Whether there is something, a link that leads nowhere included."""
        return bool(await self._ask("stat of", path, timeout, _core.Session.begin_exists))

    async def _is(self, path: Text, kind: FileType, follow: bool) -> bool:
        try:
            return (await self.stat(path, follow=follow)).type is kind
        except (FileNotFoundError, NotADirectoryError):
            return False

    async def is_dir(self, path: Text) -> bool:
        """Whether it is a directory, or a link to one."""
        return await self._is(path, FileType.DIRECTORY, True)

    async def is_file(self, path: Text) -> bool:
        """Whether it is a file with content, or a link to one."""
        return await self._is(path, FileType.REGULAR, True)

    async def is_symlink(self, path: Text) -> bool:
        """Whether it is a symbolic link."""
        return await self._is(path, FileType.SYMLINK, False)

    async def readlink(self, path: Text) -> str:
        """What a symbolic link says."""
        found = await self.stat(path, follow=False)
        if found.type is not FileType.SYMLINK:
            raise FileError(
                f"readlink {path!r}: it is no symbolic link",
                code=ErrorCode.FILE,
                stage="stat",
                details={"errno": errno.EINVAL},
            )
        return found.target

    async def iterdir(self, path: Text, *, timeout: Optional[float] = None) -> List[DirEntry]:
        """What is in a directory, sorted by name."""
        found = await self._ask("listing", path, timeout, _core.Session.begin_list)
        parent = os.fsdecode(path).rstrip("/")
        return [
            DirEntry(os.fsdecode(name), f"{parent}/{os.fsdecode(name)}", _stat(raw))
            for name, raw in found
        ]

    async def walk(self, path: Text) -> AsyncIterator[DirEntry]:
        """Everything below a directory, each directory before what is in it; follows no link.

        >>> async with vmette.aio.Session() as vm:
        ...     await vm.files.write_text("/tmp/a/b/note", "", parents=True)
        ...     [entry.path async for entry in vm.files.walk("/tmp/a")]
        ['/tmp/a/b', '/tmp/a/b/note']
        """
        waiting = list(reversed(await self.iterdir(path)))
        while waiting:
            entry = waiting.pop()
            yield entry
            if entry.is_dir():
                waiting.extend(reversed(await self.iterdir(entry.path)))

    async def mkdir(
        self,
        path: Text,
        mode: int = 0o755,
        *,
        parents: bool = False,
        exist_ok: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """Makes a directory; with `parents` those above too, with `exist_ok` it may be there."""
        begin, bits = _core.Session.begin_mkdir, _check.integer("mode", mode, 0, 0o7777)
        try:
            await self._ask("mkdir of", path, timeout, begin, bits, 0)
        except FileNotFoundError:
            if not _check.flag("parents", parents):
                raise
            await self._ask("mkdir of", path, timeout, begin, bits, _PARENTS)
        except FileExistsError:
            if not _check.flag("exist_ok", exist_ok) or not await self.is_dir(path):
                raise

    async def remove(
        self,
        path: Text,
        *,
        recursive: bool = False,
        missing_ok: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """Removes a file, a link itself or an empty directory; with `recursive` all that is in it."""
        begin, flags = _core.Session.begin_remove, _flags(recursive=recursive)
        try:
            await self._ask("removing", path, timeout, begin, flags)
        except FileNotFoundError:
            if not _check.flag("missing_ok", missing_ok):
                raise

    async def rename(
        self,
        path: Text,
        to: Text,
        *,
        exclusive: bool = False,
        timeout: Optional[float] = None,
    ) -> None:
        """Renames as rename(2) does: what is at `to` is replaced, unless `exclusive`."""
        new, flags = _check.absolute("to", to), _flags(exclusive=exclusive)
        await self._ask("renaming", path, timeout, _core.Session.begin_rename, new, flags)

    async def symlink(
        self, path: Text, target: Text, *, timeout: Optional[float] = None
    ) -> None:
        """Makes a symbolic link at `path` that says `target`."""
        says = _check.text("target", target)
        await self._ask("linking", path, timeout, _core.Session.begin_symlink, says)

    async def chmod(self, path: Text, mode: int, *, timeout: Optional[float] = None) -> None:
        """Sets permission bits of a file, or of a link's target."""
        bits = _check.integer("mode", mode, 0, 0o7777)
        await self._ask("chmod of", path, timeout, _core.Session.begin_chmod, bits)

    async def chown(
        self,
        path: Text,
        uid: Optional[int] = None,
        gid: Optional[int] = None,
        *,
        follow: bool = True,
        timeout: Optional[float] = None,
    ) -> None:
        """Sets owner and group, by number; None leaves one as it is."""
        user, group = (
            -1 if one is None else _check.integer(name, one, 0, 2**32 - 2)
            for name, one in (("uid", uid), ("gid", gid))
        )
        begin, flags = _core.Session.begin_chown, _flags(follow=follow)
        await self._ask("chown of", path, timeout, begin, user, group, flags)

    async def set_mtime(
        self,
        path: Text,
        mtime_ns: int,
        *,
        follow: bool = True,
        timeout: Optional[float] = None,
    ) -> None:
        """Sets the time of the last change, in nanoseconds since 1970."""
        when = _check.integer("mtime_ns", mtime_ns, -(2**63), 2**63 - 1)
        begin, flags = _core.Session.begin_set_mtime, _flags(follow=follow)
        await self._ask("set_mtime of", path, timeout, begin, when, flags)

    async def put(
        self,
        local: Text,
        path: Text,
        *,
        parents: bool = False,
        owners: bool = False,
        on_progress: Optional[Callable[[str, int], object]] = None,
        timeout: Optional[float] = None,
    ) -> Copied:
        """Copies a file, or a directory with all that is in it, from the host into the machine.

        Keeps holes, permission bits, links and times; `owners` keeps owners too. `on_progress` is
        called with the path and the bytes so far; what it raises gives the copy up.
        """
        host, guest = _check.text("local", local), _check.absolute("path", path)
        flags = _flags(parents=parents, owners=owners)
        session, limit = self._session(), _copy_timeout(timeout)
        return await _copy(
            lambda heard: session.copy_in(host, guest, flags, limit, heard), on_progress
        )

    async def get(
        self,
        path: Text,
        local: Text,
        *,
        owners: bool = False,
        max_bytes: Optional[int] = None,
        on_progress: Optional[Callable[[str, int], object]] = None,
        timeout: Optional[float] = None,
    ) -> Copied:
        """The same from the machine to the host. Whatever the guest says, nothing outside `local` is
        written. What its links say is the guest's: follow none of them unseen."""
        host, guest = _check.text("local", local), _check.absolute("path", path)
        flags = _flags(parents=True, owners=owners)
        most = (
            _EVERYTHING if max_bytes is None else _check.integer("max_bytes", max_bytes, 0, 2**63)
        )
        session, limit = self._session(), _copy_timeout(timeout)
        return await _copy(
            lambda heard: session.copy_out(guest, host, flags, most, limit, heard), on_progress
        )

    def __repr__(self) -> str:
        return "<vmette.aio.Files>"


def _copy_timeout(timeout: Optional[float]) -> int:
    return -1 if timeout is None else _check.milliseconds("timeout", timeout, 2**62)


async def _copy(copy: Callable[[Any], Any], on_progress: Optional[Callable[..., object]]) -> Copied:
    if on_progress is not None and not callable(on_progress):
        raise _check.wrong_type("on_progress", "a callable", on_progress)
    failures: List[BaseException] = []

    def work(caller: Caller) -> Any:
        last = (b"", 0)

        def heard(path: bytes, done: int) -> bool:
            nonlocal last
            if caller.gone():
                return False
            # While the guest is silent the same comes again.
            if on_progress is None or last == (path, done):
                return True
            last = (path, done)
            try:
                caller.call(on_progress, os.fsdecode(path), done)
            except BaseException as failure:
                failures.append(failure)
                return False
            return True

        return copy(heard)

    try:
        return Copied(*await io.in_worker(work))
    except Error as error:
        if error.code is ErrorCode.CANCELLED and failures:
            raise failures[0] from None
        raise
    finally:
        del failures


Files.__module__ = "vmette.aio"
