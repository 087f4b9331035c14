# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the benchmark's own ROS nodes have in common: QoS, and draining a subscription."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from bench.kinds import Kind

DEPTH = 1000  # so that a pause of some ms is no loss: what is measured is what they can carry
LARGE_DEPTH = 10
DRAIN = 256


def profile(kind: Kind) -> QoSProfile:
    """Return the QoS of all ends: reliable where best effort would lose nearly everything."""
    if kind.is_large:
        return QoSProfile(depth=LARGE_DEPTH, reliability=ReliabilityPolicy.RELIABLE)
    return QoSProfile(depth=DEPTH, reliability=ReliabilityPolicy.BEST_EFFORT)


@contextmanager
def session(name: str) -> Iterator[Node]:
    """Give a node, without what nobody asks it for; SIGTERM ends the process in good order."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Node(name, enable_rosout=False, start_parameter_services=False)
    try:
        yield node
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def drain(
    node: Node,
    message_class: type,
    topic: str,
    qos: QoSProfile,
    take: Callable[[list[bytes]], Any],
) -> None:
    """Subscribe so that `take` gets all that waits at once, serialized."""

    def callback(first: bytes) -> None:
        batch = [first]
        while len(batch) < DRAIN and (taken := take_message(message_class, True)) is not None:
            batch.append(taken[0])
        take(batch)

    subscription = node.create_subscription(
        message_class,
        topic,
        callback,
        qos,
        raw=True,
        event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
    )
    take_message = subscription.handle.take_message


def _executor() -> Executor:
    """Return the cheapest executor there is."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def spin(node: Node, stop: threading.Event) -> None:
    """Spin until it is to stop."""
    executor = _executor()
    executor.add_node(node)
    try:
        while not stop.is_set():
            executor.spin_once(timeout_sec=0.1)
    finally:
        executor.remove_node(node)
        executor.shutdown()
