# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Asks the ROS graph who publishes and subscribes what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress

from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

BRIDGE_NODE = '_redis_bridge_'  # prefix of the nodes that carry the topics of any bridge
MANY_NODES = 32

Gid = bytes
NodeName = tuple[str, str]  # with its namespace
NamesAndTypes = Sequence[tuple[str, list[str]]]


class EndsWatch:
    """Finds the topics of which ends came or went: publishers, or subscriptions.

    Each question to the graph takes a walk over all its ends. So it is asked for each topic or
    for each node, of which there are fewer. `count` returns the ends of a topic, `ask` the topics
    of a node.
    """

    def __init__(
        self, count: Callable[[str], int], ask: Callable[[str, str], NamesAndTypes]
    ) -> None:
        self._count = count
        self._ask = ask
        self._counts: dict[str, int] = {}
        self.known: dict[tuple[NodeName, int], NamesAndTypes] = {}  # with how many have the name
        self._turn = 0

    def changed(self, topics: Collection[str], nodes: Sequence[NodeName]) -> set[str]:
        """Return which topics changed since the last call; `nodes` are all of the graph."""
        if len(topics) <= len(nodes):
            return self._by_topic(topics)
        return self.by_node(nodes) & set(topics)

    def _by_topic(self, topics: Collection[str]) -> set[str]:
        counts, self._counts = self._counts, {topic: self._count(topic) for topic in topics}
        return {topic for topic, count in self._counts.items() if count != counts.get(topic)}

    def by_node(self, nodes: Iterable[NodeName]) -> set[str]:
        """Return which of all topics changed, as far as nodes are asked now.

        Of many nodes only new ones are; the others have their turn every second time.
        """
        known, self.known = self.known, {}
        self._turn += 1
        counted = Counter(nodes)  # nodes of one name are asked for as one
        for node in counted.items():
            if len(counted) > MANY_NODES and node in known and (hash(node) + self._turn) % 2:
                self.known[node] = known[node]
                continue
            with suppress(RuntimeError):  # it has gone, or has a name that ROS does not allow
                self.known[node] = self._ask(*node[0])
        return {
            topic
            for node in known.keys() | self.known.keys()
            if known.get(node) != self.known.get(node)
            for topic in _differing(known.get(node, ()), self.known.get(node, ()))
        }


def _differing(one: NamesAndTypes, other: NamesAndTypes) -> set[str]:
    sets = ({(name, *kinds) for name, kinds in ends} for ends in (one, other))
    return {name for name, *_ in set.symmetric_difference(*sets)}


class PublisherWatch:
    """The publishers of one topic, asked for as seldom as will do, because asking costs."""

    def __init__(self, node: Node, topic: str) -> None:
        self._node = node
        self.topic = topic
        self.may_differ = True

    def poll(self) -> list[TopicEndpointInfo] | None:
        """Return all publishers if they may have changed."""
        if not self.may_differ:
            return None
        self.may_differ = False
        return self.all()

    def expect_change(self) -> None:
        """Have the next poll return all publishers."""
        self.may_differ = True

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
