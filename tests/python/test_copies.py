"""Snapshots, forks and pools of machines."""

import os
import threading

import pytest
import vmette
from conftest import MEM_MIB


@pytest.fixture(scope="module")
def warm(tmp_path_factory):
    """A snapshot of a machine in which a file was written and a program left running."""

    def warm_up(vm):
        vm.files.write_text("/tmp/warm", "yes")
        vm.run("sleep 4444 >/dev/null 2>&1 &")

    path = tmp_path_factory.mktemp("snapshots") / "warm"
    return vmette.Snapshot.build(
        path,
        command="echo prepared > /tmp/command",
        warm_up=warm_up,
        mem_mib=MEM_MIB,
        resume_shares=1,
        snapshot_digests=True,
        env={"A": "old"},
    )


def test_a_snapshot_tells_what_it_is(warm):
    assert os.path.isdir(warm.path) and os.path.isabs(warm.path)
    assert (warm.vcpus, warm.mem_mib) == (1, MEM_MIB)
    assert warm.bytes > 1 << 20 and warm.pause_seconds > 0
    assert warm.created_at.endswith("Z") and warm.manifest
    assert warm.path in repr(warm)
    warm.verify()
    again = vmette.Snapshot.open(warm.path)
    assert again.manifest == warm.manifest


def test_clones_begin_alike_and_go_their_own_ways(face, warm, tmp_path):
    (tmp_path / "file").write_text("shared")
    snapshot = face.Snapshot.open(warm.path)
    with snapshot.resume() as one, snapshot.resume(
        shares={"late": tmp_path}, env={"A": "new"}
    ) as two:
        for vm in (one, two):
            assert vm.files.read_text("/tmp/warm") == "yes"
            assert vm.files.read_text("/tmp/command") == "prepared\n"
        one.files.write_text("/tmp/warm", "one's own")
        assert two.files.read_text("/tmp/warm") == "yes"
        assert one.run("echo $A", text=True).stdout == "old\n"
        assert two.run("echo $A; cat /mnt/late/file", text=True).stdout == "new\nshared"
        assert one.timeline and one.state is vmette.State.READY


def test_what_does_not_fit_a_snapshot_is_refused(warm, nothing_left):
    for options, words in (
        ({"mem_mib": 1024}, "mem_mib"),
        ({"vcpus": 4}, "vcpus"),
        ({"shares": {"a": "/", "b": "/"}}, "share"),
    ):
        with pytest.raises(vmette.Error, match=words):
            warm.resume(**options)


def test_a_session_can_start_from_a_snapshot(warm):
    with vmette.Session(resume_snapshot=warm.path) as vm:
        assert vm.files.read_text("/tmp/warm") == "yes"


def test_a_damaged_snapshot_is_found_out_and_a_removed_one_is_gone(warm, tmp_path):
    with warm.resume() as vm:
        copy = vm.snapshot(tmp_path / "copy")
        assert vm.run("echo goes on", text=True).stdout == "goes on\n"
    with pytest.raises(vmette.SnapshotError, match="copy"):
        with copy.resume() as vm:
            vm.snapshot(copy.path)
    copy.remove()
    assert not (tmp_path / "copy").exists()
    with pytest.raises(vmette.SnapshotError, match="copy"):
        vmette.Snapshot.open(tmp_path / "copy")


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path, nothing_left):
    with pytest.raises(vmette.SnapshotError, match="words of it"):
        vmette.Snapshot.build(
            tmp_path / "none", command="echo words of it >&2; exit 3", mem_mib=MEM_MIB
        )

    def warm_up(vm):
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        vmette.Snapshot.build(tmp_path / "none", warm_up=warm_up, mem_mib=MEM_MIB)
    assert not (tmp_path / "none").exists()
    with pytest.raises(vmette.Error, match="snapshottable"):
        with vmette.Session(mem_mib=MEM_MIB) as vm:
            vm.snapshot(tmp_path / "none")
    assert not os.listdir(tmp_path)


def test_forks_begin_as_the_machine_is(warm, nothing_left):
    with warm.resume() as vm:
        vm.files.write_text("/tmp/state", "now")
        copies = vm.fork(2, env={"A": "copy"})
        try:
            for number, copy in enumerate(copies):
                assert copy.files.read_text("/tmp/state") == "now"
                copy.files.write_text("/tmp/state", str(number))
            assert [copy.run("cat /tmp/state; echo $A").stdout for copy in copies] == [
                b"0copy\n",
                b"1copy\n",
            ]
            assert vm.files.read_text("/tmp/state") == "now"
        finally:
            for copy in copies:
                copy.close()
        with pytest.raises(vmette.ConfigError, match="count"):
            vm.fork(0)


def test_a_pool_hands_out_machines(face, warm, nothing_left):
    with face.Pool(ready=1, most=2, resume_snapshot=warm.path) as pool:
        first, second = pool.take(), pool.take()
        assert first.files.read_text("/tmp/warm") == "yes"
        counts = pool.count()
        assert (counts.taken, counts.ready) == (2, 0)
        with pytest.raises(vmette.DeadlineExceeded, match="0.05 s"):
            pool.take(timeout=0.05)
        assert pool.count().waiting == 0
        first.close()
        third = pool.take(timeout=60)
        assert third.run("true").returncode == 0
        third.close()
        assert "taken" in repr(pool)
    assert second.run("echo mine", text=True).stdout == "mine\n"
    second.close()
    for call in (pool.take, pool.count):
        with pytest.raises(vmette.StateError, match="closed"):
            call()
    pool.close()
    with pytest.raises(vmette.StateError, match="another"):
        pool.start()
    assert "closed" in repr(pool)


def test_a_pool_that_cannot_start_machines_says_why(nothing_left):
    with pytest.raises(vmette.Error, match="/nowhere"):
        with vmette.Pool(ready=1, helper="/nowhere") as pool:
            pool.take(timeout=30)
    pool = vmette.Pool(ready=1)
    for call in (pool.take, pool.count):
        with pytest.raises(vmette.StateError, match="not started"):
            call()
    pool.close()


def test_closing_a_pool_ends_the_wait_of_others(warm, nothing_left):
    failures = []
    pool = vmette.Pool(ready=1, most=1, resume_snapshot=warm.path).start()
    taken = pool.take()

    def wait():
        try:
            pool.take()
        except vmette.StateError as error:
            failures.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    while pool.count().waiting == 0:
        pass
    pool.close()
    waiting.join(60)
    assert not waiting.is_alive() and len(failures) == 1
    taken.close()
