"""Every example of a docstring runs, and nothing public goes without one."""

import ast
import asyncio
import doctest
import enum
import errno
import inspect
import io
import os
import subprocess
import tempfile
import traceback
import types

import pytest
import vmette
import vmette.aio

@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """What an example finds. Its `vmette.Session()` begins as one that was saved right after its
    boot: the same machine, and the examples are many."""
    path = str(tmp_path_factory.mktemp("snapshots") / "booted")
    vmette.Snapshot.build(path)

    def offered(module):
        made = types.ModuleType(module.__name__)
        vars(made).update((name, getattr(module, name)) for name in module.__all__)
        made.Session = lambda **options: module.Session(**options or {"resume_snapshot": path})
        return made

    found = offered(vmette)
    found.aio = offered(vmette.aio)
    return {
        "errno": errno,
        "os": os,
        "subprocess": subprocess,
        "tempfile": tempfile,
        "vmette": found,
    }


def public(module):
    """(name, object) of what the module offers."""
    return [
        (name, getattr(module, name))
        for name in module.__all__
        if not inspect.ismodule(getattr(module, name))
    ]


def is_described(one):
    """Classes and functions; a member of an enum is described by its class."""
    return not isinstance(one, enum.Enum) and (inspect.isclass(one) or inspect.isroutine(one))


def members(kind):
    """Public methods and properties that the class itself or a private base defines."""
    found = {}
    for base in reversed(kind.__mro__):
        if base is kind or base.__name__.startswith("_"):
            found.update(vars(base))
    for name, member in found.items():
        if name.startswith("_") or isinstance(member, (enum.Enum, type)):
            continue
        member = getattr(member, "__func__", member)
        if inspect.isroutine(member) or isinstance(member, property):
            yield name, member


def described(module):
    """(name, docstring) of the module and all that it offers."""
    yield module.__name__, module.__doc__
    for name, one in public(module):
        if not is_described(one):
            continue
        yield f"{module.__name__}.{name}", one.__doc__
        if inspect.isclass(one) and issubclass(one, (Exception, enum.Enum)):
            continue
        if inspect.isclass(one) and one.__module__ == module.__name__:
            for method, member in members(one):
                yield f"{module.__name__}.{name}.{method}", member.__doc__


def examples(module):
    return [(name, text) for name, text in described(module) if text and ">>>" in text]


@pytest.fixture(autouse=True)
def empty_directory(tmp_path, monkeypatch):
    """Examples copy the working directory."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("module", [vmette, vmette.aio], ids=lambda module: module.__name__)
def test_every_public_class_and_function_has_an_example(module):
    without = [
        name
        for name, one in public(module)
        if is_described(one) and ">>>" not in (one.__doc__ or "")
    ]
    assert not without


@pytest.mark.parametrize("module", [vmette, vmette.aio], ids=lambda module: module.__name__)
def test_every_public_method_has_a_docstring(module):
    assert not [name for name, text in described(module) if not text]


@pytest.mark.parametrize(
    "name, text", examples(vmette), ids=[name for name, _ in examples(vmette)]
)
def test_an_example_prints_what_it_says(name, text, names):
    test = doctest.DocTestParser().get_doctest(text, dict(names), name, None, 0)
    report = io.StringIO()
    doctest.DocTestRunner(verbose=False).run(test, out=report.write)
    assert not report.getvalue(), report.getvalue()


def printed(error):
    """The traceback as an example shows it, which ends with the exception."""
    return "Traceback (most recent call last):\n" + "".join(
        traceback.format_exception_only(type(error), error)
    )


async def statement_output(example, names):
    """What one example prints, awaiting at its top level."""
    got = []

    def show(value):
        if value is not None:
            got.append(repr(value) + "\n")

    def collect(*values, sep=" ", end="\n", **_):
        got.append(sep.join(map(str, values)) + end)

    names.update(print=collect, __builtins__={**vars(__import__("builtins")), "print": collect})
    tree = ast.parse(example.source)
    # An interactive statement shows what each of its expressions gives, in a block as well.
    tree = ast.fix_missing_locations(Shown().visit(tree))
    names["__show__"] = show
    code = compile(tree, "<example>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    try:
        pending = eval(code, names)
        if inspect.isawaitable(pending):
            await pending
    except Exception as error:
        if example.exc_msg is None:
            raise
        return "".join(got), printed(error)
    return "".join(got), None


class Shown(ast.NodeTransformer):
    """Hands the value of each expression statement outside of functions to __show__."""

    def visit_Expr(self, node):
        call = ast.Call(ast.Name("__show__", ast.Load()), [node.value], [])
        return ast.copy_location(ast.Expr(call), node)

    def visit_FunctionDef(self, node):
        return node

    visit_AsyncFunctionDef = visit_ClassDef = visit_FunctionDef


async def run_examples(text, name, names):
    checker = doctest.OutputChecker()
    for example in doctest.DocTestParser().get_examples(text, name):
        flags = sum(flag for flag, on in example.options.items() if on)
        got, raised = await statement_output(example, names)
        if raised is not None:
            wanted = "Traceback (most recent call last):\n" + example.exc_msg
            assert checker.check_output(wanted, raised, flags), raised
            continue
        assert example.exc_msg is None, f"{example.source} raised nothing"
        assert checker.check_output(example.want, got, flags), checker.output_difference(
            example, got, flags
        )


@pytest.mark.parametrize(
    "name, text", examples(vmette.aio), ids=[name for name, _ in examples(vmette.aio)]
)
def test_an_asynchronous_example_prints_what_it_says(name, text, names):
    asyncio.run(run_examples(text, name, dict(names)))
