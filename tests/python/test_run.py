"""vm.run(), as subprocess.run() users expect it, through each face."""

import dataclasses
import pickle

import pytest
import vmette
from guest import runs

PRINTF = r"printf '\377\303\251'"  # a byte that is no UTF-8, then an é


def test_a_line_goes_through_a_shell(vm):
    assert vm.run("echo $((6 * 7))").stdout == b"42\n"


def test_an_argument_vector_goes_through_none(vm):
    done = vm.run(["printf", "%s|", "$HOME", "two words", b"\xff", ""])
    assert done.stdout == b"$HOME|two words|\xff||"


def test_the_result_is_shaped_like_that_of_subprocess(vm):
    done = vm.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
    assert (done.args[0], done.returncode) == ("sh", 3)
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")
    assert not done.truncated and not done.out_of_memory
    assert done.max_rss_kib > 0 and done.wall_time > 0 and done.end_message
    assert pickle.loads(pickle.dumps(done)) == done
    with pytest.raises(dataclasses.FrozenInstanceError):
        done.returncode = 0


def test_a_signal_is_a_negative_returncode(vm):
    assert vm.run("kill -TERM $$").returncode == -15
    assert vm.run(["sh", "-c", "kill -9 $$"]).returncode == -9


def test_check_raises_what_the_command_printed(vm):
    with pytest.raises(vmette.CommandFailed) as caught:
        vm.run("echo out; echo err >&2; exit 7", check=True, text=True)
    error = caught.value
    assert (error.cmd, error.returncode) == ("echo out; echo err >&2; exit 7", 7)
    assert (error.stdout, error.stderr) == ("out\n", "err\n")
    assert "7" in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (again.returncode, again.stdout, again.code) == (7, "out\n", error.code)
    assert vm.run("true", check=True).returncode == 0


@pytest.mark.parametrize("data", [b"bytes", bytearray(b"array"), memoryview(b"a view")[2:]])
def test_input_is_what_stdin_holds(vm, data):
    assert vm.run("cat", input=data).stdout == bytes(data)


def test_without_input_there_is_nothing_to_read(vm):
    assert vm.run("wc -c").stdout.strip() == b"0"
    assert vm.run("wc -c", input=b"").stdout.strip() == b"0"


def test_large_input_comes_back_whole(vm):
    data = bytes(range(256)) * 16384
    assert vm.run("cat", input=data, capture_limit=len(data)).stdout == data


def test_text_is_decoded_with_line_ends_made_newlines(vm):
    assert vm.run(r"printf 'a\r\nb\rc\n'", text=True).stdout == "a\nb\nc\n"
    assert vm.run("cat", text=True, input="größe\n").stdout == "größe\n"


def test_encoding_is_for_input_and_output(vm):
    done = vm.run("od -An -tx1; printf '\\344'", text=True, encoding="latin-1", input="ä")
    assert done.stdout == " e4\nä"


@pytest.mark.parametrize(
    "errors, wanted",
    [
        ("replace", "\ufffdé"),
        ("surrogateescape", "\udcffé"),
        ("ignore", "é"),
        ("backslashreplace", "\\xffé"),
    ],
)
def test_output_that_is_no_utf8_follows_errors(vm, errors, wanted):
    assert vm.run(PRINTF, text=True, errors=errors).stdout == wanted


def test_output_that_is_no_utf8_is_an_error_when_strict(vm):
    with pytest.raises(UnicodeDecodeError):
        vm.run(PRINTF, text=True)
    assert vm.run(PRINTF).stdout == b"\xff\xc3\xa9"


def test_surrogates_of_an_output_can_be_given_back(vm):
    name = vm.run(PRINTF, text=True, errors="surrogateescape").stdout
    done = vm.run(["printf", "%s", name])
    assert done.stdout == b"\xff\xc3\xa9"


def test_a_stream_that_is_not_wanted_is_none(vm):
    done = vm.run("echo out; echo err >&2", stdout=vmette.DEVNULL)
    assert (done.stdout, done.stderr) == (None, b"err\n")
    done = vm.run("echo out; echo err >&2", stderr=vmette.DEVNULL)
    assert (done.stdout, done.stderr) == (b"out\n", None)
    done = vm.run("echo out; echo err >&2", stdout=vmette.DEVNULL, stderr=vmette.STDOUT)
    assert (done.stdout, done.stderr) == (None, None)


def test_stderr_can_go_where_stdout_goes(vm):
    done = vm.run("echo one; echo two >&2", stderr=vmette.STDOUT, text=True)
    assert sorted(done.stdout.splitlines()) == ["one", "two"]
    assert done.stderr is None


def test_what_is_beyond_the_capture_limit_is_counted_as_truncated(vm):
    done = vm.run("head -c 100000 /dev/zero", capture_limit=1000)
    assert len(done.stdout) == 1000 and done.truncated
    assert not vm.run("head -c 1000 /dev/zero", capture_limit=1000).truncated


def test_text_that_is_cut_inside_a_character_is_text(vm):
    done = vm.run("for i in 1 2 3 4 5; do printf 'é'; done", text=True, capture_limit=5)
    assert done.truncated
    assert done.stdout == "éé"


def test_timeout_kills_the_command_and_keeps_what_it_printed(vm):
    with pytest.raises(vmette.DeadlineExceeded) as caught:
        vm.run("echo $$; sleep 3456 & echo begun >&2; wait", timeout=0.5)
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.code is vmette.ErrorCode.DEADLINE
    assert caught.value.stderr == b"begun\n"
    shell = caught.value.stdout.decode().strip()
    assert vm.run(f"test -e /proc/{shell}").returncode == 1
    assert not runs(vm, "sleep 3456")


def test_output_that_is_cut_inside_a_character_by_the_timeout_does_not_hide_it(vm):
    with pytest.raises(vmette.DeadlineExceeded) as caught:
        vm.run(r"printf 'x\303'; exec sleep 1000", text=True, timeout=0.3)
    assert caught.value.stdout == "x"
    with pytest.raises(vmette.DeadlineExceeded) as caught:
        vm.run(r"printf '\377'; exec sleep 1000", text=True, timeout=0.3)
    assert caught.value.stdout == b"\xff"


def test_cwd_and_env_are_the_commands(vm):
    done = vm.run("pwd; echo $A-$B", cwd="/tmp", env={"A": "1", "B": "two words"}, text=True)
    assert done.stdout == "/tmp\n1-two words\n"


def test_clear_env_leaves_only_what_is_passed(vm):
    done = vm.run(["env"], env={"ONLY": "this"}, clear_env=True, text=True)
    assert "ONLY=this" in done.stdout.splitlines()
    assert "HOME" not in done.stdout
    assert "HOME" in vm.run(["env"], text=True).stdout


def test_a_variable_that_has_no_name_is_refused(vm):
    for key in ("A=B", ""):
        with pytest.raises(vmette.Error, match="env"):
            vm.run("true", env={key: "c"})


def test_a_user_can_be_named_or_numbered(vm):
    assert vm.run("id -u; id -g", user="1234:4321", text=True).stdout == "1234\n4321\n"
    assert vm.run("id -u", user="root", text=True).stdout == "0\n"
    with pytest.raises(vmette.SpawnError):
        vm.run("true", user="nobody-of-that-name")


def test_a_program_that_is_not_there_has_an_errno(vm):
    with pytest.raises(vmette.SpawnError) as caught:
        vm.run(["/no/such/program", "argument"])
    assert caught.value.errno == 2
    assert isinstance(caught.value, OSError)
    assert "/no/such/program" in str(caught.value)
    with pytest.raises(vmette.SpawnError) as caught:
        vm.run(["/etc"])
    assert caught.value.errno == 13


def test_a_directory_that_is_not_there_is_named(vm):
    with pytest.raises(vmette.SpawnError, match="/nowhere"):
        vm.run("true", cwd="/nowhere")


def test_a_command_that_eats_all_memory_is_said_to_have(vm):
    done = vm.run("tail /dev/zero")
    assert done.out_of_memory and done.returncode == -9
    assert "memory" in done.end_message


def test_what_is_left_in_the_background_lives_on(vm):
    done = vm.run("sleep 2345 >/dev/null 2>&1 & echo done")
    assert done.stdout == b"done\n"
    assert runs(vm, "sleep 2345")


def test_one_command_can_have_a_machine_of_its_own(face):
    done = face.run(
        "echo $A-$B; pwd; nproc; hostname; exit 4",
        text=True,
        env={"A": "1"},
        cwd="/tmp",
        vcpus=2,
        hostname="box",
        mem_mib=256,
    )
    assert (done.stdout, done.returncode) == ("1-\n/tmp\n2\nbox\n", 4)
