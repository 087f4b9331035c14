# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the benchmark's own ROS nodes have in common: QoS, and draining a subscription."""

from __future__ import annotations

import threading
from typing import Any, Callable

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from bench.kinds import Kind

DEPTH = 100
DRAIN = 256


def profile(kind: Kind) -> QoSProfile:
    """Return the QoS of all ends: reliable where best effort would lose nearly everything."""
    reliability = ReliabilityPolicy.RELIABLE if kind.is_large else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(depth=10 if kind.is_large else DEPTH, reliability=reliability)


def node(name: str) -> Node:
    """Return a node without the services and topics that nobody asks for here."""
    return Node(name, enable_rosout=False, start_parameter_services=False)


def drain(
    on: Node, message_class: type, topic: str, qos: QoSProfile, take: Callable[[list[bytes]], Any]
) -> None:
    """Subscribe so that `take` gets all that waits at once, serialized."""

    def callback(first: bytes) -> None:
        batch = [first]
        while len(batch) < DRAIN and (taken := take_message(message_class, True)) is not None:
            batch.append(taken[0])
        take(batch)

    subscription = on.create_subscription(
        message_class,
        topic,
        callback,
        qos,
        raw=True,
        event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
    )
    take_message = subscription.handle.take_message


def spin(spun: Node, stop: threading.Event) -> None:
    """Spin by the cheapest executor there is, until told to stop."""
    try:
        from rclpy.experimental import EventsExecutor as Executor
    except ImportError:
        Executor = SingleThreadedExecutor  # noqa: N806
    executor = Executor()
    executor.add_node(spun)
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
