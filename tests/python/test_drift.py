"""No face of the library lags behind: vmette, vmette.aio, and what both make of vmette.h."""

import enum
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest
import vmette
import vmette.aio
from vmette import _core

SOURCE = Path(os.environ["VMETTE_TEST_SOURCE"])

# What only the asynchronous face has to name: its streams. The other one has file objects.
ONLY_ASYNC = {"Reader", "Writer"}

DECLARATION = re.compile(r"^VMETTE_API\s[^;(]*?\b(\w+)\s*\(", re.MULTILINE | re.DOTALL)

# Functions of vmette.h that the binding does without, and why.
_BEGUN = "both faces wait on the descriptor of the call that begins it"
WITHOUT = {
    "vmette_config_add_disk": "add_disk_as does it",
    "vmette_config_add_share": "add_share_at does it",
    "vmette_output_end": "the session says it",
    "vmette_output_total": "the result has all that was captured, and says if more came",
    "vmette_pool_take": "both faces wait on a request's descriptor",
    "vmette_process_fd": "file objects own theirs, from take_fd",
    "vmette_session_kill": "request_kill, and a wait for the end's descriptor",
    "vmette_session_start": "launch, and a wait for the descriptor of its readiness",
    "vmette_session_stop": "request_stop, and a wait for the end's descriptor",
    "vmette_session_wait": "a wait for the end's descriptor",
    "vmette_snapshot_build": "Snapshot.build() does its steps, with a warm_up between them",
    "vmette_transfer_fd": "streams own theirs, from take_fd",
    **{
        f"vmette_session_{name}": _BEGUN
        for name in (
            "chmod",
            "chown",
            "exists",
            "list",
            "mkdir",
            "read_file",
            "remove",
            "rename",
            "set_mtime",
            "stat",
            "stats",
            "symlink",
            "write_file",
        )
    },
}

# Methods of the compiled module that no face uses, and why.
UNUSED = {
    "close_fd": "file objects own the descriptors",
    "code_name": "the names of ErrorCode",
    "defaults": "what is not passed stays at the default that Options describes",
    "set_rootfs_block": "a RootfsArtifact with an fstype",
    "set_rootfs_share": "a RootfsArtifact without",
}

# What `async` and its protocols become.
SYNCHRONOUS = {
    "__aenter__": "__enter__",
    "__aexit__": "__exit__",
    "__aiter__": "__iter__",
    "__anext__": "__next__",
}


def own(kind):
    """What the class and its private bases define, by the name of the synchronous face."""
    found = {}
    for base in reversed(kind.__mro__):
        if base is not object and base.__module__.startswith("vmette"):
            found.update(vars(base))
    return {
        SYNCHRONOUS.get(name, name): member
        for name, member in found.items()
        if not name.startswith("_") or name in SYNCHRONOUS or name in SYNCHRONOUS.values()
    }


def kind_of(member):
    if isinstance(member, (classmethod, staticmethod, property)):
        return type(member).__name__
    return "method" if inspect.isroutine(member) else "value"


def function_of(member):
    if isinstance(member, property):
        return member.fget
    return getattr(member, "__func__", member)


def plain(annotation):
    """An annotation as the synchronous face has it."""
    text = str(annotation).replace("vmette.aio.", "vmette.")
    text = re.sub(r"\bAwaitable\[([^][]*)\]", r"\1", text)
    return re.sub(r"\bAsyncIterator\b", "Iterator", text)


def signature(function):
    """Names, kinds, defaults and annotations of the parameters, and what it returns."""
    found = inspect.signature(function)
    return [
        (one.name, one.kind.name, one.default, plain(one.annotation))
        for one in found.parameters.values()
    ] + [plain(found.return_annotation)]


def pairs():
    """(name, of vmette, of vmette.aio) of every function and method that both have."""
    for name in sorted(set(vmette.aio.__all__) - ONLY_ASYNC):
        here, there = getattr(vmette, name), getattr(vmette.aio, name)
        if not inspect.isclass(there):
            yield name, here, there
            continue
        members, others = own(here), own(there)
        for member in sorted(set(members) & set(others)):
            if kind_of(members[member]) != "value":
                yield (
                    f"{name}.{member}",
                    function_of(members[member]),
                    function_of(others[member]),
                )
        yield f"{name}.__init__", here.__init__, there.__init__


def sources(folder, *patterns):
    return "\n".join(
        path.read_text(encoding="utf-8")
        for pattern in patterns
        for path in sorted((SOURCE / folder).glob(pattern))
    )


def without_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)


def test_both_faces_offer_every_part_of_the_implementation():
    parts = set()
    for module in pkgutil.iter_modules(vmette.aio.__path__):
        parts |= set(getattr(importlib.import_module(f"vmette.aio.{module.name}"), "__all__", ()))
    assert parts == set(vmette.aio.__all__)
    assert parts - ONLY_ASYNC <= set(vmette.__all__)
    assert not ONLY_ASYNC & set(vmette.__all__)


@pytest.mark.parametrize("name", sorted(set(vmette.aio.__all__) - ONLY_ASYNC))
def test_a_class_has_the_same_members_in_both_faces(name):
    here, there = getattr(vmette, name), getattr(vmette.aio, name)
    assert type(here) is type(there)
    if inspect.isclass(here):
        mine, others = (
            {member: kind_of(one) for member, one in own(kind).items()} for kind in (here, there)
        )
        assert mine == others


@pytest.mark.parametrize("name, here, there", pairs(), ids=[name for name, *_ in pairs()])
def test_a_method_has_the_same_signature_in_both_faces(name, here, there):
    assert signature(here) == signature(there)


def test_nothing_waits_in_the_synchronous_face_and_what_may_wait_is_asynchronous_in_the_other():
    assert not [name for name, here, _ in pairs() if is_asynchronous(here)]
    # One way round: what gives a coroutine in one face is a function that may block in the other,
    # so that a plain method of vmette.aio never blocks the loop.
    waiting = {name for name, _, there in pairs() if is_asynchronous(there)}
    for name in ("Session.start", "Session.run", "Files.read_bytes", "Popen.wait", "Pool.take"):
        assert name in waiting
    assert not {"Session.state", "Popen.poll", "Popen.kill", "Pool.count"} & waiting


def is_asynchronous(function):
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)


def test_every_option_is_described_and_known():
    from vmette import _options

    assert set(vmette.Options.__annotations__) | set(
        getattr(vmette, "SessionOptions", vmette.Options).__annotations__
    ) == set(_options._setters)


def test_the_binding_reaches_every_function_of_the_library():
    functions = set()
    for path in sorted((SOURCE / "include/vmette").glob("*.h")):
        functions |= set(DECLARATION.findall(path.read_text(encoding="utf-8")))
    assert len(functions) > 100, "the pattern no longer fits the headers"
    # vmette.hpp is all inline: what the binding does not call is no symbol that it needs.
    listing = subprocess.run(
        ["nm", "-D", "--undefined-only", _core.__file__], capture_output=True, text=True, check=True
    )
    reached = set(re.findall(r"\bvmette_\w+", listing.stdout))
    assert functions - reached == set(WITHOUT)


def test_every_method_of_the_compiled_module_is_used_and_described():
    described = set(re.findall(r"def (\w+)\(", sources("bindings/python/vmette", "_core.pyi")))
    bound = set(re.findall(r'def(?:_static)?\(\s*"(\w+)"', sources("bindings/python/src", "*.cpp")))
    assert bound == described - {"__init__"}
    python = sources("bindings/python/vmette", "*.py", "aio/*.py")
    used = {name for name in bound if re.search(rf'\.{name}\b|"{name}"', python)}
    assert bound - used == set(UNUSED)


ENUMS = {
    "Accel": "ACCEL",
    "End": "END",
    "ErrorCode": "E",
    "FileType": "FILE",
    "LogLevel": "LOG",
    "Scope": "SCOPE",
    "ShareTransport": "SHARE",
    "State": "STATE",
    "VsockMode": "VSOCK",
}
# Bits among the numbers of VMETTE_FILE_*, which methods take as arguments.
FLAGS = {"FOLLOW", "PARENTS", "RECURSIVE", "APPEND", "EXCLUSIVE", "ATOMIC", "OWNERS"}


@pytest.mark.parametrize("name, prefix", ENUMS.items(), ids=list(ENUMS))
def test_an_enum_has_the_numbers_of_the_header(name, prefix):
    header = without_comments(sources("include/vmette", "*.h"))
    numbers = {
        word: int(number)
        for word, number in re.findall(rf"\bVMETTE_{prefix}_(\w+)\s*=\s*(\d+)", header)
        if word not in FLAGS
    }
    assert {one.name.replace("P9", "9P"): one.value for one in getattr(vmette, name)} == numbers


def test_every_enum_is_compared_with_the_header():
    enums = {
        name
        for name in vmette.__all__
        if inspect.isclass(getattr(vmette, name)) and issubclass(getattr(vmette, name), enum.Enum)
    }
    assert enums - {"Stdio"} == set(ENUMS)  # the numbers of Stdio are those of subprocess
    assert (vmette.PIPE, vmette.STDOUT, vmette.DEVNULL) == (
        subprocess.PIPE,
        subprocess.STDOUT,
        subprocess.DEVNULL,
    )
