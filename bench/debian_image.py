#!/usr/bin/env python3
"""Packs a small Debian userland with Python into a squashfs image, from packages of this host.

debian_image.py IMAGE FOLDER, with an empty folder to work in. Nothing is downloaded: the files of the essential packages, of python3 and of
all that they depend on are taken as they are installed here.
"""

import os
import re
import shutil
import subprocess
import sys

_WANTED = "python3"
_MERGED = ("bin", "lib", "lib64", "sbin")
_EMPTY = ("dev", "proc", "sys", "tmp", "run", "mnt", "root", "etc", "var/tmp")
_FILES = {"etc/passwd": "root:x:0:0:root:/root:/bin/sh\n", "etc/group": "root:x:0:\n"}


def main():
    image, folder = sys.argv[1:]
    tree = os.path.join(folder, "tree")
    os.mkdir(tree)
    packages = closure(*installed())
    listed = subprocess.run(["dpkg-query", "-L", *sorted(packages)], check=True, text=True,
                            stdout=subprocess.PIPE).stdout.splitlines()
    copy(real_paths(listed), tree)
    for path in _EMPTY:
        os.makedirs(f"{tree}/{path}", exist_ok=True)
    for path, text in _FILES.items():
        with open(f"{tree}/{path}", "w", encoding="utf-8") as file:
            file.write(text)
    subprocess.run(["mksquashfs", tree, f"{folder}/image", "-noappend", "-quiet", "-no-progress",
                    "-all-root"], check=True, stdout=subprocess.DEVNULL)
    # In one step: an image that is there is whole.
    shutil.copyfile(f"{folder}/image", image + ".new")
    os.rename(image + ".new", image)


def installed():
    """What each package needs, who provides each name, and the essential packages."""
    form = "${binary:Package}|${Pre-Depends}, ${Depends}|${Provides}|${Essential}|${Status}\n"
    text = subprocess.run(["dpkg-query", "-W", "-f", form], check=True, text=True,
                          stdout=subprocess.PIPE).stdout
    needs, providers, essential = {}, {}, set()
    for line in text.splitlines():
        # Alternatives are written with the same bar.
        full, rest = line.split("|", 1)
        depends, provides, important, status = rest.rsplit("|", 3)
        if not status.endswith(" installed"):
            continue
        needs[full] = [[name(one) for one in group.split("|")]
                       for group in depends.split(",") if group.strip()]
        for word in [name(full), *map(name, provides.split(","))]:
            providers.setdefault(word, full)
        if important == "yes":
            essential.add(full)
    return needs, providers, essential


def name(relation):
    """The package's name in "libc6:amd64 (>= 2.36)"."""
    return re.split(r"[\s:(]", relation.strip(), maxsplit=1)[0]


def closure(needs, providers, essential):
    """The essential packages, the wanted one, and all that they depend on."""
    found, queue = set(), [*essential, providers[_WANTED]]
    while queue:
        package = queue.pop()
        if package in found:
            continue
        found.add(package)
        for group in needs[package]:
            queue += [providers[one] for one in group if one in providers][:1]
    return found


def real_paths(listed):
    """The files without symlinks on their way (/lib is one), and with Python's compiled ones."""
    paths = {link for link in _MERGED if os.path.islink("/" + link)}
    for path in listed:
        if not path.startswith("/") or not os.path.lexists(path):
            continue
        path = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
        if path.startswith("/usr/share/doc/") or path.startswith("/usr/share/locale/"):
            continue
        paths.add(path.strip("/"))
        if path.endswith(".py"):
            folder = os.path.join(os.path.dirname(path), "__pycache__")
            stem = os.path.basename(path)[:-len("py")]
            paths |= {os.path.join(folder, entry).strip("/") for entry in compiled(folder, stem)}
    return paths - {"", "."}


def compiled(folder, stem):
    """The names in a __pycache__ that begin with "module."."""
    return [entry for entry in os.listdir(folder) if entry.startswith(stem)] \
        if os.path.isdir(folder) else []


def copy(paths, tree):
    """Copies files and empty directories as they are."""
    text = "\0".join(sorted(paths))
    with subprocess.Popen(["tar", "-C", "/", "--no-recursion", "--null", "-T", "-", "-cf", "-"],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL) as pack:
        with subprocess.Popen(["tar", "-C", tree, "-xf", "-"], stdin=pack.stdout) as unpack:
            pack.stdin.write(text.encode())
            pack.stdin.close()
        if unpack.returncode != 0:
            raise OSError("tar could not copy the files")


if __name__ == "__main__":
    try:
        main()
    except (OSError, KeyError, subprocess.CalledProcessError) as error:
        sys.exit(f"debian_image: {error}")
