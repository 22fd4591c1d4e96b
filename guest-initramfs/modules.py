"""Chooses kernel modules and orders them by what they depend on."""

import bz2
import gzip
import lzma
import os
import shutil
import struct
import subprocess
import tempfile

from elf import Elf

# A machine cannot work without these, as modules or built in.
REQUIRED = ("virtio_mmio", "virtio_pci", "virtio_console", "virtio_blk", "9p", "9pnet_virtio",
            "overlay")
# Taken where the kernel has them.
OPTIONAL = ("virtio_net", "virtio_rng", "virtio_balloon", "squashfs", "erofs", "ext4",
            "fuse", "virtiofs", "vsock", "vmw_vsock_virtio_transport", "loop",
            "af_packet", "tun")
# Asked for by the name of the algorithm while the module loads: a "softdep" in .modinfo.
_SOFT = {"crc32c": "crc32c_generic", "crypto_crc32c": "crc32c_generic"}
# What a module works without, in sections that cost time to load under emulation: descriptions for
# debuggers and tracers, and lists of places that the kernel would make faster once. What those
# places hold until then is the slower and safe form: a locked instruction, a return by way of the
# kernel's own, a call to an empty function.
LEFT_OUT = (".BTF", ".orc_unwind", ".orc_unwind_ip", ".orc_header", "__mcount_loc",
            "_ftrace_events", "_ftrace_eval_map", "__tracepoints_ptrs", "__bpf_raw_tp_map",
            ".smp_locks", ".return_sites", ".retpoline_sites")
_SIGNED = b"~Module signature appended~\n"
_SUFFIXES = (".ko", ".ko.gz", ".ko.xz", ".ko.bz2", ".ko.zst")


class MissingModule(Exception):
    """A module that a machine needs is neither in the package nor built into its kernel."""


def collect(tree):
    """The wanted modules of a kernel's module directory and all they depend on.

    Returns {name: (bytes, names of all dependencies in the order to load them)}.
    """
    files = _index(tree)
    builtin = _builtin(tree)
    missing = [name for name in REQUIRED if name not in files and name not in builtin]
    if missing:
        raise MissingModule(", ".join(missing))
    images, direct = {}, {}
    queue = [name for name in REQUIRED + OPTIONAL if name in files]
    while queue:
        name = queue.pop()
        if name in images:
            continue
        if name not in files:
            raise MissingModule(name)
        images[name] = unsigned(_read(files[name]))
        direct[name] = [need for need in depends(images[name]) if need not in builtin]
        queue += direct[name]
    return {name: (images[name], load_order(name, direct)) for name in sorted(images)}


def unsigned(image):
    """The module without its signature: the manifest's digest stands for it, and checking an RSA
    signature in an emulated machine takes as long as the rest of loading the module."""
    if not image.endswith(_SIGNED):
        return image
    # struct module_signature: 8 bytes of identifiers, then the signature's length.
    length, = struct.unpack_from(">I", image, len(image) - len(_SIGNED) - 4)
    return image[:len(image) - len(_SIGNED) - 12 - length]


def lean(image, objcopy):
    """The module without the sections of LEFT_OUT."""
    with tempfile.TemporaryDirectory(prefix="vmette-module-") as folder:
        path = os.path.join(folder, "module.ko")
        with open(path, "wb") as file:
            file.write(image)
        names = [form + name for name in LEFT_OUT for form in ("", ".rela")]
        subprocess.run([objcopy, *(f"--remove-section={name}" for name in names), path],
                       check=True)
        with open(path, "rb") as file:
            return file.read()


def depends(image):
    """The names that a module's own .modinfo says it needs."""
    needs = set()
    for entry in (Elf(image).section(".modinfo") or b"").decode().split("\0"):
        key, _, value = entry.partition("=")
        if key == "depends":
            needs |= {_normal(name) for name in value.split(",") if name}
        elif key == "softdep" and value.startswith("pre:"):
            first = [_normal(name) for name in value[4:].split("post:")[0].split()]
            needs |= {_SOFT[name] for name in first if name in _SOFT}
    return sorted(needs)


def load_order(name, direct):
    """Everything that `name` needs, each after what it needs itself, without `name`."""
    order = []

    def visit(module):
        for need in direct[module]:
            if need not in order:
                visit(need)
                order.append(need)

    visit(name)
    return order


def dependency_file(modules):
    """The text of modules.dep: one line "name: dep dep" per module, deps in load order."""
    return "".join(f"{name}: {' '.join(needs)}".rstrip() + "\n"
                   for name, (_, needs) in sorted(modules.items()))


def _normal(name):
    return name.replace("-", "_")


def _module_name(path):
    base = os.path.basename(path)
    for suffix in _SUFFIXES:
        if base.endswith(suffix):
            return _normal(base[:-len(suffix)])
    return None


def _index(tree):
    found = {}
    for folder, folders, files in os.walk(tree):
        folders.sort()
        for file in sorted(files):
            name = _module_name(file)
            if name:
                found.setdefault(name, os.path.join(folder, file))
    return found


def _builtin(tree):
    path = os.path.join(tree, "modules.builtin")
    if not os.path.exists(path):
        return set()
    with open(path, encoding="utf-8") as lines:
        return {_module_name(line.strip()) for line in lines}


def _read(path):
    with open(path, "rb") as file:
        data = file.read()
    if path.endswith(".gz"):
        return gzip.decompress(data)
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".bz2"):
        return bz2.decompress(data)
    if path.endswith(".zst"):
        if not shutil.which("zstd"):
            raise ValueError("the modules are compressed with zstd: install the package zstd")
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data
