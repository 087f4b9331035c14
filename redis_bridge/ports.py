# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Every protocol between the core and its two outside worlds.

Data is handed on in batches, since both worlds deliver in batches. What may change at run time is
a desired set: `want` replaces it as a whole, and the thread that owns the connections or the
subscriptions issues the difference. `node`, which opens both worlds, closes them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import Qos, SinkConfig, SourceConfig
from redis_bridge.messages.types import Message
from redis_bridge.protocol.descriptions import NameDescription
from redis_bridge.protocol.meta import Meta

Payload = bytes | dict[str, bytes]  # a dict of fields for a hash
SENTINEL_ROLE, CLUSTER_ROLE = 'sentinel ', 'cluster node '
SPARE_ROLES = (SENTINEL_ROLE, CLUSTER_ROLE)  # that begin so, as long as nothing else waits
WAITING = 'waiting for a publisher'  # a topic's state


def size_of(payload: Payload) -> int:
    """Return the bytes of a payload; of a hash those of all names and values."""
    if isinstance(payload, dict):
        return sum(len(name) + len(value) for name, value in payload.items())
    return len(payload)


class Received(NamedTuple):
    """One payload as it came from Redis."""

    payload: bytes
    meta: Meta | None = None  # of a stream entry; other payloads carry theirs inside
    # Of an entry of a consumer group; called with True once subscribers have it, with False if it
    # is given up as invalid, with None if it is to be handed on again.
    acknowledge: Callable[[bool | None], None] | None = None


class Write(NamedTuple):
    """One encoded sample for a sink."""

    payload: Payload
    meta: Meta | None  # of a stream entry; None if the route leaves it out
    then: Callable[[], None] | None = None  # called, from any thread, once it is stored


@dataclass(frozen=True)
class RouteReport:
    """What one route did; rate and latency are means since the report before."""

    route: str
    direction: str  # ros_to_redis | redis_to_ros
    state: str  # 'open', or why nothing is carried
    carried: int = 0
    bytes: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    noted: dict[str, int] = field(default_factory=dict)
    rate_hz: float = 0.0
    latency_ms: float = 0.0
    latency_sum_s: float = 0.0  # of all samples since the start
    latency_count: int = 0  # of the samples in that sum


class Sink(Protocol):
    """A Redis name that a route writes; never waits for the network."""

    def write(self, writes: Sequence[Write], *, flush: bool = True) -> None:
        """Queue samples, oldest first.

        :param flush: False if `flush` follows, so that what goes to several sinks is sent at once.
        """

    def flush(self) -> None:
        """Have what is queued sent now."""

    def renew(self) -> bool:
        """Take a sample that equals the last one; return whether Redis holds that one.

        If so, its time to live is renewed. Otherwise, as far as that is known, it is written again
        and counted as a write.
        """

    def holds(self) -> bool:
        """Return False if Redis is known not to hold what was written last."""

    def state(self) -> str:
        """Return 'open', or why nothing is written: the connection, or the name itself."""

    def close(self) -> None:
        """Release the name; what is queued is still written."""


class Receiver(Protocol):
    """The route behind a source; all methods are called from the source's thread."""

    def room(self) -> int:
        """Acknowledge what subscribers have; return how many entries of a stream may come now.

        None while nobody subscribes. Only groups heed the number.
        """

    def receive(self, batch: list[Received]) -> None:
        """Take all payloads that waited, oldest first. Invalid ones are counted, never raised."""

    def drop(self, reason: str, text: str) -> None:
        """Count an entry that cannot be handed on, and log why."""

    def gap(self, missed: int | None) -> None:
        """Count missed messages; None if their number is unknown."""

    def on_disconnect(self) -> None:
        """React to a lost connection; called once per outage."""


class SourceRequest(NamedTuple):
    """A Redis name that a route reads.

    Of a key's value that is longer than `max_bytes` the receiver gets one byte more than that, so
    that it can reject it.
    """

    config: SourceConfig
    receiver: Receiver
    is_command: bool  # uses a priority connection
    max_bytes: int


class ChannelsRequest(NamedTuple):
    """The channels that a pattern of sources asks for.

    `heard` is called from the source's thread with channels that no `SourceRequest` of this
    pattern reads so far, in the order of their messages, before these are handed on: to those that
    read them then. If the requests of a pattern change, it is called once more with each channel
    that is read already. It may raise nothing.
    """

    pattern: str  # as PSUBSCRIBE takes it; it may match more than is wanted
    is_command: bool
    heard: Callable[[Sequence[str]], None]


# Takes all keys and streams that senders have registered in Redis, as (kind, name). One that is
# missing for less than a few seconds is among them.
TakeRegistered = Callable[[frozenset[tuple[str, str]]], None]


class RedisSide(Protocol):
    """The Redis world of one bridge."""

    origin: str  # 'robot/boot', by which this start of the bridge is known

    def now(self) -> float:
        """Return the Redis server's time in seconds; our own until the first connection.

        It is the earliest that the server's clock may show.
        """

    def latest(self) -> float:
        """Return the latest time that the server's clock may show, to judge ages by."""

    def open_sink(
        self, config: SinkConfig, counters: Counters, *, is_mirrored: bool = False
    ) -> Sink:
        """Return the sink for a Redis name.

        The value of a key or hash is written again when Redis has lost it or another client has
        overwritten it, except that of a mirrored key, which others write as well.
        """

    def want(self, sources: Collection[SourceRequest]) -> None:
        """Read exactly these names from now on; sources that stay keep their place."""

    def discover(
        self, channels: Collection[ChannelsRequest], registered: TakeRegistered | None
    ) -> None:
        """Look for names of exactly these patterns from now on.

        `registered` is called from a thread of this side, at first if there are any names, and
        after each change; one that is asked for already is not called again. None if nobody asks.
        """

    def source_state(self, source: SourceRequest | ChannelsRequest) -> str:
        """Return 'open', or why nothing is read: the claim, the connection, or the name itself."""

    def registry_state(self) -> str:
        """Return 'open', or why registered names are not found."""

    def describe(self, descriptions: Collection[NameDescription]) -> None:
        """Describe exactly these names in Redis from now on, for programs without the mapping."""

    def start(self, status: Callable[[], dict[str, str]]) -> None:
        """Start all threads; `status` returns the fields of each heartbeat."""

    def states(self) -> dict[str, str]:
        """Return connection role -> 'connected', or what is wrong."""

    def term(self) -> int | None:
        """Return a number that stays as long as this bridge holds the robot's name; None without.

        What came in one term may not be handed on in another: the process may have paused.
        """

    def lease_token(self, name: str) -> int | None:
        """Return the token of a lease that the mapping lists; None if it is not held now."""

    def why_closed(self) -> str | None:
        """Return why this bridge may neither read nor write now; None if it may."""


class RosterWatch(Protocol):
    """Follows which robots are online."""

    def want(self, is_wanted: bool) -> None:
        """Follow the roster from now on, or no longer; each time it begins anew."""

    def is_current(self) -> bool:
        """Return whether all that has happened was reported."""


class TopicReceiver(Protocol):
    """The route behind a topic; all methods are called from the executor's thread."""

    def opened(self, message: Message) -> None:
        """Take the topic's type; called before the first batch, again if the type changes."""

    def forward(self, batch: list[bytes]) -> None:
        """Take serialized messages, oldest first."""

    def drop(self, reason: str, count: int) -> None:
        """Count messages that may not be carried."""

    def set_state(self, text: str) -> None:
        """Take the topic's state: 'open', or why nothing is carried."""


class TopicRequest(NamedTuple):
    """A topic that a route carries to Redis."""

    topic: str
    type: str | None  # None: discovered from the graph
    qos: Qos
    receiver: TopicReceiver


class TopicsRequest(NamedTuple):
    """The topics that patterns ask for.

    `found` is called from the executor's thread with all such topics that somebody other than a
    bridge publishes, at first and after each change.
    """

    is_wanted: Callable[[str], bool]  # by the topic's full name
    found: Callable[[frozenset[str]], None]


class Publisher(Protocol):
    """A topic that a route publishes; usable from every thread."""

    name: str  # the topic's full name in the graph
    message: Message
    depth: int  # as many messages are kept for reliable subscribers that do not have them yet

    def open(self) -> None:
        """Announce it in the graph, unless it is; called before the first message.

        Raises InterfaceError if DDS rejects it for now; that is its state, and is tried again.
        """

    @property
    def count(self) -> int:
        """How many messages were published so far."""

    def publish(self, cdr: bytes) -> None:
        """Publish one serialized message; raises PayloadError while DDS rejects the publisher."""

    def has_subscribers(self) -> bool:
        """Return whether anybody subscribes."""

    def is_heard_by(self, boot: str) -> bool:
        """Return whether a bridge, known by this start, subscribes in this ROS graph."""

    def wait_for_acked(self, seconds: float) -> bool:
        """Return whether all reliable subscribers acknowledged within the time.

        What is no longer kept, because as many messages as `depth` came after it, counts as
        acknowledged.
        """

    def state(self) -> str:
        """Return 'open', or which subscriber does not match in type or QoS."""


class RosSide(Protocol):
    """The ROS world of one bridge."""

    def now(self) -> tuple[int, int]:
        """Return the ROS time as (seconds, nanoseconds)."""

    def want(self, topics: Collection[TopicRequest]) -> None:
        """Subscribe to exactly these topics from now on; topics that stay lose no message."""

    def discover(self, request: TopicsRequest | None) -> None:
        """Look for topics of exactly this request from now on; within a second they are found."""

    def publisher(
        self, name: str, type_name: str, qos: Qos, latched: bool, owner: str = ''
    ) -> Publisher:
        """Return a publisher, shared by all that ask for the same; raises InterfaceError.

        It is not yet open, unless another one has opened it. What is latched is so per publisher;
        with an `owner` it is not shared with others.
        """

    def release(self, publisher: Publisher) -> None:
        """Give a publisher back; it closes when nobody uses it any more."""

    def start(self) -> None:
        """Look at the graph for the first time, so that nothing already there is missed."""


class TopicLook(NamedTuple):
    """What a route would find of its topic now."""

    type: str | None  # None: not known so far
    qos: str  # by which the bridge would subscribe or publish; empty if the type is not known
    ends: int  # publishers, or subscribers
    state: str  # of the route: 'open', or why nothing is carried


class GraphLook(Protocol):
    """The ROS world as it is now, which looking does not change."""

    def wait(self) -> str | None:
        """Wait until nothing more is found; return why something may yet be missing."""

    def summary(self) -> str:
        """Return the ROS domain, and how many nodes and topics are in it."""

    def published(self) -> frozenset[str]:
        """Return all topics that somebody other than a bridge publishes."""

    def outbound(self, topic: str, asked: Sequence[tuple[str | None, Qos]]) -> list[TopicLook]:
        """Return what each route would find of a topic that they carry to Redis.

        :param asked: the type and QoS of each of these routes.
        """

    def inbound(self, topic: str, type_name: str, asked: Qos, latched: bool) -> TopicLook:
        """Return what a route would find of a topic that it publishes."""
