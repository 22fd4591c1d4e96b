"""Arguments of the caller's: wrong types are a TypeError, wrong values a ConfigError, each naming the
parameter."""

from __future__ import annotations

import os
import signal
from typing import Any, List, Optional, Sequence, Type, TypeVar, Union

from vmette import _core
from vmette._enums import ErrorCode
from vmette._errors import ConfigError

Enum = TypeVar("Enum")
Text = Union[str, bytes, "os.PathLike[str]", "os.PathLike[bytes]"]
Command = Union[str, Sequence[Text]]


def wrong_type(name: str, wanted: str, value: Any) -> TypeError:
    return TypeError(f"{name}: expected {wanted}, not {type(value).__name__} ({value!r:.60})")


def wrong_value(name: str, value: Any, remedy: str) -> ConfigError:
    return ConfigError(
        f"{name}: {value!r:.60} {remedy}", code=ErrorCode.INVALID_ARGUMENT, stage="python"
    )


def integer(name: str, value: Any, least: int = 0, most: int = 2**32 - 1) -> int:
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise wrong_type(name, "an int", value)
    number = int(value.__index__())
    if not least <= number <= most:
        raise wrong_value(name, number, f"is out of range; pass {least} to {most}")
    return number


def seconds(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise wrong_type(name, "a number of seconds", value)
    if not 0 <= value <= 10**9:  # NaN is none of them
        raise wrong_value(name, value, "is no time; pass 0 to 1e9 seconds")
    return float(value)


def flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise wrong_type(name, "a bool", value)
    return value


def text(name: str, value: Any) -> bytes:
    """Text for the library: str, bytes or a path, as bytes without a NUL."""
    if not isinstance(value, (str, bytes, os.PathLike)):
        raise wrong_type(name, "str, bytes or a path", value)
    try:
        data = os.fsencode(value)
    except UnicodeEncodeError:
        raise wrong_value(name, value, "has a surrogate that stands for no byte") from None
    if b"\0" in data:
        raise wrong_value(name, value, "has a NUL byte inside; pass it without")
    return data


def absolute(name: str, value: Any) -> bytes:
    """A path in the guest."""
    data = text(name, value)
    if not data.startswith(b"/"):
        raise wrong_value(name, value, "is not absolute; begin it with /")
    return data


def choice(name: str, value: Any, kind: Type[Enum]) -> Enum:
    if not isinstance(value, kind):
        raise wrong_type(name, f"a vmette.{kind.__name__}", value)
    return value


def data(name: str, value: Any) -> Any:
    """Bytes of content."""
    if isinstance(value, str):
        raise wrong_type(name, "bytes", value)
    try:
        view = memoryview(value)
    except TypeError:
        raise wrong_type(name, "bytes", value) from None
    if not view.c_contiguous:
        raise wrong_value(name, value, "is not contiguous; copy it with bytes()")
    return value


def argv(name: str, value: Any) -> List[bytes]:
    """An argument vector."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise wrong_type(name, "a line, or a sequence of arguments", value)
    if not value:
        raise wrong_value(name, value, "is empty; name a program")
    return [text(f"{name}[{index}]", word) for index, word in enumerate(value)]


def signal_number(name: str, value: Any) -> int:
    """A number of Linux from a number, a `signal.Signals` or a name."""
    if isinstance(value, signal.Signals):
        value = value.name  # the host may number it otherwise
    if isinstance(value, str):
        number = _core.signal_number(value)
        if number == 0:
            raise wrong_value(name, value, "names no signal; pass one like 'TERM'")
        return number
    return integer(name, value, 1, 64)


def milliseconds(name: str, value: Any, most: int = 2**32 - 1) -> int:
    return min(round(seconds(name, value) * 1000), most)


def optional_seconds(name: str, value: Any) -> Optional[float]:
    return None if value is None else seconds(name, value)
