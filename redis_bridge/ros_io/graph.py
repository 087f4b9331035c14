# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Asks the ROS graph who publishes and subscribes what."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

BRIDGE_NODE = '_redis_bridge_'  # prefix of the nodes that carry the topics of any bridge
# Of so many polls one looks closely. The others only compare the number of publishers, and of a
# topic that is carried already only one of them does. The topics take turns.
TURNS = 8

Gid = bytes


class PublisherWatch:
    """The publishers of one topic, asked for as seldom as will do, because asking costs."""

    def __init__(self, node: Node, topic: str) -> None:
        self._node = node
        self.topic = topic
        self._count: int | None = None

    def poll(self, turn: int, may_rest: bool) -> list[TopicEndpointInfo] | None:
        """Return all publishers if they may have changed; `turn` counts up to TURNS.

        A topic that is carried without problems may rest, and is asked for less often.
        """
        if self._count is not None and may_rest and turn % (TURNS // 2):
            return None
        count = self.count()
        if count == self._count and turn:
            return None
        self._count = count
        return self.all()

    def expect_change(self) -> None:
        """Have the next poll return all publishers."""
        self._count = None

    def count(self) -> int:
        """Return the number of publishers."""
        return self._node.count_publishers(self.topic)

    def all(self) -> list[TopicEndpointInfo]:
        """Return all publishers."""
        return list(self._node.get_publishers_info_by_topic(self.topic))


def is_bridge(info: TopicEndpointInfo) -> bool:
    """Return whether an end of a topic belongs to a bridge."""
    return bool(info.node_name.startswith(BRIDGE_NODE))


def first_mismatch(
    ends: Iterable[TopicEndpointInfo], why: Callable[[QoSProfile], str | None]
) -> str | None:
    """Return which end of a topic does not match, and `why`, or None if all match."""
    for info in ends:
        if reason := why(info.qos_profile):
            name = f'{info.node_namespace.rstrip("/")}/{info.node_name}'
            return f'incompatible QoS with {name}: {reason}'
    return None
