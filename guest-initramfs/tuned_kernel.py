#!/usr/bin/env python3
"""Builds the tuned guest kernel from the distribution's kernel source and our fragments, then the
initramfs and manifest that go with it, into one folder beside the stock set.

The kernel is cached by the digest of all that it is made from. What follows "--" is the command
that builds the initramfs; the kernel's file names and the outputs are added to it.
"""

import argparse
import fcntl
import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

import kernel_image
from kernel_package import Failure, apt_records, cache_folder, download

SOURCE_PACKAGE = "linux-source-6.12"
_HERE = os.path.dirname(os.path.abspath(__file__))
_KERNEL_ARCH = {"x86_64": "x86_64", "aarch64": "arm64"}
_IMAGE = {"x86_64": ("vmlinux", "vmlinux"), "aarch64": ("Image", "arch/arm64/boot/Image")}
_PROGRAMS = {"make": "make", "flex": "flex", "bison": "bison", "bc": "bc", "xz": "xz-utils",
             "tar": "tar"}
_PROGRESS_SECONDS = 15


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=sorted(_KERNEL_ARCH), required=True)
    parser.add_argument("--folder", required=True, help="output: the tuned set")
    parser.add_argument("--source", default="", help="kernel source (.tar.xz) to take")
    parser.add_argument("--if-built", metavar="STAMP",
                        help="only bring the set in the folder up to date, if there is one")
    parser.add_argument("initramfs", nargs="+", help="command that builds the initramfs")
    options = parser.parse_args()
    try:
        if options.if_built:
            if os.path.exists(os.path.join(options.folder, "kernel.json")):
                assemble(options)
            with open(options.if_built, "w", encoding="utf-8"):
                pass
        else:
            place(options, cached_kernel(options.arch, options.source))
            assemble(options)
    except (Failure, ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"tuned kernel: {error}")


def cached_kernel(arch, source):
    """The folder with the kernel and its kernel.json, built unless the cache has it."""
    source = source or installed_source() or fetch_source()
    compiler = Compiler(arch)
    cache = cache_folder("kernel")
    final = os.path.join(cache, digest(arch, source, compiler))
    # One build at a time, always in the same folder: a build that was killed leaves nothing
    # that the next one does not remove.
    with open(os.path.join(cache, ".lock"), "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(final):
            print(f"tuned kernel: taken from {final}", flush=True)
            return final
        compiler.check_programs()
        work = os.path.join(cache, ".building")
        shutil.rmtree(work, ignore_errors=True)
        try:
            result = os.path.join(work, "result")
            os.makedirs(result)
            build(arch, source, compiler, work, result)
            os.rename(result, final)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return final


def installed_source():
    """The source tarball of an installed package, or None."""
    path = f"/usr/src/{SOURCE_PACKAGE}.tar.xz"
    return path if os.path.exists(path) else None


def fetch_source():
    """The source tarball out of the distribution's package, which is not installed."""
    if not shutil.which("apt-get"):
        raise Failure("this system has no apt-get to fetch the kernel's source with: give a "
                      "linux-*.tar.xz with -Dkernel_source=FILE")
    records = apt_records(SOURCE_PACKAGE)
    if not records:
        raise Failure(f"apt knows no package {SOURCE_PACKAGE}: run apt-get update, or give a "
                      "source tarball with -Dkernel_source=FILE")
    folder = cache_folder("packages")
    path = os.path.join(folder, f"{SOURCE_PACKAGE}_{records[0]['SHA256'][:16]}.tar.xz")
    if not os.path.exists(path):
        with tempfile.TemporaryDirectory(prefix=".source-", dir=folder) as work:
            package = os.path.join(work, "source.deb")
            download(records[0], package)
            subprocess.run(["dpkg-deb", "-x", package, work], check=True)
            os.replace(os.path.join(work, "usr/src", f"{SOURCE_PACKAGE}.tar.xz"), path)
    return path


class Compiler:
    """The toolchain for that architecture: its prefix and what identifies it."""

    def __init__(self, arch):
        self.prefix = "" if os.uname().machine == arch else f"{arch}-linux-gnu-"
        for program in ("gcc", "ld", "strip"):
            if not shutil.which(self.prefix + program):
                raise Failure(f"there is no {self.prefix}{program}: install " +
                              (f"g++-{arch}-linux-gnu" if self.prefix else "gcc and binutils"))
        self.version = "".join(
            subprocess.run([self.prefix + program, "--version"], stdout=subprocess.PIPE,
                           text=True, check=True).stdout.split("\n")[0] + "\n"
            for program in ("gcc", "ld"))

    @staticmethod
    def check_programs():
        packages = [package for name, package in _PROGRAMS.items() if not shutil.which(name)]
        if not glob.glob("/usr/include/**/libelf.h", recursive=True):
            packages.append("libelf-dev")
        if packages:
            raise Failure("building a kernel needs more packages: install " + " ".join(packages))


def fragment(arch):
    """The lines of our configuration for that architecture."""
    text = ""
    for name in ("common", arch):
        with open(os.path.join(_HERE, "kernel", f"{name}.config"), encoding="utf-8") as file:
            text += file.read()
    return text


def digest(arch, source, compiler):
    """Names the result: the same digest means the same bytes."""
    whole = hashlib.sha256()
    with open(source, "rb") as file:
        whole.update(hashlib.sha256(file.read()).digest())
    with open(os.path.abspath(__file__), "rb") as file:
        whole.update(hashlib.sha256(file.read()).digest())
    whole.update("\0".join((arch, fragment(arch), compiler.version)).encode())
    return whole.hexdigest()


def build(arch, source, compiler, work, result):
    """Unpacks, configures and compiles in `work`; puts the kernel and kernel.json in `result`."""
    progress = Progress(os.path.join(work, "log"))
    progress.run("unpack", ["tar", "xf", os.path.abspath(source), "-C", work])
    tree, = glob.glob(os.path.join(work, "*", "Kbuild"))
    tree = os.path.dirname(tree)
    make = ["make", "-C", tree, f"ARCH={_KERNEL_ARCH[arch]}", f"CROSS_COMPILE={compiler.prefix}",
            # The result must not show who built it, when or how often.
            "KBUILD_BUILD_TIMESTAMP=1970-01-01", "KBUILD_BUILD_USER=vmette",
            "KBUILD_BUILD_HOST=vmette", "KBUILD_BUILD_VERSION=1"]
    ours = os.path.join(work, "fragment")
    with open(ours, "w", encoding="utf-8") as file:
        file.write(fragment(arch))
    progress.run("configure", make + ["tinyconfig"])
    progress.run("configure", ["scripts/kconfig/merge_config.sh", "-m", ".config", ours], cwd=tree)
    progress.run("configure", make + ["olddefconfig"])
    check_config(fragment(arch), os.path.join(tree, ".config"))
    name, built = _IMAGE[arch]
    jobs = len(os.sched_getaffinity(0))
    progress.run("compile", make + [f"-j{jobs}", os.path.basename(built)])
    kernel = os.path.join(result, name)
    if arch == "x86_64":
        subprocess.run([compiler.prefix + "strip", "-o", kernel, os.path.join(tree, built)],
                       check=True)
    else:
        shutil.copyfile(os.path.join(tree, built), kernel)
    with open(kernel, "rb") as file:
        kernel_image.check(arch, file.read())
    with open(os.path.join(tree, "include/config/kernel.release"), encoding="utf-8") as file:
        release = file.read().strip()
    shutil.copyfile(os.path.join(tree, ".config"), os.path.join(result, "config"))
    with open(os.path.join(result, "kernel.json"), "w", encoding="utf-8") as file:
        json.dump({"flavour": "tuned", "version": release,
                   "package": {"name": os.path.basename(source).split(".tar")[0].split("_")[0],
                               "version": release.split("-")[0]},
                   "modules": []}, file, indent=2)
        file.write("\n")


def check_config(wanted, path):
    """Raises Failure with every line of the fragment that the kernel's configuration dropped."""
    with open(path, encoding="utf-8") as file:
        actual = dict(re.findall(r"^(CONFIG_\w+)=(.*)$", file.read(), re.MULTILINE))
    lost = [f"{name}={value}" for name, value in re.findall(r"^(CONFIG_\w+)=(.*)$", wanted,
                                                             re.MULTILINE)
            if actual.get(name, "n") != value]
    if lost:
        raise Failure("this kernel source does not take these settings: " + ", ".join(lost))


class Progress:
    """Runs the steps of a build, their output in a log file, and says now and then how far it is."""

    def __init__(self, log):
        self.log = log
        self.begin = time.monotonic()

    def run(self, step, command, cwd=None):
        """Runs one command; when it fails, raises Failure with the end of its output."""
        self._say(step)
        reported = time.monotonic()
        files = 0
        with open(self.log, "w", encoding="utf-8") as log, subprocess.Popen(
                command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace") as process:
            for line in process.stdout:
                log.write(line)
                files += line.startswith("  CC ")
                if time.monotonic() - reported > _PROGRESS_SECONDS:
                    reported = time.monotonic()
                    self._say(f"{step}, {files} files" if files else step)
        if process.returncode != 0:
            with open(self.log, encoding="utf-8") as log:
                sys.stderr.writelines(log.readlines()[-30:])
            raise Failure(f"{step} failed: {' '.join(command)}")

    def _say(self, what):
        elapsed = int(time.monotonic() - self.begin)
        print(f"tuned kernel: {what} ({elapsed // 60} min {elapsed % 60:02} s)", flush=True)


def place(options, kernel_folder):
    """Puts the kernel in the output folder. The old set's manifest goes first: without it there is
    no set."""
    os.makedirs(options.folder, exist_ok=True)
    manifest = os.path.join(options.folder, "manifest.json")
    if os.path.exists(manifest):
        os.unlink(manifest)
    for name in (_IMAGE[options.arch][0], "kernel.json"):
        target = os.path.join(options.folder, name)
        shutil.copyfile(os.path.join(kernel_folder, name), target + ".new")
        os.replace(target + ".new", target)


def assemble(options):
    """Builds initramfs and manifest for the kernel in the output folder."""
    def path(name):
        return os.path.join(options.folder, name)

    subprocess.run(options.initramfs + [
        "--kernel", path(_IMAGE[options.arch][0]), "--kernel-info", path("kernel.json"),
        "--initramfs", path("initramfs.cpio"), "--manifest", path("manifest.json")], check=True)


if __name__ == "__main__":
    main()
