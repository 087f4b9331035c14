# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The subscriptions of one topic, which change without losing, repeating or reordering messages.

A subscription that takes the place of another one overlaps with it until DDS has surely matched
it. Meanwhile the old one delivers, and what the new one receives is held. A topic with latched and
volatile publishers has two subscriptions at once, and each publisher is heard by one.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.ros_io import drain
from redis_bridge.ros_io.graph import Gid, PublisherWatch, is_bridge
from redis_bridge.ros_io.origin import gid_of

SETTLED_AFTER_S = 0.5
REMEMBERED = 5000  # messages that another subscription may deliver again
MOST_HELD = 2000


@dataclass(eq=False)
class _Reader:
    """One subscription; `is_settled` once it delivers all that it will."""

    profile: QoSProfile
    created_at: float
    is_settled: bool
    is_placeholder: bool  # made before any publisher was known
    is_wanted: bool = True
    subscription: drain.RawSubscription | None = None

    @property
    def is_latched(self) -> bool:
        return bool(self.profile.durability == DurabilityPolicy.TRANSIENT_LOCAL)


class Readers:
    """The subscriptions of one topic; used in the executor's thread.

    `deliver` takes messages, oldest first. Without `has_gid` publishers cannot be distinguished.
    """

    def __init__(
        self,
        node: Node,
        publishers: PublisherWatch,
        has_gid: bool,
        deliver: Callable[[drain.Taken], None],
    ) -> None:
        self._node = node
        self._publishers = publishers
        self._has_gid = has_gid
        self._deliver = deliver
        self._readers: list[_Reader] = []  # oldest first
        self._is_latched: dict[Gid, bool] = {}  # the publishers
        self._follows_durability = True
        self._held: drain.Taken = []
        self._may_change = False  # since `want`, until all is as wanted and settled
        # Whether a subscription ended just now, of whose last messages another has copies.
        self._may_repeat = False
        self._seen: OrderedDict[tuple[Gid, object], None] = OrderedDict()

    @property
    def profiles(self) -> list[QoSProfile]:
        """Return the profiles of the subscriptions that are wanted."""
        return [reader.profile for reader in self._readers if reader.is_wanted]

    @property
    def is_latched(self) -> bool:
        """Whether a subscription began with what was published before."""
        return any(reader.is_latched for reader in self._readers)

    @property
    def is_changing(self) -> bool:
        """Whether messages are held or subscriptions are about to end."""
        return bool(self._held) or any(
            not (reader.is_settled and reader.is_wanted) for reader in self._readers
        )

    @property
    def is_busy(self) -> bool:
        """Whether `poll` has anything to do."""
        return self._may_change or self._may_repeat or bool(self._held)

    def count_matched(self) -> int:
        """Return how many publishers DDS has matched, summed over all subscriptions."""
        return sum(
            reader.subscription.get_publisher_count()
            for reader in self._readers
            if reader.subscription is not None
        )

    def learn(self, infos: Iterable[TopicEndpointInfo]) -> None:
        """Take what the graph says of the publishers."""
        if len(self._is_latched) > REMEMBERED:
            self._is_latched.clear()
        for info in infos:
            self._is_latched[bytes(info.endpoint_gid[:16])] = not is_bridge(info) and bool(
                info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
            )

    def want(
        self,
        message_class: type,
        profiles: Collection[QoSProfile],
        *,
        is_placeholder: bool,
        follows_durability: bool,
    ) -> None:
        """Have exactly these subscriptions, as soon as new ones are settled."""
        self._follows_durability = follows_durability
        self._may_change = True
        for reader in self._readers:
            reader.is_wanted = reader.profile in profiles
            reader.is_placeholder = reader.is_placeholder and is_placeholder
        is_first = not self._readers
        there = self.profiles
        for profile in profiles:
            if profile not in there:
                reader = _Reader(profile, time.monotonic(), is_first, is_placeholder)
                reader.subscription = self._create(message_class, reader)
                self._readers.append(reader)

    def _create(self, message_class: type, reader: _Reader) -> drain.RawSubscription:
        return drain.create(
            self._node,
            message_class,
            self._publishers.topic,
            reader.profile,
            lambda taken: self._take(reader, taken),
        )

    def poll(self) -> None:
        """End what is no longer wanted, once the others are settled, and release what is held."""
        latest = max((r.created_at for r in self._readers if not r.is_settled), default=None)
        if latest is not None and time.monotonic() < latest + SETTLED_AFTER_S:
            return
        self._may_repeat = self.is_changing
        if not self._may_repeat:
            self._may_change = False
            return
        for reader in [reader for reader in self._readers if not reader.is_wanted]:
            if reader.subscription is not None:
                _ = reader.subscription.raw  # takes what still waits
            self._end(reader)
        for reader in self._readers:
            reader.is_settled = True
        self._release()

    def close(self) -> None:
        """End all subscriptions; what they held is delivered."""
        self._release()
        for reader in list(self._readers):
            self._end(reader)

    def _end(self, reader: _Reader) -> None:
        self._readers.remove(reader)
        if reader.subscription is not None:
            self._node.destroy_subscription(reader.subscription)

    def _release(self) -> None:
        held, self._held = self._held, []
        held.sort(key=_stamp)
        if held := [sample for sample in held if self._is_new(sample[1])]:
            self._deliver(held)

    def _take(self, reader: _Reader, taken: drain.Taken) -> None:
        if self._is_plain(reader, taken):
            self._deliver(taken)  # nearly always
            return
        asked = False
        passed: drain.Taken = []
        for sample in taken:
            gid = gid_of(sample[1])
            if self._has_gid and gid not in self._is_latched and not asked:
                asked = True
                self.learn(self._publishers.all())
            fate = self._fate(reader, gid)
            if fate is None:
                self._held.append(sample)
            elif fate and self._is_new(sample[1]):
                passed.append(sample)
        if passed:
            self._deliver(passed)
        if len(self._held) > MOST_HELD:
            self._held = [sample for sample in self._held if _mark(sample[1]) not in self._seen]
            if len(self._held) > MOST_HELD:
                self._release()

    def _is_plain(self, reader: _Reader, taken: drain.Taken) -> bool:
        """Return whether no other subscription can deliver these messages, now or later."""
        if len(self._readers) > 1 or self._may_repeat:
            return False
        if reader.is_latched or reader.is_placeholder:
            return False
        if not self._has_gid:
            return True
        get = self._is_latched.get
        return all(get(gid_of(info)) is False for _, info in taken)

    def _fate(self, reader: _Reader, gid: Gid) -> bool | None:
        """Return whether a message may pass, or None if it has to be held.

        A latched publisher is heard by the latched subscription, because that one begins with
        what was published before.
        """
        latched = [other for other in self._readers if other.is_latched]
        if not self._has_gid:
            from_latched = any(not other.is_settled for other in latched)
        else:
            from_latched = self._is_latched.get(gid, False) and self._follows_durability
        if from_latched and not reader.is_latched:
            if not latched:
                self._publishers.expect_change()
            return False if any(other.is_settled for other in latched) else None
        if reader.is_settled:
            return True
        if self._has_gid and not from_latched:
            is_doubled = any(o.is_settled and not o.is_latched for o in self._readers)
            return None if is_doubled else True
        return None

    def _is_new(self, info: drain.Info) -> bool:
        """Return whether no other subscription delivered a message already."""
        mark = _mark(info)
        if mark in self._seen:
            return False
        self._seen[mark] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True


def _mark(info: drain.Info) -> tuple[Gid, object]:
    return gid_of(info), info['source_timestamp']


def _stamp(sample: tuple[bytes, drain.Info]) -> int:
    stamp = sample[1]['source_timestamp']
    return stamp if isinstance(stamp, int) else 0
