# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Topics of a running ROS graph as ends of routes: found, typed, matched, watched."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from typing import Any, Protocol

from rclpy.clock import Clock, ClockType
from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.subscription import Subscription
from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import Qos
from redis_bridge.messages.types import Message
from redis_bridge.ros_io import drain, qos, types

LOOK_EVERY_S = 0.25
# Of these looks one is close. The others only compare the number of publishers, and of a topic
# that is carried already only one of them does. The topics take turns, as close looks cost most.
LOOKS = 8
BRIDGE_NODE = '_redis_bridge_'  # how the nodes begin that carry the topics of any bridge
ASK_EVERY_S = 0.002
REMEMBERED = 1000  # latched samples, to know them again after a re-match

NAMED_WITHIN_S = 3.0
NAMELESS = '_NODE_NAME_UNKNOWN_'  # rmw's word for it

Gid = bytes


class TopicReceiver(Protocol):
    """What a topic tells a running route; all are called from the executor's thread."""

    def opened(self, message: Message) -> None:
        """Learn the topic's type; told once, before the first batch."""

    def forward(self, batch: list[bytes]) -> None:
        """Take serialized messages, oldest first."""

    def drop(self, reason: str, count: int) -> None:
        """Count messages that may not be carried."""

    def set_state(self, text: str) -> None:
        """Note the state of the topic: 'open', or what stands in the way."""


class Topic:
    """One topic that is carried to Redis, with the subscription that its routes share."""

    def __init__(self, node: Node, name: str, has_gid: bool, log: logging.Logger) -> None:
        self.name = name
        self._node = node
        self._type: str | None = None
        self._asked = Qos()
        self._has_gid = has_gid
        self._log = log
        self._receivers: list[TopicReceiver] = []
        self._message_class: type | None = None
        self._message: Message | None = None
        self._subscription: Subscription | None = None
        self._profile: QoSProfile | None = None
        self._publishers = -1
        self._state = ''
        self._bridges: dict[Gid, bool] = {}  # publishers by GID: whether a bridge's
        self._waiting: drain.Taken = []  # of publishers that the graph does not name yet
        self._nameless_since = 0.0
        self._unguarded = False
        self._seen: OrderedDict[tuple[Gid, int], None] = OrderedDict()

    def add(self, receiver: TopicReceiver, type_name: str | None, asked: Qos) -> None:
        """Have one more route listen, before the first look; it may set what others left open."""
        self._receivers.append(receiver)
        self._type = self._type or type_name
        self._asked = Qos(
            self._asked.reliability or asked.reliability,
            self._asked.durability or asked.durability,
            self._asked.depth or asked.depth,
        )

    def look(self, turn: int) -> None:
        """See what the graph says of the topic, and follow it; `turn` counts up to LOOKS."""
        closely = turn == 0
        if self._waiting:
            self._deliver([])
        elif self._state == 'open' and turn % (LOOKS // 2):
            return
        count = self._node.count_publishers(self.name)
        if count == self._publishers and not closely:
            return
        self._publishers = count
        infos = self._node.get_publishers_info_by_topic(self.name)
        offered = [info for info in infos if info.node_name != self._node.get_name()]
        if len(self._bridges) > REMEMBERED:
            self._bridges.clear()
        self._bridges |= _identified(infos)
        self._unguarded = not self._has_gid and any(
            info.node_name.startswith(BRIDGE_NODE) for info in offered
        )
        try:
            self._follow(offered)
        except InterfaceError as error:
            self._tell(f'error: {error}')

    def _follow(self, offered: list[TopicEndpointInfo]) -> None:
        kinds = {info.topic_type for info in offered}
        if self._type is None:
            if len(kinds) != 1:
                several = f'error: publishers of several types: {", ".join(sorted(kinds))}'
                self._tell(several if kinds else 'waiting for a publisher')
                return
            self._type = kinds.pop()
        if self._message_class is None:
            self._message_class = types.load(self._type)
            self._message = types.describe(self._message_class)
            for receiver in self._receivers:
                receiver.opened(self._message)
        profiles = [info.qos_profile for info in offered]
        wanted = qos.for_subscription(self._asked, profiles, self._message)
        if self._subscription is None or (profiles and not _same(wanted, self._profile)):
            self._subscribe(wanted)
        self._tell(self._describe(offered, kinds - {self._type}))

    def _describe(self, offered: list[TopicEndpointInfo], strangers: set[str]) -> str:
        if self._unguarded:
            return (
                'error: another bridge publishes here, and this ROS does not tell whose a '
                'message is: nothing is carried, since it could circle'
            )
        if strangers:
            return f'error: expected {self._type}, a publisher sends {", ".join(strangers)}'
        for info in offered:
            if reason := qos.mismatch(info.qos_profile, self._profile):
                return f'incompatible QoS with {_node_of(info)}: {reason}'
        return 'open' if offered else 'waiting for a publisher'

    def _subscribe(self, wanted: QoSProfile) -> None:
        # Destroyed first: two subscriptions at once would deliver everything twice.
        self.close()
        self._profile = wanted
        self._subscription = drain.create(
            self._node, self._message_class, self.name, wanted, self._deliver
        )

    def close(self) -> None:
        """End the subscription; in the executor's thread."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _deliver(self, taken: drain.Taken) -> None:
        try:
            batch = self._admitted(taken)
            if batch:
                for receiver in self._receivers:
                    receiver.forward(batch)
        except Exception:  # an executor that sees an exception may take the process down
            self._log.exception('%s: a batch was lost', self.name)
            self._drop('internal_error', len(taken))

    def _admitted(self, taken: drain.Taken) -> list[bytes]:
        if self._unguarded:
            self._drop('unguarded', len(taken))
            return []
        if self._has_gid:
            taken = self._of_others(taken)
        if self._profile.durability == DurabilityPolicy.TRANSIENT_LOCAL:
            taken = [sample for sample in taken if self._is_new(sample[1])]
        return [message for message, _ in taken]

    def _of_others(self, taken: drain.Taken) -> drain.Taken:
        """Return what no bridge published.

        DDS may deliver a publisher's first messages before it tells whose they are: those wait.
        """
        if not self._waiting and all(self._is_bridges(info) is False for _, info in taken):
            return taken  # nearly always
        others: drain.Taken = []
        waiting: drain.Taken = []
        looked = False
        for sample in (*self._waiting, *taken):
            is_bridges = self._is_bridges(sample[1])
            if is_bridges is None and not looked:
                looked = True
                self._identify()
                is_bridges = self._is_bridges(sample[1])
            if is_bridges is None:
                waiting.append(sample)
            elif is_bridges:
                self._drop('own_origin', 1)
            else:
                others.append(sample)
        if len(waiting) > REMEMBERED:
            self._drop('unidentified', len(waiting) - REMEMBERED)
        self._waiting = waiting[-REMEMBERED:]
        return others

    def _is_bridges(self, info: dict[str, Any]) -> bool | None:
        """Tell whether a bridge published; None if the graph has not told yet."""
        if not info:  # one bridge on the topic makes all suspect that come without info
            return any(self._bridges.values())
        return self._bridges.get(_gid(info))

    def _identify(self) -> None:
        """Ask the graph about publishers not met before; who stays nameless is no bridge."""
        self._bridges |= _identified(self._node.get_publishers_info_by_topic(self.name))
        now = time.monotonic()
        if not self._waiting:
            self._nameless_since = now
        elif now - self._nameless_since > NAMED_WITHIN_S:
            for _, info in self._waiting:
                self._bridges.setdefault(_gid(info), False)

    def _is_new(self, info: dict[str, Any]) -> bool:
        """Tell a new latched sample from one that a re-made subscription delivers again."""
        if not info:
            return True
        mark = (_gid(info), info['source_timestamp'])
        if mark in self._seen:
            return False
        self._seen[mark] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _drop(self, reason: str, count: int) -> None:
        for receiver in self._receivers:
            receiver.drop(reason, count)

    def _tell(self, state: str) -> None:
        if state == self._state:
            return
        self._state = state
        for receiver in self._receivers:
            receiver.set_state(state)


class TopicPublisher:
    """One topic that is published from Redis; usable from every thread."""

    def __init__(self, node: Node, name: str, message_class: type, profile: QoSProfile) -> None:
        self.name = name
        self.message = types.describe(message_class)
        self._node = node
        self._profile = profile
        self._publisher = node.create_publisher(
            message_class,
            name,
            profile,
            event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
        )

    def publish(self, cdr: bytes) -> None:
        """Publish one serialized message; does nothing once ROS is shut down."""
        try:
            self._publisher.publish(cdr)
        except (rclpy_implementation.InvalidHandle, rclpy_implementation.RCLError):
            if self._node.context.ok():
                raise

    def has_subscribers(self) -> bool:
        """Tell whether anybody subscribes; nobody does once the publisher is closed."""
        try:
            return self._publisher.get_subscription_count() > 0
        except rclpy_implementation.InvalidHandle:
            return False

    def wait_for_acked(self, seconds: float) -> bool:
        """Tell whether all reliable subscribers acknowledged within the time.

        Asks again and again instead of waiting inside rclpy, which keeps the GIL meanwhile.
        """
        deadline = time.monotonic() + seconds
        try:
            while not self._publisher.wait_for_all_acked(Duration()):
                if time.monotonic() > deadline:
                    return False
                time.sleep(ASK_EVERY_S)
            return True
        except rclpy_implementation.InvalidHandle:  # closed meanwhile
            return False

    def state(self) -> str:
        """Return 'open', or which subscriber asks for more than is offered."""
        try:
            infos = self._node.get_subscriptions_info_by_topic(self.name)
        except rclpy_implementation.InvalidHandle:
            return 'closed'  # asked from another thread while the bridge ends
        for info in infos:
            if reason := qos.mismatch(self._profile, info.qos_profile):
                return f'incompatible QoS with {_node_of(info)}: {reason}'
        return 'open'

    def close(self) -> None:
        """Stop publishing."""
        self._node.destroy_publisher(self._publisher)


class RosSide:
    """All topics of a bridge, on one node of its own.

    `node` carries topics and nothing else; its name begins with BRIDGE_NODE, by which bridges
    know each other. `log` takes what goes wrong. Topic names are resolved in the node's namespace
    and through its remappings.
    """

    def __init__(self, node: Node, log: logging.Logger, *, has_gid: bool) -> None:
        self._node = node
        self._log = log
        self._has_gid = has_gid
        self._topics: dict[str, Topic] = {}
        self._publishers: list[TopicPublisher] = []
        self._looks = 0
        # Steady time: under simulated time a paused world would stop the looking.
        self._timer = node.create_timer(
            LOOK_EVERY_S, self._look, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def full_name(self, name: str) -> str:
        """Return the name that a topic has in the graph."""
        return self._node.resolve_topic_name(name)

    def message(self, type_name: str) -> Message:
        """Describe a message type; raises InterfaceError where it is not installed."""
        return types.describe(types.load(type_name))

    def listen(
        self, name: str, type_name: str | None, asked: Qos, receiver: TopicReceiver
    ) -> None:
        """Have `receiver` told of a topic; before the executor spins."""
        name = self.full_name(name)
        if name not in self._topics:
            self._topics[name] = Topic(self._node, name, self._has_gid, self._log)
        self._topics[name].add(receiver, type_name, asked)

    def publisher(self, name: str, type_name: str, asked: Qos, latched: bool) -> TopicPublisher:
        """Make a publisher; before the executor spins."""
        publisher = TopicPublisher(
            self._node,
            self.full_name(name),
            types.load(type_name),
            qos.for_publisher(asked, latched),
        )
        self._publishers.append(publisher)
        return publisher

    def start(self) -> None:
        """Take the first look now, so that nothing is missed that is there already."""
        self._look()

    def close(self) -> None:
        """Close publishers, then subscriptions; once nothing spins any more."""
        self._node.destroy_timer(self._timer)
        for publisher in self._publishers:
            publisher.close()
        for topic in self._topics.values():
            topic.close()

    def _look(self) -> None:
        try:
            for number, topic in enumerate(self._topics.values(), self._looks):
                topic.look(number % LOOKS)
            self._looks += 1
        except (rclpy_implementation.InvalidHandle, rclpy_implementation.RCLError):
            if self._node.context.ok():
                self._log.exception('looking at the graph failed')
        except Exception:  # an executor that sees an exception may take the process down
            self._log.exception('looking at the graph failed')


def _gid(info: dict[str, Any]) -> Gid:
    gid = info.get('publisher_gid')
    return bytes(gid['data'][:16]) if gid else b''


def _identified(infos: list[TopicEndpointInfo]) -> dict[Gid, bool]:
    """Return the publishers whose nodes are known, each with whether it is a bridge's."""
    return {
        bytes(info.endpoint_gid[:16]): info.node_name.startswith(BRIDGE_NODE)
        for info in infos
        if info.node_name != NAMELESS
    }


def _node_of(info: TopicEndpointInfo) -> str:
    return f'{info.node_namespace.rstrip("/")}/{info.node_name}'


def _same(one: QoSProfile, other: QoSProfile | None) -> bool:
    return other is not None and (one.reliability, one.durability, one.depth) == (
        other.reliability,
        other.durability,
        other.depth,
    )
