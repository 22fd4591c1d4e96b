"""Sessions that nobody closes: dropped ones, and those of interpreters that end."""

import signal

import child
import footprint
import pytest
import vmette

@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "warm"
    return vmette.Snapshot.build(path, mem_mib=128).path


BEGIN = """
    import asyncio, gc, os, sys, threading
    import vmette
    vm = vmette.Session(mem_mib=256).start()
    proc = vm.popen("exec sleep 1000", stdin=vmette.PIPE)
    def waits():
        try:
            vm.run("sleep 1000")
        except vmette.SessionEnded:
            pass
    print("ready", flush=True)
    sys.stdin.readline()
"""

ENDS = {
    "falls off the end": ("pass", 0),
    "sys.exit": ("sys.exit(3)", 3),
    "os._exit": ("os._exit(4)", 4),
    "exception": ("raise KeyError('mine')", 1),
    "thread that waits": (
        "threading.Thread(target=waits, daemon=True).start()",
        0,
    ),
    "SIGKILL": ("os.kill(os.getpid(), 9)", -9),
    "SIGTERM": ("os.kill(os.getpid(), 15)", -15),
}


@pytest.mark.parametrize("end, code", ENDS.values(), ids=list(ENDS))
def test_an_interpreter_that_ends_takes_its_machines_with_it(end, code):
    with child.running(BEGIN + "    " + end) as one:
        assert one.says() == "ready"
        assert len(one.machines()) == 1
        returned, out, err = one.end("\n")
    assert returned == code, err
    assert out == ""
    if end.startswith("raise"):
        assert err.count("Traceback") == 1 and "KeyError: 'mine'" in err
    else:
        assert err == ""


BUSY = """
    import sys, threading, vmette
    options = {"resume_snapshot": sys.argv[1]}
    vm = vmette.Session(**options).start()
    begun = threading.Barrier(4)

    def heard(*_):
        vm.stats()

    def again():
        begun.wait()
        while True:
            try:
                CALL
            except vmette.Error:
                pass

    for _ in range(3):
        threading.Thread(target=again, daemon=True).start()
    begun.wait()
    vm.run("true")
"""

CALLS = {
    "stats": "vm.stats()",
    "run": "vm.run('true')",
    "put": "vm.files.put('/usr/include', '/tmp/include')",
    "heard": "vm.files.put('/etc', '/tmp/etc', on_progress=heard)",
    "start": "vmette.Session(**options).start().close()",
    "refused": "vmette.Session(vcpus=2**40)",
}


@pytest.mark.parametrize("call", CALLS.values(), ids=list(CALLS))
def test_an_interpreter_that_ends_halts_the_threads_that_are_in_a_call(warm, call):
    for _ in range(3):
        assert child.run(BUSY.replace("CALL", call), warm) == (0, "", "")


ASYNC = """
    import asyncio, os, sys
    import vmette.aio as aio

    async def main():
        vm = aio.Session(mem_mib=256)
        {enter}
        run = asyncio.ensure_future(vm.run("sleep 1000"))
        await asyncio.sleep(0)
        print("ready", flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
        {end}

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    "end, code",
    [("sys.exit(3)", 3), ("raise KeyError('mine')", 1), ("os._exit(4)", 4), ("return", 0)],
    ids=["sys.exit", "exception", "os._exit", "return"],
)
@pytest.mark.parametrize("enter", ["await vm.start()"])
def test_a_loop_that_is_closed_with_a_session_open_leaves_nothing(end, code, enter):
    with child.running(ASYNC.format(enter=enter, end=end)) as one:
        assert one.says() == "ready"
        assert len(one.machines()) == 1
        returned, out, err = one.end("\n")
    assert returned == code, err
    assert err.count("Traceback") == (1 if code == 1 else 0), err


def test_a_loop_that_is_stopped_and_closed_leaves_the_session_usable_by_another():
    code = """
        import asyncio, vmette.aio as aio
        vm = aio.Session(mem_mib=256)
        loop = asyncio.new_event_loop()
        loop.run_until_complete(vm.start())
        waiting = loop.create_task(vm.run("sleep 1000"))
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()
        del waiting, loop
        async def more():
            done = await vm.run("echo again", text=True)
            await vm.close()
            return done.stdout
        print(asyncio.run(more()), end="")
        """
    returned, out, err = child.run(code)
    assert (returned, out) == (0, "again\n"), err
    assert "Traceback" not in err.replace("Task was destroyed", "")


DROP = """
    import gc, os, sys, threading
    import vmette
    def drop(number):
        vm = vmette.Session(resume_snapshot=sys.argv[1]).start()
        vm.popen("exec sleep 1000")
        vm.run("true")
    drop(0)
    gc.collect()
    fds, tasks = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
    for number in range({count}):
        drop(number)
        gc.collect()
    print("dropped", flush=True)
    sys.stdin.readline()
    print(len(os.listdir("/proc/self/fd")) - fds, len(os.listdir("/proc/self/task")) - tasks)
"""


def test_sessions_that_are_dropped_end_without_noise(warm):
    with child.running(DROP.format(count=5), warm) as one:
        assert one.says() == "dropped"
        for pid in one.machines():
            assert footprint.wait_end(pid)
        returned, out, err = one.end("\n")
    assert (returned, out, err) == (0, "0 0\n", "")


def test_fifty_sessions_that_are_dropped_are_warned_of_and_leave_nothing(warm):
    # Python tells one of each place, unless it is to tell always.
    always = ["-X", "dev", "-W", "always::ResourceWarning"]
    with child.running(DROP.format(count=49), warm, options=always) as one:
        assert one.says() == "dropped"
        for pid in one.machines():
            assert footprint.wait_end(pid)
        returned, out, err = one.end("\n")
    assert (returned, out) == (0, "0 0\n"), err
    assert err.count("ResourceWarning: unclosed <vmette.Session") == 50, err
    assert "Traceback" not in err and "Exception ignored" not in err


def test_warnings_name_what_was_dropped():
    code = """
        import asyncio, gc, vmette, vmette.aio as aio
        with vmette.Session(mem_mib=256) as vm:
            vm.popen(["sleep", "1000"])
            vm.pty("exec sleep 1000")
            vm.files.open("/etc/passwd")
            gc.collect()
        vmette.Pool(ready=1, mem_mib=256).start()
        gc.collect()
        async def main():
            async with aio.Session(mem_mib=256) as vm:
                await vm.popen(["sleep", "1000"])
                gc.collect()
        asyncio.run(main())
        """
    returned, _, err = child.run(code, options=["-X", "dev"])
    assert returned == 0
    for words in (
        "<vmette.Popen ['sleep', '1000'] running> still runs",
        "<vmette.Pty 'exec sleep 1000' running> still runs",
        "unclosed <vmette.GuestFile '/etc/passwd'",
        "unclosed <vmette.Pool",
        "<vmette.aio.Popen ['sleep', '1000'] running> still runs",
        "unclosed <vmette.aio.Reader",
    ):
        assert words in err, f"{words!r} is not in\n{err}"
    assert "Traceback" not in err


def test_what_was_closed_is_not_warned_of(warm):
    code = """
        import asyncio, gc, sys, vmette, vmette.aio as aio
        with vmette.Session(resume_snapshot=sys.argv[1]) as vm:
            with vm.popen("cat", stdin=vmette.PIPE) as proc:
                proc.communicate(b"x")
            with vm.pty("true") as pty:
                pty.read()
            with vm.files.open("/etc/passwd") as file:
                file.read()
            [copy] = vm.fork()
            copy.close()
        with vmette.Pool(ready=1, resume_snapshot=sys.argv[1]) as pool:
            pool.take().close()
        vmette.Session(), vmette.Pool(), aio.Session(), aio.Pool()
        async def main():
            async with aio.Session(resume_snapshot=sys.argv[1]) as vm:
                async with await vm.popen("cat", stdin=vmette.PIPE) as proc:
                    await proc.communicate(b"x")
                await vm.run("true")
                async with await vm.files.open("/etc/passwd") as file:
                    await file.read()
        asyncio.run(main())
        gc.collect()
        """
    assert child.run(code, warm, options=["-X", "dev"]) == (0, "", "")


def test_a_thousand_that_fail_to_start_leave_nothing(tmp_path):
    """Of every kind: no helper, one that ends at once, one that says nothing of use."""
    code = """
        import asyncio, gc, os, sys, vmette, vmette.aio as aio
        helpers = ["/nowhere", "/bin/false", "/bin/echo"]
        def fail(number):
            vm = vmette.Session(mem_mib=256, helper=helpers[number % 3])
            try:
                vm.start()
            except vmette.Error as error:
                return str(error)
            sys.exit("it started")
        async def fail_too(number):
            try:
                async with aio.Session(mem_mib=256, helper=helpers[number % 3]):
                    sys.exit("it started")
            except vmette.Error as error:
                return str(error)
        async def many(numbers):
            return await asyncio.gather(*map(fail_too, numbers))
        said = {fail(number) for number in range(3)} | set(asyncio.run(many(range(9))))
        gc.collect()
        fds, tasks = len(os.listdir("/proc/self/fd")), len(os.listdir("/proc/self/task"))
        for number in range(500):
            fail(number)
        for start in range(0, 500, 10):
            asyncio.run(many(range(start, start + 10)))
        gc.collect()
        vmette._workers._pool.shutdown()
        print(len(os.listdir("/proc/self/fd")) - fds, len(os.listdir("/proc/self/task")) <= tasks)
        """
    assert child.run(code, options=["-X", "dev"]) == (0, "0 True\n", "")


def test_a_ring_of_references_is_collected(warm):
    code = """
        import gc, sys, weakref, vmette
        class Mine(vmette.Provider):
            name = "mine"
            def matches(self, spec): return False
        mine = Mine()
        options = {"resume_snapshot": sys.argv[1], "providers": [mine]}
        vm = vmette.Session(on_progress=lambda *_: vm, **options)
        mine.vm = vm
        vm.start()
        gone = weakref.ref(vm), weakref.ref(mine)
        del vm, mine, options
        gc.collect()
        print([one() for one in gone])
        """
    assert child.run(code, warm) == (0, "[None, None]\n", "")


def test_a_terminal_program_that_is_cancelled_before_it_has_a_machine_gets_none():
    code = """
        import asyncio, threading, vmette.aio
        class Root(vmette.Provider):
            name, claims = "mine", "mine"
            def matches(self, spec): return spec == "mine"
            def provide(self, spec, context):
                loop.call_soon_threadsafe(task.cancel)
                stopped.wait(60)
                return vmette.RootfsArtifact("/")
        async def main():
            global loop, task
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            try:
                await vmette.aio.run_in_terminal(
                    command="echo begun; sleep 1000", rootfs="mine", providers=[Root()], quiet=True)
            except asyncio.CancelledError:
                print("cancelled")
                stopped.set()
        stopped = threading.Event()
        asyncio.run(main())
        """
    assert child.run(code) == (0, "cancelled\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_terminal_program_that_is_signalled_leaves_nothing(number):
    code = """
        import sys, vmette
        options = {"mem_mib": 256, "quiet": True}
        sys.exit(vmette.run_in_terminal(command="echo ready; sleep 1000", **options))
        """
    with child.running(code) as one:
        assert one.says().strip() == "ready"
        assert len(one.machines()) == 1
        one.signal(number)
        assert one.end()[0] != 0
