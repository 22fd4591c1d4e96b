"""The description of a machine: the options that Session and its neighbours take."""

from __future__ import annotations

import dataclasses
import difflib
import os
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Sequence,
    TypedDict,
    TypeVar,
    Union,
)

from vmette import _check, _core
from vmette._check import Command, Text
from vmette._enums import Accel, ErrorCode, ShareTransport, VsockMode
from vmette._errors import ConfigError, Error
from vmette._provider import Provider, ProviderShim, RootfsArtifact

T = TypeVar("T")

__all__ = ["Disk", "Options", "SessionOptions", "Share"]


@dataclasses.dataclass(frozen=True)
class Share:
    """A directory of the host in the guest: at `target`, or at /mnt/<tag>.

    >>> with vmette.Session(shares={"docs": vmette.Share("/usr/share", read_only=True)}) as vm:
    ...     vm.files.is_dir("/mnt/docs/doc")
    True
    """

    path: Text
    target: Text = ""
    read_only: bool = False


@dataclasses.dataclass(frozen=True)
class Disk:
    """A raw disk image or block device, as /dev/vmette/disk<N> and /dev/disk/by-id/virtio-<id>.

    >>> with tempfile.NamedTemporaryFile() as image:
    ...     _ = image.truncate(1 << 20)
    ...     with vmette.Session(disks=[vmette.Disk(image.name, id="data", read_only=True)]) as vm:
    ...         vm.files.exists("/dev/disk/by-id/virtio-data")
    True
    """

    path: Text
    id: str = ""
    read_only: bool = False


class Options(TypedDict, total=False):
    """What a machine may be described with, all of it by keyword.

    rootfs: the guest's root: a directory of the host ("/" too), an image
        ("squashfs+file:///srv/debian.sqfs"), what a provider claims, or a `RootfsArtifact`. Never
        written; what the guest changes is thrown away. None: the built-in busybox.
    rootfs_read_only: no writable layer over the root at all.
    vcpus: default 1. mem_mib: default 512.
    shares: directories of the host by tag, each a path or a `Share`.
    disks: images, each a path or a `Disk`.
    scratch_mib: puts the root's writable layer on a throw-away disk of this size instead of memory;
        scratch_dir is where that lives.
    env: variables for every command.
    timeout_seconds: ends the session so long after its start.
    ready_timeout: seconds that a machine may take to get ready. Default 60.
    snapshottable: makes the machine one that can be saved. resume_shares: how many shares a resumed
        machine may have beside those of the snapshot. resume_hook, resume_hook_frozen: shell lines
        that a resumed machine runs before it is ready. snapshot_digests: keeps digests for
        `Snapshot.verify()`. resume_snapshot: starts from a snapshot instead of booting.
    providers: sources of roots, see `Provider`. offline: they leave the network alone. cache_dir:
        where they keep what they fetched. on_progress: called with (step, done, total) on the
        thread that they run on; what it raises gives up.
    hostname, switch_root, ca_certs, share_transport, accel, cmdline, kernel, initramfs, assets,
    helper, net, vsock, vsock_port, guest_vsock_port, quiet: as in vmette.h.

    >>> options = vmette.Options(vcpus=2, env={"LANG": "C.UTF-8"})
    >>> with vmette.Session(**options) as vm:
    ...     vm.run("nproc; echo $LANG", text=True).stdout
    '2\\nC.UTF-8\\n'
    """

    rootfs: Union[Text, RootfsArtifact, None]
    rootfs_read_only: bool
    vcpus: int
    mem_mib: int
    shares: Mapping[str, Union[Text, Share]]
    disks: Sequence[Union[Text, Disk]]
    scratch_mib: int
    scratch_dir: Text
    env: Mapping[str, Text]
    timeout_seconds: int
    ready_timeout: float
    snapshottable: bool
    resume_shares: int
    resume_hook: Text
    resume_hook_frozen: Text
    snapshot_digests: bool
    resume_snapshot: Text
    providers: Sequence[Provider]
    offline: bool
    cache_dir: Text
    on_progress: Callable[[str, int, int], object]
    hostname: str
    switch_root: bool
    ca_certs: Text
    share_transport: ShareTransport
    accel: Accel
    cmdline: str
    kernel: Text
    initramfs: Text
    assets: Text
    helper: Text
    net: bool
    vsock: VsockMode
    vsock_port: int
    guest_vsock_port: int
    quiet: bool


class SessionOptions(Options, total=False):
    """What a session may be given besides: a command of its own, with which it ends.

    command: a line or an argument vector. capture_output: keeps what it prints for
    `Session.output()`, capture_limit bytes of each stream (default 1 MiB).

    >>> with vmette.Session(command="exit 3") as vm:
    ...     vm.wait()
    ...     vm.exit_code
    3
    """

    command: Command
    capture_output: bool
    capture_limit: int


class Machine:
    """A configuration for the library, and the caller's own callbacks.

    The library holds those only while it resolves the root: what it holds, the garbage collector
    does not see, and they may well lead back to the session.
    """

    def __init__(self, options: Mapping[str, Any], what: str = "Session") -> None:
        self.core = _core.Config()
        self.providers: Sequence[Provider] = ()
        self.on_progress: Optional[Callable[[str, int, int], object]] = None
        refuse_unknown(options, what)
        for name, value in options.items():
            if value is not None:
                _setters[name](self, name, value)
        _set_rootfs(self, options)
        _set_hooks(self, options)
        _set_vsock(self, options)

    def resolved(
        self, work: Callable[[_core.Config], T], gone: Callable[[], bool] = lambda: False
    ) -> T:
        """What `work` makes of the configuration. It is given up when `gone` says so. An error that a
        callback has caused is raised from what the callback has raised."""
        failures: List[BaseException] = []
        heard = self.on_progress
        config = self.core.clone()
        shims = [ProviderShim(provider, failures) for provider in self.providers]

        def report(step: str, done: int, total: int) -> bool:
            if gone():
                return False
            try:
                if heard is not None:
                    heard(step, done, total)
            except BaseException as failure:
                failures.append(failure)
                return False
            return True

        try:
            for shim in shims:
                config.add_provider(shim)
            config.set_progress(report)
            return work(config)
        except Error as error:
            if failures:
                raise error from failures[0]
            raise
        finally:
            # The library may keep these longer, and what they lead to with them.
            heard, failures, gone = None, [], lambda: True
            for shim in shims:
                shim.end()


def refuse_unknown(options: Mapping[str, Any], what: str) -> None:
    """A TypeError like that of a call with a keyword that there is not."""
    for name in options:
        if name not in _setters:
            close = difflib.get_close_matches(name, _setters, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise TypeError(f"{what}() has no option {name!r}{hint}")


def _set_rootfs(machine: Machine, options: Mapping[str, Any]) -> None:
    root = options.get("rootfs")
    read_only = bool(options.get("rootfs_read_only"))
    if isinstance(root, RootfsArtifact):
        machine.core.set_rootfs_artifact(root.core, read_only)
    elif root is not None:
        machine.core.set_rootfs(_check.text("rootfs", root), read_only)
    elif read_only:
        raise ConfigError(
            "rootfs_read_only: there is no root; pass rootfs= with it",
            code=ErrorCode.INVALID_CONFIG,
            stage="python",
        )


def _set_hooks(machine: Machine, options: Mapping[str, Any]) -> None:
    frozen, running = (options.get(name) for name in ("resume_hook_frozen", "resume_hook"))
    machine.core.set_resume_hooks(
        None if frozen is None else _check.text("resume_hook_frozen", frozen),
        None if running is None else _check.text("resume_hook", running),
    )


def _set_vsock(machine: Machine, options: Mapping[str, Any]) -> None:
    port = options.get("vsock_port")
    mode = options.get("vsock")
    if mode is None:
        mode = VsockMode.AUTO if port is None else VsockMode.FIXED
    number = 0 if port is None else _check.integer("vsock_port", port)
    machine.core.set_vsock(_check.choice("vsock", mode, VsockMode).value, number)


def _set_shares(machine: Machine, name: str, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise _check.wrong_type(name, "a mapping of tags to paths", value)
    for tag, share in value.items():
        one = share if isinstance(share, Share) else Share(share)
        where = f"{name}[{tag!r}]"
        machine.core.add_share(
            _check.text(f"a tag of {name}", tag),
            _check.text(where, one.path),
            _check.text(f"{where}.target", one.target),
            _check.flag(f"{where}.read_only", one.read_only),
        )


def _set_disks(machine: Machine, name: str, value: Any) -> None:
    if isinstance(value, (str, bytes, os.PathLike)) or not isinstance(value, Sequence):
        raise _check.wrong_type(name, "a sequence of paths or disks", value)
    for index, disk in enumerate(value):
        one = disk if isinstance(disk, Disk) else Disk(disk)
        where = f"{name}[{index}]"
        machine.core.add_disk(
            _check.text(f"{where}.id", one.id),
            _check.text(where, one.path),
            _check.flag(f"{where}.read_only", one.read_only),
        )


def environment(name: str, value: Any) -> List[Any]:
    """Pairs of bytes."""
    if not isinstance(value, Mapping):
        raise _check.wrong_type(name, "a mapping", value)
    return [
        (_check.text(f"a key of {name}", key), _check.text(f"{name}[{key!r}]", one))
        for key, one in value.items()
    ]


def _set_env(machine: Machine, name: str, value: Any) -> None:
    for key, one in environment(name, value):
        machine.core.add_env(key, one)


def _set_command(machine: Machine, name: str, value: Any) -> None:
    if isinstance(value, str):
        machine.core.set_exec(_check.text(name, value))
    else:
        machine.core.set_exec_argv(_check.argv(name, value))


def _set_providers(machine: Machine, name: str, value: Any) -> None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _check.wrong_type(name, "a sequence of vmette.Provider", value)
    for index, provider in enumerate(value):
        if not isinstance(provider, Provider):
            raise _check.wrong_type(f"{name}[{index}]", "a vmette.Provider", provider)
    machine.providers = tuple(value)


def _set_ready_timeout(machine: Machine, name: str, value: Any) -> None:
    machine.core.set_ready_timeout_ms(_check.milliseconds(name, value))


def _check_flag(machine: Machine, name: str, value: Any) -> None:
    _check.flag(name, value)


def _set_progress(machine: Machine, name: str, value: Any) -> None:
    if not callable(value):
        raise _check.wrong_type(name, "a callable", value)
    machine.on_progress = value


def _elsewhere(machine: Machine, name: str, value: Any) -> None:
    """Set together with another option."""


_Setter = Callable[[Machine, str, Any], None]


def _plain(setter: str, checked: Callable[[str, Any], Any]) -> _Setter:
    def set_one(machine: Machine, name: str, value: Any) -> None:
        getattr(machine.core, setter)(checked(name, value))

    return set_one


def _text(setter: str) -> _Setter:
    return _plain(setter, _check.text)


def _flag(setter: str) -> _Setter:
    return _plain(setter, _check.flag)


def _integer(setter: str, most: int = 2**32 - 1) -> _Setter:
    return _plain(setter, lambda name, value: _check.integer(name, value, 0, most))


def _choice(setter: str, kind: Any) -> _Setter:
    return _plain(setter, lambda name, value: _check.choice(name, value, kind).value)


_setters: Dict[str, _Setter] = {
    "rootfs": _elsewhere,
    "rootfs_read_only": _check_flag,
    "vcpus": _integer("set_vcpus"),
    "mem_mib": _integer("set_mem_mib", 2**63 - 1),
    "shares": _set_shares,
    "disks": _set_disks,
    "scratch_mib": _integer("set_scratch_mib", 2**63 - 1),
    "scratch_dir": _text("set_scratch_dir"),
    "env": _set_env,
    "command": _set_command,
    "capture_output": _flag("set_capture_output"),
    "capture_limit": _integer("set_capture_limit", 2**63 - 1),
    "timeout_seconds": _integer("set_timeout_seconds"),
    "ready_timeout": _set_ready_timeout,
    "snapshottable": _flag("set_snapshottable"),
    "resume_shares": _integer("set_resume_shares"),
    "resume_hook": _elsewhere,
    "resume_hook_frozen": _elsewhere,
    "snapshot_digests": _flag("set_snapshot_digests"),
    "resume_snapshot": _text("set_resume_snapshot"),
    "providers": _set_providers,
    "offline": _flag("set_offline"),
    "cache_dir": _text("set_cache_dir"),
    "on_progress": _set_progress,
    "hostname": _text("set_hostname"),
    "switch_root": _flag("set_switch_root"),
    "ca_certs": _text("set_ca_certs"),
    "share_transport": _choice("set_share_transport", ShareTransport),
    "accel": _choice("set_accel", Accel),
    "cmdline": _text("set_cmdline"),
    "kernel": _text("set_kernel"),
    "initramfs": _text("set_initramfs"),
    "assets": _text("set_assets"),
    "helper": _text("set_helper"),
    "net": _flag("set_net"),
    "vsock": _elsewhere,
    "vsock_port": _elsewhere,
    "guest_vsock_port": _integer("set_guest_vsock_port"),
    "quiet": _flag("set_quiet"),
}

for _name in __all__:
    globals()[_name].__module__ = "vmette"
