"""Where roots come from."""

from __future__ import annotations

import os
from typing import Any, Dict, List, Mapping, Optional

from vmette import _check, _core
from vmette._check import Text

__all__ = ["Provider", "ProviderContext", "RootfsArtifact"]


class RootfsArtifact:
    """A directory of the host, or an image of type `fstype`, that can be a root.

    `image_env` has variables that the image wants every command to have.

    >>> vmette.RootfsArtifact("/", read_only=True)
    RootfsArtifact('/', fstype=None, read_only=True)
    """

    def __init__(
        self,
        path: Text,
        *,
        fstype: Optional[str] = None,
        read_only: bool = False,
        image_env: Optional[Mapping[str, Text]] = None,
    ) -> None:
        variables = {
            _check.text("a key of image_env", key): _check.text(f"image_env[{key!r}]", value)
            for key, value in (image_env or {}).items()
        }
        self.core = _core.RootfsArtifact(
            _check.text("path", path),
            None if fstype is None else _check.text("fstype", fstype),
            _check.flag("read_only", read_only),
            variables,
        )

    @classmethod
    def of(cls, core: _core.RootfsArtifact) -> RootfsArtifact:
        """One that the library has made."""
        artifact = cls.__new__(cls)
        artifact.core = core
        return artifact

    @property
    def path(self) -> str:
        """The directory or image."""
        return os.fsdecode(self.core.path())

    @property
    def fstype(self) -> Optional[str]:
        """The image's type, None for a directory."""
        return self.core.fstype() or None

    @property
    def read_only(self) -> bool:
        """Whether there is to be no writable layer over it."""
        return self.core.read_only()

    @property
    def image_env(self) -> Dict[str, str]:
        """Variables that the image wants."""
        return {os.fsdecode(key): os.fsdecode(one) for key, one in self.core.image_env().items()}

    def __repr__(self) -> str:
        return f"RootfsArtifact({self.path!r}, fstype={self.fstype!r}, read_only={self.read_only})"


class ProviderContext:
    """What a provider may ask for while `Provider.provide()` runs.

    >>> class Cached(vmette.Provider):
    ...     name, claims = "cached", "cached:NAME"
    ...     def matches(self, spec):
    ...         return spec.startswith("cached:")
    ...     def provide(self, spec, context):
    ...         context.report("looking", 0, 1)
    ...         print("offline:", context.offline, os.path.isdir(context.cache_dir))
    ...         return vmette.RootfsArtifact("/")
    >>> options = {"providers": [Cached()], "offline": True}
    >>> with vmette.Session(rootfs="cached:any", **options) as vm:
    ...     vm.state.name
    offline: True True
    'READY'
    """

    def __init__(self, core: _core.ProviderContext) -> None:
        self._core: Optional[_core.ProviderContext] = core

    def _there(self) -> _core.ProviderContext:
        if self._core is None:
            raise _check.wrong_value("context", self, "is over; use it while provide() runs only")
        return self._core

    @property
    def cache_dir(self) -> str:
        """The provider's own directory for what it keeps, made when it is missing."""
        return os.fsdecode(self._there().cache_dir())

    @property
    def offline(self) -> bool:
        """Whether the network must be left alone."""
        return self._there().offline()

    def report(self, step: str, done: int, total: int = 0) -> None:
        """Reports progress. Raises `Error` with the code CANCELLED when the caller has given up."""
        self._there().report(
            _check.text("step", step),
            _check.integer("done", done, 0, 2**63 - 1),
            _check.integer("total", total, 0, 2**63 - 1),
        )

    def _end(self) -> None:
        self._core = None


class Provider:
    """A source of roots, to derive from. Its methods may be called on any thread.

    `name` is 1 to 32 bytes of [a-z0-9-], `claims` tells a person what it takes. What `provide()`
    raises is the cause of the error that the start fails with.

    >>> class Srv(vmette.Provider):
    ...     name, claims = "srv", "srv:NAME"
    ...     def matches(self, spec):
    ...         return spec.startswith("srv:")
    ...     def provide(self, spec, context):
    ...         return vmette.RootfsArtifact("/")
    >>> with vmette.Session(rootfs="srv:any", providers=[Srv()]) as vm:
    ...     vm.files.is_dir("/usr")
    True
    """

    name: str = ""
    claims: str = ""

    def matches(self, spec: str) -> bool:
        """Whether it takes this spec. Should not take long, and leaves the network alone."""
        raise NotImplementedError

    def provide(self, spec: str, context: ProviderContext) -> RootfsArtifact:
        """Turns a spec that it claimed into a root."""
        raise NotImplementedError


class ProviderShim:
    """What the compiled module calls: it speaks bytes, and wants errors kept."""

    def __init__(self, provider: Provider, failures: List[BaseException]) -> None:
        self._provider: Optional[Provider] = provider
        self._failures = failures
        self.name = provider.name
        self.claims = provider.claims

    def end(self) -> None:
        """Lets the provider go; the library keeps the shim."""
        self._provider = None
        self._failures = []

    def matches(self, spec: bytes) -> bool:
        if self._provider is None:
            return False
        try:
            return bool(self._provider.matches(os.fsdecode(spec)))
        except BaseException as failure:
            self._failures.append(failure)
            raise

    def provide(self, spec: bytes, raw: Any) -> _core.RootfsArtifact:
        context = ProviderContext(raw)
        try:
            assert self._provider is not None
            made = self._provider.provide(os.fsdecode(spec), context)
            if not isinstance(made, RootfsArtifact):
                raise _check.wrong_type("what provide() returned", "a RootfsArtifact", made)
            return made.core
        except BaseException as failure:
            self._failures.append(failure)
            raise
        finally:
            context._end()


for _name in __all__:
    globals()[_name].__module__ = "vmette"
