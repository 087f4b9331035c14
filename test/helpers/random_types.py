# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Message types made by chance: any field at any place, some of them names of frames."""

from __future__ import annotations

import random

from redis_bridge.messages.types import (
    PRIMITIVES,
    Array,
    Field,
    FieldType,
    Item,
    Message,
    Primitive,
    Sequence,
    String,
)

_NAMES = ('frame_id', 'child_frame_id', 'base_frame_id')


def random_message(chance: random.Random, depth: int = 3) -> Message:
    """Return a message type with at most so many types nested."""
    fields = [
        Field(chance.choice(_NAMES), String())
        if chance.random() < 0.3
        else Field(f'field{number}', _random_type(chance, depth))
        for number in range(chance.choice([0, 1, 1, 2, 2, 3, 4]))
    ]
    unique = {field.name: field for field in fields}
    return Message(f'pkg/msg/Random{chance.randrange(10**9)}', tuple(unique.values()))


def _random_type(chance: random.Random, depth: int) -> FieldType:
    items: list[Item] = [Primitive(chance.choice([*PRIMITIVES])), String(chance.random() < 0.2)]
    if depth:
        items += 2 * [random_message(chance, depth - 1)]
    item = chance.choice(items)
    return chance.choice([item, Sequence(item), Array(item, chance.randint(1, 3))])
