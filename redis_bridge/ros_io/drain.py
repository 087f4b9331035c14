# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A subscription that hands over all waiting messages at once, with message info, on any executor.

rclpy runs one callback per message. But every executor reads `subscription.raw` just before it
takes a message. `Drained.raw` uses this moment to take all messages itself; the executor then
mostly finds none and calls nothing. What it does take is a message that came just then, or one
that was left so that other topics have their turn; it comes with info as well. All this depends
on the inside of rclpy, so it has a module of its own, with a test for each distribution.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from rclpy import subscription
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription

MOST = 256  # in one batch
LONGEST_S = 0.05  # that one topic may take before the others have their turn

Info = Mapping[str, object]  # source_timestamp, and publisher_gid if rclpy has it
Taken = list[tuple[bytes, Info]]  # serialized messages

# Only newer versions of rclpy make the class generic.
if TYPE_CHECKING:
    RawSubscription = Subscription[Any]
else:
    RawSubscription = Subscription


def has_publisher_gid() -> bool:
    """Return whether message info identifies the publisher by its GID (Kilted and newer)."""
    kinds = getattr(subscription, 'MessageInfo', None)
    return kinds is not None and 'publisher_gid' in kinds.__annotations__


class Drained(RawSubscription):
    """A raw subscription whose messages go to `deliver` in batches."""

    deliver: Callable[[Taken], None]

    @property
    def raw(self) -> bool:
        until = time.monotonic() + LONGEST_S
        while True:
            taken = self._take()
            if taken:
                self.deliver(taken)
            if len(taken) < MOST or time.monotonic() > until:
                return True

    @raw.setter
    def raw(self, value: bool) -> None:
        """Ignore what rclpy sets: the subscription is always raw."""

    def _take(self) -> Taken:
        take, kind = self.handle.take_message, self.msg_type
        taken: Taken = []
        while len(taken) < MOST and (message := take(kind, True)) is not None:
            taken.append(message)
        return taken


def create(
    node: Node, message_class: type, topic: str, qos: QoSProfile, deliver: Callable[[Taken], None]
) -> RawSubscription:
    """Make the subscription; `deliver` is called in the executor's thread and must not raise."""
    made = node.create_subscription(
        message_class,
        topic,
        lambda *taken: deliver([taken if len(taken) == 2 else taken[0]]),
        qos,
        raw=True,
        # An entity with event callbacks that is destroyed during discovery crashes EventsExecutor.
        event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
    )
    made.__class__ = Drained
    # EventsExecutor then calls with a tuple of message and info, others with both as arguments.
    vars(made)['_callback_type'] = Subscription.CallbackType.WithMessageInfo
    vars(made)['deliver'] = deliver
    return made
