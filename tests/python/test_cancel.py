"""A task that is cancelled at any of its awaits leaves nothing behind, and the rest works on."""

import asyncio
import contextlib
import os
import types

import pytest
import vmette
from conftest import MEM_MIB
from faces import new_loop
from footprint import finish_work
from guest import ARGUMENTS, among
from vmette import aio

# No operation here has more awaits.
MOST_STEPS = 60


@types.coroutine
def cancelled_at(coroutine, step, late):
    """Runs the coroutine, and cancels the running task at its await number `step`: when it begins
    to wait, or with `late` when what it waits for is there already."""
    task, awaits = asyncio.current_task(), 0
    send, value = coroutine.send, None
    while True:
        try:
            waits_for = send(value)
        except StopIteration as done:
            return done.value
        awaits += 1
        if awaits == step:
            if late and waits_for is not None:
                waits_for.add_done_callback(lambda _: task.cancel())
            else:
                task.cancel()
        try:
            send, value = coroutine.send, (yield waits_for)
        except BaseException as thrown:
            send, value = coroutine.throw, thrown


async def at_every_await(operation, after, late):
    """Runs `operation()` again and again, cancelled at one await after the other. Returns how many
    awaits it has; `after` gets what it returned, None when it was cancelled."""
    for step in range(1, MOST_STEPS):
        task = asyncio.ensure_future(cancelled_at(operation(), step, late))
        try:
            result = await task
        except asyncio.CancelledError:
            await after(None)
            continue
        await after(result)
        return step - 1
    raise AssertionError(f"more than {MOST_STEPS} awaits")


@pytest.fixture(params=[("asyncio", False), ("uvloop", True)], ids=["early", "late"])
def how(request):
    """A loop, and when an await is cancelled: when it begins, or when it is over already."""
    one = new_loop(request.param[0])
    yield one, request.param[1]
    one.run_until_complete(one.shutdown_asyncgens())
    one.close()


@pytest.fixture
def loop(how):
    return how[0]


@pytest.fixture
def late(how):
    return how[1]


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    path = tmp_path_factory.mktemp("snapshots") / "warm"
    return vmette.Snapshot.build(path, mem_mib=128).path


@contextlib.asynccontextmanager
async def machine(warm):
    async with aio.Session(resume_snapshot=warm) as vm:
        yield vm


async def clean(vm):
    """The machine works, and runs nothing of the test's."""
    assert (await vm.run("echo works", text=True)).stdout == "works\n"
    for _ in range(1000):  # the guest ends what was killed in its own time
        if not among("sleep 1111", (await vm.run(ARGUMENTS)).stdout):
            return
    raise AssertionError("a command that was cancelled still runs")


def checked(warm, loop, late, operation, awaits=1):
    """Cancels `operation(vm)` at every await, on one machine that must work after each."""

    async def main():
        async with machine(warm) as vm:
            found = await at_every_await(lambda: operation(vm), lambda _: clean(vm), late)
            assert found >= awaits

    loop.run_until_complete(main())


def test_run(warm, loop, late, nothing_left):
    checked(warm, loop, late, lambda vm: vm.run("sleep 1111 & sleep 0.05; kill $!", input=b"x"))


def test_a_run_that_would_never_end(warm, loop, nothing_left):
    async def main():
        async with machine(warm) as vm:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(vm.run("sleep 1111"), 0.2)
            await clean(vm)

    loop.run_until_complete(main())


def test_popen_and_communicate(warm, loop, late, nothing_left):
    data = b"x" * 300_000

    async def operation(vm):
        line = "sleep 1111 & cat; kill $!"
        async with await vm.popen(line, stdin=vmette.PIPE) as proc:
            out, _ = await proc.communicate(data)
            assert out == data

    checked(warm, loop, late, operation, 2)


def test_streams(warm, loop, late, nothing_left):
    async def operation(vm):
        async with await vm.popen("sleep 1111 & cat; kill $!", stdin=vmette.PIPE) as proc:
            await proc.stdin.write(b"one\n" * 10)
            await proc.stdin.close()
            assert await proc.stdout.readline() == b"one\n"
            assert len([line async for line in proc.stdout]) == 9
            await proc.wait()

    checked(warm, loop, late, operation, 2)


def test_pty(warm, loop, late, nothing_left):
    async def operation(vm):
        async with await vm.pty("sleep 1111 & cat", echo=False) as pty:
            await pty.write(b"typed\n")
            assert (await pty.read(5)).startswith(b"t")

    checked(warm, loop, late, operation, 2)


def test_files(warm, loop, late, tmp_path, nothing_left):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_bytes(os.urandom(1 << 20))

    async def operation(vm):
        files = vm.files
        await files.write_bytes("/tmp/file", b"x" * 200_000)
        assert len(await files.read_bytes("/tmp/file")) == 200_000
        await files.mkdir("/tmp/a/b", parents=True, exist_ok=True)
        assert await files.is_dir("/tmp/a") and len(await files.iterdir("/tmp/a")) == 1
        assert [entry.name async for entry in files.walk("/tmp/a")] == ["b"]
        async with await files.open("/tmp/stream", "wb", atomic=True) as file:
            await file.write(b"y" * 500_000)
        async with await files.open("/tmp/stream") as file:
            assert len(await file.read()) == 500_000
        await files.put(tmp_path / "in", "/tmp/in")
        await files.get("/tmp/in", tmp_path / "out")
        await files.remove("/tmp/in", recursive=True)
        await vm.stats()

    checked(warm, loop, late, operation, 10)


def test_pause_and_resume(warm, loop, late, nothing_left):
    async def main():
        async with machine(warm) as vm:

            async def operation():
                await vm.pause()
                await vm.resume()

            async def after(_):
                finish_work()  # what was under way is done all the same
                if vm.state is vmette.State.PAUSED:
                    await vm.resume()
                await clean(vm)

            assert await at_every_await(operation, after, late) >= 2

    loop.run_until_complete(main())


def test_start_and_close(warm, loop, late, nothing_left):
    for options in ({"resume_snapshot": warm}, {"mem_mib": MEM_MIB}):
        made = []

        async def operation():
            made.append(aio.Session(**options))
            async with made[-1] as vm:
                await vm.run("true")

        async def after(_):
            assert made[-1].state in (vmette.State.ENDED, vmette.State.CREATED)

        assert loop.run_until_complete(at_every_await(operation, after, late)) >= 3


def test_snapshot_fork_and_resume(warm, loop, late, tmp_path, nothing_left):
    async def main():
        async with machine(warm) as vm:
            path = tmp_path / "saved"

            async def operation():
                saved = await vm.snapshot(path)
                async with await saved.resume() as clone:
                    await clone.run("true")
                [copy] = await vm.fork(1)
                await copy.close()
                await saved.remove()
                return True

            async def after(done):
                await clean(vm)
                finish_work()
                if path.exists():
                    await (await aio.Snapshot.open(path)).remove()

            assert await at_every_await(operation, after, late) >= 5

    loop.run_until_complete(main())
    assert not os.listdir(tmp_path)


def test_a_snapshot_that_nobody_waits_for_is_not_kept(warm, loop, late, tmp_path, nothing_left):
    async def main():
        async with machine(warm) as vm:
            for number, step in enumerate((1, 1)):
                operation = vm.snapshot(tmp_path / str(number))
                with pytest.raises(asyncio.CancelledError):
                    await asyncio.ensure_future(cancelled_at(operation, step, late))
            finish_work()
            await clean(vm)

    loop.run_until_complete(main())
    assert not os.listdir(tmp_path)


def test_build(warm, loop, late, tmp_path, nothing_left):
    async def operation():
        async def warm_up(vm):
            await vm.run("true")

        return await aio.Snapshot.build(tmp_path / "built", warm_up=warm_up, mem_mib=MEM_MIB)

    async def main():
        # A boot for each would take long: some of the awaits.
        for step in (1, 3, 5):
            with pytest.raises(asyncio.CancelledError):
                await asyncio.ensure_future(cancelled_at(operation(), step, late))
            finish_work()
            assert not os.listdir(tmp_path)

    loop.run_until_complete(main())


def test_pool(warm, loop, late, nothing_left):
    async def main():
        async with aio.Pool(ready=1, most=2, resume_snapshot=warm) as pool:

            async def operation():
                async with await pool.take() as one, await pool.take() as two:
                    await one.run("true")
                    await two.run("true")

            async def after(_):
                assert pool.count().waiting == 0
                async with await pool.take(timeout=60) as vm:
                    await clean(vm)

            assert await at_every_await(operation, after, late) >= 2

        async def whole():
            async with aio.Pool(ready=1, resume_snapshot=warm) as other:
                await (await other.take()).close()

        async def nothing(_):
            pass

        assert await at_every_await(whole, nothing, late) >= 2

    loop.run_until_complete(main())
