# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ROS side of a bridge, as the one object that the rest of the package sees."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TypeVar

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node

from redis_bridge.mapping.model import Qos
from redis_bridge.ports import Publisher, TopicRequest, TopicsRequest
from redis_bridge.ros_io import qos, types
from redis_bridge.ros_io.discovery import Discovery
from redis_bridge.ros_io.graph import EndsWatch
from redis_bridge.ros_io.origin import OwnMessages
from redis_bridge.ros_io.publisher import TopicPublisher
from redis_bridge.ros_io.subscription import Topic

POLL_EVERY_S = 0.25
# What the nodes do not show, such as other QoS in the same node, shows in the number of matches or
# in a close look. Topics take turns: of so many polls one asks for the matches, and one looks
# closely, unless there are so many topics that it would look at more than CLOSE_LOOKS at once.
TURNS = 8
CLOSE_LOOKS = 4

T = TypeVar('T')
_Shared = tuple[str, str, Qos, bool, str]  # what routes with one publisher have in common


class RosSide:
    """All topics of a bridge, on one node of its own; a `ports.RosSide`.

    `node` carries topics and nothing else; its name begins with graph.BRIDGE_NODE, by which
    bridges identify each other. Its namespace and remappings apply to all topic names. `clock`
    is the one of ROS time.
    """

    def __init__(
        self, node: Node, log: logging.Logger, *, has_gid: bool, clock: Clock | None = None
    ) -> None:
        self._node = node
        self._log = log
        self._has_gid = has_gid
        self._clock = clock or node.get_clock()
        self._wanted: dict[str, list[TopicRequest]] = {}
        self._served = self._wanted
        self._topics: dict[str, list[Topic]] = {}  # by name, mostly one
        self._publishers: dict[_Shared, TopicPublisher] = {}
        self._own: dict[str, OwnMessages] = {}  # by topic, if ROS does not identify publishers
        self._publishing = EndsWatch(
            node.count_publishers, node.get_publisher_names_and_types_by_node
        )
        self._subscribing = EndsWatch(
            node.count_subscribers, node.get_subscriber_names_and_types_by_node
        )
        self._discovery = Discovery(node, self._publishing)
        self._turn = 0
        # Steady time: under simulated time a paused world would stop the polling.
        self._timer = node.create_timer(
            POLL_EVERY_S, self._poll_graph, clock=Clock(clock_type=ClockType.STEADY_TIME)
        )

    def now(self) -> tuple[int, int]:
        seconds, nanoseconds = self._clock.now().seconds_nanoseconds()
        return seconds, nanoseconds

    def want(self, topics: Collection[TopicRequest]) -> None:
        """Take what the next poll makes true."""
        wanted: dict[str, list[TopicRequest]] = {}
        for request in topics:
            name = self._node.resolve_topic_name(request.topic)
            wanted.setdefault(name, []).append(request)
        self._wanted = wanted

    def discover(self, request: TopicsRequest | None) -> None:
        self._discovery.want(request)

    def publisher(
        self, name: str, type_name: str, asked: Qos, latched: bool, owner: str = ''
    ) -> Publisher:
        name = self._node.resolve_topic_name(name)
        shared = (name, type_name, asked, latched, owner)
        publisher = self._publishers.get(shared)
        if publisher is None:
            kind = types.load(type_name)
            profile = qos.for_publisher(asked, latched, types.describe(kind))
            publisher = TopicPublisher(self._node, name, kind, profile, self._own_messages(name))
            self._publishers[shared] = publisher
        publisher.users += 1
        return publisher

    def release(self, publisher: Publisher) -> None:
        for shared, held in list(self._publishers.items()):
            if held is publisher:
                held.users -= 1
                if not held.users:
                    del self._publishers[shared]
                    held.close()

    def start(self) -> None:
        self._poll_graph()

    def close(self) -> None:
        """Close publishers, then subscriptions, once nothing spins any more."""
        self._node.destroy_timer(self._timer)
        for publisher in self._publishers.values():
            publisher.close()
        for topic in self._all_topics():
            topic.close()

    def _poll_graph(self) -> None:
        """Make the topics equal to the wanted ones and have each follow the graph.

        Runs in the executor's thread, because only there entities may be made and destroyed.
        """
        try:
            self._reconcile()
            own = self._node.get_name(), self._node.get_namespace()
            # Our own ends do not bear on the topics, and with many routes they take as long.
            nodes = [n for n in self._node.get_node_names_and_namespaces() if n != own]
            self._poll_topics(nodes)
            self._poll_publishers(nodes)
            self._turn += 1
        except Exception:  # an executor that sees an exception may take the process down
            if self._node.context.ok():
                self._log.exception('polling the graph failed')

    def _poll_topics(self, nodes: Sequence[tuple[str, str]]) -> None:
        changed: set[str] = set()
        if self._discovery.is_asked():
            changed = self._discovery.poll(nodes)  # which takes the same walk
        elif self._topics:
            changed = self._publishing.changed(self._topics.keys(), nodes)
        if not self._topics:
            return
        for name in changed & self._topics.keys():
            for topic in self._topics[name]:
                topic.expect_change()
        topics = self._all_topics()
        for topic in topics[self._turn % TURNS :: TURNS]:
            topic.check_matches()
        for topic in self._next(topics):
            topic.expect_change()
        for topic in topics:
            if topic.is_busy:
                topic.poll_graph()

    def _poll_publishers(self, nodes: Sequence[tuple[str, str]]) -> None:
        publishers = list(self._publishers.values())  # other threads add and remove some
        if not publishers:
            return
        changed = self._subscribing.changed({one.name for one in publishers}, nodes)
        due = {id(publisher) for publisher in self._next(publishers)}
        for publisher in publishers:
            if publisher.name in changed or id(publisher) in due:
                publisher.poll_graph()

    def _next(self, all_: list[T]) -> list[T]:
        """Return those whose turn it is to be looked at closely."""
        count = min(CLOSE_LOOKS, -(-len(all_) // TURNS))
        start = self._turn * count % len(all_)
        return (all_ + all_)[start : start + count]

    def _all_topics(self) -> list[Topic]:
        return [topic for some in self._topics.values() for topic in some]

    def _reconcile(self) -> None:
        """Have the wanted routes served, those that stay by what serves them now.

        What latched publishers sent before comes only when a subscription begins. Therefore a
        route that joins a latched topic has a subscription of its own.
        """
        wanted = self._wanted
        if wanted is self._served:
            return
        self._served = wanted
        for name in self._topics.keys() | wanted.keys():
            requests = wanted.get(name, [])
            topics = self._topics.pop(name, [])
            joining = [r for r in requests if not any(r in topic.requests for topic in topics)]
            serving: list[Topic] = []
            for topic in topics:
                served = [request for request in requests if request in topic.requests]
                if not topic.is_latched:
                    served, joining = [*served, *joining], []
                if served:
                    topic.want(served)
                    serving.append(topic)
                else:
                    topic.close()
            if joining:
                topic = Topic(self._node, name, self._own_messages(name), self._log)
                topic.want(joining)
                serving.append(topic)
            if serving:
                self._topics[name] = serving

    def _own_messages(self, name: str) -> OwnMessages | None:
        return None if self._has_gid else self._own.setdefault(name, OwnMessages())
