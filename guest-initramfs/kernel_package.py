#!/usr/bin/env python3
"""Fetches the distribution's stock kernel package and takes the bootable kernel and the modules
out of it. The package is unpacked in a temporary folder and never installed.

Writes the kernel, a tar file with the wanted modules and a JSON file that describes both.
"""

import argparse
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

import kernel_image
import modules

DEBIAN_ARCH = {"x86_64": "amd64", "aarch64": "arm64"}
_OPTION = "-Dkernel_package=FILE.deb"


class Failure(Exception):
    """Ends the program with one message."""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", choices=sorted(DEBIAN_ARCH), required=True)
    parser.add_argument("--package", default="", help="a .deb file to take instead of fetching one")
    parser.add_argument("--kernel", required=True, help="output: the kernel to boot")
    parser.add_argument("--modules", required=True, help="output: tar file of the modules")
    parser.add_argument("--objcopy", required=True)
    parser.add_argument("--info", required=True, help="output: JSON description")
    options = parser.parse_args()
    try:
        package = options.package or fetch(options.arch)
        with tempfile.TemporaryDirectory(prefix="vmette-kernel-") as folder:
            unpack(package, folder, options)
    except (Failure, ValueError, OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"kernel package: {error}")


def cache_folder(kind):
    """The folder for that kind of download or result; made when missing."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = os.path.join(base, "vmette", kind)
    os.makedirs(folder, exist_ok=True)
    return folder


def fetch(arch):
    """The path of the newest stock generic kernel package, from the cache or the distribution."""
    if not shutil.which("apt-get"):
        raise Failure("this system has no apt-get to fetch Debian's kernel with: give a "
                      f"linux-image-*-{DEBIAN_ARCH[arch]} package file with {_OPTION}")
    record = _newest(arch)
    path = os.path.join(cache_folder("packages"), os.path.basename(record["Filename"]))
    if os.path.exists(path) and _sha256(path) != record["SHA256"]:
        os.unlink(path)
    if not os.path.exists(path):
        download(record, path)
    if _sha256(path) != record["SHA256"]:
        raise Failure(f"{path} is not the package that apt's lists describe: run apt-get update")
    return path


def download(record, path):
    """Puts the package of that index record at `path`, which appears only when it is whole."""
    size_mib = int(record["Size"]) // (1 << 20)
    print(f"fetching {record['Package']} {record['Version']} ({size_mib} MiB)", flush=True)
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as folder:
        command = ["apt-get", "download", "-qq",
                   f"{record['Package']}:{record['Architecture']}={record['Version']}"]
        if os.geteuid() == 0:
            # apt's own user can often not write here; this says so to apt instead of a warning.
            command[1:1] = ["-o", "APT::Sandbox::User=root"]
        subprocess.run(command, cwd=folder, check=True)
        name, = os.listdir(folder)
        os.replace(os.path.join(folder, name), path)


def apt_records(package):
    """The records that apt knows of a package, newest version first."""
    shown = subprocess.run(["apt-cache", "show", package], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True, check=False).stdout
    records = []
    for block in shown.strip().split("\n\n"):
        fields = re.findall(r"^([A-Za-z0-9-]+): (.*)$", block, re.MULTILINE)
        if "Filename" in dict(fields):
            records.append(dict(fields))
    return records


def _newest(arch):
    debian = DEBIAN_ARCH[arch]
    own = subprocess.run(["dpkg", "--print-architecture"], stdout=subprocess.PIPE, text=True,
                         check=True).stdout.strip()
    suffix = "" if own == debian else f":{debian}"
    for meta in apt_records(f"linux-image-{debian}{suffix}"):
        for name in re.findall(rf"linux-image-[0-9][^ ,]*-{debian}", meta.get("Depends", "")):
            records = apt_records(name + suffix)
            if records:
                return records[0]
    raise Failure(f"apt knows no package linux-image-{debian}{suffix}: run apt-get update, or on "
                  f"another distribution give Debian's package file with {_OPTION}")


def _sha256(path):
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def unpack(package, folder, options):
    """Writes the three outputs from that package file."""
    if not os.path.isfile(package):
        raise Failure(f"there is no package file {package} ({_OPTION})")
    if not shutil.which("dpkg-deb"):
        raise Failure("there is no dpkg-deb to unpack the package with: install dpkg")
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
    name, version = subprocess.run(
        ["dpkg-deb", "-W", "--showformat=${Package}\n${Version}", package],
        stdout=subprocess.PIPE, text=True, check=True).stdout.split("\n")
    release = _release(folder, name)
    with open(os.path.join(folder, "boot", f"vmlinuz-{release}"), "rb") as file:
        kernel = kernel_image.bootable(options.arch, file.read())
    try:
        chosen = modules.collect(_modules_tree(folder, release))
    except modules.MissingModule as error:
        raise Failure(f"{name} cannot be used, its kernel has no {error} (cloud kernels lack 9p): "
                      f"give a generic kernel's package with {_OPTION}") from error
    chosen = {name: (modules.lean(image, options.objcopy), needs)
              for name, (image, needs) in chosen.items()}
    with open(options.kernel, "wb") as file:
        file.write(kernel)
    with open(options.modules, "wb") as file:
        file.write(_tar(chosen))
    with open(options.info, "w", encoding="utf-8") as file:
        json.dump({"flavour": "stock", "version": release,
                   "package": {"name": name, "version": version},
                   "modules": sorted(chosen)}, file, indent=2)
        file.write("\n")


def _modules_tree(folder, release):
    for base in ("lib/modules", "usr/lib/modules"):
        path = os.path.join(folder, base, release)
        if os.path.isdir(path):
            return path
    raise Failure(f"the package holds no modules for its kernel {release}")


def _release(folder, name):
    boot = os.path.join(folder, "boot")
    files = os.listdir(boot) if os.path.isdir(boot) else []
    releases = [file[len("vmlinuz-"):] for file in files if file.startswith("vmlinuz-")]
    if len(releases) != 1:
        raise Failure(f"{name} is not a kernel package: it holds {len(releases)} files "
                      f"boot/vmlinuz-* ({_OPTION})")
    return releases[0]


def _tar(chosen):
    files = {f"{name}.ko": image for name, (image, _) in chosen.items()}
    files["modules.dep"] = modules.dependency_file(chosen).encode()
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(files):
            entry = tarfile.TarInfo(name)
            entry.size = len(files[name])
            tar.addfile(entry, io.BytesIO(files[name]))
    return out.getvalue()


if __name__ == "__main__":
    main()
