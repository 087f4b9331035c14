# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds errors between routes, each of which is valid by itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from redis_bridge.mapping.model import RedisToRos, RosToRedis, Route, Stop
from redis_bridge.mapping.yaml12 import Path, dotted
from redis_bridge.payloads import CODECS

_Outbound = dict[Path, RosToRedis]
_Inbound = dict[Path, RedisToRos]
_Found = Iterator[tuple[Path, str]]


def errors(outbound: _Outbound, inbound: _Inbound) -> _Found:
    """Yield each error as its path and text; routes are given by path."""
    for rule in _RULES:
        yield from rule(outbound, inbound)


def _written_once(outbound: _Outbound, inbound: _Inbound) -> _Found:
    """Keys, hashes and streams share one namespace; a channel may have several writers."""
    written: dict[str, tuple[str, str]] = {}
    types: dict[str, tuple[str, str]] = {}
    for path, route in outbound.items():
        here = dotted(path)
        for sink in route.sinks:
            steps = (*path, 'to', sink.kind)
            if sink.redis_type is None:
                if route.type is None:
                    continue
                there, other = types.setdefault(sink.name, (here, route.type))
                if other != route.type:
                    yield (
                        steps,
                        f'{sink.name!r} carries {other} from {there}: a name has one type',
                    )
                continue
            if sink.name in written:
                there, kind = written[sink.name]
                yield steps, f'{sink.name!r} is already written by {there} as a {kind}'
            written.setdefault(sink.name, (here, sink.kind))


def _read_as_written(outbound: _Outbound, inbound: _Inbound) -> _Found:
    space = {}
    for path, route in outbound.items():
        for sink in route.sinks:
            space[sink.redis_type is None, sink.name] = (dotted(path), route, sink)
    for path, reader in inbound.items():
        source = reader.source
        steps = (*path, source.kind)
        if (source.redis_type is None, source.name) not in space:
            continue
        there, writer, sink = space[source.redis_type is None, source.name]
        if sink.kind != source.kind:
            yield steps, f'{source.name!r} is written by {there} as a {sink.kind}'
        elif sink.is_notice:
            yield steps, f'{source.name!r} carries notices from {there}, not messages'
        elif sink.encoding != reader.encoding:
            yield (
                steps,
                f'{source.name!r} is written as {sink.encoding} by {there}, but read as '
                f'{reader.encoding} here',
            )
        elif bool(writer.field) != bool(reader.field) and not CODECS[reader.encoding].one_scalar:
            yield (
                steps,
                f"{source.name!r}: {there if writer.field else 'this route'} has 'field', a bare "
                'value, and the other carries messages',
            )
        elif writer.type and writer.type != reader.type and not (writer.field or reader.field):
            yield (
                steps,
                f'{source.name!r} carries {writer.type} from {there}, but is read as '
                f'{reader.type}',
            )


def _sources_agree(outbound: _Outbound, inbound: _Inbound) -> _Found:
    kinds: dict[str, tuple[str, str]] = {}
    pairs: dict[tuple[str, str, str], str] = {}
    groups: dict[tuple[str, str], str] = {}
    for path, route in inbound.items():
        here, source = dotted(path), route.source
        if source.redis_type is not None:
            there, kind = kinds.setdefault(source.name, (here, source.kind))
            if kind != source.kind:
                yield (*path, source.kind), f'{source.name!r} is read by {there} as a {kind}'
                continue
        there = pairs.setdefault((source.kind, source.name, route.topic), here)
        if there != here:
            yield path, f'{there} already publishes {source.kind} {source.name!r} to {route.topic}'
        elif source.group:
            there = groups.setdefault((source.name, source.group), here)
            if there != here:
                yield (
                    (*path, source.kind, 'group'),
                    f'{there} already reads with the group {source.group!r}: each entry would '
                    'reach only one of the two',
                )


def _dead_streams_are_free(outbound: _Outbound, inbound: _Inbound) -> _Found:
    dead = {route.source.dead_stream: route.source for route in inbound.values()}
    for path, route in outbound.items():
        for sink in route.sinks:
            source = dead.get(sink.name) if sink.redis_type else None
            if source:
                text = f'{sink.name!r} takes the rejected entries of {source.kind} {source.name!r}'
                yield (*path, 'to', sink.kind), text


def _all(outbound: _Outbound, inbound: _Inbound) -> Iterator[tuple[Path, Route]]:
    yield from outbound.items()
    yield from inbound.items()


def _topics_have_one_type(outbound: _Outbound, inbound: _Inbound) -> _Found:
    types: dict[str, tuple[str, str]] = {}
    for path, route in _all(outbound, inbound):
        if route.type is None:
            continue
        there, other = types.setdefault(route.topic, (dotted(path), route.type))
        if other != route.type:
            text = f'expected {other} as in {there} for {route.topic}, got {route.type}'
            yield (*path, 'type'), text


def _names_are_written_one_way(outbound: _Outbound, inbound: _Inbound) -> _Found:
    """Without a namespace 'odom' is '/odom', so rules on a topic need one way to write it."""
    written: dict[str, tuple[str, str]] = {}
    for path, route in _all(outbound, inbound):
        topic = route.topic
        there, other = written.setdefault(topic.lstrip('/'), (dotted(path), topic))
        if other != topic:
            yield (*path, 'topic'), f'expected {other!r} as in {there}, got {topic!r}'


def _qos_agrees(outbound: _Outbound, inbound: _Inbound) -> _Found:
    """Routes on one topic share its subscription, or its publisher."""
    for routes in (_all(outbound, {}), _all({}, inbound)):
        settings: dict[tuple[str, str], tuple[str, Any]] = {}
        for path, route in routes:
            for key, value in vars(route.qos).items():
                if value is None:
                    continue
                here = dotted(path)
                there, other = settings.setdefault((route.topic, key), (here, value))
                if other != value:
                    text = f'expected {other} as in {there} for {route.topic}, got {value}'
                    yield (*path, 'qos', key), text


def _stops_agree(outbound: _Outbound, inbound: _Inbound) -> _Found:
    """One dead-man per topic: a route without it could keep the robot moving."""
    stops: dict[str, tuple[str, Stop]] = {}
    for path, route in inbound.items():
        if route.stop is not None:
            stops.setdefault(route.topic, (dotted(path), route.stop))
    for path, route in inbound.items():
        if route.topic not in stops:
            continue
        there, stop = stops[route.topic]
        if route.stop is None:
            yield path, f'all routes to {route.topic} need the same stop as {there}'
        elif route.stop != stop:
            yield (*path, 'stop'), f'expected the same stop as in {there} for {route.topic}'


_RULES = (
    _written_once,
    _read_as_written,
    _sources_agree,
    _dead_streams_are_free,
    _names_are_written_one_way,
    _topics_have_one_type,
    _qos_agrees,
    _stops_agree,
)
