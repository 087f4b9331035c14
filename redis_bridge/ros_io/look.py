# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Looks at the graph for somebody who carries nothing, such as `redis-bridge check --live`."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress

from rclpy.context import Context
from rclpy.exceptions import InvalidTopicNameException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo
from rclpy.validate_full_topic_name import validate_full_topic_name

from redis_bridge.errors import InterfaceError
from redis_bridge.mapping.model import Qos
from redis_bridge.ports import TopicLook
from redis_bridge.ros_io import nodes, qos, types
from redis_bridge.ros_io.graph import is_bridge
from redis_bridge.ros_io.publisher import subscribed_state
from redis_bridge.ros_io.subscription import matched_state
from redis_bridge.ros_io.topic_types import TopicTypes

# So long without a change, the graph counts as complete. Fast DDS announces each process at its
# start, and again every 3 s to those that have missed it.
RESTS_S = 3.2
WITHIN_S = 10.0
LOOK_EVERY_S = 0.1


@contextmanager
def looking() -> Iterator[GraphLook]:
    """Look at the graph with a node of its own; raises BridgeError if ROS does not start."""
    context = Context()
    try:
        node = nodes.looking_node(context)
        try:
            yield GraphLook(node)
        finally:
            node.destroy_node()
    finally:
        context.try_shutdown()


class GraphLook:
    """The graph as one node sees it, without a publisher or subscription; a `ports.GraphLook`.

    Publishers of bridges are left out: one may be the bridge for which somebody looks.
    """

    def __init__(self, node: Node) -> None:
        self._node = node

    def wait(self) -> str | None:
        """Wait until the graph rests, because DDS finds nodes one by one."""
        begin = since = time.monotonic()
        seen = self._all()
        while (now := time.monotonic()) < since + RESTS_S:
            if now > begin + WITHIN_S:
                return 'nodes or topics still come and go, so that some may be missing here'
            time.sleep(LOOK_EVERY_S)
            before, seen = seen, self._all()
            if seen != before:
                since = time.monotonic()
        if self._count():
            return None
        return (
            f'there is no other node in {self._domain}: ROS_DOMAIN_ID and '
            'ROS_AUTOMATIC_DISCOVERY_RANGE must be those of the robots'
        )

    def summary(self) -> str:
        topics = len(self.published())
        return f'{self._domain}, nodes: {self._count()}, published topics: {topics}'

    def published(self) -> frozenset[str]:
        return frozenset(name for name in self._topics() if self._publishers(name))

    def outbound(self, topic: str, asked: Sequence[tuple[str | None, Qos]]) -> list[TopicLook]:
        found = self._publishers(topic)
        types_ = TopicTypes()
        chosen = types_.choose([name for name, _ in asked], {info.topic_type for info in found})
        if isinstance(chosen, str):
            type_name, text, state = None, '', chosen
        else:
            profiles = qos.for_subscriptions(
                qos.merged([settings for _, settings in asked]),
                [info.qos_profile for info in found],
                chosen.message,
            )
            type_name, text = chosen.name, _text(profiles)
            state = matched_state(chosen.name, found, profiles)
        return [
            TopicLook(name or type_name, text, len(found), types_.state_of(name, state))
            for name, _ in asked
        ]

    def inbound(self, topic: str, type_name: str, asked: Qos, latched: bool) -> TopicLook:
        found = self._node.get_subscriptions_info_by_topic(topic)
        count = len([info for info in found if not is_bridge(info)])
        try:
            profile = qos.for_publisher(asked, latched, types.message(type_name))
        except InterfaceError as error:
            return TopicLook(type_name, '', count, f'error: {error}')
        state = subscribed_state(topic, type_name, profile, found)
        return TopicLook(type_name, _text([profile]), count, state)

    @property
    def _domain(self) -> str:
        return f'ROS domain {self._node.context.get_domain_id()}'

    def _count(self) -> int:
        """Return the number of other nodes."""
        return len(self._node.get_node_names()) - 1

    def _publishers(self, topic: str) -> list[TopicEndpointInfo]:
        found = self._node.get_publishers_info_by_topic(topic)
        own = self._node.get_name()
        return [info for info in found if not is_bridge(info) and info.node_name != own]

    def _topics(self) -> list[str]:
        """Return all topics with names that ROS allows; programs without ROS may have others."""
        names = []
        for name, _ in self._node.get_topic_names_and_types():
            with suppress(InvalidTopicNameException):
                validate_full_topic_name(name)
                names.append(name)
        return names

    def _all(self) -> object:
        """Return what differs if anything in the graph does."""
        node = self._node
        ends = [(t, node.count_publishers(t), node.count_subscribers(t)) for t in self._topics()]
        return sorted(node.get_node_names_and_namespaces()), sorted(ends)


def _text(profiles: Collection[QoSProfile]) -> str:
    """Return what decides whether both sides of a topic match."""
    return ' and '.join(
        f'{profile.reliability.short_key}, {profile.durability.short_key}' for profile in profiles
    )
