# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Chooses QoS profiles: the settings of a route, and the rest matched to the graph."""

from __future__ import annotations

from collections.abc import Collection

from rclpy.duration import Infinite
from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    LivelinessPolicy,
    QoSCompatibility,
    QoSProfile,
    ReliabilityPolicy,
    qos_check_compatible,
)

from redis_bridge.mapping.model import Qos
from redis_bridge.messages.paths import leaves
from redis_bridge.messages.types import Message, Primitive, Sequence

# Enough for a burst, and for a latched topic at least the number of its publishers; the graph does
# not contain their depth. Waiting messages take memory, hence less for images and the like.
SUBSCRIPTION_DEPTH = 1000
BLOB_DEPTH = 100
# Enough for a burst: as many messages are kept until reliable subscribers have acknowledged them.
PUBLISHER_DEPTH = 10_000
KEPT_DEPTH = 10  # for subscribers that come later


def merged(asked: Collection[Qos]) -> Qos:
    """Return the settings of all routes of a topic; each may set what others leave open."""
    return Qos(
        next((qos.reliability for qos in asked if qos.reliability), None),
        next((qos.durability for qos in asked if qos.durability), None),
        next((qos.depth for qos in asked if qos.depth), None),
    )


def for_subscription(asked: Qos, offered: Collection[QoSProfile], message: Message) -> QoSProfile:
    """Return the strongest profile that matches all of `offered`, with the `asked` settings.

    The rule is all or weakest: reliable if all publishers are, transient_local if all are. Without
    a publisher it is the weakest, which matches any later one.
    """
    reliable = {qos.reliability for qos in offered} == {ReliabilityPolicy.RELIABLE}
    latched = {qos.durability for qos in offered} == {DurabilityPolicy.TRANSIENT_LOCAL}
    return _profile(
        asked,
        'reliable' if reliable else 'best_effort',
        'transient_local' if latched else 'volatile',
        BLOB_DEPTH if _holds_blobs(message) else SUBSCRIPTION_DEPTH,
    )


def for_subscriptions(
    asked: Qos, offered: Collection[QoSProfile], message: Message
) -> list[QoSProfile]:
    """Return the profiles of the subscriptions that a topic needs; the first matches all.

    If only some publishers are latched, a second one hears their history.
    """
    profiles = [for_subscription(asked, offered, message)]
    latched = [qos for qos in offered if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL]
    if asked.durability is None and 0 < len(latched) < len(offered):
        profiles.append(for_subscription(asked, latched, message))
    return profiles


def for_publisher(asked: Qos, latched: bool, message: Message) -> QoSProfile:
    """Return a reliable profile, transient_local of depth 1 if `latched` (state)."""
    if latched:
        return _profile(asked, 'reliable', 'transient_local', 1)
    depth = BLOB_DEPTH if _holds_blobs(message) else PUBLISHER_DEPTH
    if asked.durability == 'transient_local':
        depth = KEPT_DEPTH
    return _profile(asked, 'reliable', 'volatile', depth)


def mismatch(publisher: QoSProfile, subscription: QoSProfile) -> str | None:
    """Return why the two do not match, or None if they do."""
    compatibility, reason = qos_check_compatible(publisher, subscription)
    if compatibility != QoSCompatibility.ERROR:
        return None
    return reason.replace('ERROR: ', '').strip('; ').replace(';', '; ')


def _holds_blobs(message: Message) -> bool:
    """Return whether a message has bytes without bound: images, point clouds, grids, files."""
    sequences = (kind.item for _, kind in leaves(message) if isinstance(kind, Sequence))
    return any(isinstance(item, Primitive) and item.size == 1 for item in sequences)


def _profile(asked: Qos, reliability: str, durability: str, depth: int) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=asked.depth or depth,
        reliability=ReliabilityPolicy.get_from_short_key(asked.reliability or reliability),
        durability=DurabilityPolicy.get_from_short_key(asked.durability or durability),
        # Written out, because the graph writes them out for others; else the two never compare.
        deadline=Infinite,
        lifespan=Infinite,
        liveliness=LivelinessPolicy.AUTOMATIC,
        liveliness_lease_duration=Infinite,
    )
