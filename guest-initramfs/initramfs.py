#!/usr/bin/env python3
"""Builds the guest's initramfs and the manifest that binds kernel, initramfs and agent."""

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile

import cpio
from elf import MACHINES, Elf

MANIFEST_FORMAT = 1
MAX_INITRAMFS_BYTES = 10 << 20

_DIRECTORIES = {"dev": 0o755, "etc": 0o755, "home": 0o755, "mnt": 0o755, "proc": 0o755,
                "root": 0o700, "run": 0o755, "sys": 0o755, "tmp": 0o1777, "usr": 0o755,
                "var": 0o755, "var/log": 0o755, "var/tmp": 0o1777}
_SYMLINKS = {"sbin": "bin", "usr/bin": "../bin", "usr/sbin": "../bin", "var/run": "../run"}
_FILES = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
    "etc/group": "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "etc/profile": "PS1='\\u@\\h:\\w\\$ '\n",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=sorted(MACHINES), required=True)
    parser.add_argument("--agent", required=True)
    parser.add_argument("--agent-version", required=True)
    parser.add_argument("--codec", required=True, help="lib/wire/codec.h: the protocol generation")
    parser.add_argument("--busybox", required=True)
    parser.add_argument("--strip", required=True)
    parser.add_argument("--kernel", required=True)
    parser.add_argument("--kernel-info", required=True)
    parser.add_argument("--modules", help="tar file of modules and modules.dep")
    parser.add_argument("--initramfs", required=True, help="output")
    parser.add_argument("--manifest", required=True, help="output")
    options = parser.parse_args()
    try:
        build(options)
    except (ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"initramfs: {error}")


def build(options):
    """Writes options.initramfs and options.manifest."""
    agent = stripped(options.strip, options.agent)
    archive = image(options.arch, agent, options.busybox, options.modules)
    if len(archive) > MAX_INITRAMFS_BYTES:
        raise ValueError(f"it would have {len(archive)} bytes, at most {MAX_INITRAMFS_BYTES} are "
                         "allowed")
    with open(options.initramfs, "wb") as file:
        file.write(archive)
    with open(options.manifest, "w", encoding="utf-8") as file:
        json.dump(manifest(options, archive, agent), file, indent=2)
        file.write("\n")


def image(arch, agent, busybox, modules):
    """The archive's bytes."""
    archive = cpio.Archive()
    for path, mode in _DIRECTORIES.items():
        archive.add_directory(path, mode)
    for path, target in _SYMLINKS.items():
        archive.add_symlink(path, target)
    for path, text in _FILES.items():
        archive.add_file(path, text.encode())
    # The kernel opens /dev/console for PID 1 before anything is mounted.
    archive.add_char_device("dev/console", 5, 1, 0o600)
    archive.add_char_device("dev/null", 1, 3, 0o666)
    _check_static(arch, agent, "the agent")
    archive.add_file("init", agent, 0o755)
    _add_busybox(archive, arch, busybox)
    if modules:
        with tarfile.open(modules) as tar:
            for entry in tar:
                archive.add_file(f"lib/modules/vmette/{entry.name}", tar.extractfile(entry).read())
    return bytes(archive)


def manifest(options, archive, agent):
    """What docs/guest-assets.md describes, as a dict."""
    with open(options.kernel_info, encoding="utf-8") as file:
        info = json.load(file)
    with open(options.kernel, "rb") as file:
        kernel = file.read()
    return {
        "format": MANIFEST_FORMAT,
        "arch": options.arch,
        "flavour": info["flavour"],
        "kernel": {"file": os.path.basename(options.kernel), "version": info["version"],
                   **_digest(kernel)},
        "initramfs": {"file": os.path.basename(options.initramfs), **_digest(archive)},
        "agent": {"version": options.agent_version, "generation": generation(options.codec),
                  **_digest(agent)},
        "modules": info["modules"],
        "package": info["package"],
    }


def generation(codec):
    """The protocol generation that the agent speaks, from the codec's header."""
    with open(codec, encoding="utf-8") as file:
        found = re.search(r"\bkGeneration = (\d+);", file.read())
    if not found:
        raise ValueError(f"{codec} defines no kGeneration")
    return int(found.group(1))


def stripped(strip, program):
    """The program's bytes without symbols and debug information."""
    with tempfile.TemporaryDirectory(prefix="vmette-strip-") as folder:
        path = os.path.join(folder, "program")
        subprocess.run([strip, "-o", path, program], check=True)
        with open(path, "rb") as file:
            return file.read()


def _add_busybox(archive, arch, path):
    with open(path, "rb") as file:
        data = file.read()
    _check_static(arch, data, f"{path} (package busybox-static)")
    archive.add_file("bin/busybox", data, 0o755)
    listed = subprocess.run([path, "--list"], stdout=subprocess.PIPE, text=True, check=True).stdout
    applets = set(listed.split()) - {"busybox"}
    if "sh" not in applets:
        raise ValueError(f"{path} has no shell")
    for applet in sorted(applets):
        archive.add_symlink(f"bin/{applet}", "busybox")


def _check_static(arch, data, what):
    elf = Elf(data)
    if elf.machine != MACHINES[arch]:
        raise ValueError(f"{what} is not a program for {arch}")
    if not elf.is_static():
        raise ValueError(f"{what} is not statically linked")


def _digest(data):
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


if __name__ == "__main__":
    main()
