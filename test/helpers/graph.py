# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Real ROS graphs for tests: nodes that spin in a thread, kept on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from support import DOMAIN, eventually

os.environ.setdefault('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from redis_bridge.ros_io.executor import spinning

LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Graph:
    """A context of its own in one ROS domain, with one node that spins from `start` on."""

    def __init__(self, domain: int = DOMAIN, name: str = 'tester', kind: str = 'single_threaded'):
        self.failures: list[str] = []
        self._kind = kind
        self._opened = ExitStack()
        self.context = rclpy.Context()
        rclpy.init(
            context=self.context,
            domain_id=domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )
        self._opened.callback(self.context.try_shutdown)
        self.node = self.add_node(name)

    def add_node(self, name: str) -> Node:
        """Make a further node without the usual services; it does not spin."""
        node = Node(
            name, context=self.context, enable_rosout=False, start_parameter_services=False
        )
        self._opened.callback(node.destroy_node)
        return node

    def start(self) -> Graph:
        """Spin the node."""
        self._opened.enter_context(
            spinning(
                self._kind,
                [self.node],
                logging.getLogger('test'),
                lambda: self.failures.append('spinning ended'),
            )
        )
        return self

    def collect(self, kind: type, topic: str, qos: Any = 10) -> list[Any]:
        """Return a list that grows by each message on the topic; before `start`."""
        received: list[Any] = []
        self.node.create_subscription(kind, topic, received.append, qos)
        return received

    def subscribed(self, topic: str) -> list[ReliabilityPolicy]:
        """Return the reliabilities of a topic's subscriptions, as this graph knows them."""
        infos = self.node.get_subscriptions_info_by_topic(topic)
        return [info.qos_profile.reliability for info in infos]

    def until_matched(
        self,
        *publishers: Publisher[Any],
        count: int = 1,
        reliability: ReliabilityPolicy = ReliabilityPolicy.RELIABLE,
    ) -> None:
        """Wait until a bridge subscribes as it does to these publishers, and DDS matched them.

        Before it knew of them it subscribed, too, to whatever may come, and a match with that one
        says nothing of the other. `count` is how many subscriptions each publisher shall have.
        """
        for publisher in publishers:
            eventually(lambda: self.subscribed(publisher.topic_name) == [reliability] * count)  # noqa: B023
            eventually(lambda: publisher.get_subscription_count() == count)  # noqa: B023

    def on_close(self, call: Callable[[], Any]) -> None:
        """Have something closed with the graph, before its nodes."""
        self._opened.callback(call)

    def __enter__(self) -> Graph:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._opened.close()
