"""Both faces of the module through one that blocks, so that a test is written once.

What vmette.aio returns is wrapped: a call that gives an awaitable runs on the loop to its end,
`async with` and `async for` become those of the test.
"""

import asyncio
import collections.abc
import contextlib
import functools
import inspect

import pytest
import vmette


def new_loop(kind):
    """A loop of asyncio or uvloop."""
    if kind == "uvloop":
        uvloop = pytest.importorskip("uvloop", reason="there is no uvloop here")
        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


@functools.lru_cache(maxsize=None)
def first_loops():
    """Makes a loop of uvloop's where there is one: the first keeps descriptors for the process."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.new_event_loop().close()


@contextlib.contextmanager
def opened(kind):
    """The face "sync", "asyncio" or "uvloop"."""
    if kind == "sync":
        yield vmette
        return
    loop = new_loop(kind)
    try:
        yield Blocking(vmette.aio, loop, fallback=vmette)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


class Blocking:
    """An object of vmette.aio as if it were its counterpart in vmette."""

    def __init__(self, inner, loop, fallback=None):
        self.__dict__.update(_inner=inner, _loop=loop, _fallback=fallback)

    def _wrap(self, value):
        if inspect.isawaitable(value):
            return self._wrap(self._loop.run_until_complete(_awaited(value)))
        if isinstance(value, list):
            return [self._wrap(one) for one in value]
        if isinstance(value, collections.abc.AsyncIterator):
            return self._each(value)
        if type(value).__module__ == "vmette.aio" or inspect.ismodule(value):
            return Blocking(value, self._loop)
        if inspect.isclass(value) and value.__module__ == "vmette.aio":
            return Blocking(value, self._loop)
        if callable(value) and not inspect.isclass(value):
            return lambda *args, **named: self._wrap(value(*args, **named))
        return value

    def _each(self, iterator):
        while True:
            try:
                yield self._wrap(iterator.__anext__())
            except StopAsyncIteration:
                return

    def __call__(self, *args, **named):
        return self._wrap(self._inner(*args, **named))

    def __getattr__(self, name):
        if self._fallback is not None and not hasattr(self._inner, name):
            return getattr(self._fallback, name)
        return self._wrap(getattr(self._inner, name))

    def __setattr__(self, name, value):
        setattr(self._inner, name, value)

    def __iter__(self):
        return self._each(self._inner.__aiter__())

    def __enter__(self):
        return self._wrap(self._inner.__aenter__())

    def __exit__(self, *error):
        return self._wrap(self._inner.__aexit__(*error))

    def __repr__(self):
        return repr(self._inner)


async def _awaited(value):
    return await value
