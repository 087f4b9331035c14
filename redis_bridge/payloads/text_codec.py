# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One scalar as UTF-8."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from redis_bridge.errors import InterfaceError, PayloadError, show
from redis_bridge.messages.paths import field_at, leaves
from redis_bridge.messages.types import FieldType, Message, Primitive, String
from redis_bridge.payloads.codec import Decode, ValueCodec
from redis_bridge.payloads.json_codec import INTEGER, float_name
from redis_bridge.payloads.looks_like import malformed
from redis_bridge.protocol.meta import Meta

_FLOAT = re.compile(r'-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?')
_FLOAT_LENGTH = 800  # no double needs more digits
# What people and programs write: YAML, Python, C.
_BOOLEANS = {
    text: value
    for value, texts in (
        (True, ('true', 'True', 'TRUE', '1')), (False, ('false', 'False', 'FALSE', '0'))
    )
    for text in texts
}  # fmt: skip
_NON_FINITE = re.compile(r'([+-]?)\.?(nan|inf|infinity)', re.IGNORECASE)


def _double_text(value: float) -> str:
    return repr(value) if value - value == 0 else float_name(value)


def _float_text(value: float) -> str:
    """Return the shortest decimal that gives the same float32."""
    if value - value != 0 or value == 0:
        return _double_text(value)
    # Up to 6 digits survive a float32, unless it is subnormal; 9 always identify it.
    for digits in range(6 if abs(value) >= 1.1754944e-38 else 1, 9):
        short = float(f'{value:.{digits}g}')
        try:
            same = struct.unpack('f', struct.pack('f', short))[0] == value
        except OverflowError:  # rounded up beyond the greatest float32
            continue
        if same:
            return repr(short)
    return repr(float(f'{value:.9g}'))


_TO_TEXT: dict[str, Callable[[Any], str]] = {
    'bool': lambda value: 'true' if value else 'false',
    'float32': _float_text,
    'float64': _double_text,
}


def _parse(type_: Primitive, path: str, text: str) -> bool | int | float:
    text = text.removesuffix('\n')  # as `redis-cli -x` sends it
    if type_.name == 'boolean' and text in _BOOLEANS:
        return _BOOLEANS[text]
    if type_.integers and INTEGER.fullmatch(text):
        return int(text)
    if type_.is_float:
        if found := _NON_FINITE.fullmatch(text):
            return float(found[1] + found[2])
        if len(text) <= _FLOAT_LENGTH and _FLOAT.fullmatch(text):
            value = float(text)
            if math.isinf(value):
                raise PayloadError(f'{path}: {text[:40]} is out of range of {type_}')
            return value
    raise malformed(text.encode(), 'text', f'{path}: expected {type_} as text, got {show(text)}')


class Text(ValueCodec):
    """One scalar as UTF-8."""

    name = 'text'
    one_scalar = True

    def value_path(self, message: Message, field: str | None, fields: Sequence[str] = ()) -> str:
        if fields:
            raise InterfaceError('text carries one scalar: give it as field, not as fields')
        if field is not None:
            type_ = field_at(message, field)
            if not isinstance(type_, (Primitive, String)):
                raise InterfaceError(
                    f'{field}: text carries one scalar, but this is {type_} of {message.name}'
                )
            return field
        scalars = [
            path for path, type_ in leaves(message) if isinstance(type_, (Primitive, String))
        ]
        if len(scalars) != 1:
            names = ', '.join(scalars[:8]) + (', ...' if len(scalars) > 8 else '')
            raise InterfaceError(
                f'text carries one scalar, but {message.name} has {len(scalars)}'
                + (f': give one as field ({names})' if scalars else '')
            )
        return scalars[0]

    def dumper(self, type_: FieldType) -> Callable[[Any], bytes]:
        to_text = _TO_TEXT.get(str(type_), str)
        return lambda value: to_text(value).encode()

    def dump_untyped(self, value: Any, meta: Meta | None, typed: bool) -> bytes:
        if isinstance(value, bool):
            return b'true' if value else b'false'
        if isinstance(value, (int, float, str)):
            # A ValueError is half a surrogate pair, or thousands of digits.
            return (_double_text(value) if isinstance(value, float) else str(value)).encode()
        raise PayloadError(f'text carries one scalar, got {show(value)}')

    def load(self, payload: bytes) -> str:
        try:
            return payload.decode()
        except UnicodeDecodeError as error:
            raise malformed(payload, 'text', f'the text is not UTF-8: {error}') from None

    def restorer(self, type_: FieldType, path: str) -> Callable[[Any], Any]:
        return partial(_parse, type_, path) if isinstance(type_, Primitive) else str

    def reader(self, message: Message | None, field: str | None) -> Decode:
        if message is None:
            return self.unpack
        try:
            path = self.value_path(message, field)
        except InterfaceError:  # the type has several, and none was named
            return self.unpack
        restore = self.restorer(field_at(message, path), path)
        return lambda payload: (restore(self.load(payload)), None)
