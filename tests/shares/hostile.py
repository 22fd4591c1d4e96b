#!/usr/bin/env python3
"""A hostile guest on the writable share DIRECTORY: tries to plant what the host must never find and
to reach what lies outside. Prints one line per attempt that worked.

    hostile.py DIRECTORY    `existing` in it is a setuid program of the host
"""

import os
import stat
import sys
import threading
import time

SETID = stat.S_ISUID | stat.S_ISGID


def attempt(what, action):
    try:
        if action() is False:
            return
    except OSError:
        return
    print(what, flush=True)


def plant_setid():
    for mode in (0o4755, 0o2755, 0o6755):
        name = f"set-{mode:o}"
        open(name, "w").close()
        attempt(f"chmod {mode:o}", lambda: os.chmod(name, mode))
        attempt(f"fchmod {mode:o}", lambda: os.fchmod(os.open(name, os.O_RDWR), mode))
        attempt(f"open {mode:o}", lambda: os.close(os.open(name + "-open", os.O_CREAT | os.O_RDWR,
                                                           mode)))
        attempt(f"mknod {mode:o}", lambda: os.mknod(name + "-node", stat.S_IFREG | mode))
        os.chown(name, 1000, 1000)
        attempt(f"chmod {mode:o} for another owner", lambda: os.chmod(name, mode))
        os.chown(name, 0, 0)
    attempt("capability", lambda: os.setxattr(
        "set-4755", "security.capability",
        bytes.fromhex("0100000280000000000000000000000000000000")))


def plant_devices():
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        attempt(f"device {kind:o}", lambda: os.mknod(f"device-{kind:o}", kind | 0o666,
                                                     os.makedev(1, 3)))


def keep_setid():
    """The host's own setuid program gets other contents and stays setuid."""
    with open("existing", "r+b") as file:
        file.write(b"#!/bin/sh\nid > /planted\n")
    attempt("write into a setuid file", lambda: bool(os.stat("existing").st_mode & SETID))


def reach_out():
    """Here `..` is a directory of the guest; the host's has a file `secret`."""
    os.symlink("../secret", "up")
    os.symlink("/proc/self/root/etc/shadow", "far")
    attempt("read through ..", lambda: open("../secret").read())
    attempt("read through a symlink", lambda: open("up").read())
    attempt("hard link from outside", lambda: os.link("../secret", "linked"))
    attempt("rename to the outside", lambda: os.rename("up", "../secret"))


def race(seconds=3):
    """A directory becomes a symlink to its parent's parent and back, and renames go over each
    other, while others look through it."""
    os.mkdir("real")
    open("real/secret", "w").close()
    os.symlink("..", "trap")
    os.rename("real", "swap")
    stop = time.monotonic() + seconds

    def swap():
        while time.monotonic() < stop:
            for source in ("trap", "swap"):
                try:
                    os.rename(source, "victim")
                    os.rename("victim", source)
                except OSError:
                    pass

    found = []

    def look():
        while time.monotonic() < stop:
            try:
                with open("victim/secret") as file:
                    if "host secret" in file.read():
                        found.append("read")
                with open("victim/planted", "w") as file:
                    file.write("x")
                os.unlink("victim/planted")
            except OSError:
                pass

    threads = [threading.Thread(target=work) for work in (swap, swap, look, look)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if found:
        print("read through a race", flush=True)


def main():
    os.chdir(sys.argv[1])
    os.umask(0)
    plant_setid()
    plant_devices()
    keep_setid()
    reach_out()
    race()
    print("done", flush=True)


if __name__ == "__main__":
    main()
