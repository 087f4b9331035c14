# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds errors in routes that only the message types show."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.mapping.model import RedisToRos, RosToRedis, Route, SinkConfig
from redis_bridge.mapping.yaml12 import Path
from redis_bridge.messages import cdr_write, frames
from redis_bridge.messages.guards import Guards, check_paths
from redis_bridge.messages.paths import field_at
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS
from redis_bridge.payloads.hash_fields import hash_encoder

# Returns the message type of a name; None if it cannot be known here. Raises InterfaceError.
Describe = Callable[[str], 'Message | None']

_Parts = Iterator[tuple[Path, Callable[[], Any]]]  # what fails if a part of a route is wrong


def errors(routes: Mapping[Path, Route], describe: Describe) -> Iterator[tuple[Path, str]]:
    """Yield each error as its path and text; routes of a type that is not known have none."""
    for path, route in routes.items():
        for steps, text in _of_route(route, describe):
            yield (*path, *steps), text


def _of_route(route: Route, describe: Describe) -> Iterator[tuple[Path, str]]:
    if route.type is None:
        return
    try:
        message = describe(route.type)
    except InterfaceError as error:
        yield ('type',), str(error)
        return
    if message is None:
        return
    found = [*_failures(_fields(route, message))]
    if not found and isinstance(route, RosToRedis):
        found += _failures(_encoders(route, message))
    if isinstance(route, RedisToRos):
        decode = partial(CODECS[route.encoding].decoder, message, route.field)
        if not found:
            found += _failures(iter([(('encoding',), decode)]))
        found += _failures(_guards(route, message))
    found += _failures(_frames(route, message))
    yield from found


def _failures(parts: _Parts) -> Iterator[tuple[Path, str]]:
    for steps, attempt in parts:
        try:
            attempt()
        except (InterfaceError, PayloadError) as error:
            yield steps, str(error)


def _fields(route: Route, message: Message) -> _Parts:
    if route.field:
        yield ('field',), partial(field_at, message, route.field)
    for index, path in enumerate(route.fields if isinstance(route, RosToRedis) else ()):
        yield ('fields', index), partial(field_at, message, path)


def _frames(route: Route, message: Message) -> _Parts:
    if route.frames is not None and not route.frames.is_default:
        yield ('frame_prefix',), partial(frames.check_frames, message)


def _encoders(route: RosToRedis, message: Message) -> _Parts:
    for sink in route.sinks:
        if not sink.is_notice:
            yield ('to', sink.kind), partial(_encoder, route, sink, message)


def _encoder(route: RosToRedis, sink: SinkConfig, message: Message) -> None:
    if sink.encoding is None:
        hash_encoder(message, route.fields)
    else:
        CODECS[sink.encoding].encoder(message, route.field, route.fields, sink.arrays)


def _guards(route: RedisToRos, message: Message) -> _Parts:
    for path, limits in route.limits.items():
        yield ('limits', path), partial(check_paths, message, Guards({path: limits}))
    for index, path in enumerate(route.required):
        yield ('required', index), partial(field_at, message, path)
    for path, value in route.set.items():
        yield ('set', path), partial(_write, message, {}, Guards(set={path: value}))
    if route.stop is not None:
        yield ('stop', 'message'), partial(_write, message, route.stop.message, Guards())


def _write(message: Message, value: Any, guards: Guards) -> None:
    cdr_write.writer(message, guards)(value)
