"""vm.pty(): commands on terminals, through each face."""

import os

import pytest
import vmette
from guest import runs


def until(pty, wanted):
    """What it prints until `wanted` is in it."""
    got = b""
    while wanted not in got:
        piece = pty.read(4096, timeout=60)
        assert piece, f"{got!r} ended without {wanted!r}"
        got += piece
    return got


def test_a_shell_is_typed_into(vm):
    with vm.pty("exec sh", echo=False) as pty:
        pty.write(b"test -t 0 && echo a te''rminal\n")
        assert b"a terminal\r\n" in until(pty, b"a terminal\r\n")
        pty.write(b"exit 3\n")
        assert pty.wait() == 3
        pty.read()
        assert pty.read(10) == b""


def test_size_and_term_are_what_was_asked_for(vm):
    with vm.pty("stty size; echo $TERM", rows=33, cols=111, term="vt220") as pty:
        assert pty.read() == b"33 111\r\nvt220\r\n"


def test_a_resize_is_told(vm):
    line = "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.01; done"
    with vm.pty(line) as pty:
        until(pty, b"ready")
        pty.resize(44, 122)
        assert b"44 122\r\n" in pty.read()


def test_the_terminal_echoes_unless_told_not_to(vm):
    with vm.pty("read line; echo got $line") as pty:
        pty.write(b"word\n")
        assert pty.read() == b"word\r\ngot word\r\n"
    with vm.pty("read line; echo got $line", echo=False) as pty:
        pty.write(b"word\n")
        assert pty.read() == b"got word\r\n"


def test_control_keys_are_keys_unless_it_is_raw(vm):
    with vm.pty("exec cat") as pty:
        pty.write(b"\x03")
        assert pty.wait() == -2
    with vm.pty("echo ready; head -c 1 | od -An -tx1", raw=True, echo=False) as pty:
        until(pty, b"ready")
        pty.write(b"\x03")
        assert b"03" in pty.read()


def test_a_read_without_anything_gives_up_in_time(vm):
    with vm.pty("exec cat") as pty:
        with pytest.raises(vmette.DeadlineExceeded, match="cat"):
            pty.read(10, timeout=0.05)
        assert os.fstat(pty.fileno())


def test_the_end_of_the_block_kills_the_shell(vm):
    with vm.pty() as pty:
        assert pty.poll() is None
    assert pty.returncode is not None
    with pytest.raises(ValueError):
        pty.fileno()
    with vm.pty("exec sleep 7654") as pty:
        pty.close()
    assert not runs(vm, "sleep 7654")


def test_environment_directory_and_user_are_as_for_other_commands(vm):
    with vm.pty("pwd; id -u; echo $A", cwd="/tmp", user="77", env={"A": "b"}) as pty:
        assert pty.read() == b"/tmp\r\n77\r\nb\r\n"
    with vm.pty("exec sleep 1000", kill_after=0.1) as pty:
        assert pty.wait() == -9
