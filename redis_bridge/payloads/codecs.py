# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Turns CDR into the payloads that Redis holds, and payloads into plain values.

Four encodings: msgpack and json carry maps as `interfaces` describes plain values, text carries
one scalar, cdr is the serialized message itself. `encoder`, `decoder` and `hash_encoder`
are made once per route, for its message type; `pack` and `unpack` need no type. The
functions they return are not to be shared between threads.
"""

from __future__ import annotations

import base64
import json
import math
import re
import struct
import sys
from array import array
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, Protocol

import msgpack

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr
from redis_bridge.messages.codegen import HEADERS, LITTLE
from redis_bridge.messages.find_error import show
from redis_bridge.messages.types import (
    Array,
    FieldType,
    Message,
    Primitive,
    Sequence,
    String,
    field_at,
    is_bytes,
    leaves,
    type_name,
)
from redis_bridge.payloads import msgpack_direct
from redis_bridge.protocol.meta import Meta

# The extra entry of a map that carries what travels beside the message. No ROS field can have
# this name, since those begin with a letter.
META = '_meta'
_LAST_STAMP = 1e15  # seconds

Encode = Callable[..., bytes]  # (cdr, meta=None)
Decode = Callable[[bytes], 'tuple[dict, Meta | None]']
HashEncode = Callable[[bytes], 'dict[str, bytes]']


class Codec(Protocol):
    """One encoding."""

    name: str

    def encoder(
        self, message: Message, field: str | None, fields: Iterable[str], arrays: str
    ) -> Encode:
        """Return a function from CDR and metadata to a payload."""

    def decoder(self, message: Message, field: str | None) -> Decode:
        """Return a function from a payload to a plain value, not yet checked, and metadata."""

    def pack(self, value: Any, meta: Meta | None, arrays: str) -> bytes:
        """Return a payload for a plain value whose type is not known."""

    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        """Return the plain value and the metadata of a payload whose type is not known."""


def encoder(
    message: Message,
    encoding: str,
    *,
    field: str | None = None,
    fields: Iterable[str] = (),
    arrays: str = 'list',
) -> Encode:
    """Return a function `(cdr, meta=None) -> payload`; it raises PayloadError for broken CDR.

    :param field: the payload is the bare value at this dotted path, without metadata.
    :param fields: the payload holds only these dotted paths, nested as in ROS.
    :param arrays: 'typed': numeric arrays are msgpack ext values instead of lists.
    :raises InterfaceError: a path is unknown, or the encoding cannot carry what it names.
    """
    return _codec(encoding).encoder(message, field, tuple(fields), arrays)


def decoder(message: Message, encoding: str, *, field: str | None = None) -> Decode:
    """Return a function `payload -> (value, meta or None)`; it raises PayloadError.

    The value holds what the sender gave; unknown names, wrong kinds and ranges are left for
    `cdr.writer` to refuse.
    """
    return _codec(encoding).decoder(message, field)


def hash_encoder(message: Message, fields: Iterable[str] = ()) -> HashEncode:
    """Return a function from CDR to the fields of a Redis hash: dotted names and text.

    Scalars are as the text encoding has them, arrays are one JSON value each.
    """
    fields = tuple(fields)
    read = cdr.reader(message, fields)
    paths: dict[str, FieldType] = {}
    for path in fields:
        type_ = field_at(message, path)
        paths.update(leaves(type_, f'{path}.') if isinstance(type_, Message) else {path: type_})
    steps = [
        (path, path.split('.'), _hash_text(type_))
        for path, type_ in (paths or dict(leaves(message))).items()
    ]

    def encode(payload: bytes) -> dict[str, bytes]:
        value = read(payload)
        return {path: text(_at(value, parts)) for path, parts, text in steps}

    return encode


def pack(encoding: str, value: Any, meta: Meta | None = None, arrays: str = 'list') -> bytes:
    """Return a payload for a plain value; metadata goes into maps only.

    :raises PayloadError: the value holds what the encoding cannot carry.
    """
    return _codec(encoding).pack(value, meta, arrays)


def unpack(encoding: str, payload: bytes) -> tuple[Any, Meta | None]:
    """Return the plain value and the metadata of a payload; text gives a string.

    Without the type, what JSON writes as strings (bytes, NaN, great integers) stays a string.
    """
    return _codec(encoding).unpack(payload)


def _codec(encoding: str) -> Codec:
    if encoding not in CODECS:
        raise InterfaceError(f'encoding: expected one of {", ".join(CODECS)}, got {encoding!r}')
    return CODECS[encoding]


def _at(value: Any, parts: list[str]) -> Any:
    for part in parts:
        value = value[part]
    return value


def _wrapped(value: Any, parts: list[str]) -> dict:
    for part in reversed(parts):
        value = {part: value}
    return value


# Metadata


def _with_meta(value: Any, meta: Meta | None) -> Any:
    """Return a map that also holds the metadata; other values cannot."""
    if meta is None or type(value) is not dict:
        return value
    return {**value, META: {'origin': meta.origin, 'seq': meta.seq, 'stamp': meta.stamp}}


def _take_meta(value: dict) -> Meta | None:
    """Take the metadata out of a map.

    Other writers need not know who they are: without `origin` and `seq` it only dates the map.
    """
    if META not in value:
        return None
    entry = value.pop(META)
    if type(entry) is not dict:
        raise PayloadError(f'{META}: expected a map, got {show(entry)}')
    origin, seq, stamp = entry.get('origin', ''), entry.get('seq', 0), entry.get('stamp')
    if type(origin) is not str:
        raise PayloadError(f'{META}.origin: expected a string, got {show(origin)}')
    if type(seq) is not int or not 0 <= seq < 1 << 64:
        raise PayloadError(f'{META}.seq: expected a count, got {show(seq)}')
    if type(stamp) not in (float, int) or not abs(stamp) < _LAST_STAMP:
        raise PayloadError(f'{META}.stamp: expected seconds, got {show(stamp)}')
    return Meta(origin, seq, float(stamp))


def _no_duplicates(pairs: list[tuple[Any, Any]]) -> dict:
    value = dict(pairs)
    if len(value) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'{show(twice)} is written twice')
    return value


class _MapCodec:
    """What msgpack and json have in common."""

    name: str
    carries_arrays: bool

    def encoder(
        self, message: Message, field: str | None, fields: Iterable[str], arrays: str
    ) -> Encode:
        typed = self.carries_arrays and arrays == 'typed'
        read = cdr.reader(message, (field,) if field else fields, typed)
        if field:
            parts = field.split('.')
            dump_field = self.dumper(field_at(message, field))
            return lambda payload, meta=None: dump_field(_at(read(payload), parts))
        dump = self.dumper(message)

        def encode(payload: bytes, meta: Meta | None = None) -> bytes:
            value = read(payload)
            if meta is not None:
                origin, seq, stamp = meta
                value[META] = {'origin': origin, 'seq': seq, 'stamp': stamp}
            return dump(value)

        return encode

    def decoder(self, message: Message, field: str | None) -> Decode:
        undo = self._undoer(field_at(message, field) if field else message, field or '')
        if field:
            parts = field.split('.')
            return lambda payload: (_wrapped(undo(self._load(payload)), parts), None)

        def decode(payload: bytes) -> tuple[dict, Meta | None]:
            value = self._load(payload)
            if type(value) is not dict:
                raise PayloadError(f'expected a map of {type_name(message)}, got {show(value)}')
            meta = _take_meta(value)
            return undo(value), meta

        return decode

    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        value = self._load(payload)
        return value, _take_meta(value) if type(value) is dict else None

    def dumper(self, type_: FieldType) -> Callable[[Any], bytes]:
        """Return a function from a plain value of a type, as CDR holds it, to a payload."""
        raise NotImplementedError

    def _load(self, payload: bytes) -> Any:
        raise NotImplementedError

    def _undoer(self, type_: FieldType, path: str) -> Callable[[Any], Any]:
        return lambda value: value


# msgpack

# The end of the metadata, of fixed width: seq, stamp's name and stamp.
_META_END = struct.Struct('>BQ7sd')
_META_MARKS = 0xCF, b'\xa5stamp\xcb'
_META_START = msgpack.packb(META) + b'\x83' + msgpack.packb('origin')
_META_SEQ = msgpack.packb('seq')
_LITTLE_ENDIAN = HEADERS[LITTLE]
_ORIGINS = 1024  # kept, as the same ones come again and again


def _packed_meta(meta: Meta) -> bytes:
    """Return metadata as the last entry of a map."""
    origin, seq, stamp = meta
    mark, name = _META_MARKS
    return _meta_start(origin) + _META_END.pack(mark, seq, name, stamp)


@lru_cache(_ORIGINS)
def _meta_start(origin: str) -> bytes:
    return _META_START + msgpack.packb(origin) + _META_SEQ


def _named_entries(pairs: Iterable[tuple[Any, Any]]) -> dict:
    value = _no_duplicates(list(pairs))  # msgpack in plain Python hands over a generator
    for name in value:
        if type(name) is not str:  # bytes would pass as well
            raise ValueError(f'{show(name)} for the name of an entry')
    return value


def _from_ext(tag: int, data: bytes) -> array:
    if tag not in msgpack_direct.TAGS:
        raise ValueError(f'unknown ext code {tag}')
    code, order = msgpack_direct.TAGS[tag]
    numbers = array(code, data)
    if order != sys.byteorder and numbers.itemsize > 1:
        numbers.byteswap()
    return numbers


def _standard_code(numbers: array) -> str:
    """Return the type code that is as wide on every machine ('l' and 'L' are not)."""
    if numbers.typecode in msgpack_direct.EXT_CODES:
        return numbers.typecode
    codes = {('l', 4): 'i', ('l', 8): 'q', ('L', 4): 'I', ('L', 8): 'Q'}
    code = codes.get((numbers.typecode, numbers.itemsize))
    if code is None:
        raise TypeError(f'an array of type {numbers.typecode!r} cannot be carried')
    return code


def _to_ext(value: Any) -> Any:
    """Return what stands for a value that msgpack does not know: a typed array."""
    if not isinstance(value, array):
        raise TypeError(f'{show(value)} cannot be carried')
    code = _standard_code(value)
    if code == 'B':
        return value.tobytes()
    if sys.byteorder == 'big' and value.itemsize > 1:
        value = value[:]
        value.byteswap()
    return msgpack.ExtType(msgpack_direct.EXT_CODES[code], value.tobytes())


def _to_list(value: Any) -> Any:
    if not isinstance(value, array):
        raise TypeError(f'{show(value)} cannot be carried')
    return value.tobytes() if _standard_code(value) == 'B' else value.tolist()


class Msgpack(_MapCodec):
    """Maps, lists and numbers in msgpack; byte arrays are bin."""

    name = 'msgpack'
    carries_arrays = True

    def encoder(
        self, message: Message, field: str | None, fields: Iterable[str], arrays: str
    ) -> Encode:
        general = super().encoder(message, field, fields, arrays)
        if field or fields:
            return general
        pack = msgpack_direct.to_msgpack(message, typed=arrays == 'typed')
        if pack is None:
            return general

        def encode(payload: bytes, meta: Meta | None = None) -> bytes:
            if payload[:2] != _LITTLE_ENDIAN:
                return general(payload, meta)
            return pack(payload, b'' if meta is None else _packed_meta(meta))

        return encode

    def pack(self, value: Any, meta: Meta | None, arrays: str) -> bytes:
        default = _to_ext if arrays == 'typed' else _to_list
        try:
            return msgpack.packb(_with_meta(value, meta), default=default)
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise PayloadError(f'cannot be written as msgpack: {error}') from None

    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        value, meta = super().unpack(payload)
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, msgpack.Timestamp):  # msgpack's own ext type cannot be turned off
                raise PayloadError('not msgpack as used here: ext code -1')
            if isinstance(item, dict):
                waiting += item.values()
            elif isinstance(item, list):
                waiting += item
        return value, meta

    def dumper(self, type_: FieldType) -> Callable[[Any], bytes]:
        return msgpack.Packer(default=_to_ext).pack

    def _load(self, payload: bytes) -> Any:
        try:
            return msgpack.unpackb(
                payload,
                raw=False,
                use_list=True,
                strict_map_key=True,
                max_ext_len=len(payload),
                ext_hook=_from_ext,
                object_pairs_hook=_named_entries,
            )
        except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
            reason = str(error) or type(error).__name__
            raise PayloadError(f'not msgpack as used here: {reason}') from None


# json

_EXACT = 1 << 53  # beyond this a JSON number is not exact in JavaScript and others
_NON_FINITE = {'NaN': math.nan, 'Infinity': math.inf, '-Infinity': -math.inf}
_INTEGER = re.compile(r'-?[0-9]{1,20}')

Convert = Callable[[Any], Any]


def _float_name(value: float) -> str:
    return 'NaN' if value != value else 'Infinity' if value > 0 else '-Infinity'


def _finite(value: float) -> float | str:
    return value if value - value == 0 else _float_name(value)


def _exact(value: int) -> int | str:
    return value if -_EXACT <= value <= _EXACT else str(value)


def _to_base64(value: Any) -> str:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f'{show(value)} cannot be carried')


def _from_float_name(value: Any) -> Any:
    return _NON_FINITE.get(value, value) if type(value) is str else value


def _from_digits(value: Any) -> Any:
    return int(value) if type(value) is str and _INTEGER.fullmatch(value) else value


def _literal_float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f'{text[:40]} is out of range')
    return value


def _converter(
    type_: FieldType, of: Callable[[FieldType, str], Convert | None], path: str = ''
) -> Convert | None:
    """Return a function that changes what `of` gives a function for, in place; None for nothing.

    Values may be partial or of a wrong kind: what does not look as its type is left alone.
    """
    own = of(type_, path)
    if own is not None:
        return own
    if isinstance(type_, Message):
        steps = []
        for field in type_.fields:
            step = _converter(field.type, of, f'{path}.{field.name}' if path else field.name)
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
    if isinstance(type_, (Array, Sequence)):
        each = _converter(type_.item, of, f'{path}[]')
        if each is None:
            return None
        return lambda value: [each(item) for item in value] if type(value) is list else value
    return None


def _integers_to_json(type_: FieldType, path: str) -> Convert | None:
    wide = isinstance(type_, Primitive) and type_.name in ('int64', 'uint64')
    return _exact if wide else None


def _floats_to_json(type_: FieldType, path: str) -> Convert | None:
    return _finite if isinstance(type_, Primitive) and type_.name in ('float', 'double') else None


def _from_json(type_: FieldType, path: str) -> Convert | None:
    """Return what undoes the forms that JSON needs strings for."""
    if isinstance(type_, Primitive):
        if type_.name in ('float', 'double'):
            return _from_float_name
        return _from_digits if type_.name in ('int64', 'uint64') else None
    if not is_bytes(type_):
        return None

    def from_base64(value: Any) -> Any:
        if type(value) is not str:
            return value
        try:
            return base64.b64decode(value, validate=True)
        except ValueError:
            raise PayloadError(f'{path}: expected base64, got {show(value)}') from None

    return from_base64


class Json(_MapCodec):
    """Maps, lists and numbers in JSON, with protobuf's conventions where JSON is too narrow."""

    name = 'json'
    carries_arrays = False

    _encode = json.JSONEncoder(
        ensure_ascii=False,
        allow_nan=False,
        check_circular=False,
        separators=(',', ':'),
        default=_to_base64,
    ).encode
    _decode = json.JSONDecoder(object_pairs_hook=_no_duplicates, parse_float=_literal_float).decode

    def pack(self, value: Any, meta: Meta | None, arrays: str) -> bytes:
        try:
            return self._encode(_with_meta(_untyped_to_json(value), meta)).encode()
        except (ValueError, TypeError, RecursionError) as error:
            reason = str(error) or type(error).__name__
            raise PayloadError(f'cannot be written as JSON: {reason}') from None

    def dumper(self, type_: FieldType) -> Callable[[Any], bytes]:
        encode = self._encode
        integers = _converter(type_, _integers_to_json)
        floats = _converter(type_, _floats_to_json)

        def dump(value: Any) -> bytes:
            if integers is not None:
                value = integers(value)
            try:
                return encode(value).encode()
            except ValueError:  # not all are finite, which few messages need to be asked for
                if floats is None:
                    raise
                return encode(floats(value)).encode()

        return dump

    def _load(self, payload: bytes) -> Any:
        try:
            return self._decode(payload.decode())
        except (ValueError, RecursionError) as error:
            reason = 'nested too deep' if isinstance(error, RecursionError) else str(error)
            raise PayloadError(f'not JSON as used here: {reason}') from None

    def _undoer(self, type_: FieldType, path: str) -> Convert:
        return _converter(type_, _from_json, path) or (lambda value: value)


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
        return _untyped_to_json(_to_list(value))
    if isinstance(value, float):
        return _finite(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _exact(value)
    return value


# text

_FLOAT = re.compile(r'-?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?')
_FLOAT_LENGTH = 800  # no double needs more digits


def _double_text(value: float) -> str:
    return repr(value) if value - value == 0 else _float_name(value)


def _float_text(value: float) -> str:
    """Return the shortest decimal that gives the same float32."""
    if value - value != 0 or value == 0:
        return _double_text(value)
    # Up to 6 digits survive a float32, unless it is subnormal; 9 always tell it from all others.
    for digits in range(6 if abs(value) >= 1.1754944e-38 else 1, 9):
        short = float(f'{value:.{digits}g}')
        try:
            same = struct.unpack('f', struct.pack('f', short))[0] == value
        except OverflowError:  # rounded up beyond the greatest float32
            continue
        if same:
            return repr(short)
    return repr(float(f'{value:.9g}'))


def _to_text(type_: FieldType) -> Callable[[Any], str]:
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
        elif type_.name not in ('float', 'double'):
            value = int(text) if _INTEGER.fullmatch(text) else None
        elif text in _NON_FINITE:
            value = _NON_FINITE[text]
        elif len(text) <= _FLOAT_LENGTH and _FLOAT.fullmatch(text):
            value = float(text)
            if math.isinf(value):
                raise PayloadError(f'{path}: {text[:40]} is out of range of {type_name(type_)}')
        if value is None:
            raise PayloadError(f'{path}: expected {type_name(type_)} as text, got {show(text)}')
        return value

    return parse


def _scalar(message: Message, field: str | None) -> tuple[str, Primitive | String]:
    """Return the path and type of the scalar that a text payload carries."""
    if field is not None:
        type_ = field_at(message, field)
        if not isinstance(type_, (Primitive, String)):
            raise InterfaceError(
                f'{field}: text carries one scalar, but this is {type_name(type_)} of {message}'
            )
        return field, type_
    scalars = [pair for pair in leaves(message) if isinstance(pair[1], (Primitive, String))]
    if len(scalars) != 1:
        names = ', '.join(path for path, _ in scalars[:8]) + (', ...' if len(scalars) > 8 else '')
        raise InterfaceError(
            f'text carries one scalar, but {message} has {len(scalars)}'
            + (f': give one as field ({names})' if scalars else '')
        )
    return scalars[0]


def _decoded(payload: bytes) -> str:
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise PayloadError(f'the text is not UTF-8: {error}') from None


class Text:
    """One scalar as UTF-8."""

    name = 'text'

    def encoder(
        self, message: Message, field: str | None, fields: Iterable[str], arrays: str
    ) -> Encode:
        if fields:
            raise InterfaceError('text carries one scalar: give it as field, not as fields')
        path, type_ = _scalar(message, field)
        read, parts, text = cdr.reader(message, (path,)), path.split('.'), _to_text(type_)
        return lambda payload, meta=None: text(_at(read(payload), parts)).encode()

    def decoder(self, message: Message, field: str | None) -> Decode:
        path, type_ = _scalar(message, field)
        parts, parse = path.split('.'), _from_text(type_, path)
        return lambda payload: (_wrapped(parse(_decoded(payload)), parts), None)

    def pack(self, value: Any, meta: Meta | None, arrays: str) -> bytes:
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


# cdr


class Cdr:
    """The serialized message, as DDS carries it."""

    name = 'cdr'

    def encoder(
        self, message: Message, field: str | None, fields: Iterable[str], arrays: str
    ) -> Encode:
        if field or fields:
            raise InterfaceError('cdr carries whole messages, without field or fields')
        check = cdr.checker(message)

        def encode(payload: bytes, meta: Meta | None = None) -> bytes:
            check(payload)  # DDS hands on whatever was published, however broken
            return payload

        return encode

    def decoder(self, message: Message, field: str | None) -> Decode:
        if field:
            raise InterfaceError('cdr carries whole messages, without field')
        read = cdr.reader(message)
        return lambda payload: (read(payload), None)

    def pack(self, value: Any, meta: Meta | None, arrays: str) -> bytes:
        raise PayloadError('cdr cannot be written without the message type: see encoder')

    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        raise PayloadError('cdr cannot be read without the message type: see decoder')


CODECS: dict[str, Codec] = {codec.name: codec for codec in (Msgpack(), Json(), Text(), Cdr())}


def _hash_text(type_: FieldType) -> Callable[[Any], bytes]:
    if isinstance(type_, (Primitive, String)):
        text = _to_text(type_)
        return lambda value: text(value).encode()
    return CODECS['json'].dumper(type_)
