# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One topic that is published from Redis."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import Any

from rclpy.duration import Duration
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.exceptions import InvalidHandle
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.ros_io import graph, qos, types
from redis_bridge.ros_io.origin import LOOK_EVERY_S, OwnMessages

ASK_EVERY_S = 0.002


class TopicPublisher:
    """A publisher of serialized messages, a `ports.Publisher`.

    `own` is given if ROS does not identify publishers.
    """

    def __init__(
        self,
        node: Node,
        name: str,
        message_class: type,
        profile: QoSProfile,
        own: OwnMessages | None,
    ) -> None:
        self.name = name
        self.message = types.describe(message_class)
        self.depth = profile.depth
        self.count = 0  # published so far
        self.users = 0  # routes that share it
        self._state: str | None = None  # None: not looked at so far
        self._node = node
        self._class = message_class
        self._profile = profile
        self._own = own
        self._bridges: set[str] = set()  # nodes of bridges that subscribe
        self._looked_at = -math.inf
        self._rejected: str | None = None  # why DDS does not take it
        self._opening = threading.Lock()
        self._closed = False
        self._publisher: Publisher[Any] | None = None

    def open(self) -> None:
        with self._opening:
            if self._publisher is not None or self._closed:
                return
            try:
                self._publisher = self._node.create_publisher(
                    self._class,
                    self.name,
                    self._profile,
                    # An entity with event callbacks that is destroyed during discovery crashes
                    # EventsExecutor.
                    event_callbacks=PublisherEventCallbacks(use_default_callbacks=False),
                )
            except RuntimeError as error:  # DDS allows one type of a topic per process
                self._rejected = f'{self.name}: {" ".join(str(error).split())}'
                raise InterfaceError(self._rejected) from None
            self._rejected = None

    def publish(self, cdr: bytes) -> None:
        publisher = self._publisher
        if publisher is None:
            raise PayloadError(self._rejected or 'not open', 'closed')
        try:
            if self._own is not None:
                self._own.note(cdr)
            publisher.publish(cdr)
            self.count += 1
        except RuntimeError:  # InvalidHandle or RCLError, which say little once ROS is shut down
            if self._node.context.ok():
                raise

    def has_subscribers(self) -> bool:
        publisher = self._publisher
        try:
            return publisher is not None and publisher.get_subscription_count() > 0
        except InvalidHandle:  # closed meanwhile
            return False

    def is_heard_by(self, boot: str) -> bool:
        now = time.monotonic()
        if now > self._looked_at + LOOK_EVERY_S:
            try:
                found = self._node.get_subscriptions_info_by_topic(self.name)
            except InvalidHandle:  # closed meanwhile
                return False
            self._bridges = {info.node_name for info in found if graph.is_bridge(info)}
            self._looked_at = now
        return f'{graph.BRIDGE_NODE}{boot}' in self._bridges

    def wait_for_acked(self, seconds: float) -> bool:
        publisher = self._publisher
        if publisher is None:
            return True
        deadline = time.monotonic() + seconds
        try:
            # Asks repeatedly instead of waiting inside rclpy, which holds the GIL meanwhile.
            while not publisher.wait_for_all_acked(Duration()):
                if time.monotonic() >= deadline:
                    return False
                time.sleep(ASK_EVERY_S)
            return True
        except InvalidHandle:  # closed meanwhile
            return False

    def state(self) -> str:
        if self._rejected is not None:
            return f'error: {self._rejected}'
        if self._state is None:
            self._state = self._state_now()
        return self._state

    def poll_graph(self) -> None:
        """Look at the subscriptions for the state; open it if it was rejected."""
        if self._rejected is not None:
            with suppress(InterfaceError):
                self.open()
        self._state = self._state_now()

    def _state_now(self) -> str:
        try:
            found = self._node.get_subscriptions_info_by_topic(self.name)
            return subscribed_state(self.name, self.message.name, self._profile, found)
        except InvalidHandle:
            return 'closed'  # asked from another thread while the bridge ends

    def close(self) -> None:
        """Stop publishing."""
        with self._opening:
            self._closed = True
            if self._publisher is not None:
                self._node.destroy_publisher(self._publisher)


def subscribed_state(
    name: str, expected: str, profile: QoSProfile, subscriptions: Collection[TopicEndpointInfo]
) -> str:
    """Return the state of a topic that is published as one type with this profile."""
    for other in sorted({info.topic_type for info in subscriptions} - {expected}):
        return f'error: {name}: a subscriber expects {other}, this route publishes {expected}'
    return graph.first_mismatch(subscriptions, partial(qos.mismatch, profile)) or 'open'
