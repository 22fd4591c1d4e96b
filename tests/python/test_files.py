"""vm.files, through each face."""

import errno
import os
import stat

import pytest
import vmette
from vmette import FileType

# What no text encoding gives: names are bytes.
HOSTILE = ["a b", "-rf", "new\nline", "tab\there", "quo'te\"", "größe", "*", "\\"]
HOSTILE += [b"\xff\xfe", b"caf\xc3"]


@pytest.fixture
def top(vm, request):
    """A directory of the test's own in the machine."""
    path = f"/tmp/{request.node.originalname}"
    vm.files.mkdir(path)
    yield path
    vm.files.remove(path, recursive=True)


def test_what_is_written_is_read(vm, top):
    vm.files.write_bytes(f"{top}/bytes", b"\0\xff" * 100000)
    assert vm.files.read_bytes(f"{top}/bytes") == b"\0\xff" * 100000
    vm.files.write_bytes(f"{top}/bytes", bytearray(b"short"))
    assert vm.run(["cat", f"{top}/bytes"]).stdout == b"short"
    vm.files.write_text(f"{top}/text", "größe\r\n")
    assert vm.files.read_text(f"{top}/text") == "größe\r\n"
    assert vm.files.read_bytes(f"{top}/text") == "größe\r\n".encode()
    vm.files.append_bytes(f"{top}/text", b"\xff")
    vm.files.append_text(f"{top}/text", "ä", "latin-1")
    with pytest.raises(UnicodeDecodeError):
        vm.files.read_text(f"{top}/text")
    assert vm.files.read_text(f"{top}/text", errors="replace") == "größe\r\n\ufffd\ufffd"


def test_a_write_can_make_directories_modes_and_nothing_twice(vm, top):
    path = f"{top}/a/b/file"
    with pytest.raises(FileNotFoundError):
        vm.files.write_text(path, "")
    vm.files.write_text(path, "one", parents=True, mode=0o4750)
    assert vm.files.stat(path).mode == 0o4750
    with pytest.raises(FileExistsError):
        vm.files.write_text(path, "two", exclusive=True)
    inode = vm.files.stat(path).inode
    vm.files.write_text(path, "two")
    assert vm.files.stat(path).inode == inode and vm.files.stat(path).mode == 0o4750
    vm.files.write_text(path, "three", atomic=True)
    assert vm.files.stat(path).inode != inode
    assert vm.files.read_text(path) == "three"
    vm.files.append_text(f"{top}/new/log", "line\n", parents=True)
    assert vm.files.read_text(f"{top}/new/log") == "line\n"


def test_a_file_larger_than_allowed_is_refused(vm, top):
    vm.files.write_bytes(f"{top}/file", b"x" * 1001)
    with pytest.raises(vmette.FileError) as caught:
        vm.files.read_bytes(f"{top}/file", max_bytes=1000)
    assert caught.value.errno == errno.EFBIG
    assert len(vm.files.read_bytes(f"{top}/file", max_bytes=1001)) == 1001


def test_stat_tells_everything(vm, top):
    vm.files.write_bytes(f"{top}/file", b"x" * 5000, mode=0o640)
    vm.files.chown(f"{top}/file", 12, 34)
    vm.files.set_mtime(f"{top}/file", 1_234_567_890_123_456_789)
    vm.files.symlink(f"{top}/link", "file")
    found = vm.files.stat(f"{top}/link")
    assert (found.type, found.mode, found.size) == (FileType.REGULAR, 0o640, 5000)
    assert (found.uid, found.gid, found.links) == (12, 34, 1)
    assert found.mtime_ns == 1_234_567_890_123_456_789
    assert found.is_file() and not found.is_dir() and not found.is_symlink()
    link = vm.files.stat(f"{top}/link", follow=False)
    assert (link.type, link.target, link.is_symlink()) == (FileType.SYMLINK, "file", True)
    said = vm.run(f"stat -c '%i %u %g %a %s' {top}/file", text=True).stdout.split()
    assert said == [str(found.inode), "12", "34", "640", "5000"]
    vm.run(f"mknod {top}/fifo p; mknod {top}/char c 1 3; mknod {top}/block b 7 0")
    kinds = {entry.name: entry.stat.type for entry in vm.files.iterdir(top)}
    assert kinds == {
        "file": FileType.REGULAR,
        "link": FileType.SYMLINK,
        "fifo": FileType.FIFO,
        "char": FileType.CHAR_DEVICE,
        "block": FileType.BLOCK_DEVICE,
    }


def test_owner_and_time_of_a_link_are_its_own(vm, top):
    vm.files.write_text(f"{top}/file", "")
    vm.files.symlink(f"{top}/link", "file")
    vm.files.chown(f"{top}/link", 5, follow=False)
    vm.files.set_mtime(f"{top}/link", 7_000_000_000, follow=False)
    link, file = (vm.files.stat(f"{top}/link", follow=follow) for follow in (False, True))
    assert (link.uid, file.uid) == (5, 0)
    assert link.mtime_ns == 7_000_000_000 != file.mtime_ns
    vm.files.chmod(f"{top}/link", 0o600)
    assert vm.files.stat(f"{top}/file").mode == 0o600
    vm.files.chown(f"{top}/file", gid=6)
    assert (vm.files.stat(f"{top}/file").uid, vm.files.stat(f"{top}/file").gid) == (0, 6)


def test_questions_about_a_path_are_answered(vm, top):
    vm.files.write_text(f"{top}/file", "")
    vm.files.symlink(f"{top}/to-file", "file")
    vm.files.symlink(f"{top}/to-dir", ".")
    vm.files.symlink(f"{top}/broken", "nowhere")
    answers = {
        name: tuple(
            getattr(vm.files, question)(f"{top}/{name}")
            for question in ("exists", "is_file", "is_dir", "is_symlink")
        )
        for name in ("file", ".", "to-file", "to-dir", "broken", "none", "file/below")
    }
    assert answers == {
        "file": (True, True, False, False),
        ".": (True, False, True, False),
        "to-file": (True, True, False, True),
        "to-dir": (True, False, True, True),
        "broken": (True, False, False, True),
        "none": (False, False, False, False),
        "file/below": (False, False, False, False),
    }
    assert vm.files.readlink(f"{top}/broken") == "nowhere"
    with pytest.raises(OSError) as caught:
        vm.files.readlink(f"{top}/file")
    assert caught.value.errno == errno.EINVAL


def test_names_that_are_no_text_come_and_go(vm, top):
    for name in HOSTILE:
        path = os.fsencode(top) + b"/" + os.fsencode(name)
        vm.files.write_bytes(path, os.fsencode(name))
    entries = vm.files.iterdir(top)
    assert sorted(os.fsencode(entry.name) for entry in entries) == sorted(map(os.fsencode, HOSTILE))
    for entry in entries:
        assert vm.files.read_bytes(entry.path) == os.fsencode(entry.name)
        vm.files.rename(entry.path, entry.path + "~")
        vm.files.remove(entry.path + "~")
    vm.files.symlink(f"{top}/link", b"\xff\xfe")
    assert os.fsencode(vm.files.readlink(f"{top}/link")) == b"\xff\xfe"


def test_paths_may_be_of_pathlib(vm, top):
    from pathlib import PurePosixPath

    vm.files.write_text(PurePosixPath(top) / "file", "text")
    assert vm.files.read_text(PurePosixPath(top, "file")) == "text"


def test_walk_goes_through_a_tree_in_order_and_follows_no_link(vm, top):
    for path in ("a/x", "a/y/z", "b"):
        vm.files.write_text(f"{top}/{path}", "", parents=True)
    vm.files.symlink(f"{top}/c", "a")
    found = [entry.path[len(top) :] for entry in vm.files.walk(top)]
    assert found == ["/a", "/a/x", "/a/y", "/a/y/z", "/b", "/c"]


def test_directories_are_made_and_removed(vm, top):
    with pytest.raises(FileNotFoundError):
        vm.files.mkdir(f"{top}/a/b")
    vm.files.mkdir(f"{top}/a/b", 0o700, parents=True)
    assert vm.files.stat(f"{top}/a/b").mode == 0o700
    with pytest.raises(FileExistsError):
        vm.files.mkdir(f"{top}/a")
    vm.files.mkdir(f"{top}/a", exist_ok=True)
    vm.files.mkdir(f"{top}/a/b", parents=True, exist_ok=True)
    vm.files.write_text(f"{top}/file", "")
    with pytest.raises(FileExistsError):
        vm.files.mkdir(f"{top}/file", exist_ok=True)
    with pytest.raises(OSError) as caught:
        vm.files.remove(f"{top}/a")
    assert caught.value.errno == errno.ENOTEMPTY
    vm.files.remove(f"{top}/a", recursive=True)
    assert not vm.files.exists(f"{top}/a")
    with pytest.raises(FileNotFoundError):
        vm.files.remove(f"{top}/a")
    vm.files.remove(f"{top}/a", missing_ok=True)


def test_rename_replaces_unless_told_not_to(vm, top):
    vm.files.write_text(f"{top}/one", "1")
    vm.files.write_text(f"{top}/two", "2")
    with pytest.raises(FileExistsError):
        vm.files.rename(f"{top}/one", f"{top}/two", exclusive=True)
    vm.files.rename(f"{top}/one", f"{top}/two")
    assert vm.files.read_text(f"{top}/two") == "1"
    assert not vm.files.exists(f"{top}/one")


@pytest.mark.parametrize(
    "kind, number, call",
    [
        (FileNotFoundError, errno.ENOENT, lambda files: files.read_bytes("/nowhere")),
        (IsADirectoryError, errno.EISDIR, lambda files: files.read_bytes("/etc")),
        (NotADirectoryError, errno.ENOTDIR, lambda files: files.iterdir("/etc/hosts")),
        (FileExistsError, errno.EEXIST, lambda files: files.mkdir("/etc")),
        (PermissionError, errno.EPERM, lambda files: files.chmod("/proc/self/oom_adj", 0o7777)),
        (OSError, errno.ELOOP, lambda files: files.stat("/tmp/loop")),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_what_fails_is_the_built_in_exception_and_names_the_path(vm, kind, number, call):
    if number == errno.ELOOP:
        vm.files.symlink("/tmp/loop", "loop")
    with pytest.raises(kind) as caught:
        call(vm.files)
    assert isinstance(caught.value, vmette.FileError)
    assert caught.value.errno == number
    assert caught.value.details["errno"] == number
    assert "/" in str(caught.value)


def test_streams_carry_more_than_memory_should_hold(vm, top):
    part = os.urandom(1 << 16)
    with vm.files.open(f"{top}/big", "wb") as file:
        for _ in range(64):
            file.write(part)
    assert vm.files.stat(f"{top}/big").size == 64 << 16
    with vm.files.open(f"{top}/big") as file:
        whole = b""
        while piece := file.read(100_000):
            whole += piece
        assert file.read() == b""
    assert whole == part * 64
    with vm.files.open(f"{top}/big", offset=(1 << 16) + 10, length=20) as file:
        assert file.read() == part[10:30]


def test_streams_have_lines_modes_and_permissions(vm, top):
    with vm.files.open(f"{top}/sub/log", "xb", permissions=0o600, parents=True) as file:
        file.write(b"one\ntwo\n")
    with vm.files.open(f"{top}/sub/log", "ab") as file:
        file.write(b"three")
    with vm.files.open(f"{top}/sub/log") as file:
        assert file.readline() == b"one\n"
        assert list(file) == [b"two\n", b"three"]
    assert vm.files.stat(f"{top}/sub/log").mode == 0o600
    with pytest.raises(FileExistsError):
        with vm.files.open(f"{top}/sub/log", "xb") as file:
            file.write(b"no")
    with vm.files.open(f"{top}/sub/log") as file:
        with pytest.raises(Exception, match="reading"):
            file.write(b"no")


def test_an_atomic_stream_that_is_given_up_changes_nothing(vm, top):
    vm.files.write_text(f"{top}/file", "old")
    with pytest.raises(KeyError):
        with vm.files.open(f"{top}/file", "wb", atomic=True) as file:
            file.write(b"new")
            raise KeyError
    assert vm.files.read_text(f"{top}/file") == "old"
    with vm.files.open(f"{top}/file", "wb", atomic=True) as file:
        file.write(b"new")
        assert vm.files.read_text(f"{top}/file") == "old"
    assert vm.files.read_text(f"{top}/file") == "new"
    assert [entry.name for entry in vm.files.iterdir(top)] == ["file"]


def test_a_stream_says_what_went_wrong(vm, top):
    with pytest.raises(FileNotFoundError):
        with vm.files.open(f"{top}/none") as file:
            file.read()
    with pytest.raises(FileNotFoundError):
        with vm.files.open(f"{top}/none/file", "wb") as file:
            file.write(b"data")
    file = vm.files.open(f"{top}/file", "wb")
    assert f"{top}/file" in repr(file)
    file.close()
    assert "closed" in repr(file)
    with pytest.raises(ValueError):
        file.write(b"late")


@pytest.fixture
def tree(tmp_path):
    """A small tree of the host with what a copy has to keep."""
    top = tmp_path / "tree"
    (top / "sub").mkdir(parents=True)
    (top / "sub/run.sh").write_text("#!/bin/sh\n")
    (top / "sub/run.sh").chmod(0o755)
    (top / "link").symlink_to("sub/run.sh")
    (top / os.fsdecode(b"\xff")).write_bytes(b"odd name")
    with open(top / "holes", "wb") as file:
        file.truncate(8 << 20)
    os.utime(top / "sub/run.sh", ns=(1_600_000_000_000_000_000, 1_600_000_000_000_000_000))
    return top


def test_a_tree_goes_in_and_comes_back(vm, top, tree, tmp_path):
    copied = vm.files.put(tree, f"{top}/in")
    assert (copied.entries, copied.skipped) == (6, 0)
    inside = vm.files.stat(f"{top}/in/sub/run.sh")
    assert (inside.mode, inside.mtime_ns) == (0o755, 1_600_000_000_000_000_000)
    assert vm.files.readlink(f"{top}/in/link") == "sub/run.sh"
    assert vm.files.stat(f"{top}/in/holes").disk_bytes < 1 << 20
    assert vm.files.read_bytes(f"{top}/in/".encode() + b"\xff") == b"odd name"
    assert vm.files.get(f"{top}/in", tmp_path / "out").entries == 6
    out = tmp_path / "out"
    assert sorted(os.listdir(out)) == sorted(os.listdir(tree))
    assert stat.S_IMODE((out / "sub/run.sh").stat().st_mode) == 0o755
    assert os.readlink(out / "link") == "sub/run.sh"


def test_one_file_goes_in_and_comes_back(vm, top, tmp_path):
    (tmp_path / "one").write_bytes(b"content")
    assert vm.files.put(tmp_path / "one", f"{top}/a/b/one", parents=True).bytes == 7
    assert vm.files.get(f"{top}/a/b/one", tmp_path / "two").entries == 1
    assert (tmp_path / "two").read_bytes() == b"content"
    with pytest.raises(vmette.Error, match="nowhere"):
        vm.files.put("/nowhere", f"{top}/none")
    with pytest.raises(FileNotFoundError):
        vm.files.get(f"{top}/nowhere", tmp_path / "none")
    vm.run(f"head -c 1000000 /dev/zero > {top}/large")
    with pytest.raises(vmette.Error) as caught:
        vm.files.get(f"{top}/large", tmp_path / "large", max_bytes=1000)
    assert caught.value.details.get("errno") == errno.EFBIG


def test_progress_is_told_and_what_it_raises_gives_the_copy_up(vm, top, tree, tmp_path):
    seen = []
    (tree / "large").write_bytes(bytes(range(256)) * 16384)
    vm.files.put(tree, f"{top}/in", on_progress=lambda path, done: seen.append((path, done)))
    assert "large" in {path for path, _ in seen}
    assert [done for _, done in seen] == sorted(done for _, done in seen)

    def refuse(path, done):
        raise KeyError(path)

    with pytest.raises(KeyError):
        vm.files.put(tree, f"{top}/other", on_progress=refuse)
    with pytest.raises(KeyError):
        vm.files.get(f"{top}/in", tmp_path / "out", on_progress=refuse)
    assert vm.files.read_bytes(f"{top}/in/link") == b"#!/bin/sh\n"


@pytest.mark.parametrize("face", ["sync"], indirect=True)
def test_a_callback_may_use_the_machine_itself(vm, top, tree):
    seen = []
    vm.files.put(tree, f"{top}/in", on_progress=lambda path, _: seen.append(vm.files.exists(top)))
    assert seen and all(seen)


def test_a_call_to_a_paused_machine_gives_up_in_time(vm, top):
    vm.files.write_text(f"{top}/file", "text")
    vm.pause()
    try:
        for call in (
            lambda: vm.files.read_bytes(f"{top}/file", timeout=0.1),
            lambda: vm.files.stat(f"{top}/file", timeout=0.1),
            lambda: vm.stats(timeout=0.1),
        ):
            with pytest.raises(vmette.DeadlineExceeded, match="0.1 s"):
                call()
    finally:
        vm.resume()
    assert vm.files.read_text(f"{top}/file") == "text"
