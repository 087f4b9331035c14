# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds out how to send values to a name."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from redis_bridge.client.lookup import KIND_OF_TYPE, Lookup, known_codec
from redis_bridge.errors import InterfaceError, PayloadError, show
from redis_bridge.mapping.model import SOURCES
from redis_bridge.messages import cdr_write
from redis_bridge.messages.guards import Guards
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.codec import Codec
from redis_bridge.protocol import names
from redis_bridge.protocol.descriptions import Demands, Format, NameInfo
from redis_bridge.protocol.meta import Meta, entry_fields
from redis_bridge.redis_io.connection import Command

EncodeValue = Callable[[Any, 'Meta | None'], bytes]


@dataclass(frozen=True)
class Target:
    """Where and how to publish; made by `Client.target`."""

    name: str
    kind: str  # channel | key | stream
    encoding: str  # one of CODECS
    type: str | None
    field: str | None
    encode: EncodeValue = dataclasses.field(repr=False, compare=False)

    def command(self, value: Any, meta: Meta) -> Command:
        """Return the command that sends a value; raises PayloadError."""
        value = _plain(value)
        if self.kind == 'channel':
            return ('PUBLISH', self.name, self.encode(value, meta))
        if self.kind == 'key':
            return ('SET', self.name, self.encode(value, meta))
        return ('XADD', self.name, '*', *entry_fields(self.encode(value, None), meta))


def find_target(
    lookup: Lookup, name: str, kind: str | None, encoding: str | None, type_: str | None
) -> Target:
    """Return where and how to publish; None leaves the choice to what bridges say.

    :raises PayloadError: an argument is invalid, or `kind` must be given.
    :raises InterfaceError: the type is needed, and no bridge describes it.
    """
    if kind is not None and kind not in SOURCES:
        raise PayloadError(f'kind: expected one of {", ".join(SOURCES)}, got {kind!r}')
    if encoding is not None and encoding not in CODECS:
        known = ', '.join(CODECS)
        raise PayloadError(f'encoding: expected one of {known}, got {encoding!r}')
    if problem := names.redis_name_problem(name):
        raise PayloadError(problem)
    redis_type, info = lookup.name(name)
    if kind is None:
        kind = _kind(name, redis_type, info)
    # Without a bridge that reads the name, other readers most likely expect what bridges write.
    expected = info.to_publish(kind) or Format('json', None, None, None)
    encoding = encoding or expected.encoding
    type_ = names.normal_type(type_) if type_ else expected.type
    message: Message | None
    codec = known_codec(encoding)
    if codec.needs_type:
        type_hash = expected.type_hash if type_ == expected.type else None
        message = lookup.exact_message(type_, type_hash)
    else:
        message = lookup.known_message(type_) if type_ else None
    demands = expected.demands
    if type_ != expected.type:  # whose fields may be others
        demands = Demands(max_bytes=demands.max_bytes)
    encode = _encoder(message, codec, expected.field, demands)
    return Target(name, kind, encoding, type_, expected.field, encode)


def _kind(name: str, redis_type: str, info: NameInfo) -> str:
    if len(info.read_as) > 1:
        raise PayloadError(f'{name!r} is read as {" and as ".join(info.read_as)}: give `kind`')
    if info.read_as:
        return next(iter(info.read_as))
    if redis_type == 'none':
        return 'channel'
    kind = KIND_OF_TYPE.get(redis_type, redis_type)
    if kind not in SOURCES:
        raise PayloadError(
            f'{name!r} is a {kind} in Redis, and no route reads a {kind}: use another name, or '
            'give `kind` as channel to publish to the channel of this name'
        )
    return kind


def _encoder(
    message: Message | None, codec: Codec, field: str | None, demands: Demands
) -> EncodeValue:
    """Return a function that encodes a value as far as its reader will accept it.

    Without the message type only the size is checked.
    """
    encode = _typed(message, codec, field, demands)
    most = demands.max_bytes
    if most is None:
        return encode

    def small(value: Any, meta: Meta | None) -> bytes:
        payload = encode(value, meta)
        if len(payload) > most:
            text = f'{len(payload)} bytes, the bridge takes max_bytes {most}'
            raise PayloadError(text, 'over_size')
        return payload

    return small


def _typed(
    message: Message | None, codec: Codec, field: str | None, demands: Demands
) -> EncodeValue:
    """Return a function that encodes a value, and checks it first if its type is known."""
    guards = Guards(demands.limits, demands.required, finite=demands.finite)
    if codec.needs_type and message is not None:
        write, to_payload = cdr_write.writer(message, guards), codec.encoder(message)
        return lambda value, meta: to_payload(write(_map(value)), meta)
    check = None if message is None else _check(message, codec, field, guards)

    def encode(value: Any, meta: Meta | None) -> bytes:
        is_map = isinstance(value, dict) and field is None
        payload = codec.pack(value, meta if is_map else None)
        if check is not None:
            check(payload)
        return payload

    return encode


def _check(
    message: Message, codec: Codec, field: str | None, guards: Guards
) -> Callable[[bytes], object] | None:
    """Return a function that raises PayloadError for a payload that its reader will reject."""
    try:
        read = codec.decoder(message, field=field)
    except InterfaceError:  # text whose field only the reader knows
        return None
    write = cdr_write.writer(message, guards)
    return lambda payload: write(read(payload)[0])


def _plain(value: Any) -> Any:
    """Return a value with numbers instead of the scalars of numpy; arrays stay."""
    if isinstance(value, dict):
        for name in value:
            if type(name) is not str:
                raise PayloadError(f'expected a string as name of an entry, got {show(name)}')
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    is_scalar = getattr(value, 'shape', None) == () and hasattr(value, 'item')
    return value.item() if is_scalar else value


def _map(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PayloadError(f'expected a map of fields, got {value!r}')
    return value
