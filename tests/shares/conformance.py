#!/usr/bin/env python3
"""What a directory can do: each check is one line on stdout, "name: yes" or "name: ERRNO".

    conformance.py DIRECTORY    runs in the guest on a share, or anywhere as a yardstick

Leaves `kept/` behind for whoever looks at the same directory from the other side.
"""

import errno
import fcntl
import mmap
import os
import socket
import stat
import subprocess
import sys

CHECKS = []


def check(function):
    CHECKS.append(function)
    return function


class Wrong(Exception):
    """The call worked and did something else."""


def expect(condition, what="wrong result"):
    if not condition:
        raise Wrong(what)


def write(path, data=b"data", mode=0o644):
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.write(fd, data)
    os.close(fd)
    return path


def read(path):
    with open(path, "rb") as file:
        return file.read()


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


@check
def chmod():
    write("chmod")
    for mode in (0o640, 0o755, 0o444, 0o000, 0o666):
        os.chmod("chmod", mode)
        expect(mode_of("chmod") == mode)


@check
def create_with_mode():
    os.umask(0)
    write("mode", mode=0o751)
    os.mkdir("mode.d", 0o1733)
    os.umask(0o022)
    expect(mode_of("mode") == 0o751)
    expect(mode_of("mode.d") == 0o1733)


@check
def execute():
    write("run", b"#!/bin/sh\nexit 7\n", 0o755)
    expect(subprocess.run(["./run"], check=False).returncode == 7)


@check
def chown():
    write("chown")
    os.chown("chown", 1234, 5678)
    info = os.stat("chown")
    expect((info.st_uid, info.st_gid) == (1234, 5678))


@check
def setuid_file():
    write("setuid")
    os.chmod("setuid", 0o4755)
    expect(mode_of("setuid") == 0o4755)


@check
def setgid_file():
    write("setgid")
    os.chmod("setgid", 0o2755)
    expect(mode_of("setgid") == 0o2755)


@check
def symlink():
    os.symlink("../no/../where", "symlink")
    expect(os.readlink("symlink") == "../no/../where")


@check
def hard_link():
    write("link")
    os.link("link", "link.2")
    expect(os.stat("link").st_ino == os.stat("link.2").st_ino)
    expect(os.stat("link").st_nlink == 2)
    write("link.2", b"through the other name")
    expect(read("link") == b"through the other name")


@check
def rename():
    write("rename", b"new")
    write("rename.2", b"old")
    os.rename("rename", "rename.2")
    expect(read("rename.2") == b"new" and not os.path.exists("rename"))


@check
def rename_directory():
    os.makedirs("move/inner")
    write("move/inner/file")
    os.rename("move", "moved")
    expect(read("moved/inner/file") == b"data")


@check
def unlink_while_open():
    with open(write("gone"), "rb") as file:
        os.unlink("gone")
        expect(file.read() == b"data")


@check
def truncate():
    write("truncate", b"x" * 10000)
    os.truncate("truncate", 10)
    os.truncate("truncate", 5000)
    expect(read("truncate") == b"x" * 10 + bytes(4990))


@check
def append():
    first = os.open(write("append", b""), os.O_WRONLY | os.O_APPEND)
    second = os.open("append", os.O_WRONLY | os.O_APPEND)
    for fd in (first, second, first):
        os.write(fd, b"abc")
    expect(read("append") == b"abcabcabc")


@check
def exclusive_create():
    write("exclusive")
    try:
        os.open("exclusive", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    except FileExistsError:
        return
    expect(False)


@check
def utimens():
    write("times")
    os.utime("times", (1, 1_600_000_000))
    expect((os.stat("times").st_atime, os.stat("times").st_mtime) == (1, 1_600_000_000))


@check
def utimens_nanoseconds():
    os.utime(write("nanoseconds"), ns=(1_000_000_001, 1_600_000_000_123_456_789))
    expect(os.stat("nanoseconds").st_mtime_ns == 1_600_000_000_123_456_789, "whole seconds")


@check
def xattr():
    write("xattr")
    os.setxattr("xattr", "user.color", b"blue")
    expect(os.getxattr("xattr", "user.color") == b"blue")
    expect("user.color" in os.listxattr("xattr"))
    os.removexattr("xattr", "user.color")
    expect("user.color" not in os.listxattr("xattr"))


@check
def file_capability():
    write("capability")
    os.setxattr("capability", "security.capability",
                bytes.fromhex("0100000280000000000000000000000000000000"))


@check
def fsync():
    fd = os.open(write("fsync"), os.O_WRONLY)
    os.fsync(fd)
    os.fdatasync(fd)
    os.fsync(os.open(".", os.O_RDONLY))


@check
def mmap_shared():
    fd = os.open(write("mmap", b"a" * 8192), os.O_RDWR)
    with mmap.mmap(fd, 8192) as memory:
        memory[4095:4097] = b"bb"
        memory.flush()
    expect(read("mmap")[4094:4098] == b"abba")


@check
def mmap_private():
    fd = os.open(write("private", b"a" * 4096), os.O_RDONLY)
    with mmap.mmap(fd, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE) as memory:
        memory[0:1] = b"b"
    expect(read("private")[:1] == b"a")


def refused_in_child(action):
    """Whether `action` meets a lock in another process."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


@check
def flock():
    with open(write("flock"), "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        expect(refused_in_child(
            lambda: fcntl.flock(os.open("flock", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)))
        fcntl.flock(file, fcntl.LOCK_UN)
        expect(not refused_in_child(
            lambda: fcntl.flock(os.open("flock", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)))


@check
def record_lock():
    with open(write("lock"), "rb+") as file:
        fcntl.lockf(file, fcntl.LOCK_EX, 4, 0)

        def take(at):
            fcntl.lockf(os.open("lock", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)

        expect(refused_in_child(lambda: take(2)))
        expect(not refused_in_child(lambda: take(100)))


@check
def readdir_under_change():
    os.mkdir("many")
    for number in range(2000):
        write(f"many/stays-{number}", b"")
        if number % 4 == 0:
            write(f"many/goes-{number}", b"")
    seen = []
    with os.scandir("many") as entries:
        for count, entry in enumerate(entries):
            seen.append(entry.name)
            if count == 100:
                for number in range(0, 2000, 4):
                    os.unlink(f"many/goes-{number}")
                write("many/comes", b"")
    stays = [name for name in seen if name.startswith("stays-")]
    expect(len(stays) == 2000 and len(set(stays)) == 2000, f"saw {len(stays)} of 2000")


@check
def beyond_4_gib():
    fd = os.open(write("large"), os.O_RDWR)
    os.pwrite(fd, b"end", 5 << 30)
    expect(os.pread(fd, 3, 5 << 30) == b"end")
    expect(os.stat("large").st_size == (5 << 30) + 3)
    expect(os.stat("large").st_blocks < 1 << 20)


@check
def names():
    for name in (b"n" * 255, b"\xff\xfe", b"a\nb", b"comma, \\ \"quote\""):
        write(name)
        expect(name in os.listdir(b"."))
        os.unlink(name)


@check
def setgid_directory():
    os.mkdir("group")
    os.chmod("group", 0o2775)


@check
def fallocate():
    fd = os.open(write("space", b""), os.O_WRONLY)
    os.posix_fallocate(fd, 0, 1 << 20)
    expect(os.stat("space").st_size == 1 << 20)


@check
def fifo():
    os.mkfifo("fifo")


@check
def unix_socket():
    socket.socket(socket.AF_UNIX).bind("socket")


@check
def device_node():
    os.mknod("device", stat.S_IFCHR | 0o600, os.makedev(1, 3))


def leave_kept():
    os.mkdir("kept", 0o750)
    os.chmod("kept", 0o777)
    write("kept/file", b"kept", 0o600)
    os.chmod("kept/file", 0o751)
    os.utime("kept/file", (0, 1_600_000_000))
    os.symlink("file", "kept/symlink")
    os.link("kept/file", "kept/link")
    os.setxattr("kept/file", "user.color", b"blue")
    pid = os.fork()
    if pid == 0:
        os.setgid(1000)
        os.setuid(1000)
        write("kept/by-1000")
        os._exit(0)
    os.waitpid(pid, 0)
    os.chmod("kept", 0o750)


def main():
    os.chdir(sys.argv[1])
    for function in CHECKS:
        try:
            function()
            result = "yes"
        except Wrong as wrong:
            result = str(wrong)
        except OSError as error:
            result = errno.errorcode.get(error.errno, str(error.errno))
        print(f"{function.__name__}: {result}", flush=True)
    os.umask(0)
    leave_kept()


if __name__ == "__main__":
    main()
