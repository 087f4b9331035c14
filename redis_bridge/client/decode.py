# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Turns what Redis holds into plain values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from redis_bridge.client.lookup import Lookup
from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr_read
from redis_bridge.messages.paths import field_at, get_at
from redis_bridge.messages.types import Message, Primitive, String
from redis_bridge.payloads import CODECS
from redis_bridge.protocol.descriptions import NameInfo
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io.watching import Event

Decode = Callable[[bytes], 'tuple[Any, Meta | None]']
DecodeFields = Callable[['dict[bytes, bytes]'], 'dict[str, Any]']


class Update(NamedTuple):
    """One message, or one change of a key."""

    name: str
    kind: str  # channel | key | hash | stream
    value: Any  # None: the key or hash is gone
    meta: Meta | None = None  # sender, number and the Redis server's time, if the sender gave them
    id: str | None = None  # of a stream entry


def guess(payload: bytes) -> tuple[Any, Meta | None]:
    """Decode a payload of unknown encoding."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload, None
    if text.lstrip()[:1] in ('{', '['):
        with contextlib.suppress(PayloadError):
            return CODECS['json'].unpack(payload)
    return text, None


def guess_fields(fields: dict[bytes, bytes]) -> dict[str, Any]:
    """Decode a hash, or a stream entry, that no bridge wrote."""
    return {
        key.decode(errors='backslashreplace'): guess(value)[0] for key, value in fields.items()
    }


class Decoder(NamedTuple):
    """Decodes the payloads of one name and kind."""

    payload: Decode = guess
    fields: DecodeFields = guess_fields

    def update(self, event: Event) -> Update:
        """Return an event with its decoded value; raises PayloadError."""
        name, kind, payload, meta, id_ = event
        if payload is None:
            return Update(name, kind, None)
        try:
            if isinstance(payload, dict):
                return Update(name, kind, self.fields(payload), meta, id_)
            value, own_meta = self.payload(payload)
        except PayloadError as error:
            raise PayloadError(f'{kind} {name!r}: {error}') from error
        return Update(name, kind, value, meta or own_meta, id_)


def decoder(lookup: Lookup, kind: str, info: NameInfo) -> Decoder:
    """Return the decoder for a name of which bridges say `info`.

    :raises InterfaceError: the type is needed, and no bridge describes it.
    """
    format_ = info.to_read(kind)
    if format_ is None:
        return Decoder()
    encoding, type_, type_hash, field = format_
    if encoding == 'cdr':
        read = cdr_read.reader(lookup.exact_message(type_, type_hash))
        return Decoder(lambda payload: (read(payload), None))
    message = lookup.known_message(type_) if type_ else None
    if kind == 'hash':
        return Decoder(fields=lambda fields: nested(fields, message))
    if encoding == 'text':
        return Decoder(_text_decoder(message, field))
    if encoding == 'json' and message is not None:
        return Decoder(_json_decoder(message, field))
    return Decoder(lambda payload: CODECS[encoding].unpack(payload))


def nested(fields: dict[bytes, bytes], message: Message | None) -> dict[str, Any]:
    """Return the map that a hash of dotted fields was written from."""
    value: dict[str, Any] = {}
    for path, text in sorted((key.decode(), text) for key, text in fields.items()):
        *parents, last = path.split('.')
        inner = value
        for part in parents:
            inner = inner.setdefault(part, {})
            if not isinstance(inner, dict):
                raise PayloadError(f'{path}: {part} is also a field with a value')
        inner[last] = guess(text)[0] if message is None else _hash_field(message, path, text)
    return value


def _hash_field(message: Message, path: str, text: bytes) -> Any:
    try:
        type_ = field_at(message, path)
    except InterfaceError:  # of another version of the type
        return guess(text)[0]
    encoding = 'text' if isinstance(type_, (Primitive, String)) else 'json'
    value, _ = CODECS[encoding].decoder(message, field=path)(text)
    return get_at(value, path)


def _text_decoder(message: Message | None, field: str | None) -> Decode:
    """Return a decoder for one scalar; a string if no bridge says which field it is."""
    with contextlib.suppress(InterfaceError):  # the type has several, and none was named
        if message is not None:
            decode = CODECS['text'].decoder(message, field=field)
            return lambda payload: (_innermost(decode(payload)[0]), None)
    return lambda payload: CODECS['text'].unpack(payload)


def _json_decoder(message: Message, field: str | None) -> Decode:
    """Return a decoder for JSON that restores by type what JSON cannot carry (base64, "NaN")."""
    decode = CODECS['json'].decoder(message, field=field)

    def decoded(payload: bytes) -> tuple[Any, Meta | None]:
        if field is None and payload.lstrip()[:1] != b'{':
            return CODECS['json'].unpack(payload)  # a bare field whose name no bridge gives
        value, meta = decode(payload)
        return (get_at(value, field) if field else value), meta

    return decoded


def _innermost(value: Any) -> Any:
    while isinstance(value, dict):
        (value,) = value.values()
    return value
