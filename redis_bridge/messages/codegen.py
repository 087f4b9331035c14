# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

r"""Generates the source of functions on CDR.

A generic walk over the fields costs about a microsecond a field. So the source of a function is
generated that does what the walk would do for just one type: neighbouring numbers are one
`struct`, arrays one slice.

The format is XCDR1 (plain CDR) as Fast DDS and Cyclone DDS carry it: 4 bytes of header, then
numbers aligned to their size, counted from behind the header. Only little-endian CDR is
supported, because all platforms of ROS 2 are little-endian.

For `bool ok`, `float64 x`, `string name`, `float32[] ranges`, the reader of CDR is, without the
frame that names errors (`unpack1` reads '<?7xdI', because positions are known up to `name`)::

    t1 = unpack1(buf, 4)
    n2 = t1[2]
    o = 24 + n2
    v3 = buf[24:o].decode().partition('\0')[0]
    o = o + 3 & -4
    t4 = unpack2(buf, o)
    o += 4
    n5 = t4[0]
    s = o
    o = s + 4 * n5
    v6 = listed(array('f', buf[s:o]))
    if o > end: raise ValueError('ends too early')
    return {'ok': t1[0], 'x': t1[1], 'name': v3, 'ranges': v6}
"""

from __future__ import annotations

import struct
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis_bridge.errors import InterfaceError, PayloadError, show
from redis_bridge.messages import find_error
from redis_bridge.messages.position import START, Alignment, Layout
from redis_bridge.messages.types import Array, FieldType, Message, Primitive, Sequence, String
from redis_bridge.messages.walk import A, R, Walk

if sys.byteorder != 'little':
    raise ImportError('redis_bridge supports little-endian machines only')

COMPILED = 256  # functions of one kind that are kept, to be shared by all routes of a type
_MAX_LOOPS = 16  # Python nests no more than 20 blocks

# What generated code that reads CDR raises for broken CDR; anything else is a bug.
_READ_ERRORS = (struct.error, ValueError, IndexError)


def define(name: str, text: str, message: Message, names: dict[str, Any]) -> Callable[..., Any]:
    """Return the function `name` of a source text, which may use `names`."""
    namespace = dict(names)
    exec(compile(text, f'<{name} {message.name}>', 'exec'), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def identifier(type_: Message, name: str) -> str:
    """Return a field's name; it becomes part of source, so it must be a plain one."""
    if not (name.isascii() and name.isidentifier()):
        raise InterfaceError(f'{type_.name}: {name!r} is no name of a field')
    return name


class Source(Walk[A, R]):
    """Lines of a function under construction, and the position that it has reached.

    The position is `base` (a number, or the variable `o`) plus the bytes of the pending parts;
    `flush` turns these into one call of a struct. `place` is what is known of its alignment.
    """

    def __init__(self, base: int) -> None:
        self.constants: dict[str, Any] = {}
        self.base: int | str = base
        self.place: Alignment = START
        self._layout = Layout()
        self._codes: list[str] = []  # struct's formats of the pending parts
        self._ahead = 0  # their bytes
        self._lines: list[str] = []
        self._depth = 2
        self._loops = 0
        self._used = 0

    def visit(self, type_: FieldType, at: A) -> R:
        behind = self._layout.visit(type_, self.place)
        result = super().visit(type_, at)
        self.place = behind
        return result

    def text(self) -> str:
        return ''.join(f'{line}\n' for line in self._lines)

    def emit(self, *lines: str) -> None:
        self._lines += [' ' * self._depth + line for line in lines]

    def fresh(self, prefix: str = 'v') -> str:
        self._used += 1
        return f'{prefix}{self._used}'

    def constant(self, value: Any, prefix: str) -> str:
        name = self.fresh(prefix)
        self.constants[name] = value
        return name

    def add_pending(self, code: str, size: int) -> None:
        self._codes.append(code)
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
            self.add_pending(f'{padding}x', padding)

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
        return struct.Struct('<' + ''.join(self._codes))

    def clear_pending(self) -> None:
        """Forget what was pending, after it has been emitted."""
        if self._ahead:
            self.moved_by(self._ahead)
        self._codes, self._ahead = [], 0

    def hold_position(self) -> None:
        """Have the position in the variable `o`, as loops and branches need it."""
        if self.base != 'o':
            self.emit(f'o = {self.base}')
            self.base = 'o'

    @contextmanager
    def block(self, line: str) -> Iterator[None]:
        """Emit what follows within the block that a line opens."""
        self._loops += 1
        if self._loops > _MAX_LOOPS:
            raise InterfaceError(f'sequences nested more than {_MAX_LOOPS} deep')
        self.emit(line)
        self._depth += 1
        yield
        self._depth -= 1
        self._loops -= 1

    @contextmanager
    def loop(self, line: str, item: String | Message) -> Iterator[None]:
        """Emit what follows within a loop over items, each of which begins where one ended."""
        self.hold_position()
        self.place = self._layout.before_each(item, self.place)
        with self.block(line):
            yield
            self.flush()
        self.base = 'o'


class ReadSource(Source[A, R]):
    """The source of a function that reads CDR from `buf`, which ends at `end`."""

    def __init__(self) -> None:
        super().__init__(4)

    def emit_alignment(self, size: int) -> None:
        self.emit(f'o = {rounded(self.base, size)}')
        self.base = 'o'

    def count(self, bound: int | None) -> str:
        """Read the length of a string or a sequence; return its variable."""
        name = self.fresh('n')
        self.align(4)
        self.emit_length(name)
        if bound is not None:
            self.emit(f'if {name} > {bound}: raise ValueError("over its bound")')
        return name

    @abstractmethod
    def emit_length(self, name: str) -> None:
        """Emit what reads a uint32 into a variable; nothing is pending then."""

    def take(self, size: int | str) -> str:
        """Move over so many bytes; return the source of their slice, for the next line.

        Slices are cut short where the CDR ends; that the position is then beyond the end is
        noticed by whatever reads next, or at the very end.
        """
        start = self.base
        if isinstance(start, int) and isinstance(size, int):
            self.base = start + size
            return f'{start}:{self.base}'
        if start == 'o':
            start = 's'
            self.emit('s = o')
        self.emit(f'o = {start} + {size}')
        self.base = 'o'
        return f'{start}:o'

    def take_string(self, type_: String) -> tuple[str, str]:
        """Move over a string; return the sources of its slice and of its length."""
        count = self.count(type_.bound if type_.wide else None)
        return self.take(f'4 * {count}' if type_.wide else count), count

    def take_numbers(self, type_: Array | Sequence, item: Primitive) -> tuple[str, str]:
        """Move over an array of numbers; return the sources of its slice and of its count."""
        size = item.size
        if isinstance(type_, Array):
            self.align(size)
            self.flush()
            return self.take(type_.size * size), str(type_.size)
        count = self.count(type_.bound)
        padding = self.place.padding(size)
        if padding != 0:  # there is none before the items of an empty sequence
            self.hold_position()
            self.emit(f'if {count}: o = {rounded("o", size, padding)}')
        return self.take(count if size == 1 else f'{size} * {count}'), count

    @contextmanager
    def each(self, item: String | Message, count: str) -> Iterator[None]:
        """Emit what follows for each of so many items."""
        # Every item takes some bytes, so that a forged length ends here and not in a long loop.
        self.emit(f'if {item.min_size} * {count} > end - {self.base}: raise ValueError("short")')
        with self.loop(f'for _ in range({count}):', item):
            yield

    def define(
        self, name: str, arguments: str, result: str, message: Message, names: dict[str, Any]
    ) -> Callable[..., Any]:
        """Return the function `name`; it names the first error in broken CDR."""
        text = (
            f'def {name}({arguments}):\n'
            ' if buf.__class__ is not bytes:\n'
            '  buf = as_bytes(buf)\n'
            ' try:\n'
            "  if buf[:2] != b'\\0\\1': raise ValueError('no CDR header')\n"
            '  end = len(buf)\n'
            f'{self.text()}'
            f"  if {self.base} > end: raise ValueError('ends too early')\n"
            f'  return {result}\n'
            ' except READ_ERRORS as error:\n'
            '  raise rejected(buf, error) from error\n'
        )

        def rejected(cdr: bytes, error: Exception) -> PayloadError:
            return find_error.in_cdr(message, cdr) or PayloadError(f'{message.name}: {error}')

        frame = {'as_bytes': _as_bytes, 'READ_ERRORS': _READ_ERRORS, 'rejected': rejected}
        return define(name, text, message, {**names, **frame, **self.constants})


def _as_bytes(cdr: Any) -> bytes:
    """Return the bytes of a serialized message; PayloadError if it has none."""
    if isinstance(cdr, (bytes, bytearray, memoryview)):
        return bytes(cdr)
    raise PayloadError(f'expected bytes, got {show(cdr)}')


def rounded(base: int | str, size: int, padding: int | None = None) -> str:
    """Return the source of a position in the buffer aligned to `size`."""
    if padding is not None:
        return f'{base} + {padding}'
    if size == 8:  # the header's 4 bytes do not count
        return f'({base} + 3 & -8) + 4'
    return f'{base} + {size - 1} & -{size}'
