# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Describes a route's Redis name for readers and senders that do not know the mapping."""

from __future__ import annotations

from functools import lru_cache

from redis_bridge.mapping.model import RedisToRos, SinkConfig
from redis_bridge.messages.definition import definition_text, type_hash
from redis_bridge.messages.types import Message
from redis_bridge.protocol.descriptions import Demands, NameDescription, TypeDescription


def describe_sink(sink: SinkConfig, field: str | None, message: Message | None) -> NameDescription:
    """Return the description of a name that a route writes, once its type is known."""
    encoding = sink.encoding or 'text'  # a hash holds texts
    type_ = None if message is None else _type(message)
    return NameDescription(sink.name, sink.kind, False, encoding, field, type_)


def describe_source(route: RedisToRos, message: Message) -> NameDescription:
    """Return the description of the name that a route reads."""
    source = route.source
    demands = Demands(route.limits, route.required, route.must_be_finite, route.max_bytes)
    return NameDescription(
        source.name, source.kind, True, route.encoding, route.field, _type(message), demands
    )


@lru_cache(maxsize=256)
def _type(message: Message) -> TypeDescription:
    return TypeDescription(message.name, definition_text(message), type_hash(message))
