# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds errors between routes, each of which is valid by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from redis_bridge.mapping.model import RedisToRos, RosToRedis, Route, SinkConfig
from redis_bridge.mapping.topic_names import Resolve
from redis_bridge.mapping.yaml12 import Path, dotted
from redis_bridge.payloads import CODECS

_Outbound = dict[Path, RosToRedis]
_Inbound = dict[Path, RedisToRos]
_Sinks = list[tuple[Path, RosToRedis, SinkConfig]]
_Found = Iterator[tuple[Path, str]]
_Shared = TypeVar('_Shared')
_Value = TypeVar('_Value')


def errors(outbound: _Outbound, inbound: _Inbound, resolve: Resolve) -> _Found:
    """Yield each error as its path and text; routes are given by path.

    Routes share a topic if its full name is the same, however the mapping writes it.
    """
    yield from _topics_are_written_alike({**outbound, **inbound})
    outbound = {at: replace(route, topic=resolve(route.topic)) for at, route in outbound.items()}
    inbound = {at: replace(route, topic=resolve(route.topic)) for at, route in inbound.items()}
    sinks = [
        ((*path, 'to', sink.kind), route, sink)
        for path, route in outbound.items()
        for sink in route.sinks
    ]
    yield from _written_once(sinks)
    yield from _read_as_written(sinks, inbound)
    yield from _sources_agree(inbound)
    yield from _dead_streams_are_free(sinks, inbound)
    yield from _topics_agree({**outbound, **inbound})
    yield from _stops_agree(inbound)


def _differing(
    uses: Iterable[tuple[Path, _Shared, _Value]],
) -> Iterator[tuple[Path, _Shared, _Value, str, _Value]]:
    """Yield each use of something shared whose value is not that of the first use.

    After the place, what is shared and the value come the first route and its value.
    """
    first: dict[_Shared, tuple[str, _Value]] = {}
    for at, shared, value in uses:
        there, other = first.setdefault(shared, (dotted(at[:2]), value))
        if other != value:
            yield at, shared, value, there, other


def _written_once(sinks: _Sinks) -> _Found:
    """Keys, hashes and streams share one namespace; a channel may have several writers."""
    stored = ((at, sink.name, at) for at, _, sink in sinks if sink.redis_type)
    for at, name, _, there, other in _differing(stored):
        yield at, f'{name!r} is already written by {there} as a {other[-1]}'
    sent = ((at, sink.name, route.type) for at, route, sink in sinks if not sink.redis_type)
    for at, name, _, there, type_ in _differing(use for use in sent if use[-1]):
        yield at, f'{name!r} carries {type_} from {there}: a name has one type'


def _read_as_written(sinks: _Sinks, inbound: _Inbound) -> _Found:
    written = {
        (sink.redis_type is None, sink.name): (dotted(at[:2]), writer, sink)
        for at, writer, sink in sinks
    }
    for path, reader in inbound.items():
        source = reader.source
        found = written.get((source.redis_type is None, source.name))
        text = _mismatch(reader, *found) if found else None
        if text:
            yield (*path, source.kind), f'{source.name!r}{text}'


def _mismatch(reader: RedisToRos, there: str, writer: RosToRedis, sink: SinkConfig) -> str | None:
    """Return why a route cannot read what another one writes, as what follows the name."""
    if sink.kind != reader.source.kind:
        return f' is written by {there} as a {sink.kind}'
    if sink.is_notice:
        return f' carries notices from {there}, not messages'
    if sink.encoding != reader.encoding:
        return f' is written as {sink.encoding} by {there}, but read as {reader.encoding} here'
    if bool(writer.field) != bool(reader.field) and not CODECS[reader.encoding].one_scalar:
        route = there if writer.field else 'this route'
        return f": {route} has 'field', a bare value, and the other carries messages"
    if writer.type and writer.type != reader.type and not (writer.field or reader.field):
        return f' carries {writer.type} from {there}, but is read as {reader.type}'
    return None


def _sources_agree(inbound: _Inbound) -> _Found:
    sources = [((*path, route.source.kind), route) for path, route in inbound.items()]
    stored = ((at, r.source.name, r.source.kind) for at, r in sources if r.source.redis_type)
    for at, name, _, there, kind in _differing(stored):
        yield at, f'{name!r} is read by {there} as a {kind}'
    pairs = ((at, (r.source.kind, r.source.name, r.topic), at) for at, r in sources)
    for at, (kind, name, topic), _, there, _ in _differing(pairs):
        yield at[:2], f'{there} already publishes {kind} {name!r} to {topic}'
    groups = (
        ((*at, 'group'), (r.source.name, r.source.group), r.topic)
        for at, r in sources
        if r.source.group
    )
    for at, (_, group), _, there, _ in _differing(groups):
        text = f'{there} already reads with the group {group!r}: each entry would reach only one'
        yield at, f'{text} of the two'


def _dead_streams_are_free(sinks: _Sinks, inbound: _Inbound) -> _Found:
    dead = {route.source.dead_stream: route.source for route in inbound.values()}
    for at, _, sink in sinks:
        source = dead.get(sink.name) if sink.redis_type else None
        if source:
            yield at, f'{sink.name!r} takes the rejected entries of {source.kind} {source.name!r}'


def _topics_are_written_alike(routes: dict[Path, Route]) -> _Found:
    """Without a namespace 'odom' is '/odom', which is easily overlooked."""
    written = (((*p, 'topic'), r.topic.lstrip('/'), r.topic) for p, r in routes.items())
    for at, _, topic, there, other in _differing(written):
        yield at, f'expected {other!r} as in {there}, got {topic!r}'


def _topics_agree(routes: dict[Path, Route]) -> _Found:
    """Routes of one direction share the topic's subscription, or its publisher."""
    types = (((*p, 'type'), r.topic, r.type) for p, r in routes.items() if r.type)
    for at, topic, type_, there, other in _differing(types):
        yield at, f'expected {other} as in {there} for {topic}, got {type_}'
    settings = (
        ((*path, 'qos', key), (route.topic, path[0], key), value)
        for path, route in routes.items()
        for key, value in vars(route.qos).items()
        if value is not None
    )
    for at, (topic, *_), value, there, expected in _differing(settings):
        yield at, f'expected {expected} as in {there} for {topic}, got {value}'


def _stops_agree(inbound: _Inbound) -> _Found:
    """One dead-man per topic: a route without it could keep the robot moving."""
    stops = [((*path, 'stop'), route.topic, route.stop) for path, route in inbound.items()]
    first = {topic: dotted(at[:2]) for at, topic, stop in reversed(stops) if stop}
    for at, topic, stop in stops:
        if stop is None and topic in first:
            yield at[:2], f'all routes to {topic} need the same stop as {first[topic]}'
    for at, topic, _, there, _ in _differing(use for use in stops if use[-1]):
        yield at, f'expected the same stop as in {there} for {topic}'
