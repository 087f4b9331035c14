# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Describes what a mapping will do, with warnings where that is unlikely to be meant."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from typing import TypeVar

from redis_bridge.mapping import cluster_rules, loops, matching, patterns, topic_names
from redis_bridge.mapping import redis_url as urls
from redis_bridge.mapping.loops import RouteWarning, place
from redis_bridge.mapping.model import (
    FramePrefix,
    KeySourceConfig,
    Mapping,
    Qos,
    RedisToRos,
    RosToRedis,
    Route,
    SinkConfig,
)
from redis_bridge.payloads import CODECS
from redis_bridge.protocol import keys, names, registry
from redis_bridge.protocol.leases import lease_keys

_Route = TypeVar('_Route', RosToRedis, RedisToRos)

PERIODS = 3  # a time to live should last at least so many periods
LEAST_SENTINELS = 3  # of which one may fail
LEAST_NODES = 2
LISTED = 3  # further routes that a warning lists

_BIG_TYPES = {
    'nav_msgs/msg/OccupancyGrid',
    'sensor_msgs/msg/CompressedImage',
    'sensor_msgs/msg/Image',
    'sensor_msgs/msg/PointCloud',
    'sensor_msgs/msg/PointCloud2',
    'stereo_msgs/msg/DisparityImage',
}
_AS_JSON = 'as JSON is large and slow: prefer encoding msgpack with arrays: typed, or cdr'
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
    """What a mapping does; `str()` of it is the whole text.

    A mapping with `errors` must not run: its routes form a loop.
    """

    lines: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return all lines, warnings and errors."""
        warnings = [f'warning: {text}' for text in self.warnings]
        return '\n'.join([*self.lines, *warnings, *(f'error: {text}' for text in self.errors)])


def plan(
    mapping: Mapping, distro: str = 'kilted', resolve: topic_names.Resolve | None = None
) -> Plan:
    """Return the plan of a checked mapping for a ROS distribution.

    `resolve` makes the full names of topics, by which loops are found.
    """
    resolve = resolve or topic_names.resolver()
    fixed = matching.running(mapping, (), resolve)
    shown = replace(
        fixed,
        ros_to_redis=_by_place(
            fixed.ros_to_redis, (pattern.template for pattern in fixed.outbound_patterns)
        ),
        redis_to_ros=_by_place(
            fixed.redis_to_ros, (pattern.template for pattern in fixed.inbound_patterns)
        ),
    )
    conflicts = list(matching.conflicts(mapping, resolve=resolve, distro=distro))
    return Plan(
        lines=tuple(_lines(shown, distro)),
        warnings=(
            *_grouped(_warnings(shown, distro)),
            *(each.text for each in conflicts if not each.is_always),
        ),
        errors=(
            *(loop.text for loop in loops.find_loops(fixed, distro)),
            *(each.text for each in conflicts if each.is_always),
        ),
    )


def _by_place(routes: Iterable[_Route], templates: Iterable[_Route]) -> tuple[_Route, ...]:
    """Return routes, with the templates of patterns among them, in the order of the file."""
    return tuple(sorted(chain(routes, templates), key=matching.path_of))


def _grouped(warnings: Iterable[RouteWarning]) -> Iterator[str]:
    """Yield one line per kind of warning: the first warning, and the other routes."""
    kinds: dict[str, list[RouteWarning]] = {}
    for warning in warnings:
        kinds.setdefault(warning.kind, []).append(warning)
    for first, *others in kinds.values():
        if not others:
            yield first.text
            continue
        routes = [warning.route for warning in others[:LISTED]]
        more = ', ...' if len(others) > LISTED else ''
        yield f'{first.text} ({len(others) + 1} in all, also {", ".join(routes)}{more})'


# --- what is printed ---------------------------------------------------------------------------
def _lines(mapping: Mapping, distro: str) -> Iterator[str]:
    token = names.topic_token(mapping.robot)
    robot = mapping.robot if token == mapping.robot else f'{mapping.robot} ({token} in topics)'
    yield f'{mapping.path}: robot {robot}, ROS {distro}, executor {mapping.executor}'
    yield from _redis_lines(mapping)
    if mapping.ros_to_redis:
        yield from ('', 'ros_to_redis')
    patterns = {p.template.where: p for p in matching.patterns(mapping)}
    for outbound in mapping.ros_to_redis:
        yield from _outbound_lines(outbound, patterns.get(outbound.where))
    if mapping.redis_to_ros:
        yield from ('', 'redis_to_ros')
    for inbound in mapping.redis_to_ros:
        yield from _inbound_lines(inbound, patterns.get(inbound.where))
    if mapping.leases:
        yield from ('', 'leases')
    for lease in mapping.leases:
        yield f'  {lease.name}: ttl_ms {lease.ttl_ms}'
        yield f'      services ~/lease/{lease.token}/acquire and ~/lease/{lease.token}/release'
    yield from ('', 'the bridge itself writes')
    for name, what in _own_names(mapping):
        yield f'  {name:<40} {what}' if len(name) < 40 else f'  {name}  {what}'


def _redis_lines(mapping: Mapping) -> Iterator[str]:
    url = urls.parse(mapping.redis.url)
    yield f'redis: {url.address}'
    if url.is_sentinel:
        login = mapping.redis.sentinel
        user = f' as {login.username}' if login and login.username else ''
        password = ' with a password' if login and login.password_file else ''
        yield f'  asks the sentinels{user}{password} for the primary of {url.service}'
        yield '  follows the primary over a failover; waits if half of the sentinels are gone'
    if url.is_cluster:
        yield '  asks any of these nodes for the cluster; each name is at the node of its slot'
        yield '  follows failovers, slots that move, and nodes that join or leave'
        if mapping.redis.sharded_pubsub:
            yield '  channels of routes are sharded: SPUBLISH and SSUBSCRIBE'


def _outbound_lines(route: RosToRedis, pattern: matching.AnyPattern | None) -> Iterator[str]:
    topic = route.topic if pattern is None else pattern.names
    yield f'  [{_number(route)}] {topic}  {route.type or "discovered type"}'
    yield from _pattern_lines(pattern, 'topics')
    rate = f'max_rate_hz {route.max_rate_hz:g}' if route.max_rate_hz else ''
    yield '      ' + _listed(
        _part(route.field, route.fields),
        _qos(route.qos, 'matched to the publishers'),
        rate,
        'on_change' if route.on_change else '',
        _frames(route.frames),
        '' if route.meta else 'meta false',
        f'max_bytes {route.max_bytes}',
    )
    for sink in route.sinks:
        yield f'      -> {sink.kind} {sink.name}: {_sink(sink)}'


def _inbound_lines(route: RedisToRos, pattern: matching.AnyPattern | None) -> Iterator[str]:
    source = route.source
    name = source.name if pattern is None else pattern.names
    how = _listed(route.encoding, source.details)
    yield f'  [{_number(route)}] {source.kind} {name}: {how}'
    yield from _pattern_lines(pattern, f'{source.kind}s')
    aged = route.max_age_ms is not None
    yield '      ' + _listed(
        _part(route.field, ()),
        f'max_bytes {route.max_bytes}',
        f'deliver {route.deliver}',
        _frames(route.frames),
        f'max_age_ms {route.max_age_ms}, unstamped {route.unstamped}' if aged else '',
        'priority connection' if route.is_command else '',
    )
    ranges = [f'{path} {low:g}..{high:g}' for path, (low, high) in route.limits.items()]
    for guard, paths in (('required', route.required), ('set', route.set), ('limits', ranges)):
        if paths:
            yield f'      {guard} {", ".join(paths)}'
    if route.lease is not None:
        yield f'      only while the lease {route.lease} is held'
    if route.stop is not None:
        stop = route.stop
        yield f'      stop after {stop.after_ms} ms without a command, sent {stop.repeat} times'
    qos = _qos(route.qos, "of the bridge's choice")
    yield f'      -> {route.topic}  {route.type}, {qos}'


def _number(route: Route) -> int | str:
    return matching.path_of(route)[-1]


def _pattern_lines(pattern: matching.AnyPattern | None, what: str) -> Iterator[str]:
    if pattern is not None:
        excluded = f'without {" ".join(pattern.exclude)}' if pattern.exclude else ''
        yield '      ' + _listed(
            f'each that matches, up to {pattern.max_matches} {what}', excluded
        )


def _listed(*parts: str) -> str:
    return ', '.join(filter(None, parts))


def _part(field: str | None, fields: tuple[str, ...]) -> str:
    if field:
        return f'field {field}'
    return f'fields {" ".join(fields)}' if fields else 'whole message'


def _frames(frames: FramePrefix | None) -> str:
    if frames is None:
        return ''
    shared = f' but for {" ".join(frames.shared)}' if frames.shared else ''
    return f'frame_prefix {frames.text}{shared}'


def _qos(qos: Qos, otherwise: str) -> str:
    settings = [f'{key} {value}' for key, value in vars(qos).items() if value is not None]
    return f'QoS {", ".join(settings) or otherwise}'


def _sink(sink: SinkConfig) -> str:
    if sink.is_notice:
        return 'notices of the key'
    options = [
        f'{key} {value}'
        for key, value in vars(sink).items()
        if key not in ('name', 'encoding', 'arrays', 'send', 'is_sharded') and value is not None
    ]
    typed = ' with typed arrays' if sink.arrays == 'typed' else ''
    return _listed(f'{sink.encoding or "dotted fields"}{typed}', *options)


def _own_names(mapping: Mapping) -> Iterator[tuple[str, str]]:
    yield keys.robot_key(mapping.robot), 'the claim on the name, heartbeat, status'
    yield keys.described_key(mapping.robot), 'the list of what is described'
    yield keys.FLEET, 'the roster of all robots, as a hash and as a channel'
    yield keys.FLEET_DUE, 'when the robots that are online count as lost'
    for lease in mapping.leases:
        holder, token, line = lease_keys(lease.name)
        yield holder, 'who holds the lease'
        yield token, 'its last fencing token'
        yield line, 'who waits for it'
    described: dict[str, str] = {}
    sinks = [sink for route in mapping.ros_to_redis for sink in route.sinks]
    if mapping.leases or any(sink.kind in registry.KINDS for sink in sinks):
        described[keys.NAMES] = 'the names of its keys, streams and leases'
    for route in mapping.ros_to_redis:
        type_key = keys.type_key(route.type or f'<type of {route.topic}>')
        described[type_key] = "the type's definition"
        for sink in route.sinks:
            described[keys.meta_key(sink.name)] = f'the description of {sink.name}'
    for inbound in mapping.redis_to_ros:
        described[keys.type_key(inbound.type)] = "the type's definition"
        name = inbound.source.name
        described.setdefault(keys.meta_key(name), f'the description of {name}')
        if inbound.source.dead_stream:
            described[inbound.source.dead_stream] = f'the rejected entries of {name}'
    yield from sorted(described.items())


# --- warnings: rules on one route yield the kind and the text, without the route ----------------
_Found = Iterator[tuple[str, str]]


def _warnings(mapping: Mapping, distro: str) -> Iterator[RouteWarning]:
    yield from _on_each(mapping.ros_to_redis, _short_lives)
    yield from _short_presence(mapping)
    yield from _on_each(mapping.ros_to_redis, _big_payloads)
    yield from _on_each(mapping.ros_to_redis, _big_json_out)
    yield from _on_each(mapping.redis_to_ros, _big_json_in)
    yield from _on_each(mapping.redis_to_ros, _unguarded_commands)
    yield from _on_each(mapping.redis_to_ros, _repeated_commands)
    yield from _on_each(mapping.redis_to_ros, _literal_stars)
    yield from _plaintext(mapping)
    yield from _few_sentinels(mapping)
    yield from _one_node(mapping)
    if urls.parse(mapping.redis.url).is_cluster:
        yield from _on_each(mapping.ros_to_redis, cluster_rules.scattered)
    yield from _on_each(mapping.ros_to_redis, _own_logs)
    yield from _shared_channels(mapping)
    yield from loops.echo_warnings(mapping)


def _on_each(routes: Iterable[_Route], rule: Callable[[_Route], _Found]) -> Iterator[RouteWarning]:
    for route in routes:
        for kind, text in rule(route):
            yield RouteWarning(kind, place(route), f'{route.where}: {text}')


def _short_lives(route: RosToRedis) -> _Found:
    rate_hz = route.max_rate_hz
    for sink in route.sinks:
        if rate_hz and sink.ttl_ms is not None and sink.ttl_ms * rate_hz < PERIODS * 1000:
            yield (
                'ttl_ms',
                f'{sink.kind} {sink.name}: ttl_ms {sink.ttl_ms} is shorter than {PERIODS} periods '
                f'of max_rate_hz {rate_hz:g} ({PERIODS * 1000 / rate_hz:.0f} ms): the value will '
                'be missing now and then',
            )


def _short_presence(mapping: Mapping) -> Iterator[RouteWarning]:
    heartbeat = mapping.presence
    if heartbeat.ttl_ms < PERIODS * heartbeat.every_ms:
        yield RouteWarning(
            'presence',
            'presence',
            f'presence: ttl_ms {heartbeat.ttl_ms} is shorter than {PERIODS} times every_ms '
            f'{heartbeat.every_ms}: a bridge that is slow for a moment counts as gone',
        )


def _big_payloads(route: RosToRedis) -> _Found:
    if route.type not in _BIG_TYPES or route.field or route.fields:
        return
    for sink in route.sinks:
        here = f'{sink.kind} {sink.name}'
        if sink.maxlen is not None:
            yield (
                f'big {sink.kind}',
                f"{here}: {sink.maxlen} entries of {route.type} may fill the server's memory: "
                'prefer a key with ttl_ms, or a small maxlen',
            )
        elif sink.redis_type is None and not sink.is_notice:
            yield (
                f'big {sink.kind}',
                f'{here}: each {route.type} is sent once per subscriber: prefer a key, and a '
                'channel with send: notice',
            )


def _big_json_out(route: RosToRedis) -> _Found:
    if route.type in _BIG_TYPES and not route.field and not route.fields:
        for sink in route.sinks:
            if sink.encoding == 'json' and not sink.is_notice:
                yield 'big json', f'{sink.kind} {sink.name}: {route.type} {_AS_JSON}'


def _big_json_in(route: RedisToRos) -> _Found:
    if route.type in _BIG_TYPES and route.encoding == 'json' and not route.field:
        yield 'big json', f'{route.source.kind} {route.source.name}: {route.type} {_AS_JSON}'


def _unguarded_commands(route: RedisToRos) -> _Found:
    risks = {}
    if route.max_age_ms is None:
        risks['max_age_ms'] = 'late commands are obeyed'
    if route.stop is None:
        risks['stop'] = 'nothing stops the robot if no more commands arrive'
    missing = ' and '.join(risks)
    if risks and route.type in _COMMAND_TYPES:
        yield (
            f'command without {missing}',
            f'{route.type} is a type for commands, and the route has no {missing}: '
            f'{", and ".join(risks.values())}',
        )


def _repeated_commands(route: RedisToRos) -> _Found:
    is_bare = route.field is not None or not CODECS[route.encoding].carries_meta
    if isinstance(route.source, KeySourceConfig) and route.stop is not None and is_bare:
        what = 'a bare field' if route.field is not None else route.encoding
        yield (
            'repeated commands',
            f'key {route.source.name}: {what} carries no metadata, so a command that is written '
            'again unchanged is not noticed, and the robot stops: prefer a channel',
        )


def _literal_stars(route: RedisToRos) -> _Found:
    source = route.source
    if '*' in source.name:
        yield (
            'literal star',
            f"{source.kind} {source.name} is one {source.kind} with a '*' in its name: if the "
            'star stands for any name, write {name:*}',
        )


def _plaintext(mapping: Mapping) -> Iterator[RouteWarning]:
    url = urls.parse(mapping.redis.url)
    if url.is_plaintext_elsewhere:
        yield RouteWarning(
            'plaintext',
            'redis',
            f'redis: {url.address} is on another machine and not encrypted, so others in the '
            'network can read passwords and payloads: use rediss://',
        )


def _few_sentinels(mapping: Mapping) -> Iterator[RouteWarning]:
    url = urls.parse(mapping.redis.url)
    if url.is_sentinel and len(url.hosts) < LEAST_SENTINELS:
        yield RouteWarning(
            'few sentinels',
            'redis',
            f'redis: the url lists {len(url.hosts)} of the sentinels: list all of them, '
            f'{LEAST_SENTINELS} at least, because the bridge works only while more than half of '
            'those in the url answer',
        )


def _one_node(mapping: Mapping) -> Iterator[RouteWarning]:
    url = urls.parse(mapping.redis.url)
    if url.is_cluster and len(url.hosts) < LEAST_NODES:
        yield RouteWarning(
            'one node',
            'redis',
            f'redis: the url lists one node of the cluster: list {LEAST_NODES} or more, because '
            'while that one is away nothing can start',
        )


def _own_logs(route: RosToRedis) -> _Found:
    if route.topic == '/rosout':
        yield (
            'rosout',
            "/rosout also carries the bridge's own log, so Redis errors would be published to "
            'Redis',
        )


def _shared_channels(mapping: Mapping) -> Iterator[RouteWarning]:
    writers: dict[str, RosToRedis] = {}
    captures = {each.template.where: each.names.captures for each in mapping.outbound_patterns}

    def shared(route: RosToRedis) -> _Found:
        for sink in route.sinks:
            if sink.redis_type:
                continue
            name = f'{sink.kind} {sink.name}'
            why = 'each route numbers its own messages, so readers will report gaps'
            first = writers.setdefault(patterns.anonymous(sink.name), route)
            if first is not route:
                yield f'shared {sink.kind}', f'{name} is also written by {first.where}: {why}'
            used = patterns.variables_in(sink.name)
            missing = [
                f'{{{c.name}}}' for c in captures.get(route.where, ()) if c.name not in used
            ]
            if missing:
                yield (
                    f'{sink.kind} of all matches',
                    f'{name} is written by all topics that match: {why}; put '
                    f'{" and ".join(missing)} into its name',
                )

    return _on_each(mapping.ros_to_redis, shared)
