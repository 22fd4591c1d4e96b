"""Fixtures that the tests share: a face to test through, a machine for each file, and what must not
be left behind."""

import faces
import footprint
import pytest
import vmette

MEM_MIB = 256


@pytest.fixture(scope="module", params=["sync", "asyncio", "uvloop"])
def face(request):
    """The module vmette, or vmette.aio on a loop and looking like it."""
    with faces.opened(request.param) as one:
        yield one


@pytest.fixture(scope="module")
def vm(face):
    """A machine that the tests of a file share."""
    with face.Session(mem_mib=MEM_MIB) as one:
        yield one


@pytest.fixture(scope="module")
def shared():
    """The same for tests to which the face does not matter."""
    with vmette.Session(mem_mib=MEM_MIB) as one:
        yield one


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    report = (yield).get_result()
    if report.when == "call":
        item.passed = report.passed


@pytest.fixture
def nothing_left(request):
    """The test leaves no process, descriptor or thread behind. One that failed is not asked: its
    traceback holds what it had."""
    faces.first_loops()
    before = footprint.Footprint()
    yield before
    if getattr(request.node, "passed", False):
        before.check()
