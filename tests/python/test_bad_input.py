"""What cannot be is refused before anything starts, with the name of the parameter: a wrong type is
a TypeError, a wrong value a ConfigError."""

import pickle

import pytest
import vmette
from vmette import _check, _exec

NUL = "a\0b"


class Text(vmette.Provider):
    name = "text"

    def matches(self, spec):
        return False


class Nameless(Text):
    name = "Not A Name"


# option: values of a wrong type, wrong values
OPTIONS = {
    "rootfs": ([3, ["/"]], [NUL]),
    "rootfs_read_only": ([1, "yes"], [True]),
    "vcpus": (["2", 1.5, True], [-1, 2**40]),
    "mem_mib": (["256", 256.0, False], [-256, 2**64]),
    "shares": (["/srv", ["/srv"], {"tag": 3}, {3: "/srv"}], [{"tag": NUL}, {NUL: "/"}]),
    "disks": (["/disk", {"disk": 1}, [3]], [[NUL], [vmette.Disk("/x", id=NUL)]]),
    "scratch_mib": (["1"], [-1]),
    "scratch_dir": ([3], [NUL]),
    "env": (["A=b", [("A", "b")], {"A": 3}, {3: "b"}], [{"A": NUL}, {NUL: "b"}]),
    "command": ([3, b"ls", {"ls"}, ["ls", 3]], [NUL, [], ["ls", NUL]]),
    "capture_output": ([1], []),
    "capture_limit": (["1"], [-1]),
    "timeout_seconds": (["1", 1.5], [-1, 2**33]),
    "ready_timeout": (["1", True], [-1, float("nan"), float("inf"), 1e300]),
    "snapshottable": (["yes"], []),
    "resume_shares": (["1"], [-1]),
    "resume_hook": ([3], [NUL]),
    "resume_hook_frozen": ([3], [NUL]),
    "snapshot_digests": ([1], []),
    "resume_snapshot": ([3], [NUL]),
    "providers": (["docker", Text(), [object()]], []),
    "offline": ([1], []),
    "cache_dir": ([3], [NUL]),
    "on_progress": (["print", 3], []),
    "hostname": ([3], [NUL]),
    "switch_root": ([1], []),
    "ca_certs": ([3], [NUL]),
    "share_transport": (["virtiofs", 1], []),
    "accel": (["kvm", 1, True], []),
    "cmdline": ([3], [NUL]),
    "kernel": ([3], [NUL]),
    "initramfs": ([3], [NUL]),
    "assets": ([3], [NUL]),
    "helper": ([3], [NUL]),
    "net": ([1], []),
    "vsock": (["auto", 1], []),
    "vsock_port": (["1"], [-1]),
    "guest_vsock_port": (["1"], [-1]),
    "quiet": ([1], []),
}


def cases(table, part):
    return [
        pytest.param(name, value, id=f"{name}-{type(value).__name__}-{value!r:.24}")
        for name, parts in table.items()
        for value in parts[part]
    ]


def test_the_table_has_every_option():
    assert set(OPTIONS) == set(vmette._options._setters)


@pytest.mark.parametrize("name, value", cases(OPTIONS, 0))
def test_an_option_of_a_wrong_type_is_named(name, value):
    with pytest.raises(TypeError) as caught:
        vmette.Session(**{name: value})
    assert name in str(caught.value)
    assert not isinstance(caught.value, vmette.Error)


@pytest.mark.parametrize("name, value", cases(OPTIONS, 1))
def test_an_option_of_a_wrong_value_is_named(name, value):
    with pytest.raises(vmette.ConfigError) as caught:
        vmette.Session(**{name: value})
    assert name.rstrip("s") in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert caught.value.code in (
        vmette.ErrorCode.INVALID_ARGUMENT,
        vmette.ErrorCode.INVALID_CONFIG,
    )


@pytest.mark.parametrize(
    "options, words",
    [
        ({"providers": [Nameless()]}, ["Not A Name"]),
        ({"providers": [Text(), Text()]}, ["text"]),
        ({"vcpus": 1000}, ["vcpus", "1000"]),
        ({"mem_mib": 1}, ["mem_mib", "1"]),
        ({"hostname": "no host name"}, ["hostname", "no host name"]),
        ({"shares": {"tag": "/nowhere/at/all"}}, ["/nowhere/at/all"]),
        ({"disks": ["/nowhere.img"]}, ["/nowhere.img"]),
        ({"rootfs": "/nowhere"}, ["/nowhere"]),
        ({"rootfs": "docker:alpine"}, ["docker:alpine"]),
        ({"scratch_mib": 64, "scratch_dir": "/nowhere"}, ["scratch"]),
        ({"env": {"A=B": "c"}}, ["env", "A=B"]),
        ({"resume_snapshot": "/nowhere"}, ["/nowhere"]),
        ({"helper": "/nowhere"}, ["/nowhere"]),
        ({"kernel": "/nowhere"}, ["/nowhere"]),
        ({"ca_certs": "/nowhere"}, ["ca_certs", "/nowhere"]),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_be_started_says_which_value_and_leaves_nothing(options, words, nothing_left):
    with pytest.raises(vmette.Error) as caught:
        with vmette.Session(**options):
            pytest.fail("it started")
    assert not [word for word in words if word not in str(caught.value)], caught.value


@pytest.mark.parametrize(
    "call",
    [
        lambda **options: vmette.Session(**options),
        lambda **options: vmette.Pool(**options),
        lambda **options: vmette.run("true", **options),
        lambda **options: vmette.Snapshot.build("/tmp/none", **options),
        lambda **options: vmette.run_in_terminal(**options),
        lambda **options: vmette.aio.Session(**options),
        lambda **options: vmette.aio.Pool(**options),
    ],
    ids=["Session", "Pool", "run", "build", "run_in_terminal", "aio.Session", "aio.Pool"],
)
def test_an_option_that_there_is_not_comes_with_a_hint(call):
    with pytest.raises(TypeError, match="memory_mib.*mem_mib"):
        call(memory_mib=256)
    with pytest.raises(TypeError, match="qqqqqq"):
        call(qqqqqq=256)


def test_options_are_by_keyword_only():
    for kind in (vmette.Session, vmette.Pool, vmette.aio.Session, vmette.aio.Pool):
        with pytest.raises(TypeError):
            kind("/")


# How an option of a command is described to the library, before it would be sent.
def described(options, describe=_exec.to_run, command="true"):
    coding = _exec.Coding(options.pop("text", False), options)
    if describe is _exec.to_run:
        return describe(command, coding, options)
    return describe(command, options)


COMMAND = {
    "cwd": ([3], [NUL]),
    "env": (["A=b", {"A": 1}], [{"A": NUL}, {NUL: "b"}]),
    "clear_env": ([1], []),
    "user": ([0], [NUL]),
    "encoding": ([], ["utf-8"]),
    "errors": ([], ["replace"]),
    "input": (["text", 3, [1]], []),
    "timeout": (["1", True], [-1, float("nan")]),
    "stdout": ([1.5, object()], [vmette.STDOUT, 5, -9]),
    "stderr": (["PIPE"], [7]),
    "capture_limit": (["1", 1.5], [-1]),
}
PIPES = {
    "stdin": (["PIPE"], [vmette.STDOUT, 3]),
    "stdout": (["PIPE"], [vmette.STDOUT]),
    "stderr": (["PIPE"], [1]),
    "kill_after": (["1"], [-1]),
}
TERMINAL = {
    "rows": (["24", 24.0], [0, 65536]),
    "cols": (["80"], [-1, 2**20]),
    "term": ([3], [NUL]),
    "echo": ([1], []),
    "raw": ([0], []),
    "kill_after": (["1"], [-1]),
    "cwd": ([3], [NUL]),
}


@pytest.mark.parametrize("part, kind", [(0, TypeError), (1, vmette.ConfigError)])
@pytest.mark.parametrize(
    "table, describe",
    [(COMMAND, _exec.to_run), (PIPES, _exec.to_popen), (TERMINAL, _exec.to_pty)],
    ids=["run", "popen", "pty"],
)
def test_an_option_of_a_command_is_named(table, describe, part, kind):
    for name, values in table.items():
        for value in values[part]:
            with pytest.raises(kind) as caught:
                described({name: value}, describe)
            assert name in str(caught.value), caught.value


@pytest.mark.parametrize(
    "options, name",
    [
        ({"encoding": "no-such-code"}, "encoding"),
        ({"encoding": "hex"}, "encoding"),
        ({"encoding": ""}, "encoding"),
        ({"encoding": NUL}, "encoding"),
        ({"errors": "no-such-way"}, "errors"),
        ({"encoding": "utf-8", "errors": "no-such-way"}, "errors"),
    ],
)
def test_a_coding_that_there_is_not_is_named(options, name):
    with pytest.raises(vmette.ConfigError) as caught:
        described({"text": True, **options})
    assert str(caught.value).startswith(f"{name}: ")


@pytest.mark.parametrize(
    "options",
    [{"encoding": 3}, {"errors": 3}, {"encoding": b"utf-8"}, {"text": "yes"}, {"text": 1}],
)
def test_a_coding_of_a_wrong_type_is_named(options):
    with pytest.raises(TypeError) as caught:
        described({"text": True, **options})
    assert next(iter(options)) in str(caught.value)


def test_errors_may_be_any_that_python_knows():
    for errors in ("surrogateescape", "surrogatepass", "xmlcharrefreplace", "namereplace"):
        described({"text": True, "errors": errors})


@pytest.mark.parametrize(
    "command, kind",
    [
        (3, TypeError),
        (b"ls", TypeError),
        ({"ls"}, TypeError),
        (["ls", 3], TypeError),
        (["ls", None], TypeError),
        ([], vmette.ConfigError),
        (NUL, vmette.ConfigError),
        (["ls", NUL], vmette.ConfigError),
        (["ls", "\ud800"], vmette.ConfigError),
    ],
    ids=repr,
)
def test_a_command_that_is_none_is_named(command, kind):
    with pytest.raises(kind, match="^command"):
        described({}, command=command)


def test_input_as_text_is_said_to_need_text():
    with pytest.raises(TypeError, match="input.*text=True"):
        described({"input": "text"})
    with pytest.raises(TypeError, match="input.*text=True"):
        described({"input": b"bytes", "text": True})
    with pytest.raises(TypeError, match="input.*text=True"):
        vmette.run("cat", input="text")


def test_an_option_of_another_call_is_listed():
    with pytest.raises(TypeError, match="popen.*'timeout'.*kill_after"):
        described({"timeout": 3}, _exec.to_popen)
    with pytest.raises(TypeError, match="run.*'stdin'.*input"):
        described({"stdin": 3})
    with pytest.raises(TypeError, match="pty.*'stdout'.*rows"):
        described({"stdout": 3}, _exec.to_pty)


@pytest.mark.parametrize(
    "value, kind",
    [("NOSUCH", vmette.ConfigError), (0, vmette.ConfigError), (65, vmette.ConfigError)]
    + [(-9, vmette.ConfigError), (None, TypeError), (1.0, TypeError), (True, TypeError)],
)
def test_a_signal_that_there_is_not_is_named(value, kind):
    with pytest.raises(kind, match="^number"):
        _check.signal_number("number", value)


def test_text_is_text_and_paths_are_paths():
    assert _check.text("x", "ä\udcff") == "ä".encode() + b"\xff"
    with pytest.raises(vmette.ConfigError, match="^path.*relative.*absolute"):
        _check.absolute("path", "relative")
    with pytest.raises(vmette.ConfigError, match="^path.*''"):
        _check.absolute("path", "")
    with pytest.raises(TypeError, match="^path"):
        _check.absolute("path", 3)


def test_a_pool_or_a_copy_has_sizes_that_can_be():
    for options, kind in (
        ({"ready": -1}, vmette.ConfigError),
        ({"ready": 1.5}, TypeError),
        ({"most": "3"}, TypeError),
        ({"idle": -1}, vmette.ConfigError),
        ({"idle": "1"}, TypeError),
    ):
        with pytest.raises(kind, match=next(iter(options))):
            vmette.Pool(**options)


def test_a_log_goes_where_something_can_be_written():
    with pytest.raises(TypeError, match="file"):
        vmette.log_to("path")
    with pytest.raises(TypeError, match="level"):
        vmette.log_to(None, level=3)
    with pytest.raises(vmette.ConfigError, match="file"):
        vmette.log_to(-5)


def test_an_artifact_and_a_share_are_checked():
    with pytest.raises(TypeError, match="path"):
        vmette.RootfsArtifact(3)
    with pytest.raises(TypeError, match="read_only"):
        vmette.RootfsArtifact("/", read_only=1)
    with pytest.raises(TypeError, match="image_env"):
        vmette.RootfsArtifact("/", image_env={"A": 3})
    with pytest.raises(TypeError, match="read_only"):
        vmette.Session(shares={"a": vmette.Share("/", read_only="no")})
    with pytest.raises(TypeError, match="warm_up"):
        vmette.Snapshot.build("/tmp/none", warm_up="command")
    with pytest.raises(TypeError, match="path"):
        vmette.Snapshot.open(3)


def test_an_error_says_what_where_and_what_to_do_and_can_be_sent():
    with pytest.raises(vmette.ConfigError) as caught:
        vmette.Session(vcpus=2**40)
    error = caught.value
    assert str(error) == str(error.args[0]) and "\n" not in str(error)
    assert isinstance(error.code, vmette.ErrorCode) and isinstance(error.details, dict)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert (str(again), again.code, again.stage, again.details) == (
        str(error),
        error.code,
        error.stage,
        error.details,
    )


def test_errors_are_the_built_in_ones_and_hide_none():
    import builtins

    assert not {name for name in vmette.__all__ if hasattr(builtins, name)}
    assert issubclass(vmette.DeadlineExceeded, TimeoutError)
    assert issubclass(vmette.ConfigError, ValueError)
    for kind in (vmette.SpawnError, vmette.FileError, vmette.HostError):
        assert issubclass(kind, OSError)
    errors = [
        getattr(vmette, name)
        for name in vmette.__all__
        if isinstance(getattr(vmette, name), type) and issubclass(getattr(vmette, name), Exception)
    ]
    assert all(issubclass(one, vmette.Error) for one in errors)
