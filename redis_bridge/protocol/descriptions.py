# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Descriptions in Redis of names and message types, for programs that do not know the mapping.

A hash per message type holds `definition`, `type_hash` and `protocol`. A hash per Redis name
holds the `robot`, per kind that a bridge writes its encoding (`key`: `msgpack`), and `type`,
`type_hash` and `field`. What a bridge reads there has the prefix `from_` in all of these, and per
kind the JSON of what it demands of a payload (`from_channel_demands`: `{"limits": …}`). Several
bridges may describe one name. A hash per robot lists the names that its bridge describes, with
their kinds, so that it can remove what a later mapping no longer has. A bridge also registers
what it writes, see `registry`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from redis_bridge.errors import InterfaceError
from redis_bridge.protocol import keys, registry

_READ = 'from_'


class TypeDescription(NamedTuple):
    """A message type: enough to decode CDR without ROS."""

    name: str  # 'pkg/msg/Name'
    definition: str  # the concatenated .msg text that MCAP calls `ros2msg`
    type_hash: str  # RIHS01_...

    def key(self) -> str:
        """Return the hash that holds this description."""
        return keys.type_key(self.name)

    def fields(self) -> dict[str, str]:
        """Return the fields of that hash."""
        return {
            'definition': self.definition,
            'type_hash': self.type_hash,
            'protocol': str(keys.PROTOCOL),
        }


class Demands(NamedTuple):
    """What a bridge demands of a payload besides its type; it rejects all others."""

    limits: Mapping[str, tuple[float, float]] = {}  # lowest and highest number, by dotted path
    required: tuple[str, ...] = ()  # dotted paths
    finite: bool = False  # neither NaN nor infinity anywhere
    max_bytes: int | None = None

    def to_json(self) -> str:
        """Return the text that a description holds; demands that are not made are left out."""
        made = {name: value for name, value in self._asdict().items() if value}
        return json.dumps(made, separators=(',', ':'))

    @classmethod
    def of(cls, text: str) -> Demands:
        """Return the demands in a text, without those of a kind that is not known here."""
        try:
            said = json.loads(text)
            return cls(
                {str(at): (float(low), float(high)) for at, (low, high) in said['limits'].items()}
                if 'limits' in said
                else {},
                tuple(map(str, said.get('required', ()))),
                bool(said.get('finite')),
                int(said['max_bytes']) if 'max_bytes' in said else None,
            )
        except (ValueError, TypeError, AttributeError):
            return cls()


class NameDescription(NamedTuple):
    """What a route writes to, or reads from, one Redis name."""

    name: str
    kind: str  # key | hash | stream | channel
    is_read: bool  # by the bridge; else the bridge writes it
    encoding: str
    field: str | None  # the payload is the bare value at this path
    type: TypeDescription | None  # None: not known yet; what is described meanwhile stays
    demands: Demands = Demands()  # of a bridge that reads

    def key(self) -> str:
        """Return the hash that holds this description, together with others of the name."""
        return keys.meta_key(self.name)

    def mark(self) -> str:
        """Return the field of that hash that holds the encoding."""
        return f'{_READ if self.is_read else ""}{self.kind}'

    def fields(self, robot: str) -> dict[str, str]:
        """Return the fields of that hash; none as long as the type is not known."""
        if self.type is None:
            return {}
        side = _READ if self.is_read else ''
        fields = {
            'robot': robot,
            self.mark(): self.encoding,
            f'{side}type': self.type.name,
            f'{side}type_hash': self.type.type_hash,
        }
        if self.is_read:  # even if there are none, because there may have been some before
            fields[f'{self.mark()}_demands'] = self.demands.to_json()
        if self.field is not None:
            fields[f'{side}field'] = self.field
        return fields

    def registration(self, robot: str) -> dict[str, str]:
        """Return the fields that register it; none as long as the type is not known."""
        if self.type is None or self.is_read or self.kind not in registry.KINDS:
            return {}
        return {registry.field_of(self.kind, self.name): robot}


def marks_to_json(marks: Mapping[str, Collection[str]]) -> str:
    """Return the text that lists what a bridge describes: names with their marks."""
    return json.dumps({name: sorted(some) for name, some in sorted(marks.items())})


def marks_of(text: str) -> dict[str, set[str]]:
    """Return what such a text lists; nothing of a text that is not understood."""
    try:
        said = json.loads(text)
        return {str(name): set(map(str, some)) for name, some in said.items()}
    except (ValueError, TypeError, AttributeError):
        return {}


def obsolete(gone: Iterable[str], left: Iterable[str]) -> list[str]:
    """Return the fields to remove from the hash of a name.

    :param gone: the marks of descriptions that no longer hold.
    :param left: all other marks in that hash, whoever wrote them.
    """
    fields = [field for mark in gone for field in (mark, f'{mark}_demands')]
    sides = {mark.startswith(_READ) for mark in left}
    for is_read, side in ((False, ''), (True, _READ)):
        if is_read not in sides:
            fields += [f'{side}type', f'{side}type_hash', f'{side}field']
    return fields if sides else [*fields, 'robot']


def unsaid_fields(fields: Mapping[str, str]) -> list[str]:
    """Return the fields of the hash of a name that may not stay beside those of descriptions."""
    sides = [side for side in ('', _READ) if f'{side}type' in fields]
    return [f'{side}field' for side in sides if f'{side}field' not in fields]


class Format(NamedTuple):
    """How the payloads under a name are encoded."""

    encoding: str
    type: str | None  # 'pkg/msg/Name'
    type_hash: str | None
    field: str | None  # the payload is the bare value at this path
    demands: Demands = Demands()


class NameInfo(NamedTuple):
    """What bridges say about a name: its formats by kind."""

    written_as: Mapping[str, Format]
    read_as: Mapping[str, Format]

    @classmethod
    def of(cls, fields: Mapping[bytes, bytes], kinds: Collection[str]) -> NameInfo:
        """Return what the hash of a name says of some kinds; unknown fields are ignored."""
        said = {text(key): text(value) for key, value in fields.items()}
        type_ = said.get('type')

        def formats(side: str, type_: str | None) -> dict[str, Format]:
            rest = type_, said.get(f'{side}type_hash'), said.get(f'{side}field')
            return {
                kind: Format(
                    said[side + kind], *rest, Demands.of(said.get(f'{side}{kind}_demands', ''))
                )
                for kind in kinds
                if side + kind in said
            }

        return cls(formats('', type_), formats('from_', said.get('from_type', type_)))

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


def type_description(name: str, fields: Mapping[bytes, bytes]) -> TypeDescription:
    """Return what the hash of a type says; raises InterfaceError if that cannot be used."""
    if b'definition' not in fields:
        raise InterfaceError(f'no bridge describes the type {name} in Redis')
    protocol = text(fields.get(b'protocol', b''))
    if protocol != str(keys.PROTOCOL):
        raise InterfaceError(
            f'{name} is described in protocol {protocol or None}, and this client speaks protocol '
            f'{keys.PROTOCOL}: update the older of the two'
        )
    return TypeDescription(name, text(fields[b'definition']), text(fields.get(b'type_hash', b'')))


def text(value: bytes) -> str:
    """Return a value of a hash as a string, whatever is in it."""
    return value.decode(errors='replace')
