# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A mapping as plain data: its routes, their ends, its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar, get_args

from redis_bridge.mapping.patterns import NamePattern
from redis_bridge.protocol import keys, names

MAX_BYTES = 1 << 20  # of an inbound payload
MAX_BYTES_OUT = 16 << 20  # of an outbound payload: a camera image passes


@dataclass(frozen=True)
class Qos:
    """QoS settings of one route; None means matched to the other side (or the default)."""

    reliability: str | None = None  # reliable | best_effort
    durability: str | None = None  # volatile | transient_local
    depth: int | None = None


# Rules, warnings, plan, queue and clients read the facts of a kind of Redis name:
#   redis_type   what TYPE replies; None: nothing is stored, and so a write is sent at most once
#   is_event     each sample counts, not only the last one
#   carries_meta beside the payload, whatever its encoding
# Sinks add:
#   encoding     of payloads and notices; None if the sink takes fields instead
#   arrays       whether numeric arrays are lists or typed
#   is_notice    it sends notices that the route's key has changed, no payloads
#   ttl_ms       the time to live that each write renews
#   maxlen       the number of values that are kept; None for the last one or none
#   durability   when a write counts as stored
#   max_wait_ms  how long a write may wait for Redis; None: for ever
# Sources add:
#   details      the options, as a plan shows them
#   dead_stream  the stream that keeps rejected entries, or None
#   group        the consumer group that reads, or None
class _Key:
    kind: ClassVar[str] = 'key'
    redis_type: ClassVar[str | None] = 'string'
    is_event: ClassVar[bool] = False
    carries_meta: ClassVar[bool] = False


class _Stream:
    kind: ClassVar[str] = 'stream'
    redis_type: ClassVar[str | None] = 'stream'
    is_event: ClassVar[bool] = True
    carries_meta: ClassVar[bool] = True


class _Channel:
    kind: ClassVar[str] = 'channel'
    redis_type: ClassVar[str | None] = None
    is_event: ClassVar[bool] = True
    carries_meta: ClassVar[bool] = False


@dataclass(frozen=True)
class KeySinkConfig(_Key):
    """SET: the last value under one name."""

    maxlen: ClassVar[int | None] = None
    durability: ClassVar[str] = 'memory'
    is_notice: ClassVar[bool] = False
    name: str
    encoding: str = 'msgpack'
    arrays: str = 'list'
    ttl_ms: int | None = None

    @property
    def max_wait_ms(self) -> int | None:
        """A value that waited longer would have expired."""
        return self.ttl_ms


@dataclass(frozen=True)
class HashSinkConfig:
    """HSET: the last value as dotted fields."""

    kind: ClassVar[str] = 'hash'
    redis_type: ClassVar[str | None] = 'hash'
    is_event: ClassVar[bool] = False
    carries_meta: ClassVar[bool] = False
    maxlen: ClassVar[int | None] = None
    durability: ClassVar[str] = 'memory'
    is_notice: ClassVar[bool] = False
    encoding: ClassVar[str | None] = None
    arrays: ClassVar[str] = 'list'
    name: str
    ttl_ms: int | None = None

    @property
    def max_wait_ms(self) -> int | None:
        """A value that waited longer would have expired."""
        return self.ttl_ms


@dataclass(frozen=True)
class StreamSinkConfig(_Stream):
    """XADD: the history, trimmed to about `maxlen` entries."""

    is_notice: ClassVar[bool] = False
    ttl_ms: ClassVar[int | None] = None
    max_wait_ms: ClassVar[int | None] = None
    name: str
    encoding: str = 'msgpack'
    arrays: str = 'list'
    maxlen: int = 10000
    durability: str = 'memory'  # memory | replicated | fsynced


@dataclass(frozen=True)
class ChannelSinkConfig(_Channel):
    """PUBLISH: events, or with `send='notice'` short messages that the key has changed."""

    maxlen: ClassVar[int | None] = None
    durability: ClassVar[str] = 'memory'
    ttl_ms: ClassVar[int | None] = None
    name: str
    encoding: str = 'msgpack'
    arrays: str = 'list'
    send: str = 'payload'  # payload | notice
    max_wait_ms: int | None = 1000
    is_sharded: bool = False  # SPUBLISH

    @property
    def is_notice(self) -> bool:
        """Whether only notices of the route's key are sent."""
        return self.send == 'notice'


SinkConfig = KeySinkConfig | HashSinkConfig | StreamSinkConfig | ChannelSinkConfig


@dataclass(frozen=True)
class ChannelSourceConfig(_Channel):
    """SUBSCRIBE, or PSUBSCRIBE: every message while connected."""

    details: ClassVar[str] = ''
    dead_stream: ClassVar[str | None] = None
    group: ClassVar[str | None] = None
    name: str
    pattern: str | None = None  # by which it is subscribed; None: by its name


@dataclass(frozen=True)
class KeySourceConfig(_Key):
    """A key that is watched: its value, and each change of it."""

    dead_stream: ClassVar[str | None] = None
    group: ClassVar[str | None] = None
    name: str
    initial: str = 'publish'  # publish | skip: the value at start and after a reconnect

    @property
    def details(self) -> str:
        """The options of the source, as a plan shows them."""
        return f'initial {self.initial}'


@dataclass(frozen=True)
class StreamSourceConfig(_Stream):
    """XREAD or XREADGROUP: the entries of a stream, in order."""

    name: str
    start: str = 'new'  # new | last | beginning | group
    group: str | None = None

    @property
    def details(self) -> str:
        """The options of the source, as a plan shows them."""
        return f'from {self.start}' + (f' {self.group}' if self.group else '')

    @property
    def dead_stream(self) -> str | None:
        """The stream that keeps the rejected entries of a group."""
        return None if self.group is None else keys.dead_stream(self.name)


SourceConfig = ChannelSourceConfig | KeySourceConfig | StreamSourceConfig

# By the kinds of Redis names that routes write and read.
SINKS: dict[str, type[SinkConfig]] = {sink.kind: sink for sink in get_args(SinkConfig)}
SOURCES: dict[str, type[SourceConfig]] = {source.kind: source for source in get_args(SourceConfig)}


@dataclass(frozen=True)
class Stop:
    """The dead-man: the stop message, and the time without a command after which it is sent."""

    after_ms: int
    message: dict[str, Any] = dataclasses.field(default_factory=dict)
    repeat: int = 5


@dataclass(frozen=True)
class FramePrefix:
    """The names of a robot's coordinate frames: in Redis with a prefix, in ROS without it."""

    text: str
    shared: tuple[str, ...] = ()  # frames that all robots have in common: never with a prefix
    is_default: bool = False  # meant for those routes only whose messages name frames


@dataclass(frozen=True)
class RosToRedis:
    """A route from one topic to one or more Redis names."""

    # 'fleet.yaml:9: ros_to_redis[0]', for errors and logs. In another place it is the same route.
    where: str = dataclasses.field(compare=False)
    topic: str
    sinks: tuple[SinkConfig, ...]  # in the order key, hash, stream, channel
    type: str | None = None  # 'pkg/msg/Name'; None: discovered from the graph
    field: str | None = None  # one scalar or sub-message by its dotted path
    fields: tuple[str, ...] = ()  # some dotted paths
    frames: FramePrefix | None = None
    max_rate_hz: float | None = None
    on_change: bool = False
    meta: bool = True
    max_bytes: int = MAX_BYTES_OUT  # of one encoded payload
    qos: Qos = Qos()

    def __str__(self) -> str:
        return f'{self.topic} -> ' + ', '.join(f'{s.kind} {s.name}' for s in self.sinks)


@dataclass(frozen=True)
class RedisToRos:
    """A route from one Redis name to one topic."""

    where: str = dataclasses.field(compare=False)
    source: SourceConfig
    topic: str
    type: str
    field: str | None = None
    encoding: str = 'msgpack'
    max_bytes: int = MAX_BYTES
    max_age_ms: int | None = None
    unstamped: str = 'refuse'  # refuse | accept; only read if max_age_ms is set
    deliver: str = 'all'  # all | latest
    # By dotted paths:
    limits: dict[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    required: tuple[str, ...] = ()
    set: dict[str, Any] = dataclasses.field(default_factory=dict)  # 'now' for a Time
    frames: FramePrefix | None = None
    stop: Stop | None = None
    lease: str | None = None  # nothing passes unless this bridge holds it
    qos: Qos = Qos()

    @property
    def is_command(self) -> bool:
        """Whether the route uses the priority connection."""
        return self.max_age_ms is not None or self.stop is not None

    @property
    def must_be_finite(self) -> bool:
        """Whether no number may be NaN or infinite, because the message may move the robot."""
        return bool(self.limits or self.stop)

    def __str__(self) -> str:
        return f'{self.source.kind} {self.source.name} -> {self.topic}'


Route = RosToRedis | RedisToRos
R = TypeVar('R', bound=Route, covariant=True)


@dataclass(frozen=True)
class RoutePattern(Generic[R]):
    """A route for each name that matches: for topics to Redis, or for Redis names to ROS."""

    names: NamePattern  # of topics, or of Redis names
    template: R  # its names have captures in braces
    exclude: tuple[str, ...]
    max_matches: int
    # Makes the route of a name and of what it has for each capture; None if the name is excluded.
    build: Callable[[str, MappingOf[str, str]], R | None] = dataclasses.field(
        compare=False, repr=False
    )

    def __str__(self) -> str:
        return str(self.template)

    def route_for(self, name: str) -> R | None:
        """Return the route for a name; None if it does not match, or is excluded.

        Raises ValueError with the reason if no route can be made of it.
        """
        captured = self.names.match(name)
        return None if captured is None else self.build(name, captured)


@dataclass(frozen=True)
class Tls:
    """Files of a TLS connection, and its lowest version."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    min_version: str | None = None  # '1.2' | '1.3'


@dataclass(frozen=True)
class Login:
    """The ACL user and the file of the password; None for the default user or no password."""

    username: str | None = None
    password_file: str | None = None


@dataclass(frozen=True)
class RedisSettings:
    """How to reach Redis. Secrets are read from a `password_file` at each connect, never kept."""

    # See `redis_url`; not in repr, since one from the environment may hold a password.
    url: str = dataclasses.field(default='redis://localhost:6379/0', repr=False)
    username: str | None = None
    password_file: str | None = None
    tls: Tls | None = None
    sentinel: Login | None = None  # at the sentinels, who never get the one of the server
    sharded_pubsub: bool = False  # of a cluster: SPUBLISH and SSUBSCRIBE


@dataclass(frozen=True)
class Heartbeat:
    """Period of the heartbeats, and the time after which a bridge counts as gone."""

    every_ms: int = 2000
    ttl_ms: int = 6000


@dataclass(frozen=True)
class LeaseConfig:
    """A lease that ROS nodes acquire and release by services of the bridge."""

    name: str
    ttl_ms: int = 2000

    @property
    def token(self) -> str:
        """The name as a part of the names of services."""
        return names.topic_token(self.name)


@dataclass(frozen=True)
class Mapping:
    """A whole mapping file, checked."""

    path: str
    robot: str
    redis: RedisSettings = RedisSettings()
    ros_to_redis: tuple[RosToRedis, ...] = ()
    redis_to_ros: tuple[RedisToRos, ...] = ()
    outbound_patterns: tuple[RoutePattern[RosToRedis], ...] = ()
    inbound_patterns: tuple[RoutePattern[RedisToRos], ...] = ()
    presence: Heartbeat = Heartbeat()
    leases: tuple[LeaseConfig, ...] = ()
    executor: str = 'events'  # events | single_threaded
