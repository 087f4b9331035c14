# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Holds back messages that a bridge published, because carrying them back would be a loop."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.ros_io.drain import Info, Taken
from redis_bridge.ros_io.graph import Gid, PublisherWatch, is_bridge

NAMELESS = '_NODE_NAME_UNKNOWN_'  # rmw's name for a node that it does not know yet
REMEMBERED = 1000
NAMED_WITHIN_S = 3.0
LOOK_EVERY_S = 0.1  # but at each batch for the number of publishers
OWN_REMEMBERED = 10_000
STAMPED_WITHIN_NS = 5_000_000_000  # of publishing
STAMPED_EARLY_NS = 1_000_000  # by rounding


class OriginFilter:
    """Admits the messages of publishers that are no bridge's; the GID identifies a publisher.

    DDS may deliver the first messages of a publisher before the graph names its node: those wait.
    """

    def __init__(self, publishers: PublisherWatch, drop: Callable[[str, int], None]) -> None:
        self._publishers = publishers
        self._drop = drop
        self._is_bridge: dict[Gid, bool] = {}
        self._nameless_since = 0.0
        self.waiting: Taken = []

    @property
    def problem(self) -> str | None:
        """Return why nothing is admitted."""
        return None

    def learn(self, infos: Iterable[TopicEndpointInfo]) -> None:
        """Take what the graph says of the publishers."""
        if len(self._is_bridge) > REMEMBERED:
            self._is_bridge.clear()
        for info in infos:
            if info.node_name != NAMELESS:
                self._is_bridge[bytes(info.endpoint_gid[:16])] = is_bridge(info)

    def admit(self, taken: Taken) -> Taken:
        """Return what no bridge published; what waited before comes first."""
        get = self._is_bridge.get
        if not self.waiting and all(get(gid_of(info)) is False for _, info in taken):
            return taken  # nearly always
        others: Taken = []
        waiting: Taken = []
        looked = False
        for sample in (*self.waiting, *taken):
            is_bridges = self._is_bridges(sample[1])
            if is_bridges is None and not looked:
                looked = True
                self._identify()
                is_bridges = self._is_bridges(sample[1])
            if is_bridges is None:
                waiting.append(sample)
            elif is_bridges:
                self._drop('own_origin', 1)
            else:
                others.append(sample)
        if len(waiting) > REMEMBERED:
            self._drop('unidentified', len(waiting) - REMEMBERED)
        self.waiting = waiting[-REMEMBERED:]
        return others

    def _is_bridges(self, info: Info) -> bool | None:
        """Return whether a bridge published; None if the graph has not named the node yet."""
        return self._is_bridge.get(gid_of(info))

    def _identify(self) -> None:
        """Ask the graph about new publishers; one that stays nameless is no bridge."""
        self.learn(self._publishers.all())
        now = time.monotonic()
        if not self.waiting:
            self._nameless_since = now
        elif now - self._nameless_since > NAMED_WITHIN_S:
            for _, info in self.waiting:
                self._is_bridge.setdefault(gid_of(info), False)


class OwnMessages:
    """What this bridge published on a topic, to recognize it among what comes from there.

    A message is ours if it has the bytes of one that was published just before its time stamp,
    each once. So the same message of another publisher is not taken for ours.
    """

    def __init__(self) -> None:
        self.is_wanted = False  # set by whoever will ask
        self._lock = threading.Lock()
        self._pending: dict[int, deque[int]] = {}  # when published, by the hash of the bytes
        self._order: deque[tuple[int, int]] = deque(maxlen=OWN_REMEMBERED)  # of the same
        # What was recognized: it comes again if a subscription begins with the history.
        self._seen: OrderedDict[tuple[int, object], None] = OrderedDict()

    def note(self, cdr: bytes) -> None:
        """Note a message just before it is published."""
        if not self.is_wanted:
            return
        mark, now = hash(cdr), time.time_ns()
        with self._lock:
            if len(self._order) == OWN_REMEMBERED:
                self._forget(*self._order[0])
            self._order.append((mark, now))
            self._pending.setdefault(mark, deque()).append(now)

    def has(self, sample: tuple[bytes, Info]) -> bool:
        """Return whether this bridge published a message."""
        if not self._order:
            return False
        mark, stamp = hash(sample[0]), sample[1]['source_timestamp']
        with self._lock:
            if (mark, stamp) in self._seen:
                return True
            for published in tuple(self._pending.get(mark, ())):
                if not isinstance(stamp, int) or stamp < published - STAMPED_EARLY_NS:
                    return False
                self._forget(mark, published)
                if stamp - published < STAMPED_WITHIN_NS:
                    self._seen[mark, stamp] = None
                    if len(self._seen) > OWN_REMEMBERED:
                        self._seen.popitem(last=False)
                    return True
        return False

    def _forget(self, mark: int, published: int) -> None:
        pending = self._pending.get(mark)
        if pending and pending[0] <= published:
            pending.popleft()
            if not pending:
                del self._pending[mark]


class BlindFilter:
    """Admits messages where ROS does not identify their publishers.

    It admits all but our own, and nothing while another bridge publishes on the topic. A bridge
    may publish as soon as it has joined, so that the graph is asked before each batch, not only
    now and then. Messages wait until the graph names the nodes of all publishers.
    """

    def __init__(
        self,
        publishers: PublisherWatch,
        drop: Callable[[str, int], None],
        own_node: str,
        own: OwnMessages,
    ) -> None:
        self._publishers = publishers
        self._drop = drop
        self._own_node = own_node
        self._own = own
        own.is_wanted = True
        self._has_bridge = False
        self._nameless: dict[Gid, float] = {}  # publishers, and since when
        self._count: int | None = None
        self._looked_at = 0.0
        self.waiting: Taken = []

    @property
    def problem(self) -> str | None:
        """Return why nothing is admitted."""
        if not self._has_bridge:
            return None
        return (
            'error: another bridge publishes on this topic and this ROS distribution does '
            'not identify publishers; nothing is forwarded, to avoid a loop'
        )

    def learn(self, infos: Iterable[TopicEndpointInfo]) -> None:
        """Take what the graph says of the publishers."""
        infos = [info for info in infos if info.node_name != self._own_node]
        self._has_bridge = any(map(is_bridge, infos))
        now = time.monotonic()
        self._nameless = {
            gid: self._nameless.get(gid, now)
            for gid in (bytes(i.endpoint_gid[:16]) for i in infos if i.node_name == NAMELESS)
        }

    def admit(self, taken: Taken) -> Taken:
        """Return what no bridge published; what waited before comes first."""
        is_unsure = self._look()
        own = [self._own.has(sample) for sample in taken]
        if any(own):
            self._drop('own_origin', sum(own))
            taken = [sample for sample, is_own in zip(taken, own) if not is_own]
        taken, self.waiting = [*self.waiting, *taken], []
        if self._has_bridge:
            self._drop('unguarded', len(taken))
            return []
        if not is_unsure:
            return taken
        if len(taken) > REMEMBERED:
            self._drop('unidentified', len(taken) - REMEMBERED)
        self.waiting = taken[-REMEMBERED:]
        return []

    def _look(self) -> bool:
        """Ask the graph if publishers may have changed; return whether one may yet be a bridge."""
        now = time.monotonic()
        count = self._publishers.count()
        is_old = now > self._looked_at + LOOK_EVERY_S
        if is_old or count != self._count or self._is_unsure(now):
            had_bridge = self._has_bridge
            self._count, self._looked_at = count, now
            self.learn(self._publishers.all())
            if self._has_bridge != had_bridge:
                self._publishers.expect_change()  # so that the state follows
        return self._is_unsure(now)

    def _is_unsure(self, now: float) -> bool:
        return any(now - since < NAMED_WITHIN_S for since in self._nameless.values())


def gid_of(info: Info) -> Gid:
    """Return the GID of the publisher of a message."""
    gid = info.get('publisher_gid')
    return bytes(gid['data'][:16]) if isinstance(gid, dict) else b''
