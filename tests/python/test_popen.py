"""vm.popen(), as subprocess.Popen users expect it, through each face."""

import os
import signal

import pytest
import vmette
from guest import runs

PIPE = vmette.PIPE


def test_the_lines_of_stdout_come_one_by_one(vm):
    with vm.popen("read a; echo got $a; read b; echo got $b", stdin=PIPE, text=True) as proc:
        for word in ("first", "second"):
            proc.stdin.write(word + "\n")
            proc.stdin.flush()
            assert proc.stdout.readline() == f"got {word}\n"
        assert proc.wait() == 0
        assert proc.stdout.readline() == ""


def test_the_streams_have_descriptors(vm):
    with vm.popen("cat; echo end >&2", stdin=PIPE) as proc:
        for stream in (proc.stdin, proc.stdout, proc.stderr):
            assert os.fstat(stream.fileno())
        assert len({s.fileno() for s in (proc.stdin, proc.stdout, proc.stderr)}) == 3
        proc.stdin.write(b"bytes")
        proc.stdin.close()
        assert proc.stdin.closed
        with pytest.raises(ValueError):
            proc.stdin.fileno()
        assert proc.stdout.read() == b"bytes"
        assert proc.stderr.read() == b"end\n"


def test_iteration_gives_every_line(vm):
    with vm.popen("seq 1 2000; printf rest", text=True) as proc:
        lines = list(proc.stdout)
    assert lines == [f"{number}\n" for number in range(1, 2001)] + ["rest"]
    assert proc.returncode == 0


def test_text_follows_encoding_and_errors(vm):
    with vm.popen(r"printf 'a\377\r\nb\303\251\n'", text=True, errors="replace") as proc:
        assert list(proc.stdout) == ["a\ufffd\n", "bé\n"]
    with vm.popen("od -An -tx1", text=True, encoding="latin-1", stdin=PIPE) as proc:
        proc.stdin.write("é")
        proc.stdin.close()
        assert proc.stdout.read().split() == ["e9"]
    with vm.popen(r"printf '\377'", text=True) as proc:
        with pytest.raises(UnicodeDecodeError):
            proc.stdout.read()


def test_without_pipes_the_streams_are_none(vm):
    with vm.popen("cat", stdout=vmette.DEVNULL, stderr=vmette.DEVNULL) as proc:
        assert (proc.stdin, proc.stdout, proc.stderr) == (None, None, None)
        assert proc.wait() == 0
        assert proc.communicate() == (None, None)


def test_stderr_can_go_where_stdout_goes(vm):
    with vm.popen("echo one; echo two >&2; echo three", stderr=vmette.STDOUT) as proc:
        assert proc.stderr is None
        assert proc.stdout.read() == b"one\ntwo\nthree\n"
    with vm.popen(["sh", "-c", "echo $0 >&2", "two words"], stderr=vmette.STDOUT) as proc:
        assert proc.stdout.read() == b"two words\n"


def test_communicate_carries_much_both_ways(vm):
    data = os.urandom(4 << 20)
    with vm.popen("tee /dev/stderr", stdin=PIPE) as proc:
        out, err = proc.communicate(data)
    assert out == data and err == data


def test_communicate_speaks_text(vm):
    with vm.popen("cat; printf 'a\\r\\n' >&2", stdin=PIPE, text=True) as proc:
        assert proc.communicate("größe") == ("größe", "a\n")


def test_communicate_with_a_command_that_reads_nothing_ends(vm):
    with vm.popen("exec true", stdin=PIPE) as proc:
        assert proc.communicate(b"x" * (8 << 20)) == (b"", b"")
    assert proc.returncode == 0


def test_input_without_a_pipe_is_refused(vm):
    with vm.popen("cat") as proc:
        with pytest.raises(vmette.ConfigError, match="input.*stdin=vmette.PIPE"):
            proc.communicate(b"data")


def test_communicate_that_is_too_late_leaves_the_command_and_loses_nothing(vm):
    with vm.popen("echo begun; exec sleep 1000") as proc:
        with pytest.raises(vmette.DeadlineExceeded) as caught:
            proc.communicate(timeout=0.3)
        assert caught.value.stdout == b"begun\n"
        assert proc.poll() is None
        proc.kill()
        assert proc.communicate() == (b"begun\n", b"")
        assert proc.returncode == -9


def test_wait_and_poll_say_how_it_ended(vm):
    with vm.popen("read line; exit 5", stdin=PIPE) as proc:
        assert proc.poll() is None and proc.returncode is None
        assert proc.pid > 1
        assert vm.run(f"test -d /proc/{proc.pid}").returncode == 0
        proc.stdin.close()
        assert proc.wait() == 5
        assert proc.poll() == proc.returncode == proc.wait(timeout=0) == 5


@pytest.mark.parametrize("number", [signal.SIGUSR1, "USR1", 10], ids=["enum", "name", "number"])
def test_a_signal_reaches_it(vm, number):
    line = "trap 'echo caught; exit 3' USR1; echo ready; while :; do sleep 0.01; done"
    with vm.popen(line) as proc:
        assert proc.stdout.readline() == b"ready\n"
        proc.send_signal(number)
        assert proc.stdout.read() == b"caught\n"
        assert proc.wait() == 3
        proc.send_signal(number)  # it has ended: nobody gets it


def test_terminate_and_kill_are_negative_returncodes(vm):
    for end, number in (("terminate", 15), ("kill", 9)):
        with vm.popen(["sleep", "1000"]) as proc:
            getattr(proc, end)()
            assert proc.wait() == -number
            getattr(proc, end)()


def test_kill_takes_all_that_it_started(vm):
    line = "setsid sleep 4321 & (trap '' TERM; sleep 4321) & echo ready; wait"
    with vm.popen(line) as proc:
        assert proc.stdout.readline() == b"ready\n"
        proc.kill()
        assert proc.wait() == -9
    assert not runs(vm, "sleep 4321")


def test_scopes_choose_whom_a_signal_reaches(vm):
    line = "trap 'echo shell' USR1; sleep 5432 & echo ready; while :; do sleep 0.01; done"
    with vm.popen(line, text=True) as proc:
        assert proc.stdout.readline() == "ready\n"
        proc.send_signal("USR1", scope=vmette.Scope.PROCESS)
        assert proc.stdout.readline() == "shell\n"
        assert runs(vm, "sleep 5432")
        proc.send_signal("KILL", scope=vmette.Scope.TREE)
        assert proc.wait() == -9
    assert not runs(vm, "sleep 5432")


def test_an_exception_in_the_block_kills_it(vm):
    with pytest.raises(KeyError):
        with vm.popen("sleep 6543 & wait") as proc:
            raise KeyError("mine")
    assert proc.returncode == -9
    assert not runs(vm, "sleep 6543")


def test_the_end_of_the_block_waits(vm):
    with vm.popen("cat >/dev/null; exit 6", stdin=PIPE) as proc:
        pass
    assert proc.returncode == 6
    assert all(stream.closed for stream in (proc.stdin, proc.stdout, proc.stderr))


def test_kill_after_kills_it_in_time(vm):
    with vm.popen("exec sleep 1000", kill_after=0.2) as proc:
        assert proc.wait() == -9


def test_a_closed_stdout_stops_a_command_that_writes_for_ever(vm):
    with vm.popen(["yes"]) as proc:
        assert proc.stdout.read(2) == b"y\n"
        proc.stdout.close()
        assert proc.wait() == -13


def test_writing_to_a_command_that_is_gone_is_a_broken_pipe(vm):
    with vm.popen("exec true", stdin=PIPE) as proc:
        proc.wait()
        with pytest.raises(BrokenPipeError):
            for _ in range(100):
                proc.stdin.write(b"x" * (1 << 16))
                proc.stdin.flush()


def test_many_commands_run_at_a_time(vm):
    procs = [vm.popen(f"read line; echo {number} $line", stdin=PIPE) for number in range(16)]
    outputs = [proc.communicate(b"end\n")[0] for proc in procs]
    assert outputs == [f"{number} end\n".encode() for number in range(16)]


def test_repr_tells_what_it_is(vm):
    with vm.popen(["sh", "-c", "read a; exit 2"], stdin=PIPE) as proc:
        assert "running" in repr(proc) and "sh" in repr(proc)
    assert "returncode=2" in repr(proc)
