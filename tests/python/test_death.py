"""Machines that die while somebody waits for them, and threads that share one."""

import asyncio
import os
import signal
import threading

import footprint
import pytest
import vmette
from faces import new_loop

MEM_MIB = 256


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "warm"
    return vmette.Snapshot.build(path, mem_mib=MEM_MIB)


def hypervisor_of(vm):
    """The only one there is."""
    [pid] = footprint.machines()
    return pid


def kill_hypervisor(vm):
    os.kill(hypervisor_of(vm), signal.SIGKILL)


def kill_session(vm):
    vm.kill()


@pytest.fixture(params=[kill_hypervisor, kill_session], ids=lambda one: one.__name__)
def end(request):
    return request.param


class Thread(threading.Thread):
    """Keeps what its function returned or raised."""

    def __init__(self, work):
        super().__init__()
        self.work, self.result, self.error = work, None, None
        self.start()

    def run(self):
        try:
            self.result = self.work()
        except BaseException as error:
            self.error = error

    def outcome(self):
        self.join(60)
        assert not self.is_alive()
        if self.error is not None:
            raise self.error
        return self.result


def test_a_reader_gets_the_end_and_wait_says_why(warm, end, nothing_left):
    with warm.resume() as vm:
        with vm.popen("echo begun; exec sleep 1000") as proc:
            assert proc.stdout.readline() == b"begun\n"
            reader = Thread(proc.stdout.read)
            waiter = Thread(proc.wait)
            end(vm)
            assert reader.outcome() == b""
            with pytest.raises(vmette.SessionEnded):
                waiter.outcome()
            with pytest.raises(vmette.SessionEnded):
                proc.wait()
            with pytest.raises(vmette.SessionEnded):
                proc.communicate()
            with pytest.raises(vmette.SessionEnded):
                proc.poll()
            assert proc.returncode is None and "lost" in repr(proc)
            proc.kill()
            proc.send_signal("TERM")
    assert vm.state is vmette.State.ENDED
    if end is kill_hypervisor:
        assert vm.end is vmette.End.ERROR and vm.exit_code == 1 and vm.end_message


@pytest.mark.parametrize(
    "call",
    [
        lambda vm: vm.run("sleep 1000"),
        lambda vm: vm.popen("exec sleep 1000").communicate(timeout=60),
        lambda vm: vm.pty("sleep 1000").wait(),
        lambda vm: vm.files.open("/dev/zero").read(),
    ],
    ids=["run", "communicate", "pty", "stream"],
)
def test_whoever_waits_is_told(warm, call, nothing_left, recwarn):
    with warm.resume() as vm:
        waiting = Thread(lambda: call(vm))
        # The machine dies when the call has certainly begun, or a little before.
        assert vm.run("true").returncode == 0
        kill_hypervisor(vm)
        with pytest.raises((vmette.Error, OSError)):
            waiting.outcome()
        with pytest.raises(vmette.SessionEnded):
            vm.run("true")
        with pytest.raises(vmette.SessionEnded):
            vm.files.stat("/")


def test_polling_notices_that_the_machine_is_gone(warm, nothing_left):
    with warm.resume() as vm, vm.popen("exec sleep 1000") as proc:
        assert proc.poll() is None
        kill_hypervisor(vm)
        with pytest.raises(vmette.SessionEnded):
            while proc.poll() is None:
                pass


def test_a_session_that_died_is_waited_for_at_once(warm, nothing_left):
    with warm.resume() as vm:
        waiting = Thread(vm.wait)
        kill_hypervisor(vm)
        waiting.outcome()
        assert vm.end is vmette.End.ERROR
        assert vm.end_message
    assert vm.end is vmette.End.ERROR


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_tasks_are_told_too(warm, kind, nothing_left):
    async def main():
        snapshot = await vmette.aio.Snapshot.open(warm.path)
        async with await snapshot.resume() as vm:
            proc = await vm.popen("exec sleep 1000", stdin=vmette.PIPE)
            tasks = [
                asyncio.ensure_future(one)
                for one in (
                    vm.run("sleep 1000"),
                    proc.stdout.read(),
                    proc.wait(),
                    vm.wait(),
                    vm.files.write_bytes("/tmp/file", b"x" * 1000),
                )
            ]
            await asyncio.sleep(0)
            kill_hypervisor(vm)
            run, read, waited, ended, write = await asyncio.gather(*tasks, return_exceptions=True)
            assert isinstance(run, vmette.SessionEnded)
            assert read == b"" and ended is None
            assert isinstance(waited, vmette.SessionEnded)
            assert write is None or isinstance(write, vmette.SessionEnded)
            for stream in (proc.stdin, proc.stdout, proc.stderr):
                await stream.close()

    loop = new_loop(kind)
    loop.run_until_complete(main())
    loop.close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_task_that_ends_the_session_ends_the_waits_of_others(warm, kind, nothing_left):
    async def main():
        snapshot = await vmette.aio.Snapshot.open(warm.path)
        vm = await snapshot.resume()
        tasks = [asyncio.ensure_future(vm.run("sleep 1000")) for _ in range(5)]
        closing = [asyncio.ensure_future(vm.close()) for _ in range(3)]
        done = await asyncio.gather(*tasks, *closing, return_exceptions=True)
        # An orderly end kills the commands first, and some are still told so.
        assert all(isinstance(one, vmette.Error) or one.returncode < 0 for one in done[:5]), done
        assert done[5:] == [None, None, None]
        assert vm.state is vmette.State.ENDED

    loop = new_loop(kind)
    loop.run_until_complete(main())
    loop.close()


def test_threads_share_a_session(warm, nothing_left):
    def work(vm, number):
        for turn in range(5):
            path = f"/tmp/{number}-{turn}"
            vm.files.write_text(path, str(number))
            assert vm.run(["cat", path], text=True).stdout == str(number)
            with vm.popen("cat", stdin=vmette.PIPE) as proc:
                assert proc.communicate(b"x" * 100_000)[0] == b"x" * 100_000
        return number

    with warm.resume() as vm:
        threads = [Thread(lambda number=number: work(vm, number)) for number in range(8)]
        assert [thread.outcome() for thread in threads] == list(range(8))


def test_threads_may_end_a_session_at_once(warm, nothing_left):
    vm = warm.resume()
    runs = [Thread(lambda: vm.run("sleep 1000")) for _ in range(4)]
    ends = [Thread(end) for end in (vm.kill, vm.stop, vm.close, vm.kill)]
    for one in ends:
        one.outcome()
    for one in runs:
        with pytest.raises(vmette.Error):
            one.outcome()
    assert vm.state is vmette.State.ENDED


@pytest.mark.parametrize("wait", ["run", "wait", "read", "session", "start"])
def test_other_threads_go_on_while_one_waits(warm, wait):
    """Without the interpreter's lock: the wait ends only when another thread has made progress."""
    vm = vmette.Session(resume_snapshot=warm.path) if wait == "start" else warm.resume()
    proc = None if wait in ("run", "start", "session") else vm.popen("exec sleep 1000")
    steps = []

    def other():
        for _ in range(1000):
            steps.append(len(steps))
        if wait == "start":
            return
        vm.kill()

    calls = {
        "run": lambda: vm.run("sleep 1000"),
        "wait": lambda: proc.wait(),
        "read": lambda: proc.stdout.read(),
        "session": lambda: vm.wait(),
        "start": lambda: vm.start(),
    }
    thread = threading.Thread(target=other)
    thread.start()
    try:
        calls[wait]()
    except vmette.Error:
        pass
    thread.join(60)
    assert len(steps) == 1000
    vm.close()
    for stream in (proc.stdin, proc.stdout, proc.stderr) if proc else ():
        if stream is not None:
            stream.close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_two_loops_in_two_threads_share_a_session(warm, kind, nothing_left):
    async def use(vm, number):
        done = await asyncio.gather(*(vm.run(f"echo {number}", text=True) for _ in range(10)))
        assert {one.stdout for one in done} == {f"{number}\n"}

    def work(vm, number):
        loop = new_loop(kind)
        try:
            loop.run_until_complete(use(vm, number))
        finally:
            loop.close()

    async def begin():
        return await (await vmette.aio.Snapshot.open(warm.path)).resume()

    loop = new_loop(kind)
    vm = loop.run_until_complete(begin())
    threads = [Thread(lambda number=number: work(vm, number)) for number in range(3)]
    for thread in threads:
        thread.outcome()
    loop.run_until_complete(vm.close())
    loop.close()


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_many_commands_on_a_loop_need_no_thread_each(warm, kind, nothing_left):
    async def main():
        snapshot = await vmette.aio.Snapshot.open(warm.path)
        async with await snapshot.resume() as vm:
            await vm.run("true")
            before = len(footprint.threads())
            line, data = "read x; cat", b"1\n2\n"
            tasks = [asyncio.ensure_future(vm.run(line, input=data)) for _ in range(40)]
            seen = set()
            while not all(task.done() for task in tasks):
                seen.add(len(footprint.threads()))
                await asyncio.sleep(0)
            assert max(seen) <= before
            assert {task.result().stdout for task in tasks} == {b"2\n"}

    loop = new_loop(kind)
    loop.run_until_complete(main())
    loop.close()
