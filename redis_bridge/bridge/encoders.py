# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Builds the encoders of a route to Redis."""

from __future__ import annotations

from collections.abc import Callable

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import KeySinkConfig, RosToRedis, SinkConfig
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.hash_fields import hash_encoder
from redis_bridge.ports import Payload
from redis_bridge.protocol.meta import Meta

EncodeSample = Callable[[bytes, Meta], Payload]  # a serialized message to a sink's payload
Body = Callable[[bytes], bytes]  # a serialized message to its value without metadata


def key_of(route: RosToRedis) -> KeySinkConfig | None:
    """Return the key that a route writes, if it writes one."""
    return next((sink for sink in route.sinks if isinstance(sink, KeySinkConfig)), None)


def recipe(sink: SinkConfig) -> tuple[object, ...]:
    """Return what a sink's payload depends on; sinks with equal recipes share an encoder."""
    return (sink.is_notice, sink.encoding, sink.arrays)


def sink_encoder(route: RosToRedis, sink: SinkConfig, message: Message) -> EncodeSample:
    """Return what encodes a sample for a sink; raises InterfaceError."""
    if sink.encoding is None:
        to_hash = hash_encoder(message, route.fields)
        return lambda sample, _: to_hash(sample)
    if sink.is_notice:
        key = key_of(route)
        if key is None:
            raise InterfaceError('a notice says that the key of its route has changed: add a key')
        name = key.name
        codec = CODECS[sink.encoding]
        # A notice is a map, which an encoding without metadata cannot carry.
        pack = (codec if codec.carries_meta else CODECS['json']).pack
        return lambda _, meta: pack({'key': name, 'seq': meta.seq, 'stamp': meta.stamp})
    encode = CODECS[sink.encoding].encoder(message, route.field, route.fields, sink.arrays)
    return encode if route.meta else lambda sample, _: encode(sample, None)


def body_encoder(route: RosToRedis, encoding: str, arrays: str, message: Message) -> Body:
    """Return what encodes a sample without metadata, so that equal values are equal bytes."""
    encode = CODECS[encoding].encoder(message, route.field, route.fields, arrays)
    return lambda sample: encode(sample, None)


def is_bare(route: RosToRedis, sink: KeySinkConfig) -> bool:
    """Return whether a sink's payload holds no metadata, and so is its own body."""
    return not route.meta or route.field is not None or not CODECS[sink.encoding].carries_meta
