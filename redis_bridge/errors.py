# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Every error that the package raises on purpose; all are BridgeErrors."""

from __future__ import annotations

import difflib
from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_SHOWN = 40  # characters of a wrong value that an error shows


class BridgeError(Exception):
    """Base of all errors of this package."""


@dataclass(frozen=True)
class Problem:
    """One error in a mapping file: where it is, what was expected, what was found."""

    file: str
    line: int | None
    path: str
    text: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f'{self.file}:{self.line}'
        return ': '.join(part for part in (place, self.path, self.text) if part)


class MappingError(BridgeError):
    """A mapping file that cannot be used; `errors` lists every problem in it."""

    def __init__(self, errors: list[Problem]) -> None:
        super().__init__('\n'.join(str(error) for error in errors))
        self.errors = errors


class InterfaceError(BridgeError):
    """A message type is unknown, or does not have what is asked of it, or cannot be encoded so."""


class MissingTypeError(InterfaceError):
    """A message type whose package cannot be imported here; the text says how to get it."""


class PayloadError(BridgeError):
    """A payload that does not fit its type or its encoding; the text says where and why.

    `reason` is the one by which the drop is counted (see `counters.DROP_REASONS`).
    """

    def __init__(self, text: str, reason: str = 'bad_payload') -> None:
        super().__init__(text)
        self.reason = reason


class MissingRosError(BridgeError):
    """A package of ROS 2 cannot be imported; the text says how to install it."""

    def __init__(self, error: ImportError) -> None:
        package = (error.name or '').partition('.')[0]
        if package == 'redis_bridge':
            raise error  # a bug, not a missing package
        super().__init__(
            f'this needs ROS 2, but the Python module {package} cannot be imported.\n'
            '  With ROS 2 Jazzy or Kilted installed: `source /opt/ros/$ROS_DISTRO/setup.bash`,\n'
            '    and `rosdep install --from-paths <this package>` for what is missing.\n'
            '  Without: `pip install "ros-rclpy[fastrtps]==9.1.2" ros-std-msgs '
            'ros-diagnostic-msgs ros-std-srvs`\n'
            '    and the ros-* packages of the message types you use.'
        )


class RedisError(BridgeError):
    """Redis cannot be used as asked (settings, rights, kinds of keys); the text has no secrets."""


class WaitTimeoutError(BridgeError, TimeoutError):
    """What was waited for did not come in the time that was given."""


class NotFoundError(BridgeError, KeyError):
    """There is nothing under that name; also a KeyError, because names are looked up like keys."""

    def __str__(self) -> str:
        return Exception.__str__(self)  # KeyError would quote the text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `, did you mean 'x'?` for the known name nearest to a mistyped one, else ''."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f', did you mean {near[0]!r}?' if near else ''


def show(value: Any) -> str:
    """Return a value as errors show it: scalars as they are, containers by kind and size."""
    if isinstance(value, int) and value.bit_length() > 128:
        # The text of a huge integer takes quadratic time, and Python may reject it.
        return f'an integer of {value.bit_length()} bits'
    if value is None or isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, str):
        return ascii(value) if len(value) <= _SHOWN else f'{value[:_SHOWN]!a}...'
    if isinstance(value, dict):
        return 'a map' if value else 'an empty map'
    if isinstance(value, (list, tuple, array)):
        return f'a list of {len(value)}'
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f'{len(value)} bytes'
    return f'a value of type {type(value).__name__}'
