# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Maps, lists and numbers in msgpack."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any, Union

import msgpack

from redis_bridge.errors import PayloadError, show
from redis_bridge.messages.pieces import Pause, encode_with_pauses, long_lists_of
from redis_bridge.messages.types import FieldType, Message
from redis_bridge.payloads import msgpack_direct
from redis_bridge.payloads.codec import Encode, ValueCodec, no_duplicates
from redis_bridge.payloads.looks_like import malformed
from redis_bridge.protocol.meta import META, Meta, take_meta, with_meta

Numbers = Union['array[int]', 'array[float]']

_META_START: bytes = msgpack.packb(META) + b'\x83' + msgpack.packb('origin')
_META_SEQ: bytes = msgpack.packb('seq')
# seq, the name of the stamp and the stamp. JavaScript reads a 64-bit integer as a BigInt, which
# its JSON rejects.
_META_END = struct.Struct('>BI7sd')
_LONG_META_END = struct.Struct('>BQ7sd')
_ORIGINS = 1024  # kept, because the same ones come again and again


def _packed_meta(meta: Meta) -> bytes:
    """Return metadata as the last entry of a map."""
    origin, seq, stamp = meta
    if seq >> 32:
        return _meta_start(origin) + _LONG_META_END.pack(0xCF, seq, b'\xa5stamp\xcb', stamp)
    return _meta_start(origin) + _META_END.pack(0xCE, seq, b'\xa5stamp\xcb', stamp)


@lru_cache(_ORIGINS)
def _meta_start(origin: str) -> bytes:
    packed: bytes = msgpack.packb(origin)
    return _META_START + packed + _META_SEQ


def _named_entries(pairs: Iterable[tuple[Any, Any]]) -> dict[str, Any]:
    value = no_duplicates(list(pairs))  # msgpack in plain Python hands over a generator
    for name in value:
        if type(name) is not str:  # bytes would pass as well
            raise ValueError(f'{show(name)} for the name of an entry')
    return value


def _from_ext(tag: int, data: bytes) -> Numbers:
    if tag not in msgpack_direct.TAGS:
        raise ValueError(f'unknown ext code {tag}')
    code, order = msgpack_direct.TAGS[tag]
    numbers = array(code, data)
    if order == 'big':
        numbers.byteswap()
    return numbers


def _standard_code(numbers: Numbers) -> str:
    """Return the type code that is as wide on every machine ('l' and 'L' are not)."""
    if numbers.typecode in msgpack_direct.EXT_CODES:
        return numbers.typecode
    codes = {('l', 4): 'i', ('l', 8): 'q', ('L', 4): 'I', ('L', 8): 'Q'}
    code = codes.get((numbers.typecode, numbers.itemsize))
    if code is None:
        raise TypeError(f'an array of type {numbers.typecode!r} cannot be carried')
    return code


def _to_ext(value: Any) -> Any:
    """Return the form of a value that msgpack does not know: a typed array."""
    if isinstance(value, Pause):
        return value.item
    if not isinstance(value, array):
        raise TypeError(f'{show(value)} cannot be carried')
    code = _standard_code(value)
    if code == 'B':
        return value.tobytes()
    return msgpack.ExtType(msgpack_direct.EXT_CODES[code], value.tobytes())


def to_list(value: Any) -> bytes | list[Any]:
    """Return a typed array as a list, or as bytes."""
    if not isinstance(value, array):
        raise TypeError(f'{show(value)} cannot be carried')
    return value.tobytes() if _standard_code(value) == 'B' else value.tolist()


class Msgpack(ValueCodec):
    """Maps, lists and numbers in msgpack; byte arrays are bin.

    Of a name that a map has twice, a route takes the last; `unpack` rejects it.
    """

    name = 'msgpack'
    carries_meta = True
    carries_arrays = True

    def map_encoder(self, message: Message, fields: Sequence[str], typed: bool) -> Encode:
        if fields:
            return super().map_encoder(message, fields, typed)
        pack = msgpack_direct.to_msgpack(message, typed)
        return lambda cdr, meta=None: pack(cdr, b'' if meta is None else _packed_meta(meta))

    def dump_untyped(self, value: Any, meta: Meta | None, typed: bool) -> bytes:
        default = _to_ext if typed else to_list
        payload: bytes = msgpack.packb(with_meta(value, meta), default=default)
        return payload

    def unpack(self, payload: bytes) -> tuple[Any, Meta | None]:
        value = _load(payload, _named_entries)
        waiting = [value]
        while waiting:
            item = waiting.pop()
            if isinstance(item, msgpack.Timestamp):  # msgpack's own ext type cannot be turned off
                raise PayloadError('not msgpack as used here: ext code -1')
            if isinstance(item, dict):
                waiting += item.values()
            elif isinstance(item, list):
                waiting += item
        return value, take_meta(value) if type(value) is dict else None

    def dumper(self, type_: FieldType) -> Callable[[Any], bytes]:
        pack: Callable[[Any], bytes] = msgpack.Packer(default=_to_ext).pack
        find = long_lists_of(type_)
        return lambda value: encode_with_pauses(pack, value, find)

    def load(self, payload: bytes) -> Any:
        return _load(payload, None)  # names that are no strings are left for the writer to reject


def _load(payload: bytes, pairs_hook: Callable[..., dict[str, Any]] | None) -> Any:
    try:
        return msgpack.unpackb(
            payload,
            raw=False,
            use_list=True,
            strict_map_key=True,
            max_ext_len=len(payload),
            ext_hook=_from_ext,
            object_pairs_hook=pairs_hook,
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        reason = str(error) or type(error).__name__
        raise malformed(payload, 'msgpack', f'not msgpack as used here: {reason}') from None
