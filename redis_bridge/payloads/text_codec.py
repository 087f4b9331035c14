# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One scalar as UTF-8."""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr_read
from redis_bridge.messages.find_error import show
from redis_bridge.messages.paths import field_at, get_at, leaves
from redis_bridge.messages.types import Message, Primitive, String
from redis_bridge.payloads.codec import Codec, Decode, Encode, nest
from redis_bridge.payloads.json_codec import INTEGER, NON_FINITE, float_name
from redis_bridge.protocol.meta import Meta

_FLOAT = re.compile(r'-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?')
_FLOAT_LENGTH = 800  # no double needs more digits


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


def to_text(type_: Primitive | String) -> Callable[[Any], str]:
    """Return a function from a scalar to its text."""
    if isinstance(type_, String):
        return lambda value: value
    return {
        'boolean': lambda value: 'true' if value else 'false',
        'float': _float_text,
        'double': _double_text,
    }.get(type_.name, str)


def _from_text(type_: Primitive | String, path: str) -> Callable[[str], Any]:
    if isinstance(type_, String):
        return lambda text: text

    def parse(text: str) -> Any:
        value: Any = None
        if type_.name == 'boolean':
            value = {'true': True, 'false': False}.get(text)
        elif not type_.is_float:
            value = int(text) if INTEGER.fullmatch(text) else None
        elif text in NON_FINITE:
            value = NON_FINITE[text]
        elif len(text) <= _FLOAT_LENGTH and _FLOAT.fullmatch(text):
            value = float(text)
            if math.isinf(value):
                raise PayloadError(f'{path}: {text[:40]} is out of range of {type_}')
        if value is None:
            raise PayloadError(f'{path}: expected {type_} as text, got {show(text)}')
        return value

    return parse


def _scalar(message: Message, field: str | None) -> tuple[str, Primitive | String]:
    """Return the path and type of the scalar that a text payload carries."""
    if field is not None:
        type_ = field_at(message, field)
        if not isinstance(type_, (Primitive, String)):
            raise InterfaceError(
                f'{field}: text carries one scalar, but this is {type_} of {message.name}'
            )
        return field, type_
    scalars = [
        (path, type_) for path, type_ in leaves(message) if isinstance(type_, (Primitive, String))
    ]
    if len(scalars) != 1:
        names = ', '.join(path for path, _ in scalars[:8]) + (', ...' if len(scalars) > 8 else '')
        raise InterfaceError(
            f'text carries one scalar, but {message.name} has {len(scalars)}'
            + (f': give one as field ({names})' if scalars else '')
        )
    return scalars[0]


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f'the text is not UTF-8: {error}') from None


class Text(Codec):
    """One scalar as UTF-8."""

    name = 'text'
    one_scalar = True

    def encoder(
        self,
        message: Message,
        field: str | None = None,
        fields: Sequence[str] = (),
        arrays: str = 'list',
    ) -> Encode:
        if fields:
            raise InterfaceError('text carries one scalar: give it as field, not as fields')
        path, type_ = _scalar(message, field)
        read, text = cdr_read.reader(message, (path,)), to_text(type_)

        def encode(payload: bytes, _: Meta | None = None) -> bytes:
            return text(get_at(read(payload), path)).encode()

        return encode

    def decoder(self, message: Message, field: str | None = None) -> Decode:
        path, type_ = _scalar(message, field)
        parse = _from_text(type_, path)
        return lambda payload: (nest(parse(_decoded(payload)), path), None)

    def pack(self, value: Any, meta: Meta | None = None, arrays: str = 'list') -> bytes:
        if isinstance(value, bool):
            return b'true' if value else b'false'
        if isinstance(value, (int, float, str)):
            try:
                return (_double_text(value) if isinstance(value, float) else str(value)).encode()
            except ValueError as error:  # half a surrogate pair, or thousands of digits
                raise PayloadError(f'cannot be written as text: {error}') from None
        raise PayloadError(f'text carries one scalar, got {show(value)}')

    def unpack(self, payload: bytes) -> tuple[str, None]:
        return _decoded(payload), None

    def reader(self, message: Message | None, field: str | None) -> Decode:
        if message is None:
            return self.unpack
        try:
            path, type_ = _scalar(message, field)
        except InterfaceError:  # the type has several, and none was named
            return self.unpack
        parse = _from_text(type_, path)
        return lambda payload: (parse(_decoded(payload)), None)
