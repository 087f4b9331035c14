# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Keeps the descriptions of names and types in Redis equal to those that are wanted.

Keys and streams that a bridge writes are registered with them, and so are the leases that its
mapping lists; see `protocol.registry`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from itertools import chain

import redis

from redis_bridge.mapping.model import SINKS
from redis_bridge.protocol import keys, registry
from redis_bridge.protocol.descriptions import (
    NameDescription,
    marks_of,
    marks_to_json,
    obsolete,
    unsaid_fields,
)
from redis_bridge.redis_io.connection import Command, Connection, pack_prefix

MARKS = [f'{side}{kind}' for side in ('', 'from_') for kind in SINKS]
LONG = 'definition'  # the field that is not asked for, because it goes with the others
NAMES = 'names'

Hashes = dict[str, dict[str, str]]  # key -> fields


class Descriptions:
    """What one bridge describes; used by one thread, but for `want`.

    Other bridges may describe the same names. What they removed is written again, and what they
    wrote stays: of a field that two of them write, the last one to start decides.
    """

    def __init__(
        self,
        robot: str,
        leases: Collection[str],
        on_error: Callable[[str, redis.ResponseError], None],
    ) -> None:
        self._robot = robot
        self._leases = {registry.field_of(registry.LEASE, name): robot for name in leases}
        self._on_error = on_error
        self._wanted: Collection[NameDescription] = ()
        self._applied: Collection[NameDescription] = ()
        self._written: Hashes = {}  # in this session
        self._questions: list[tuple[str, list[str], Command]] = []  # what asks for these fields

    def want(self, descriptions: Collection[NameDescription]) -> None:
        """Describe exactly these names from now on; may be called from any thread."""
        self._wanted = tuple(descriptions)

    def forget(self) -> None:
        """Note a new connection, perhaps to a server without what was written."""
        self._applied = ()
        self._written = {}
        self._questions = []

    def apply(self, connection: Connection) -> bool:
        """Write what is wanted and not written yet, and remove the rest; return if it changed."""
        wanted = self._wanted
        if wanted is self._applied:
            return False
        marks: dict[str, set[str]] = {}
        hashes: Hashes = {}
        registered = dict(self._leases)
        for description in wanted:
            marks.setdefault(description.name, set()).add(description.mark())
            if description.type is not None:
                hashes[description.type.key()] = description.type.fields()
                about = hashes.setdefault(description.key(), {})
                about.update(description.fields(self._robot))
                registered.update(description.registration(self._robot))
        index = keys.described_key(self._robot)
        self._remove_others(connection, index, marks)
        hashes = {index: {NAMES: marks_to_json(marks)}, **hashes}
        if registered:
            hashes[keys.NAMES] = registered
        changed = {k: fields for k, fields in hashes.items() if self._written.get(k) != fields}
        self._write(connection, changed)
        # An earlier mapping may have had a `field`; without one now, nothing would replace it.
        self._execute(
            connection,
            {
                key: ('HDEL', key, *unsaid)
                for key, fields in changed.items()
                if (unsaid := unsaid_fields(fields))
            },
        )
        self._applied, self._written = wanted, hashes
        self._questions = [
            (key, asked, (pack_prefix(('HMGET', key, *asked), 2 + len(asked)),))
            for key, fields in hashes.items()
            if (asked := [field for field in fields if field != LONG])
        ]
        return True

    def heal(self, connection: Connection) -> None:
        """Write again what is missing, such as after a flush or an eviction."""
        replies = connection.pipe([command for *_, command in self._questions])
        missing: Hashes = {}
        for (key, asked, _), reply in zip(self._questions, replies):
            if isinstance(reply, redis.ResponseError):
                self._on_error(key, reply)
            elif None in reply:
                fields = self._written[key]
                there = {field for field, value in zip(asked, reply) if value is not None}
                missing[key] = {name: fields[name] for name in fields if name not in there}
        self._write(connection, missing)

    def _remove_others(
        self, connection: Connection, index: str, marks: Mapping[str, Collection[str]]
    ) -> None:
        """Remove what this robot's bridge described before and describes no longer."""
        [reply] = connection.pipe([('HMGET', index, NAMES)])
        if isinstance(reply, redis.ResponseError) or reply[0] is None:
            return
        before = marks_of(reply[0].decode(errors='replace'))
        gone = {name: some - set(marks.get(name, ())) for name, some in before.items()}
        gone = {name: some for name, some in gone.items() if some}
        found = connection.pipe([('HMGET', keys.meta_key(name), *MARKS) for name in gone])
        removals: dict[str, Command] = {}
        for (name, some), reply in zip(gone.items(), found):
            if not isinstance(reply, redis.ResponseError):
                left = {mark for mark, value in zip(MARKS, reply) if value is not None} - some
                key = keys.meta_key(name)
                removals[key] = ('HDEL', key, *obsolete(some, left))
                self._written.pop(key, None)
        fields = [
            registry.field_of(kind, name)
            for name, some in gone.items()
            for kind in some.intersection(registry.KINDS)
        ]
        if ours := self._ours(connection, fields):
            removals[keys.NAMES] = ('HDEL', keys.NAMES, *ours)
        self._execute(connection, removals)

    def _ours(self, connection: Connection, fields: list[str]) -> list[str]:
        """Return the fields of the registry that this robot wrote last, among these."""
        if not fields:
            return []
        [robots] = connection.pipe([('HMGET', keys.NAMES, *fields)])
        if isinstance(robots, redis.ResponseError):
            return []
        return [f for f, robot in zip(fields, robots) if robot == self._robot.encode()]

    def _write(self, connection: Connection, hashes: Hashes) -> None:
        self._execute(
            connection,
            {
                key: ('HSET', key, *chain.from_iterable(fields.items()))
                for key, fields in hashes.items()
            },
        )

    def _execute(self, connection: Connection, commands: Mapping[str, Command]) -> None:
        for key, reply in zip(commands, connection.pipe(list(commands.values()))):
            if isinstance(reply, redis.ResponseError):
                self._on_error(key, reply)
