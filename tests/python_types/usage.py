"""vmette as a type checker sees it in a caller's code, under mypy --strict. Never run: each
assert_type fails where the type is another one, each ignored error where there is none."""

import asyncio
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from typing_extensions import assert_type

import vmette
from vmette import aio


def results() -> None:
    assert_type(vmette.run("uname -a"), vmette.CompletedProcess[bytes])
    done = vmette.run(["uname", "-a"], text=True, vcpus=2, check=True, timeout=5)
    assert_type(done, vmette.CompletedProcess[str])
    assert_type(done.stdout, str)
    assert_type(done.returncode, int)
    assert_type(vmette.run("true", text=False).stdout, bytes)


def commands(vm: vmette.Session) -> None:
    assert_type(vm.run("cat", input=b"x").stderr, bytes)
    assert_type(vm.run([Path("/bin/cat")], input="x", text=True, env={"A": "b"}).stderr, str)
    with vm.popen(["cat"], stdin=vmette.PIPE, text=True) as proc:
        assert_type(proc, vmette.Popen[str])
        assert_type(proc.communicate("hello", timeout=1), Tuple[str, str])
        assert_type(proc.poll(), Optional[int])
        assert_type(proc.wait(), int)
    assert_type(vm.popen("cat", stderr=vmette.STDOUT).communicate(), Tuple[bytes, bytes])
    with vm.pty(rows=30, cols=100) as pty:
        assert_type(pty.read(100, timeout=1), bytes)


def life() -> None:
    with vmette.Session(
        rootfs="/",
        vcpus=2,
        mem_mib=512,
        shares={"work": ".", "docs": vmette.Share("/usr/share", read_only=True)},
        disks=[vmette.Disk("data.img"), "other.img"],
        accel=vmette.Accel.AUTO,
        command=["sh", "-c", "exit 3"],
    ) as vm:
        assert_type(vm, vmette.Session)
        assert_type(vm.state, vmette.State)
        assert_type(vm.exit_code, Optional[int])
        assert_type(vm.timeline, List[vmette.TimelineEntry])
        assert_type(vm.stats().load, Tuple[float, float, float])
        assert_type(vm.console_tail(), str)
        assert_type(vm.fork(2), List[vmette.Session])
        saved = vm.snapshot(Path("warm"))
        assert_type(saved.manifest, Dict[str, Any])
    with saved.resume(env={"N": "1"}) as clone, vmette.Pool(ready=1, most=4) as pool:
        assert_type(clone, vmette.Session)
        assert_type(pool.take(timeout=2), vmette.Session)
        assert_type(pool.count().ready, int)


def files(vm: vmette.Session) -> None:
    assert_type(vm.files, vmette.Files)
    assert_type(vm.files.read_text("/etc/hostname"), str)
    assert_type(vm.files.read_bytes(b"/etc/hostname"), bytes)
    for entry in vm.files.iterdir("/"):
        assert_type(entry, vmette.DirEntry)
        assert_type(entry.stat.type, vmette.FileType)
    assert_type(vm.files.put(".", "/srv/work"), vmette.Copied)
    with vm.files.open("/tmp/file") as file:
        assert_type(file, vmette.GuestFile)


def errors() -> None:
    try:
        vmette.run("true", check=True)
    except vmette.CommandFailed as failed:
        assert_type(failed.returncode, int)
    except vmette.SpawnError as spawn:
        assert_type(spawn.errno, int)
    except TimeoutError:
        pass
    except vmette.Error as error:
        assert_type(error.code, vmette.ErrorCode)
        assert_type(error.stage, str)
        assert_type(error.details, Dict[str, Any])


class Registry(vmette.Provider):
    name, claims = "registry", "registry:NAME"

    def matches(self, spec: str) -> bool:
        return spec.startswith("registry:")

    def provide(self, spec: str, context: vmette.ProviderContext) -> vmette.RootfsArtifact:
        assert_type(context.cache_dir, str)
        return vmette.RootfsArtifact(context.cache_dir)


async def asynchronous() -> None:
    assert_type(await aio.run("uname", text=True), vmette.CompletedProcess[str])
    async with aio.Session(mem_mib=256, providers=[Registry()]) as vm:
        assert_type(vm, aio.Session)
        async with await vm.popen("cat", stdin=vmette.PIPE) as proc:
            assert_type(proc, aio.Popen[bytes])
            assert_type(await proc.wait(), int)
        assert_type(await vm.files.read_text("/etc/hostname"), str)
        assert_type(await vm.fork(2), List[aio.Session])
        assert_type(await asyncio.wait_for(vm.stats(), 5), vmette.Stats)
        async for entry in vm.files.walk("/"):
            assert_type(entry, vmette.DirEntry)
    async with aio.Pool(ready=1) as pool, await pool.take() as taken:
        assert_type(taken, aio.Session)


def mistakes(vm: vmette.Session) -> None:
    """What a type checker refuses."""
    vmette.run(3)  # type: ignore[call-overload]
    vm.run("true", text="yes")  # type: ignore[call-overload]
    vm.run("true", timeout="1")  # type: ignore[call-overload]
    vm.popen("true", timeout=1)  # type: ignore[call-overload]
    vmette.Session(vcpu=2)  # type: ignore[call-arg]
    vmette.Session(mem_mib="512")  # type: ignore[arg-type]
    vmette.Session("/")  # type: ignore[misc]
    vmette.Session(accel="kvm")  # type: ignore[arg-type]
    vm.files.read_text(7)  # type: ignore[arg-type]
    vmette.nothing  # type: ignore[attr-defined]
