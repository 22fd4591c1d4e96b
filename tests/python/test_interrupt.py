"""Ctrl-C ends a wait at once, whatever it is for, and leaves nothing of what was waited for."""

import child
import pytest
import vmette

# Interrupts the main thread when it waits in `call`, and nowhere earlier.
PROGRAM = """
    import asyncio, os, signal, sys, threading
    import vmette
    from vmette import _workers
    warm, folder = sys.argv[1:]
    main = threading.main_thread().ident

    def interrupt(where):
        while True:
            frame = sys._current_frames()[main]
            place = os.path.basename(frame.f_code.co_filename)
            if frame.f_code.co_name == "call" or place in where:
                break
        os.kill(os.getpid(), signal.SIGINT)

    def interrupted(call, where=("_blocking.py",)):
        thread = threading.Thread(target=interrupt, args=(where,))
        thread.start()
        try:
            call()
        except KeyboardInterrupt:
            print("interrupted")
        thread.join()

    def finish():
        # What the workers still do for calls that nobody waits for.
        pool, _workers._pool = _workers._pool, None
        pool and pool.shutdown()

    def runs(vm):
        return b"sleep\\0" b"1111\\0" in vm.run("cat /proc/[0-9]*/cmdline").stdout
"""

CALLS = {
    "run": ("vm.run('exec sleep 1111')", "assert not runs(vm)"),
    "wait": ("proc.wait()", "assert proc.poll() is None"),
    "communicate": ("proc.communicate()", "assert proc.poll() is None"),
    "pty": ("vm.pty('exec cat').read(10)", ""),
    "session": ("vm.wait()", ""),
    "files": ("vm.files.read_bytes('/tmp/fifo')", ""),
    "get": ("vm.files.get('/tmp/big', folder + '/big')", ""),
    "snapshot": ("vm.snapshot(folder + '/saved')", "finish(); assert not os.listdir(folder)"),
    "fork": ("vm.fork(2)", "finish()"),
    "put": ("vm.files.put('/usr/lib/python3', '/tmp/lib')", "finish()"),
}


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    def warm_up(vm):
        vm.run("mkfifo /tmp/fifo; head -c 30000000 /dev/urandom > /tmp/big")

    path = tmp_path_factory.mktemp("snapshots") / "warm"
    return vmette.Snapshot.build(path, mem_mib=256, warm_up=warm_up).path


@pytest.mark.parametrize("call, after", CALLS.values(), ids=list(CALLS))
def test_a_wait_is_interrupted_and_the_machine_goes_on(warm, tmp_path, call, after):
    code = PROGRAM + f"""
    with vmette.Session(resume_snapshot=warm) as vm:
        proc = vm.popen("exec sleep 2222")
        interrupted(lambda: {call})
        {after}
        assert vm.run("echo works").stdout == b"works\\n"
        proc.kill()
        proc.communicate()
    """
    assert child.run(code, warm, tmp_path) == (0, "interrupted\n", "")


def test_a_read_is_interrupted(warm, tmp_path):
    code = PROGRAM + """
    with vmette.Session(resume_snapshot=warm) as vm:
        with vm.popen("sleep 2222 & read line; kill $!; echo $line", stdin=vmette.PIPE) as proc:
            def call():
                proc.stdout.read(10)
            interrupted(call, where=("_streams.py",))
            proc.stdin.write(b"goes on\\n")
            proc.stdin.close()
            assert proc.stdout.read() == b"goes on\\n"
    """
    assert child.run(code, warm, tmp_path) == (0, "interrupted\n", "")


@pytest.mark.parametrize(
    "options",
    ["mem_mib=256", "resume_snapshot=warm", "mem_mib=256, rootfs='slow:', providers=[Slow()]"],
)
def test_a_start_is_interrupted(warm, tmp_path, options):
    code = PROGRAM + f"""
    class Slow(vmette.Provider):
        name = "slow"
        def matches(self, spec):
            return spec == "slow:"
        def provide(self, spec, context):
            while not given_up.is_set():
                context.report("waiting", 0)
            return vmette.RootfsArtifact("/")
    given_up = threading.Event()
    vm = vmette.Session({options})
    interrupted(vm.start)
    given_up.set()
    finish()
    try:
        vm.run("true")
    except vmette.Error as error:
        print(type(error).__name__)
    vm.close()
    """
    returned, out, err = child.run(code, warm, tmp_path)
    assert (returned, err) == (0, "")
    assert out.split()[0] == "interrupted" and out.split()[1] in ("StateError", "SessionEnded")


def test_a_take_is_interrupted(warm, tmp_path):
    code = PROGRAM + """
    with vmette.Pool(ready=1, most=1, resume_snapshot=warm) as pool:
        with pool.take() as vm:
            interrupted(pool.take)
            assert pool.count().waiting == 0
            vm.run("true")
        pool.take(timeout=60).close()
    """
    assert child.run(code, warm, tmp_path) == (0, "interrupted\n", "")


def test_a_program_that_is_interrupted_ends_with_its_machine(warm, tmp_path):
    code = PROGRAM + """
    with vmette.Session(resume_snapshot=warm) as vm:
        with vm.popen("echo; exec sleep 1000") as proc:
            proc.stdout.readline()
            print("ready", flush=True)
            vm.run("exec sleep 1000")
    """
    with child.running(code, warm, tmp_path) as one:
        assert one.says() == "ready"
        assert len(one.machines()) == 1
        one.interrupt()
        returned, out, err = one.end()
    assert returned == -2
    assert err.rstrip().endswith("KeyboardInterrupt")


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_loop_that_is_interrupted_ends_with_its_machine(warm, tmp_path, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop", reason="there is no uvloop here")
    code = PROGRAM + """
    import vmette.aio as aio
    async def main():
        async with aio.Session(resume_snapshot=warm) as vm:
            print("ready", flush=True)
            await vm.run("exec sleep 1000")
    if "uvloop" in %r:
        import uvloop
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(main())
    """ % loop
    with child.running(code, warm, tmp_path) as one:
        assert one.says() == "ready"
        assert len(one.machines()) == 1
        one.interrupt()
        returned, out, err = one.end()
    assert returned == -2
    assert err.rstrip().endswith("KeyboardInterrupt")


def test_a_callback_that_is_interrupted_gives_the_copy_up(warm, tmp_path):
    code = PROGRAM + """
    def heard(path, done):
        os.kill(os.getpid(), signal.SIGINT)
    with vmette.Session(resume_snapshot=warm) as vm:
        try:
            vm.files.get("/tmp/big", folder + "/big", on_progress=heard)
        except KeyboardInterrupt:
            print("interrupted")
        finish()
        vm.run("true")
    """
    assert child.run(code, warm, tmp_path) == (0, "interrupted\n", "")
