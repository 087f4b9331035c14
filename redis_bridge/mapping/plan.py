# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Tells people what a mapping will do, with all that is doubtful about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from redis_bridge.mapping import loops
from redis_bridge.mapping import redis_url as urls
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    HashSinkConfig,
    KeySourceConfig,
    Mapping,
    Qos,
    RedisToRos,
    RosToRedis,
    SinkConfig,
    StreamSinkConfig,
    StreamSourceConfig,
)
from redis_bridge.protocol import keys

PERIODS = 3  # that a time to live should last

_BIG_TYPES = {
    'nav_msgs/msg/OccupancyGrid',
    'sensor_msgs/msg/CompressedImage',
    'sensor_msgs/msg/Image',
    'sensor_msgs/msg/PointCloud',
    'sensor_msgs/msg/PointCloud2',
    'stereo_msgs/msg/DisparityImage',
}
_COMMAND_TYPES = {
    'ackermann_msgs/msg/AckermannDrive',
    'ackermann_msgs/msg/AckermannDriveStamped',
    'control_msgs/msg/JointJog',
    'geometry_msgs/msg/Twist',
    'geometry_msgs/msg/TwistStamped',
    'trajectory_msgs/msg/JointTrajectory',
}


@dataclass(frozen=True)
class Plan:
    """What a mapping amounts to; `str()` of it is the whole text."""

    lines: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return all that there is to say, a line each."""
        return '\n'.join(
            (
                *self.lines,
                *(f'warning: {text}' for text in self.warnings),
                *(f'refused: {text}' for text in self.refusals),
            )
        )


def plan(mapping: Mapping, distro: str = 'kilted') -> Plan:
    """Return the plan of a checked mapping for a ROS distribution."""
    warnings = [text for rule in _DOUBTS for text in rule(mapping)]
    warnings += loops.echoes(mapping, distro)
    return Plan(
        lines=tuple(_lines(mapping, distro)),
        warnings=tuple(warnings),
        refusals=tuple(loops.circles(mapping, distro)),
    )


# --- what is printed ---------------------------------------------------------------------------
def _lines(mapping: Mapping, distro: str) -> Iterator[str]:
    yield f'{mapping.path}: robot {mapping.robot}, ROS {distro}, executor {mapping.executor}'
    yield f'redis: {urls.parse(mapping.redis.url).address}'
    if mapping.ros_to_redis:
        yield from ('', 'ros_to_redis')
    for number, route in enumerate(mapping.ros_to_redis):
        yield from _outward_lines(number, route)
    if mapping.redis_to_ros:
        yield from ('', 'redis_to_ros')
    for number, route in enumerate(mapping.redis_to_ros):
        yield from _inward_lines(number, route)
    yield from ('', 'the bridge itself writes')
    for name, what in _own_names(mapping):
        yield f'  {name:<40} {what}' if len(name) < 40 else f'  {name}  {what}'


def _outward_lines(number: int, route: RosToRedis) -> Iterator[str]:
    yield f'  [{number}] {route.topic}  {route.type or "discovered type"}'
    rate = f'max_rate_hz {route.max_rate_hz:g}' if route.max_rate_hz else ''
    yield '      ' + _listed(
        _part(route.field, route.fields),
        _qos(route.qos, 'matched to the publishers'),
        rate,
        'on_change' if route.on_change else '',
        '' if route.meta else 'meta false',
        f'max_bytes {route.max_bytes}',
    )
    for sink in route.sinks:
        yield f'      -> {sink.kind} {sink.name}: {_sink(sink)}'


def _inward_lines(number: int, route: RedisToRos) -> Iterator[str]:
    yield f'  [{number}] {route.source.kind} {route.source.name}: {_source(route)}'
    aged = route.max_age_ms is not None
    yield '      ' + _listed(
        _part(route.field, ()),
        f'max_bytes {route.max_bytes}',
        f'deliver {route.deliver}',
        f'max_age_ms {route.max_age_ms}, unstamped {route.unstamped}' if aged else '',
        'command lane' if route.is_command else '',
    )
    if route.required:
        yield f'      required {", ".join(route.required)}'
    if route.set:
        yield f'      set {", ".join(route.set)}'
    if route.limits:
        ranges = (f'{path} {low:g}..{high:g}' for path, (low, high) in route.limits.items())
        yield f'      limits {", ".join(ranges)}'
    if route.stop is not None:
        stop = route.stop
        yield f'      stop after {stop.after_ms} ms of silence, sent {stop.repeat} times'
    qos = _qos(route.qos, "of the bridge's choice")
    yield f'      -> {route.topic}  {route.type}, {qos}'


def _listed(*parts: str) -> str:
    return ', '.join(filter(None, parts))


def _part(field: str | None, fields: tuple[str, ...]) -> str:
    if field:
        return f'field {field}'
    return f'fields {" ".join(fields)}' if fields else 'whole message'


def _qos(qos: Qos, otherwise: str) -> str:
    said = [f'{key} {value}' for key, value in vars(qos).items() if value is not None]
    return f'QoS {", ".join(said)}' if said else f'QoS {otherwise}'


def _sink(sink: SinkConfig) -> str:
    ttl_ms = getattr(sink, 'ttl_ms', None)
    ttl = '' if ttl_ms is None else f'ttl_ms {ttl_ms}'
    if isinstance(sink, HashSinkConfig):
        return _listed('dotted fields', ttl)
    if isinstance(sink, ChannelSinkConfig) and sink.send == 'notice':
        return 'notices of the key'
    encoding = f'{sink.encoding} with typed arrays' if sink.arrays == 'typed' else sink.encoding
    if isinstance(sink, StreamSinkConfig):
        return _listed(encoding, f'maxlen {sink.maxlen}', f'durability {sink.durability}')
    return _listed(encoding, ttl)


def _source(route: RedisToRos) -> str:
    source = route.source
    if isinstance(source, KeySourceConfig):
        return f'{route.encoding}, initial {source.initial}'
    if isinstance(source, StreamSourceConfig):
        group = f' {source.group}' if source.group else ''
        return f'{route.encoding}, from {source.start}{group}'
    return route.encoding


def _own_names(mapping: Mapping) -> Iterator[tuple[str, str]]:
    yield keys.robot_key(mapping.robot), 'the claim on the name, heartbeat, status'
    described: dict[str, str] = {}
    for route in mapping.ros_to_redis:
        type_key = keys.type_key(route.type or f'<type of {route.topic}>')
        described[type_key] = "the type's definition"
        for sink in route.sinks:
            described[keys.meta_key(sink.name)] = f'what stands under {sink.name}'
    for route in mapping.redis_to_ros:
        described[keys.type_key(route.type)] = "the type's definition"
        name = route.source.name
        described.setdefault(keys.meta_key(name), f'what is expected under {name}')
        if isinstance(route.source, StreamSourceConfig):
            described[keys.dead_stream(name)] = f'the entries of {name} given up'
    yield from sorted(described.items())


# --- doubts: each yields warnings --------------------------------------------------------------
def _short_lives(mapping: Mapping) -> Iterator[str]:
    for route in mapping.ros_to_redis:
        if not route.max_rate_hz:
            continue
        period_ms = 1000 / route.max_rate_hz
        for sink in route.sinks:
            ttl_ms = getattr(sink, 'ttl_ms', None)
            if ttl_ms is not None and ttl_ms < PERIODS * period_ms:
                yield (
                    f'{route.where}: {sink.kind} {sink.name}: ttl_ms {ttl_ms} is shorter than '
                    f'{PERIODS} periods of max_rate_hz {route.max_rate_hz:g} '
                    f'({PERIODS * period_ms:.0f} ms): it will be missing now and then'
                )


def _short_presence(mapping: Mapping) -> Iterator[str]:
    heartbeat = mapping.presence
    if heartbeat.ttl_ms < PERIODS * heartbeat.every_ms:
        yield (
            f'presence: ttl_ms {heartbeat.ttl_ms} is shorter than {PERIODS} times every_ms '
            f'{heartbeat.every_ms}: a slow moment looks like a bridge that is gone'
        )


def _big_payloads(mapping: Mapping) -> Iterator[str]:
    for route in mapping.ros_to_redis:
        if route.type not in _BIG_TYPES or route.field or route.fields:
            continue
        for sink in route.sinks:
            if isinstance(sink, StreamSinkConfig):
                yield (
                    f'{route.where}: stream {sink.name}: {sink.maxlen} entries of {route.type} '
                    "may fill the server's memory: prefer a key with ttl_ms, or a small maxlen"
                )
            elif isinstance(sink, ChannelSinkConfig) and sink.send == 'payload':
                yield (
                    f'{route.where}: channel {sink.name}: each {route.type} crosses once per '
                    'subscriber: prefer a key, and a channel with send: notice'
                )


def _unguarded_commands(mapping: Mapping) -> Iterator[str]:
    for route in mapping.redis_to_ros:
        if route.type not in _COMMAND_TYPES:
            continue
        missing = [key for key in ('max_age_ms', 'stop') if getattr(route, key) is None]
        if missing:
            yield (
                f'{route.where}: {route.type} looks like commands, without '
                f'{" and ".join(missing)}: {_why_guard(missing)}'
            )


def _why_guard(missing: list[str]) -> str:
    reasons = {
        'max_age_ms': 'late ones are obeyed',
        'stop': 'nothing stops the robot when they fall silent',
    }
    return ', and '.join(reasons[key] for key in missing)


def _plaintext(mapping: Mapping) -> Iterator[str]:
    url = urls.parse(mapping.redis.url)
    if url.is_plaintext_elsewhere:
        yield (
            f'redis: {url.address} is another machine, and redis:// is '
            'not encrypted: passwords and payloads can be read on the way, rediss:// is'
        )


def _own_logs(mapping: Mapping) -> Iterator[str]:
    for route in mapping.ros_to_redis:
        if route.topic == '/rosout':
            yield (
                f"{route.where}: /rosout carries the bridge's own log lines too: trouble with "
                'Redis will be told to Redis'
            )


def _shared_channels(mapping: Mapping) -> Iterator[str]:
    writers: dict[str, RosToRedis] = {}
    for route in mapping.ros_to_redis:
        for sink in route.sinks:
            if isinstance(sink, ChannelSinkConfig):
                first = writers.setdefault(sink.name, route)
                if first is not route:
                    yield (
                        f'{route.where}: channel {sink.name} is written by {first.where} too: '
                        'each counts for itself, so readers will see gaps where there are none'
                    )


_DOUBTS = (
    _short_lives,
    _short_presence,
    _big_payloads,
    _unguarded_commands,
    _plaintext,
    _own_logs,
    _shared_channels,
)
