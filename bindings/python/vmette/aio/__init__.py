"""The asynchronous face of vmette: the same names, to be awaited, on asyncio or uvloop.

It waits on the running loop, with no thread for a call. What is cancelled is cleaned up: a command
that was run is killed, a machine that was starting is ended.

>>> async with vmette.aio.Session() as vm:
...     done = await vm.run("uname -s", text=True)
>>> done.stdout
'Linux\\n'
"""

from vmette.aio._files import Files
from vmette.aio._guest_file import GuestFile
from vmette.aio._pool import Pool
from vmette.aio._process import Popen, Pty
from vmette.aio._run import list_providers, resolve_rootfs, run, run_in_terminal, validate
from vmette.aio._session import Session
from vmette.aio._snapshot import Snapshot
from vmette.aio._streams import Reader, Writer

__all__ = [
    "Files",
    "GuestFile",
    "Popen",
    "Pool",
    "Pty",
    "Reader",
    "Session",
    "Snapshot",
    "Writer",
    "list_providers",
    "resolve_rootfs",
    "run",
    "run_in_terminal",
    "validate",
]
