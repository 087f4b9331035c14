# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One topic that is published from Redis."""

from __future__ import annotations

import time
from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile

from redis_bridge.ros_io import graph, types

ASK_EVERY_S = 0.002


class TopicPublisher:
    """A publisher of serialized messages, a `ports.Publisher`; usable from every thread."""

    def __init__(self, node: Node, name: str, message_class: type, profile: QoSProfile) -> None:
        self.name = name
        self.message = types.describe(message_class)
        self._node = node
        self._profile = profile
        self._publisher: Publisher[Any] = node.create_publisher(
            message_class,
            name,
            profile,
            # An entity with event callbacks that is destroyed during discovery crashes
            # EventsExecutor.
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
        """Return whether anybody subscribes; nobody does once the publisher is closed."""
        try:
            return bool(self._publisher.get_subscription_count() > 0)
        except rclpy_implementation.InvalidHandle:
            return False

    def wait_for_acked(self, seconds: float) -> bool:
        """Return whether all reliable subscribers acknowledged within the time.

        Asks repeatedly instead of waiting inside rclpy, which holds the GIL meanwhile.
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
            return graph.subscription_mismatch(self._node, self.name, self._profile) or 'open'
        except rclpy_implementation.InvalidHandle:
            return 'closed'  # asked from another thread while the bridge ends

    def close(self) -> None:
        """Stop publishing."""
        self._node.destroy_publisher(self._publisher)
