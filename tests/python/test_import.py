"""What `import vmette` does and does not."""

import child
import pytest


def run(code, *options, **named):
    done = child.run(code, options=options, **named)
    assert done[0] == 0, done
    return done[1].split()


def test_the_import_starts_nothing():
    found = run(
        """
        import os, threading
        fds, tasks = os.listdir("/proc/self/fd"), os.listdir("/proc/self/task")
        import vmette
        vmette.Session(), vmette.Pool(), vmette.Options()
        print(len(os.listdir("/proc/self/fd")) - len(fds))
        print(len(os.listdir("/proc/self/task")) - len(tasks))
        print(len(open("/proc/self/task/%d/children" % os.getpid()).read().split()))
        """
    )
    assert found == ["0", "0", "0"]


def test_the_import_is_a_small_one():
    slow = {"asyncio", "subprocess", "concurrent.futures", "difflib", "dataclasses", "inspect"}
    found = run("import sys, vmette; print(*sys.modules)", "-S")
    assert "vmette" in found and not slow & set(found)


def test_the_synchronous_face_needs_no_asyncio():
    code = "import sys, vmette; vmette.run('true', mem_mib=256); print(*sys.modules)"
    assert not {"asyncio", "vmette.aio"} & set(run(code))


def test_the_asynchronous_face_is_there_by_name():
    assert run("import vmette; print(vmette.aio.Session.__module__)") == ["vmette.aio"]
    assert run("from vmette import aio; print(aio.Session.__name__)") == ["Session"]
    assert run("from vmette import *; print(Session.__name__, run.__name__)") == ["Session", "run"]


def test_what_there_is_not_is_an_attribute_error():
    code, _, err = child.run("import vmette; vmette.no_such_name")
    assert code == 1 and "AttributeError" in err and "no_such_name" in err


def test_a_subinterpreter_is_refused_clearly():
    pytest.importorskip("_xxsubinterpreters", reason="this Python has them under another name")
    code = """
        import _xxsubinterpreters as interpreters
        import sys
        {first}
        one = interpreters.create()
        try:
            interpreters.run_string(one, "import sys; sys.path[:] = %r; import vmette" % sys.path)
        except interpreters.RunFailedError as error:
            print(error)
        """
    for first in ("", "import vmette"):
        said = " ".join(run(code.format(first=first)))
        assert "ImportError" in said and "subinterpreter" in said and "another process" in said
