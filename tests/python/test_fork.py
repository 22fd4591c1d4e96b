"""Processes that fork after `import vmette`: the child starts anew, and leaves the machines of its
parent alone."""

import child
import pytest

BEGIN = """
    import multiprocessing, os, sys
    import vmette
    context = multiprocessing.get_context("fork")
"""


def run(code):
    returned, out, err = child.run(BEGIN + code)
    assert returned == 0, err
    return out, err


def test_a_pool_of_processes_works_when_the_parent_had_started_nothing():
    out, err = run(
        """
    def work(number):
        return vmette.run(f"echo {number}", text=True, mem_mib=256).stdout
    with context.Pool(2) as pool:
        print(*pool.map(work, range(2)), sep="", end="")
        pool.close()
        pool.join()
    """
    )
    assert (out, err) == ("0\n1\n", "")


def test_a_child_starts_machines_of_its_own_beside_the_parents():
    out, err = run(
        """
    def work(pipe):
        with vmette.Session(mem_mib=256) as vm:
            pipe.send(vm.run("echo child", text=True).stdout)
    with vmette.Session(mem_mib=256) as vm:
        ours, theirs = context.Pipe()
        child = context.Process(target=work, args=(theirs,))
        child.start()
        print(ours.recv(), end="")
        child.join()
        print(child.exitcode, vm.run("echo parent", text=True).stdout, end="")
    """
    )
    assert (out, err) == ("child\n0 parent\n", "")


@pytest.mark.parametrize("end", ["return", "sys.exit(0)", "os._exit(0)"])
def test_what_a_child_has_inherited_is_refused_and_its_end_touches_nothing(end):
    out, err = run(
        f"""
    def refused(name, call):
        try:
            print(name, call(), flush=True)
        except vmette.Error as error:
            print(name, type(error).__name__, "fork" in str(error), flush=True)

    def work():
        refused("run", lambda: vm.run("true"))
        refused("popen", lambda: vm.popen("true"))
        refused("files", lambda: vm.files.exists("/"))
        refused("stats", lambda: vm.stats())
        refused("pause", lambda: vm.pause())
        refused("snapshot", lambda: vm.snapshot("/tmp/none"))
        refused("fork", lambda: vm.fork())
        refused("kill", lambda: proc.kill())
        refused("take", lambda: pool.take(timeout=1))
        {end}

    vm = vmette.Session(mem_mib=256).start()
    pool = vmette.Pool(ready=1, mem_mib=256).start()
    with vm.popen("read line; echo $line", stdin=vmette.PIPE) as proc:
        child = context.Process(target=work)
        child.start()
        child.join()
        print(child.exitcode)
        assert proc.communicate(b"lives\\n")[0] == b"lives\\n"
    assert vm.run("echo parent").stdout == b"parent\\n"
    pool.take(timeout=60).close()
    pool.close()
    vm.close()
    """
    )
    names = ["run", "popen", "files", "stats", "pause", "snapshot", "fork", "kill", "take"]
    assert out.splitlines() == [f"{name} StateError True" for name in names] + ["0"]
    assert err == ""


def test_a_child_that_closes_what_it_has_inherited_is_refused_and_the_parents_lives():
    out, err = run(
        """
    def work():
        proc.stdout.close()
        try:
            vm.close()
        except vmette.StateError as error:
            sys.exit("fork" not in str(error))

    with vmette.Session(mem_mib=256) as vm:
        with vm.popen("read line; echo $line", stdin=vmette.PIPE) as proc:
            child = context.Process(target=work)
            child.start()
            child.join()
            print(child.exitcode)
            assert proc.communicate(b"lives\\n")[0] == b"lives\\n"
        print(vm.run("echo parent", text=True).stdout, end="")
    """
    )
    assert out == "0\nparent\n", err


@pytest.mark.parametrize("leave", ["pass", "sys.exit(3)"])
def test_a_child_leaves_the_blocks_that_it_has_inherited_without_a_word(leave):
    out, err = run(
        f"""
    with vmette.Session(mem_mib=256) as vm, vmette.Pool(ready=1, mem_mib=256):
        with vm.popen("read line; echo $line", stdin=vmette.PIPE) as proc, vm.pty() as pty, \\
                vm.files.open("/tmp/file", "wb") as file:
            file.write(b"writ")
            proc.stdin.write(b"li")
            child = os.fork()
            if child == 0:
                {leave}
            else:
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                file.write(b"ten")
                pty.write(b"exit\\n")
                assert pty.wait() == 0
                assert proc.communicate(b"ves\\n")[0] == b"lives\\n"
        if child == 0:
            os._exit(3)
        print(vm.files.read_text("/tmp/file"))
    """
    )
    assert (out, err) == ("3\nwritten\n", "")


def test_what_the_parent_has_made_a_child_may_start_and_ends():
    out, err = run(
        """
    pool, vm = vmette.Pool(ready=1, mem_mib=256), vmette.Session(mem_mib=256)
    def work():
        with pool, pool.take(timeout=60) as taken, vm:
            print(taken.run("echo one", text=True).stdout, end="")
            print(vm.run("echo two", text=True).stdout, end="", flush=True)
        sys.exit((vm.state is not vmette.State.ENDED) + 2 * bool(pool._core))
    child = context.Process(target=work)
    child.start()
    child.join()
    print(child.exitcode)
    """
    )
    assert (out, err) == ("one\ntwo\n0\n", "")


def test_a_fork_in_a_loop_leaves_the_parents_loop_alone():
    out, err = run(
        """
    import asyncio, vmette.aio as aio
    async def main():
        async with aio.Session(mem_mib=256) as vm:
            waiting = asyncio.ensure_future(vm.run("read line; echo $line", input=b"lives\\n"))
            pid = os.fork()
            if pid == 0:
                os._exit(0)
            os.waitpid(pid, 0)
            print((await waiting).stdout, (await vm.run("echo more")).stdout)
    asyncio.run(main())
    """
    )
    assert (out, err) == ("b'lives\\n' b'more\\n'\n", "")


def test_programs_that_are_spawned_get_none_of_the_descriptors():
    out, err = run(
        """
    import subprocess
    with vmette.Session(mem_mib=256) as vm, vm.popen("cat", stdin=vmette.PIPE) as proc:
        code = "import os; print(len(os.listdir('/proc/self/fd')))"
        spawn = lambda: subprocess.run([sys.executable, "-c", code], close_fds=False,
                                       capture_output=True, text=True).stdout
        print(spawn() == "4\\n", spawn())
    """
    )
    assert out.startswith("True"), out
