"""A machine's options, life and what it says of itself. Most of it through the synchronous face:
the other is the same code."""

import os
import shutil
import socket
import subprocess

import child
import pytest
import vmette
from conftest import MEM_MIB


def machine(**options):
    return vmette.Session(**{"mem_mib": MEM_MIB, **options})


def test_size_name_environment_and_scratch_are_as_asked_for():
    options = {"vcpus": 2, "hostname": "box", "env": {"A": "b c"}, "scratch_mib": 64}
    with machine(**options) as vm:
        said = vm.run("nproc; hostname; echo $A; df -m / | tail -1", text=True).stdout.split("\n")
        assert said[:3] == ["2", "box", "b c"]
        assert 40 < int(said[3].split()[1]) <= 64
        stats = vm.stats()
        assert 200 * 1024 < stats.memory_kib < MEM_MIB * 1024
        assert 0 < stats.memory_available_kib < stats.memory_kib
        assert stats.processes > 0 and stats.uptime > 0 and len(stats.load) == 3
        assert 0 < stats.root_available_bytes <= stats.root_bytes <= 64 << 20
        assert "console" in vm.cmdline
        names = [entry.name for entry in vm.timeline]
        assert names[0] == "helper spawned" and "ready" in names[-1]
        times = [entry.seconds for entry in vm.timeline]
        assert times == sorted(times) and times[-1] > 0


def test_shares_are_where_and_as_they_are_asked_for(tmp_path):
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    shares = {
        "one": tmp_path / "one",
        "two": vmette.Share(tmp_path / "two", read_only=True),
        "three": vmette.Share(str(tmp_path / "three"), target="/srv/three"),
    }
    with machine(shares=shares) as vm:
        read = vm.run("cat /mnt/one/file /mnt/two/file /srv/three/file", text=True)
        assert read.stdout == "onetwothree"
        vm.files.write_text("/mnt/one/new", "from the guest")
        assert (tmp_path / "one/new").read_text() == "from the guest"
        with pytest.raises(OSError) as caught:
            vm.files.write_text("/mnt/two/new", "no")
        assert caught.value.errno == 30  # EROFS
        (tmp_path / "three/late").write_text("from the host")
        assert vm.files.read_text("/srv/three/late") == "from the host"
    assert not (tmp_path / "two/new").exists()


def test_disks_are_where_and_as_they_are_asked_for(tmp_path):
    for name in ("plain", "named"):
        (tmp_path / name).write_bytes(name.encode().ljust(1 << 20, b"\0"))
    disks = [tmp_path / "plain", vmette.Disk(tmp_path / "named", id="data", read_only=True)]
    with machine(disks=disks) as vm:
        read = vm.run(
            "head -c 5 /dev/vmette/disk0; head -c 5 /dev/disk/by-id/virtio-data", text=True
        )
        assert read.stdout == "plainnamed"
        assert vm.run("echo -n PLAIN > /dev/vmette/disk0; sync").returncode == 0
        assert vm.run("echo -n NAMED > /dev/disk/by-id/virtio-data").returncode != 0
    assert (tmp_path / "plain").read_bytes()[:5] == b"PLAIN"
    assert (tmp_path / "named").read_bytes()[:5] == b"named"


def test_the_hosts_root_can_be_the_guests_and_is_not_written():
    name = f"/var/tmp/vmette-test-{os.getpid()}"
    with machine(rootfs="/") as vm:
        same = vm.run(["cat", "/etc/os-release"]).stdout
        with open("/etc/os-release", "rb") as file:
            assert same == file.read()
        vm.files.write_text(name, "in the guest only")
        assert vm.files.read_text(name) == "in the guest only"
    assert not os.path.exists(name)


def test_an_image_can_be_a_root_for_reading_only(tmp_path):
    if shutil.which("mksquashfs") is None:
        pytest.skip("there is no mksquashfs here")
    top = tmp_path / "root"
    for folder in ("bin", "dev", "proc", "sys", "tmp", "etc", "mnt", "run"):
        (top / folder).mkdir(parents=True)
    shutil.copy("/bin/busybox", top / "bin/busybox")
    (top / "bin/sh").symlink_to("busybox")
    (top / "etc/mine").write_text("in the image")
    image = tmp_path / "root.sqfs"
    subprocess.run(["mksquashfs", top, image, "-quiet", "-no-progress"], check=True)
    with machine(rootfs=f"squashfs+file://{image}", rootfs_read_only=True) as vm:
        assert vm.files.read_text("/etc/mine") == "in the image"
        assert vm.run("echo no > /etc/other").returncode != 0
    artifact = vmette.RootfsArtifact(image, fstype="squashfs", image_env={"FROM": "image"})
    with machine(rootfs=artifact) as vm:
        assert vm.run("echo $FROM; echo yes > /etc/other", text=True).stdout == "image\n"
        assert vm.files.read_text("/etc/other") == "yes\n"


def test_the_own_command_ends_the_session_and_is_told_of():
    command = "echo out; echo err >&2; exit 3"
    with machine(command=command, capture_output=True, timeout_seconds=120) as vm:
        vm.wait()
        output = vm.output()
        assert (output.stdout, output.stderr) == (b"out\n", b"err\n")
        assert sorted(output.combined.split()) == [b"err", b"out"]
        assert (output.exit_code, output.truncated) == (3, False)
    assert (vm.state, vm.end, vm.exit_code) == (vmette.State.ENDED, vmette.End.EXITED, 3)
    assert vm.output() == output and "3" in vm.end_message
    command = ["printf", "%s|", "$A", "b c"]
    with machine(command=command, capture_output=True, capture_limit=4) as vm:
        vm.wait()
    assert vm.output().stdout == b"$A|b" and vm.output().truncated


def test_a_session_ends_after_its_timeout():
    vm = machine(timeout_seconds=1)
    with pytest.raises(vmette.SessionEnded, match="timeout of 1 s"):
        vm.start()  # a slow machine ends before it is ready
        vm.wait()
        vm.run("true")
    assert (vm.end, vm.exit_code) == (vmette.End.TIMED_OUT, 124)
    vm.close()
    assert (vm.end, vm.exit_code) == (vmette.End.TIMED_OUT, 124)


def test_a_wait_gives_up_in_time_and_leaves_the_machine():
    with machine() as vm:
        with pytest.raises(vmette.DeadlineExceeded, match="0.05 s"):
            vm.wait(timeout=0.05)
        assert vm.state is vmette.State.READY and vm.exit_code is None and vm.end_message == ""
        assert vm.output is not None
        with pytest.raises(vmette.StateError, match="capture_output"):
            vm.output()


def test_pause_and_resume_stop_and_go_on():
    with machine() as vm, vm.popen("read line; echo $line", stdin=vmette.PIPE) as proc:
        vm.pause()
        assert vm.state is vmette.State.PAUSED
        with pytest.raises(vmette.StateError, match="paused"):
            vm.pause()
        proc.stdin.write(b"word\n")
        proc.stdin.flush()
        with pytest.raises(vmette.DeadlineExceeded):
            proc.wait(timeout=0.2)
        vm.resume()
        assert vm.state is vmette.State.READY
        with pytest.raises(vmette.StateError, match="paused"):
            vm.resume()
        assert proc.stdout.read() == b"word\n"


def test_stop_lets_commands_end_in_order_and_kill_does_not(tmp_path):
    line = "trap 'echo ended > /mnt/box/{0}; exit' TERM; echo ready; while :; do sleep 0.01; done"
    for end, told in (("stop", True), ("kill", False)):
        vm = machine(shares={"box": tmp_path}).start()
        proc = vm.popen(line.format(end))
        assert proc.stdout.readline() == b"ready\n"
        vm.stop(grace=30) if told else vm.kill()
        assert (vm.state, vm.end) == (vmette.State.ENDED, vmette.End.STOPPED)
        assert (tmp_path / end).exists() == told
        proc.stdout.close()
        proc.stderr.close()


def test_states_follow_a_life_and_errors_name_the_way_out():
    vm = machine()
    need_a_machine = [
        lambda: vm.run("true"),
        lambda: vm.popen("true"),
        lambda: vm.pty(),
        lambda: vm.files.exists("/"),
        lambda: vm.pause(),
        lambda: vm.resume(),
        lambda: vm.stats(),
        lambda: vm.output(),
        lambda: vm.snapshot("/tmp/none"),
        lambda: vm.fork(),
    ]
    assert (vm.state, vm.end, vm.exit_code) == (vmette.State.CREATED, vmette.End.NONE, None)
    assert (vm.timeline, vm.cmdline, vm.console_tail(), vm.vsock_port) == ([], "", "", None)
    for call in [*need_a_machine, vm.wait]:
        with pytest.raises(vmette.StateError, match="not running.*with statement.*start"):
            call()
    assert vm.start() is vm
    with pytest.raises(vmette.StateError, match="started already.*another"):
        vm.start()
    with vm:  # a session that was started is entered as it is
        assert vm.run("true").returncode == 0
    for call in need_a_machine:
        with pytest.raises(vmette.SessionEnded, match="closed|ended"):
            call()
    vm.wait()
    vm.stop()
    vm.kill()
    vm.close()
    with pytest.raises(vmette.StateError, match="started already"):
        vm.start()
    assert vm.timeline and vm.cmdline and "ended" in repr(vm)
    with pytest.raises(vmette.StateError, match="started already"):
        with vm:
            pass


def test_a_session_that_was_never_started_can_be_closed():
    vm = machine()
    vm.close()
    vm.close()
    assert vm.state is vmette.State.ENDED
    with pytest.raises(vmette.StateError):
        vm.start()


def test_an_exception_in_the_block_is_raised_and_the_machine_gone(nothing_left):
    with pytest.raises(KeyError, match="mine"):
        with machine() as vm:
            vm.popen("exec sleep 1000")
            raise KeyError("mine")
    assert vm.end is vmette.End.STOPPED


class Roots(vmette.Provider):
    name, claims = "roots", "roots:NAME"

    def __init__(self):
        self.calls = []

    def matches(self, spec):
        return spec.startswith("roots:")

    def provide(self, spec, context):
        self.calls.append((spec, context.offline, os.path.isdir(context.cache_dir)))
        if spec == "roots:none":
            raise LookupError("there is no such root")
        if spec == "roots:wrong":
            return "/"
        context.report("looking", 1, 2)
        self.kept = context
        return vmette.RootfsArtifact("/", image_env={"FROM": spec})


def test_a_provider_gives_a_root_and_tells_how_far_it_is(face, tmp_path):
    heard = []
    roots = Roots()
    options = {
        "mem_mib": MEM_MIB,
        "rootfs": "roots:mine",
        "providers": [roots],
        "offline": True,
        "cache_dir": tmp_path,
        "on_progress": lambda step, done, total: heard.append((step, done, total)),
    }
    with face.Session(**options) as vm:
        assert vm.run("echo $FROM", text=True).stdout == "roots:mine\n"
    assert roots.calls == [("roots:mine", True, True)]
    assert ("looking", 1, 2) in heard
    assert str(tmp_path) and os.listdir(tmp_path)
    with pytest.raises(vmette.ConfigError, match="over"):
        roots.kept.cache_dir


def test_what_a_provider_raises_is_the_cause(face, nothing_left):
    roots = Roots()
    for spec, kind in (("roots:none", LookupError), ("roots:wrong", TypeError)):
        with pytest.raises(vmette.RootfsError) as caught:
            with face.Session(rootfs=spec, providers=[roots]):
                pass
        assert isinstance(caught.value.__cause__, kind)
        assert str(caught.value.__cause__) in str(caught.value)
    with pytest.raises(vmette.ConfigError, match="other:spec"):
        with face.Session(rootfs="other:spec", providers=[roots]):
            pass


def test_what_the_progress_callback_raises_gives_up(face, nothing_left):
    def refuse(*_):
        raise KeyError("enough")

    with pytest.raises(vmette.Error) as caught:
        with face.Session(rootfs="roots:mine", providers=[Roots()], on_progress=refuse):
            pass
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_start_that_takes_too_long_is_given_up(nothing_left):
    with pytest.raises(vmette.Error) as caught:
        with machine(ready_timeout=0.05):
            pass
    assert "ready" in str(caught.value)


def test_the_log_goes_to_a_file(tmp_path):
    with open(tmp_path / "log", "w+") as file:
        vmette.log_to(file, level=vmette.LogLevel.DEBUG)
        try:
            with machine() as vm:
                vm.run("echo words of a command")
        finally:
            vmette.log_to(None)
        size = file.seek(0, 2)
        file.seek(0)
        assert "words of a command" in file.read()
    ours, theirs = socket.socketpair()
    with ours, theirs:
        vmette.log_to(ours.fileno())
        with pytest.raises(vmette.Error):
            machine(helper="/nowhere").start()
        vmette.log_to(None)
    assert size > 0


def test_a_command_runs_on_the_callers_terminal():
    code = """
        import sys, vmette
        options = {"mem_mib": 256, "quiet": True}
        sys.exit(vmette.run_in_terminal(command="cat; echo err >&2; exit 7", **options))
        """
    with child.running(code) as one:
        assert one.end("typed\n") == (7, "typed\n", "err\n")
