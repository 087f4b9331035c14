# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Turns what Redis holds into plain values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple

from redis_bridge.client.lookup import Lookup, known_codec
from redis_bridge.client.stored import Event
from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.mapping.model import SINKS
from redis_bridge.messages.paths import field_at, get_at
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.codec import Decode
from redis_bridge.payloads.hash_fields import field_codec
from redis_bridge.protocol.descriptions import NameInfo
from redis_bridge.protocol.meta import Meta

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


def guess_json(payload: bytes) -> tuple[Any, Meta | None]:
    """Decode a payload that most likely is JSON, also a bare number or string."""
    with contextlib.suppress(PayloadError):
        return CODECS['json'].unpack(payload)
    return guess(payload)


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


def decoder_for(lookup: Lookup, kind: str, info: NameInfo, otherwise: Decode = guess) -> Decoder:
    """Return the decoder for a name of which bridges say `info`.

    :param otherwise: decodes the payloads of a kind of which they say nothing.
    :raises InterfaceError: the type is needed, and no bridge describes it.
    """
    format_ = info.to_read(kind)
    if format_ is None:
        return Decoder(otherwise)
    encoding, type_, type_hash, field, _ = format_
    if SINKS[kind].encoding is None:
        described = lookup.known_message(type_)
        return Decoder(fields=lambda fields: nested(fields, described))
    codec = known_codec(encoding)
    if codec.needs_type:
        message: Message | None = lookup.exact_message(type_, type_hash)
    else:
        message = lookup.known_message(type_)
    return Decoder(codec.reader(message, field))


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
    value, _ = field_codec(type_).decoder(message, field=path)(text)
    return get_at(value, path)
