"""What a process has: descriptors, threads, machines. Linux only."""

import gc
import os
import select
import time

from vmette import _workers

# A helper is nobody's child: its environment says whose it is.
MARK = "VMETTE_TEST_OWNER"
PATIENCE = 30.0

os.environ[MARK] = str(os.getpid())


def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def parent_of(pid):
    fields = read(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def marked(mark):
    """Processes with `mark` in the environment and all below them, without this one."""
    wanted = f"\0{MARK}={mark}\0".encode()
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    found = {pid for pid in pids if wanted in b"\0" + read(f"/proc/{pid}/environ")}
    parents = {pid: parent_of(pid) for pid in pids}
    found.discard(os.getpid())
    while True:  # a hypervisor has an environment of its own
        below = {pid for pid, parent in parents.items() if parent in found} - found
        if not below:
            return sorted(found)
        found |= below


def name(pid):
    return read(f"/proc/{pid}/comm").decode().strip()


def machines(mark=None):
    """The hypervisors that a process with this mark, or this one, has started."""
    found = [pid for pid in marked(mark or os.getpid()) if name(pid).startswith("qemu-system")]
    return [pid for pid in found if not name(parent_of(pid)).startswith("qemu-system")]


def wait_end(pid, seconds=PATIENCE):
    """Whether the process ends, or is gone."""
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poller = select.poll()
        poller.register(fd, select.POLLIN)
        return bool(poller.poll(seconds * 1000))
    finally:
        os.close(fd)


def left_after(mark, seconds=PATIENCE):
    """Processes with this mark that have not ended by then."""
    end = time.monotonic() + seconds
    return [
        f"{pid} {name(pid)}"
        for pid in marked(mark)
        if not wait_end(pid, max(0.0, end - time.monotonic()))
    ]


def descriptors():
    """What each descriptor leads to."""
    found = {}
    for fd in os.listdir("/proc/self/fd"):
        try:
            found[int(fd)] = os.readlink(f"/proc/self/fd/{fd}")
        except FileNotFoundError:
            pass  # the one that read the directory
    return found


def threads():
    """Id and name of each thread."""
    return {
        int(task): read(f"/proc/self/task/{task}/comm").decode().strip()
        for task in os.listdir("/proc/self/task")
    }


def added(before, after):
    return {key: what for key, what in after.items() if key not in before}


class Footprint:
    """What there was when it was made."""

    def __init__(self):
        finish_work()
        self.descriptors = descriptors()
        self.threads = threads()
        self.processes = set(marked(os.getpid()))

    def check(self):
        """Fails on what has been added since."""
        finish_work()
        gc.collect()  # an exception that was caught holds the frames that it went through
        new = [pid for pid in marked(os.getpid()) if pid not in self.processes]
        assert not [f"{pid} {name(pid)}" for pid in new if not wait_end(pid)]
        # The library's thread closes what it has when the last session is gone.
        assert until(lambda: not added(self.threads, threads())), added(self.threads, threads())
        few = lambda: len(descriptors()) <= len(self.descriptors)  # noqa: E731
        assert until(few), added(self.descriptors, descriptors())


def finish_work():
    """Waits for what the module's workers are doing for calls that were given up."""
    pool, _workers._pool = _workers._pool, None
    if pool is not None:
        pool.shutdown(wait=True)


def until(true, seconds=PATIENCE):
    """Whether it comes true, for what no descriptor tells of."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True
