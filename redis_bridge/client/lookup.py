# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Looks up what bridges say about a name or a message type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from redis_bridge.client.calls import Calls
from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import SINK_KINDS
from redis_bridge.messages import types
from redis_bridge.messages.types import Message
from redis_bridge.protocol import names
from redis_bridge.redis_io.watching import pairs

KIND_OF_TYPE = {'string': 'key', 'hash': 'hash', 'stream': 'stream'}  # by the reply of TYPE


class Format(NamedTuple):
    """How the payloads under a name are encoded."""

    encoding: str
    type: str | None  # 'pkg/msg/Name'
    type_hash: str | None
    field: str | None  # the payload is the bare value at this path


class NameInfo(NamedTuple):
    """What bridges say about a name: its formats by kind."""

    written_as: Mapping[str, Format]
    read_as: Mapping[str, Format]

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes]) -> NameInfo:
        """Return the description in the fields of its hash."""
        said = {key.decode(): value.decode() for key, value in fields.items()}
        type_, from_type = said.get('type'), said.get('from_type')
        written = (type_, said.get('type_hash'), said.get('field'))
        read = (from_type or type_, said.get('from_type_hash'), said.get('from_field'))
        return cls(*(
            {
                kind: Format(said[prefix + kind], *rest)
                for kind in SINK_KINDS
                if prefix + kind in said
            }
            for prefix, rest in (('', written), ('from_', read))
        ))  # fmt: skip

    @property
    def kinds(self) -> list[str]:
        """All kinds that bridges write or read the name as."""
        return list({**self.written_as, **self.read_as})

    def to_read(self, kind: str) -> Format | None:
        """Return the format for a reader: as bridges write it, else as they read it."""
        return self.written_as.get(kind) or self.read_as.get(kind)

    def to_publish(self, kind: str) -> Format | None:
        """Return the format for a sender: as bridges read it, else as they write it."""
        return self.read_as.get(kind) or self.written_as.get(kind)


class Lookup:
    """Asks Redis for what bridges say about names and message types."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._types: dict[tuple[str, str], tuple[Message, str]] = {}  # by name and definition

    def name(self, name: str) -> tuple[str, NameInfo]:
        """Return the Redis type of a name, as TYPE gives it, and what bridges say about it."""
        redis_type, fields = self._calls.pipe([('TYPE', name), ('HGETALL', names.meta_key(name))])
        return redis_type.decode(), NameInfo.of(pairs(fields))

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
        reply = self._calls.call(
            'HMGET', names.type_key(name), 'definition', 'type_hash', 'protocol'
        )
        definition, type_hash, protocol = (value and value.decode() for value in reply)
        if definition is None:
            raise InterfaceError(f'no bridge describes the type {name} in Redis')
        if protocol != str(names.PROTOCOL):
            raise InterfaceError(
                f'{name} is described in protocol {protocol}, and this client speaks protocol '
                f'{names.PROTOCOL}: update the older of the two'
            )
        known = self._types.get((name, definition))
        if known is None:
            message = types.parse_definition(name, definition)
            known = self._types[name, definition] = message, types.type_hash(message)
        if type_hash is not None and type_hash != known[1]:
            raise InterfaceError(
                f'the description of {name} in Redis is inconsistent: it says {type_hash}, but '
                f'its definition has {known[1]}'
            )
        return known
