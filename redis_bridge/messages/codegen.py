# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Generates the source of functions on CDR.

A generic walk over the fields costs about a microsecond a field. So the source of a function is
generated that does what the walk would do for just one type: neighbouring numbers are one
`struct`, arrays one slice.

The format is XCDR1 (plain CDR) as Fast DDS and Cyclone DDS carry it: 4 bytes of header, then
numbers aligned to their size, counted from behind the header. Only little-endian CDR is
supported, as all platforms of ROS 2 are little-endian.
"""

from __future__ import annotations

import struct
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages.find_error import show
from redis_bridge.messages.position import START, Alignment, Layout
from redis_bridge.messages.types import Message

if sys.byteorder != 'little':
    raise ImportError('redis_bridge supports little-endian machines only')

COMPILED = 256  # functions of one kind that are kept, to be shared by all routes of a type
_MAX_LOOPS = 16  # Python nests no more than 20 blocks

# What generated code that reads CDR raises for a broken payload; anything else is a bug.
READ_ERRORS = (struct.error, ValueError, IndexError)


def define(name: str, text: str, message: Message, names: dict[str, Any]) -> Callable[..., Any]:
    """Return the function `name` of a source text, which may use `names`."""
    namespace = dict(names)
    exec(compile(text, f'<{name} {message.name}>', 'exec'), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def as_bytes(payload: Any) -> bytes:
    """Return the bytes of a payload; PayloadError if it has none."""
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    raise PayloadError(f'expected bytes, got {show(payload)}')


class Pending(NamedTuple):
    """Bytes that the next struct reads or writes: a part of its format."""

    code: str
    name: str | None  # the variable of the value; None: padding, or not wanted
    items: int | None = None  # of an array of numbers


class Source(ABC):
    """Lines of a function under construction, and the position that it has reached.

    The position is `base` (a number, or the variable `o`) plus `ahead`, the bytes of the pending
    numbers; `flush` turns these into one call of a struct.
    """

    def __init__(self, base: int) -> None:
        self.constants: dict[str, Any] = {}
        self.base: int | str = base
        self.place: Alignment = START
        self._layout = Layout()
        self._ahead = 0
        self._pending: list[Pending] = []
        self._lines: list[str] = []
        self._depth = 2
        self._loops = 0
        self._used = 0

    def text(self) -> str:
        return ''.join(f'{line}\n' for line in self._lines)

    def emit(self, line: str) -> None:
        self._lines.append(' ' * self._depth + line)

    def fresh(self, prefix: str = 'v') -> str:
        self._used += 1
        return f'{prefix}{self._used}'

    def constant(self, value: Any, prefix: str) -> str:
        name = self.fresh(prefix)
        self.constants[name] = value
        return name

    def add_pending(
        self, code: str, name: str | None, size: int, items: int | None = None
    ) -> None:
        self._pending.append(Pending(code, name, items))
        self._ahead += size
        self.place = self.place.moved(size)

    def align(self, size: int) -> None:
        """Move to the next multiple of `size`."""
        padding = self.place.padding(size)
        if padding is None:
            self.flush()
            self.emit_alignment(size)
            self.place = Alignment(size, 0)
        elif padding:
            self.add_pending(f'{padding}x', None, padding)

    @abstractmethod
    def emit_alignment(self, size: int) -> None:
        """Emit the step to the next multiple of `size` from a position that is not known."""

    @abstractmethod
    def flush(self) -> None:
        """Emit what is pending."""

    def moved_by(self, expression: str | int) -> None:
        """Emit that the position has moved, once nothing is pending any more."""
        if isinstance(self.base, int) and isinstance(expression, int):
            self.base += expression
        elif self.base == 'o':
            self.emit(f'o += {expression}')
        else:
            self.emit(f'o = {self.base} + {expression}')
            self.base = 'o'

    def _struct(self) -> struct.Struct:
        return struct.Struct('<' + ''.join(part.code for part in self._pending))

    def clear_pending(self) -> None:
        """Forget what was pending, after it has been emitted."""
        if self._ahead:
            self.moved_by(self._ahead)
        self._pending, self._ahead = [], 0

    def hold_position(self) -> None:
        """Have the position in the variable `o`, as loops and branches need it."""
        if self.base != 'o':
            self.emit(f'o = {self.base}')
            self.base = 'o'

    def enter(self, line: str) -> None:
        self._loops += 1
        if self._loops > _MAX_LOOPS:
            raise InterfaceError(f'sequences nested more than {_MAX_LOOPS} deep')
        self.emit(line)
        self._depth += 1

    def leave(self) -> None:
        self._loops -= 1
        self._depth -= 1


def rounded(base: int | str, size: int, padding: int | None = None) -> str:
    """Return the source of a position (from the payload's start) aligned to `size`."""
    if padding is not None:
        return f'{base} + {padding}' if padding else str(base)
    if size == 8:  # the header's 4 bytes do not count
        return f'({base} + 3 & -8) + 4'
    return f'{base} + {size - 1} & -{size}'


def identifier(type_: Message, name: str) -> str:
    """Return a field's name; it becomes part of source, so it must be a plain one."""
    if not (name.isascii() and name.isidentifier()):
        raise InterfaceError(f'{type_.name}: {name!r} is no name of a field')
    return name
