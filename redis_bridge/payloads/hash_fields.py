# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The fields of a Redis hash: dotted names and text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from redis_bridge.messages import cdr_read
from redis_bridge.messages.paths import field_at, get_at, leaves
from redis_bridge.messages.types import FieldType, Message, Primitive, String
from redis_bridge.payloads.codec import ValueCodec
from redis_bridge.payloads.json_codec import Json
from redis_bridge.payloads.text_codec import Text

HashEncode = Callable[[bytes], dict[str, bytes]]
_TEXT, _JSON = Text(), Json()


def field_codec(type_: FieldType) -> ValueCodec:
    """Return the codec of a hash's field: scalars are text, arrays one JSON value each."""
    return _TEXT if isinstance(type_, (Primitive, String)) else _JSON


def hash_encoder(message: Message, fields: Sequence[str] = ()) -> HashEncode:
    """Return a function from CDR to the fields of a hash; it raises PayloadError.

    :param fields: dotted paths; only these are carried. Empty: all.
    :raises InterfaceError: a path is unknown.
    """
    read = cdr_read.reader(message, fields)
    paths: dict[str, FieldType] = {}
    for path in fields:
        type_ = field_at(message, path)
        paths.update(leaves(type_, f'{path}.') if isinstance(type_, Message) else {path: type_})
    steps = [
        (path, field_codec(type_).dumper(type_))
        for path, type_ in (paths or dict(leaves(message))).items()
    ]

    def encode(cdr: bytes) -> dict[str, bytes]:
        value = read(cdr)
        return {path: dump(get_at(value, path)) for path, dump in steps}

    return encode
