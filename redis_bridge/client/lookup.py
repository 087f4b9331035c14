# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Looks up what bridges say about a name or a message type."""

from __future__ import annotations

from collections.abc import Collection

from redis_bridge.client.calls import Calls
from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import SINKS
from redis_bridge.messages.definition import parse_definition, type_hash
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.codec import Codec
from redis_bridge.protocol import keys
from redis_bridge.protocol.descriptions import NameInfo, type_description
from redis_bridge.redis_io.resp import pairs

# By the reply of TYPE, the kind of name.
KIND_OF_TYPE = {sink.redis_type: kind for kind, sink in SINKS.items() if sink.redis_type}


class Lookup:
    """Asks Redis for what bridges say about names and message types."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._types: dict[tuple[str, str], tuple[Message, str]] = {}  # by name and definition

    def name(self, name: str) -> tuple[str, NameInfo]:
        """Return the Redis type of a name, as TYPE gives it, and what bridges say about it."""
        return self.names([name])[name]

    def names(self, names: Collection[str]) -> dict[str, tuple[str, NameInfo]]:
        """Return what `name` does, of several names at once."""
        asked = [(('TYPE', name), ('HGETALL', keys.meta_key(name))) for name in names]
        replies = iter(self._calls.pipe([command for both in asked for command in both]))
        return {
            name: (redis_type.decode(), NameInfo.of(pairs(fields), SINKS))
            for name, redis_type, fields in zip(names, replies, replies)
        }

    def known_message(self, name: str | None) -> Message | None:
        """Return a message type; None if no bridge describes it in a way that we understand."""
        try:
            return self._described(name)[0]
        except InterfaceError:
            return None

    def exact_message(self, name: str | None, type_hash: str | None) -> Message:
        """Return a message type in exactly one version.

        :param type_hash: of the payload, if known.
        :raises InterfaceError: no bridge describes the type, or another version of it.
        """
        message, known_hash = self._described(name)
        if type_hash is not None and type_hash != known_hash:
            raise InterfaceError(
                f'{name} has two versions: the one described in Redis has the type hash '
                f'{known_hash}, the payload has {type_hash}'
            )
        return message

    def _described(self, name: str | None) -> tuple[Message, str]:
        """Return a message type and its hash."""
        if name is None:
            raise InterfaceError('the message type is needed, and no bridge names it')
        fields = pairs(self._calls.call('HGETALL', keys.type_key(name)))
        described = type_description(name, fields)
        key = name, described.definition
        known = self._types.get(key)
        if known is None:
            message = parse_definition(*key)
            known = self._types[key] = message, type_hash(message)
        if described.type_hash not in ('', known[1]):
            raise InterfaceError(
                f'the description of {name} in Redis is inconsistent: it says '
                f'{described.type_hash}, but its definition has {known[1]}'
            )
        return known


def known_codec(encoding: str) -> Codec:
    """Return the codec that a bridge names; raises InterfaceError."""
    if encoding not in CODECS:
        raise InterfaceError(
            f'a bridge uses the encoding {encoding!r}, which this client does not know: update '
            'the client'
        )
    return CODECS[encoding]
