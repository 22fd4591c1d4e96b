#!/usr/bin/env python3
"""Makes a wheel of a clean copy of the source, installs it into an empty environment and uses it there
as a stranger would: from another directory, without the source, with nothing of VMETTE_* set and,
where this user may mount, with the build directory hidden.

A second wheel, made with -Dguest=false, carries the library alone and uses the helper and the assets
that are installed on the system.
"""

import argparse
import email
import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

USE = """
import asyncio
import vmette
print(vmette.__file__)
print(vmette.run("uname -s", text=True, mem_mib=256).stdout.strip())
async def main():
    async with vmette.aio.Session(mem_mib=256) as vm:
        print((await vm.run(["hostname"], text=True)).stdout.strip())
asyncio.run(main())
"""
# What a wheel carries besides Python's own files and, without -Dguest=false, the second list.
LIBRARY = [r"vmette/_core\.[\w.-]+\.so", r"vmette/(aio/|_sync/)?\w+\.py", r"vmette/\w+\.pyi",
           r"vmette/py\.typed", r"vmette-[\w.]+\.dist-info/[\w.]+"]
MACHINE = [r"vmette/libexec/vmette-vmm", r"vmette/guest/\w+/(vmlinux|initramfs\.cpio|manifest\.json)"]
PROGRAMS = {"vmette-vmm"}
MOUNT = ["unshare", "--mount", "sh", "-c"]


def run(command, **options):
    print("+", shlex.join(map(str, command)), flush=True)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"{done.stdout}\nexit code {done.returncode}")
    return done.stdout


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: expected {wanted!r}, got {found!r}")


def may_mount():
    try:
        tried = subprocess.run([*MOUNT, "mount -t tmpfs none /mnt"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return tried.returncode == 0


class Place:
    """An empty environment, a copy of the source, and the commands that are run with them."""

    def __init__(self, options, folder):
        self.options = options
        self.folder = folder
        self.source = folder / "source"
        self.variables = {name: value for name, value in os.environ.items()
                          if not name.startswith(("VMETTE_", "PYTHON", "PIP_"))}
        # The copy is compiled from what the compiler's cache has of the build that is tested.
        self.variables |= {"CCACHE_NOHASHDIR": "1", "CC": options.cc, "CXX": options.cxx,
                           "PIP_NO_INPUT": "1", "PIP_CONFIG_FILE": os.devnull, "LDFLAGS": "-s",
                           "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
        run([options.python, "-m", "venv", "--system-site-packages", folder / "v"])
        self.python = folder / "v" / "bin" / "python"

    def copy_source(self):
        ignored = shutil.ignore_patterns(".git", "build*", "__pycache__", ".cache", ".mesonpy*")
        shutil.copytree(self.options.source, self.source, ignore=ignored, symlinks=True)
        # pip before 23.1 hands on only one of several --config-settings.
        project = self.source / "pyproject.toml"
        before, after = project.read_text(encoding="utf-8").split('setup = ["-Dwheel=true"')
        added = "".join(f', "{word}"' for word in self.options.setup)
        project.write_text(f'{before}setup = ["-Dwheel=true"{added}{after}', encoding="utf-8")

    def pip(self, *words):
        return run([self.python, "-m", "pip", *words], env=self.variables, cwd=self.folder)

    def wheel(self, name, *setup):
        into = self.folder / name
        arguments = [f"--config-settings=setup-args={word}" for word in setup]
        self.pip("wheel", "--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", into,
                 "--config-settings=builddir=build", *arguments, self.source)
        (made,) = into.iterdir()
        return made

    def use(self, words):
        """The installed package, at work in a directory that has nothing to do with it."""
        found, *said = run([*words, self.python, "-c", USE], env=self.variables,
                           cwd="/").splitlines()
        if not Path(found).is_relative_to(self.folder / "v"):
            sys.exit(f"imported {found}")
        expect("the machines", said, ["Linux", "vmette"])


def check_contents(wheel, wanted):
    """Everything that is wanted, nothing else, and programs that can be run."""
    with zipfile.ZipFile(wheel) as archive:
        members = archive.infolist()
    for member in members:
        if not any(re.fullmatch(pattern, member.filename) for pattern in wanted):
            sys.exit(f"{wheel.name} carries {member.filename}")
        program = Path(member.filename).name in PROGRAMS
        mode = member.external_attr >> 16
        if not mode & stat.S_IRUSR or (program and not mode & stat.S_IXUSR):
            sys.exit(f"{member.filename} has the mode {mode:o}")
    for pattern in wanted:
        if not any(re.fullmatch(pattern, member.filename) for member in members):
            sys.exit(f"{wheel.name} carries nothing like {pattern}")
    size = sum(member.file_size for member in members)
    print(f"{wheel.name}: {wheel.stat().st_size} bytes, {size} unpacked, {len(members)} files")


def check_metadata(wheel, version):
    with zipfile.ZipFile(wheel) as archive:
        folder = f"vmette-{version}.dist-info"
        about = email.message_from_bytes(archive.read(f"{folder}/METADATA"))
        tags = email.message_from_bytes(archive.read(f"{folder}/WHEEL"))
        if b"MIT" not in archive.read(f"{folder}/LICENSE"):
            sys.exit("the wheel has no licence")
    expect("Name", about["Name"], "vmette")
    expect("Version", about["Version"], version)
    expect("Requires-Python", about["Requires-Python"], ">=3.9")
    if "# vmette" not in about.get_payload():
        sys.exit("the wheel does not describe itself with the README")
    expect("Root-Is-Purelib", tags["Root-Is-Purelib"], "false")
    tag = "cp{0}{1}-cp{0}{1}-linux".format(*sys.version_info[:2])
    if not tags["Tag"].startswith(tag) or not wheel.name.startswith(f"vmette-{version}-{tag}"):
        sys.exit(f"{wheel.name} has the tag {tags['Tag']}")


def check_uninstall(place):
    place.pip("uninstall", "--yes", "vmette")
    left = [str(path) for path in (place.folder / "v").rglob("vmette*")]
    expect("left by pip uninstall", left, [])


def check_system_assets(place, meson, build):
    """A wheel of the library alone, with the rest from /usr/local, which is a mount of our own."""
    wheel = place.wheel("bare", "-Dguest=false")
    check_contents(wheel, LIBRARY)
    tree = place.folder / "tree"
    run([meson, "install", "-C", build, "--no-rebuild", "--quiet", "--destdir", tree],
        env=place.variables)
    (helper,) = tree.rglob("vmette-vmm")
    place.pip("install", "--no-index", "--no-deps", wheel)
    place.use([*MOUNT, 'mount --bind "$0" /usr/local && mount -t tmpfs none "$1" && shift && exec "$@"',
               helper.parent.parent.parent, build])


def main():
    parser = argparse.ArgumentParser()
    for option in ("python", "meson", "build", "source", "version", "cc", "cxx"):
        parser.add_argument(f"--{option}", required=True)
    parser.add_argument("--setup", action="append", default=[])
    options = parser.parse_args()
    mounts = may_mount()
    print("the build directory is", "hidden" if mounts else "there, we may not mount", flush=True)
    with tempfile.TemporaryDirectory(prefix="vmette-wheel-") as folder:
        place = Place(options, Path(folder).resolve())
        place.copy_source()
        wheel = place.wheel("whole")
        check_contents(wheel, LIBRARY + MACHINE)
        check_metadata(wheel, options.version)
        place.pip("install", "--no-index", "--no-deps", wheel)
        hidden = [*MOUNT, 'mount -t tmpfs none "$0" && mount -t tmpfs none "$1" && shift && exec "$@"',
                  options.build, place.source]
        place.use(hidden if mounts else [])
        check_uninstall(place)
        if mounts:
            check_system_assets(place, options.meson, options.build)


if __name__ == "__main__":
    main()
