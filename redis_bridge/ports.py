# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The seams between the core and its two outside worlds.

Data that comes in is handed on as batches, since both worlds deliver in batches and a batch is
cheaper to carry. Nothing here knows rclpy or redis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from redis_bridge.messages.types import Message
from redis_bridge.protocol.meta import Meta


class Received(NamedTuple):
    """One payload as it came from Redis."""

    payload: bytes
    meta: Meta | None = None  # of a stream entry; other payloads carry theirs inside
    # Called with True once published, with False if given up as invalid.
    acknowledge: Callable[[bool], None] | None = None


# A payload is bytes; for a hash a dict of str to bytes; for a notice None. The metadata is None
# where the route leaves it out, but never for a notice.
Sample = tuple[Any, 'Meta | None']


class Sink(Protocol):
    """An end of a route in Redis that takes encoded samples; never waits for the network."""

    def write(self, samples: Sequence[Sample]) -> None:
        """Queue samples, oldest first."""

    def renew(self) -> None:
        """Renew the time to live of what was written, if it has one."""


class Receiver(Protocol):
    """What a source in Redis tells a running route; all are called from the source's thread."""

    def has_subscribers(self) -> bool:
        """Tell whether entries may be taken from a consumer group now (somebody subscribes)."""

    def carry(self, arrivals: list[Received]) -> None:
        """Take all that waited, oldest first. Bad payloads are counted, never raised."""

    def gap(self, missed: int | None) -> None:
        """Note that messages were missed; None where nobody can tell how many."""

    def on_disconnect(self) -> None:
        """Note that the connection is lost; told once per outage."""


class Publisher(Protocol):
    """An end of a route in ROS that publishes CDR bytes."""

    name: str
    message: Message

    def publish(self, cdr: bytes) -> None:
        """Publish one serialized message."""
