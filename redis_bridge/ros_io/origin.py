# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Holds back messages that a bridge published, because carrying them back would be a loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from rclpy.topic_endpoint_info import TopicEndpointInfo

from redis_bridge.ros_io.drain import Info, Taken
from redis_bridge.ros_io.graph import Gid, PublisherWatch, is_bridge

NAMELESS = '_NODE_NAME_UNKNOWN_'  # rmw's name for a node that it does not know yet
REMEMBERED = 1000
NAMED_WITHIN_S = 3.0


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


def gid_of(info: Info) -> Gid:
    """Return the GID of the publisher of a message."""
    gid = info.get('publisher_gid')
    return bytes(gid['data'][:16]) if isinstance(gid, dict) else b''
