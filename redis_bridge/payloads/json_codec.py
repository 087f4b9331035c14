# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Maps, lists and numbers in JSON, with protobuf's conventions where JSON is too narrow."""

from __future__ import annotations

import base64
import json
import math
import re
import secrets
from array import array
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from redis_bridge.errors import PayloadError, show
from redis_bridge.messages.paths import child, get_at
from redis_bridge.messages.pieces import Pause, encode_with_pauses, long_lists_of, pieces
from redis_bridge.messages.types import FieldType, Message, Primitive, String
from redis_bridge.payloads.codec import Decode, ValueCodec, no_duplicates
from redis_bridge.payloads.looks_like import malformed
from redis_bridge.payloads.msgpack_codec import to_list
from redis_bridge.protocol.meta import Meta, with_meta

_EXACT = 1 << 53  # beyond this a JSON number is not exact in JavaScript and others
_NON_FINITE = {'NaN': math.nan, 'Infinity': math.inf, '-Infinity': -math.inf}
INTEGER = re.compile(r'-?[0-9]{1,20}')
# Bytes beyond this are base64 in pieces, put where the encoder has written this string, which no
# value can hold because nobody else knows it.
_BLOB = 3 << 16
_PLACE = secrets.token_hex()
# Of a payload with more bytes Python reads the integers, so that other threads have their turn.
_LARGE = 1 << 20

Convert = Callable[[Any], Any]


def float_name(value: float) -> str:
    """Return the name of NaN or an infinity."""
    return 'NaN' if value != value else 'Infinity' if value > 0 else '-Infinity'


def _finite(value: float) -> float | str:
    return value if value - value == 0 else float_name(value)


def _exact(value: int) -> int | str:
    return value if -_EXACT <= value <= _EXACT else str(value)


def _to_json(value: Any) -> Any:
    """Return the form of a value that JSON does not know."""
    if isinstance(value, Pause):
        return value.item
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f'{show(value)} cannot be carried')


def _from_float_name(value: Any) -> Any:
    return _NON_FINITE.get(value, value) if type(value) is str else value


def _from_integral(value: Any) -> Any:
    return int(value) if type(value) is float and value.is_integer() else value


def _from_digits(value: Any) -> Any:
    is_digits = type(value) is str and INTEGER.fullmatch(value)
    return int(value) if is_digits else _from_integral(value)


def _literal_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f'{text[:40]} is out of range')
    return value


def _from_base64(path: str, value: Any) -> Any:
    if type(value) is not str:
        return value
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise PayloadError(f'{path}: expected base64, got {show(value)}') from None


_INTEGERS_TO_JSON = {'int64': _exact, 'uint64': _exact}
_FLOATS_TO_JSON = {'float': _finite, 'double': _finite}
_FROM_JSON = {
    **dict.fromkeys(('int8', 'uint8', 'int16', 'uint16', 'int32', 'uint32'), _from_integral),
    'int64': _from_digits,
    'uint64': _from_digits,
    'float': _from_float_name,
    'double': _from_float_name,
}


def _converter(
    type_: FieldType, table: Mapping[str, Convert], path: str = '', has_base64: bool = False
) -> Convert | None:
    """Return a function that changes the numbers of a table's types in place; None for nothing.

    Values may be partial or of a wrong kind: what does not look like its type is left alone.

    :param has_base64: whether bytes are strings, to be read.
    """
    if isinstance(type_, Primitive):
        return table.get(type_.name)
    if isinstance(type_, Message):
        steps = []
        for field in type_.fields:
            step = _converter(field.type, table, child(path, field.name), has_base64)
            if step is not None:
                steps.append((field.name, step))
        if not steps:
            return None

        def convert(value: Any) -> Any:
            if type(value) is dict:
                for name, step in steps:
                    if name in value:
                        value[name] = step(value[name])
            return value

        return convert
    if isinstance(type_, String):
        return None
    if type_.is_bytes:
        return partial(_from_base64, path) if has_base64 else None
    each = _converter(type_.item, table, f'{path}[]', has_base64)
    if each is None:
        return None
    if each is _from_integral:  # a list without floats, however long, is left alone
        return lambda value: (
            list(map(_from_integral, value))
            if type(value) is list and any(float in map(type, piece) for piece in pieces(value))
            else value
        )
    return lambda value: [each(item) for item in value] if type(value) is list else value


def _encoder(default: Convert) -> Callable[[Any], str]:
    return json.JSONEncoder(
        ensure_ascii=False,
        allow_nan=False,
        check_circular=False,
        separators=(',', ':'),
        default=default,
    ).encode


def _filled(payload: bytes, blobs: list[bytes]) -> bytes:
    """Return a payload with blobs, which are taken from their list, in their places."""
    before, *others = payload.split(_PLACE.encode())
    parts = [before]
    for behind in others:
        blob = blobs.pop(0)
        parts += (base64.b64encode(blob[at : at + _BLOB]) for at in range(0, len(blob), _BLOB))
        parts.append(behind)
    return b''.join(parts)


class Json(ValueCodec):
    """Maps, lists and numbers in JSON, with protobuf's conventions where JSON is too narrow."""

    name = 'json'
    carries_meta = True

    _encode = staticmethod(_encoder(_to_json))
    _decode = json.JSONDecoder(object_pairs_hook=no_duplicates, parse_float=_literal_float).decode
    _decode_large = json.JSONDecoder(
        object_pairs_hook=no_duplicates,
        parse_float=_literal_float,
        parse_int=lambda digits: int(digits),
    ).decode

    def dump_untyped(self, value: Any, meta: Meta | None, typed: bool) -> bytes:
        return self._encode(with_meta(_untyped_to_json(value), meta)).encode()

    def reader(self, message: Message | None, field: str | None) -> Decode:
        if message is None:
            return self.unpack
        decode = self.decoder(message, field)

        def read(payload: bytes) -> tuple[Any, Meta | None]:
            if field is None and payload.lstrip()[:1] != b'{':
                return self.unpack(payload)  # a bare field whose name no bridge gives
            value, meta = decode(payload)
            return get_at(value, field) if field else value, meta

        return read

    def dumper(self, type_: FieldType) -> Callable[[Any], bytes]:
        integers = _converter(type_, _INTEGERS_TO_JSON)
        floats = _converter(type_, _FLOATS_TO_JSON)
        find = long_lists_of(type_)

        blobs: list[bytes] = []

        def default(value: Any) -> Any:
            if isinstance(value, bytes) and len(value) > _BLOB:
                blobs.append(value)
                return _PLACE
            return _to_json(value)

        to_text = _encoder(default)

        def encode(value: Any) -> bytes:
            blobs.clear()
            payload = encode_with_pauses(to_text, value, find).encode()
            return _filled(payload, blobs) if blobs else payload

        def dump(value: Any) -> bytes:
            if integers is not None:
                value = integers(value)
            try:
                return encode(value)
            except ValueError:  # some are not finite, which few messages are
                if floats is None:
                    raise
                return encode(floats(value))

        return dump

    def load(self, payload: bytes) -> Any:
        try:
            decode = self._decode if len(payload) <= _LARGE else self._decode_large
            return decode(payload.decode())
        except (ValueError, RecursionError) as error:
            reason = 'nested too deep' if isinstance(error, RecursionError) else str(error)
            raise malformed(payload, 'json', f'not JSON as used here: {reason}') from None

    def restorer(self, type_: FieldType, path: str) -> Convert:
        return _converter(type_, _FROM_JSON, path, has_base64=True) or (lambda value: value)


def _untyped_to_json(value: Any) -> Any:
    """Return a copy in which every value that JSON is too narrow for is a string."""
    if isinstance(value, dict):
        for name in value:
            if type(name) is not str:
                raise TypeError(f'{show(name)} is no name of an entry')
        return {name: _untyped_to_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_untyped_to_json(item) for item in value]
    if isinstance(value, array):
        return _untyped_to_json(to_list(value))
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _exact(value)
    return value
