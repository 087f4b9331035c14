# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Stand-ins for every protocol of `ports`, which keep what they are given."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from redis_bridge.bridge.timers import CallAt
from redis_bridge.counters import Counters
from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import Qos, SinkConfig
from redis_bridge.messages.types import Message
from redis_bridge.ports import (
    WAITING,
    ChannelsRequest,
    GraphLook,
    Payload,
    Publisher,
    Receiver,
    RedisSide,
    RosSide,
    Sink,
    SourceRequest,
    TakeRegistered,
    TopicLook,
    TopicReceiver,
    TopicRequest,
    TopicsRequest,
    Write,
)
from redis_bridge.protocol.descriptions import NameDescription

SERVER_TIME = 1_700_000_000.0


class FakeClock:
    """A clock that rests until a test moves it, with the timers that depend on it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        self.timers.append((when, call))

    def move(self, seconds: float) -> None:
        """Let time pass; timers are called when they are due, in order."""
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer[0] <= end]:
            timer = min(due, key=lambda timer: timer[0])
            self.timers.remove(timer)
            self.now = max(self.now, timer[0])
            timer[1]()
        self.now = end


class MemorySink:
    """Keeps what is written to it, as a server that stores it once it is flushed."""

    def __init__(self) -> None:
        self.queued: list[Write] = []
        self.written: list[Write] = []
        self.renewed = 0
        self.is_held = True
        self.closed = False
        self.said = 'open'

    def write(self, writes: Sequence[Write], *, flush: bool = True) -> None:
        self.queued += writes
        if flush:
            self.flush()

    def flush(self) -> None:
        queued, self.queued = self.queued, []
        for write in queued:
            self.written.append(write._replace(then=None))
            if write.then is not None:
                write.then()

    def renew(self) -> bool:
        self.renewed += 1
        return self.is_held

    def holds(self) -> bool:
        return self.is_held

    def state(self) -> str:
        return self.said

    def close(self) -> None:
        self.closed = True

    @property
    def payloads(self) -> list[Payload]:
        return [write.payload for write in self.written]


class FakeRedis:
    """A Redis side whose clock rests; a test acts as its sources."""

    def __init__(self, robot: str = 'robot1') -> None:
        self.origin = f'{robot}/boot'
        self.sinks: dict[str, MemorySink] = {}
        self.sink_counters: dict[str, Counters] = {}
        self.sources: list[SourceRequest] = []
        self.described: list[NameDescription] = []
        self.by_role = {'writer': 'connected', 'presence': 'connected'}
        self.terms: int | None = 1
        self.of_sources = 'open'
        self.of_registry = 'open'
        self.tokens: dict[str, int] = {}  # of leases
        self.channels: list[ChannelsRequest] = []
        self.registered: TakeRegistered | None = None
        self.uncertainty_s = 0.0
        self.calls: list[str] = []

    def now(self) -> float:
        return SERVER_TIME

    def latest(self) -> float:
        return SERVER_TIME + self.uncertainty_s

    def open_sink(
        self, config: SinkConfig, counters: Counters, *, is_mirrored: bool = False
    ) -> Sink:
        self.sinks[config.name] = MemorySink()
        self.sink_counters[config.name] = counters
        return self.sinks[config.name]

    def want(self, sources: Collection[SourceRequest]) -> None:
        self.calls.append('want')
        self.sources = list(sources)

    def describe(self, descriptions: Collection[NameDescription]) -> None:
        self.described = list(descriptions)

    def start(self, status: Callable[[], dict[str, str]]) -> None:
        self.calls.append('start')

    def states(self) -> dict[str, str]:
        return self.by_role

    def term(self) -> int | None:
        return self.terms

    def lease_token(self, name: str) -> int | None:
        return self.tokens.get(name)

    def why_closed(self) -> str | None:
        return 'not ours' if self.terms is None else None

    def discover(
        self, channels: Collection[ChannelsRequest], registered: TakeRegistered | None
    ) -> None:
        self.channels, self.registered = list(channels), registered

    def source_state(self, source: SourceRequest | ChannelsRequest) -> str:
        return self.of_sources

    def registry_state(self) -> str:
        return self.of_registry

    def receiver(self, name: str) -> Receiver:
        """Return the route that reads a name."""
        (found,) = [source.receiver for source in self.sources if source.config.name == name]
        return found


class MemoryPublisher:
    """Keeps what is published."""

    def __init__(self, message: Message, name: str = '/n') -> None:
        self.name = name
        self.message = message
        self.published: list[bytes] = []
        self.depth = 10
        self.subscribers = 1
        self.acknowledges = True
        self.bridges: set[str] = set()
        self.users = 1
        self.said = 'open'
        self.on_open: Callable[[MemoryPublisher], None] = lambda publisher: None

    def open(self) -> None:
        self.on_open(self)

    @property
    def count(self) -> int:
        return len(self.published)

    def publish(self, cdr: bytes) -> None:
        self.published.append(cdr)

    def has_subscribers(self) -> bool:
        return self.subscribers > 0

    def is_heard_by(self, boot: str) -> bool:
        return boot in self.bridges

    def wait_for_acked(self, seconds: float) -> bool:
        return self.acknowledges

    def state(self) -> str:
        return self.said


class FakeRos:
    """A graph that knows some message types; a test acts as its topics."""

    def __init__(self, *messages: Message) -> None:
        self.messages = {message.name: message for message in messages}
        self.topics: list[TopicRequest] = []
        self.patterns: TopicsRequest | None = None
        self.publishers: dict[tuple[object, ...], MemoryPublisher] = {}
        self.calls: list[str] = []
        self.on_open: Callable[[MemoryPublisher], None] = lambda publisher: None

    def now(self) -> tuple[int, int]:
        return 12, 34

    def want(self, topics: Collection[TopicRequest]) -> None:
        self.calls.append('want')
        self.topics = list(topics)

    def discover(self, request: TopicsRequest | None) -> None:
        self.patterns = request

    def publisher(
        self, name: str, type_name: str, qos: Qos, latched: bool, owner: str = ''
    ) -> Publisher:
        if type_name not in self.messages:
            raise InterfaceError(f'{type_name}: not installed')
        shared = (name, type_name, qos, latched, owner)
        if shared in self.publishers:
            self.publishers[shared].users += 1
        else:
            message = self.messages[type_name]
            self.publishers[shared] = MemoryPublisher(message, f'/{name.lstrip("/")}')
            self.publishers[shared].on_open = self.on_open
        return self.publishers[shared]

    def release(self, publisher: Publisher) -> None:
        for shared, mine in list(self.publishers.items()):
            if mine is publisher:
                mine.users -= 1
                if not mine.users:
                    del self.publishers[shared]

    def start(self) -> None:
        self.calls.append('start')

    def receiver(self, topic: str) -> TopicReceiver:
        """Return the route that carries a topic."""
        (found,) = [request.receiver for request in self.topics if request.topic == topic]
        return found


class FakeLook:
    """A graph in which topics are published, or subscribed to, as a test says."""

    def __init__(self, topics: dict[str, TopicLook]) -> None:
        self.topics = topics
        self.asked: list[tuple[object, ...]] = []

    def wait(self) -> str | None:
        return None

    def summary(self) -> str:
        return 'ROS domain 7'

    def published(self) -> frozenset[str]:
        return frozenset(self.topics)

    def outbound(self, topic: str, asked: Sequence[tuple[str | None, Qos]]) -> list[TopicLook]:
        self.asked.append((topic, *asked))
        return [self.topics.get(topic, TopicLook(type_, '', 0, WAITING)) for type_, _ in asked]

    def inbound(self, topic: str, type_name: str, asked: Qos, latched: bool) -> TopicLook:
        self.asked.append((topic, type_name, asked, latched))
        qos = 'reliable, transient_local' if latched else 'reliable, volatile'
        return self.topics.get(topic, TopicLook(type_name, qos, 0, 'open'))


def _checked_by_mypy(
    message: Message,
) -> tuple[CallAt, Sink, RedisSide, Publisher, RosSide, GraphLook]:
    """Hold the stand-ins to the protocols."""
    clock, sink, redis, ros = FakeClock(), MemorySink(), FakeRedis(), FakeRos()
    return clock.call_at, sink, redis, MemoryPublisher(message), ros, FakeLook({})
