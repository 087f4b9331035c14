# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Finds the topics that patterns ask for."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from rclpy.node import Node

from redis_bridge.ports import TopicsRequest
from redis_bridge.ros_io.graph import BRIDGE_NODE, EndsWatch, NodeName, is_bridge
from redis_bridge.ros_io.origin import NAMED_WITHIN_S, NAMELESS

GRACE_S = 2.0  # a topic stays found for so long without a publisher, because one may restart
LIST_EVERY = 8  # polls
# At so many topics per poll a close look is taken: at new ones, and in turn at those that stay.
NEW_LOOKS = 32
LOOKS = 4
REMEMBERED = 10_000  # names, and whether they are wanted


class Discovery:
    """The topics of a request that somebody other than a bridge publishes.

    It reads them from the topics of each node, which `publishing` asks for in any case to follow
    what is carried. These lists lack some topics: those of two nodes with one name, of which the
    graph lists one, and those of programs that use DDS without a node. So now and then the names
    of all topics are asked for, and what no node publishes is looked at closely.

    All but `want` is called in the executor's thread.
    """

    def __init__(
        self, node: Node, publishing: EndsWatch, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._node = node
        self._publishing = publishing
        self._clock = clock
        self._asked: TopicsRequest | None = None
        self._begin(None)

    def _begin(self, request: TopicsRequest | None) -> None:
        self._request = request
        self._is_new = True
        self._turn = 0
        self._is_wanted: dict[str, bool] = {}
        self._of_nodes: set[str] = set()  # published by nodes, as their lists say
        self._others: list[str] = []  # all that no node publishes by these lists
        self._new: list[str] = []  # of these, what was not looked at so far
        self._nameless: dict[str, float] = {}  # of these, by nodes without a name, since when
        self._unlisted: set[str] = set()  # of these, what is published nevertheless
        if request is None:
            self._present: set[str] = set()
            self._gone: dict[str, float] = {}  # when the grace ends
            self._found: frozenset[str] = frozenset()

    def want(self, request: TopicsRequest | None) -> None:
        """Take what the next poll makes true."""
        self._asked = request

    def is_asked(self) -> bool:
        """Return whether there is a request; from now on it is the latest."""
        if self._asked is not self._request:
            self._begin(self._asked)
        return self._request is not None

    def poll(self, nodes: Sequence[NodeName]) -> set[str]:
        """Look for topics; return all of which publishers of nodes came or went."""
        changed = self._publishing.by_node(nodes)
        has_twins = len(set(nodes)) < len(nodes)
        is_listing = has_twins or self._turn % LIST_EVERY == 0
        if changed or self._is_new:
            before = self._of_nodes
            self._of_nodes = {
                name
                for (node, _), ends in self._publishing.known.items()
                if not node[0].startswith(BRIDGE_NODE)
                for name, _ in ends
                if self._wants(name)
            }
            is_listing |= not before <= self._of_nodes  # another one may publish them, too
        if is_listing:
            self._list_others()
        now = self._clock()
        for name in self._due():
            self._look(name, now)
        self._turn += 1
        self._report(now)
        return changed

    def _wants(self, name: str) -> bool:
        is_wanted = self._is_wanted.get(name)
        if is_wanted is None:
            if len(self._is_wanted) >= REMEMBERED:
                self._is_wanted.clear()
            is_wanted = self._asks_for(name) and self._is_reachable(name)
            self._is_wanted[name] = is_wanted
        return is_wanted

    def _asks_for(self, name: str) -> bool:
        return self._request is not None and self._request.is_wanted(name)

    def _is_reachable(self, name: str) -> bool:
        """Return whether this node can subscribe to a name, which is none that it remaps."""
        try:
            return self._node.resolve_topic_name(name) == name
        except RuntimeError:  # a name that ROS does not allow, of a program without ROS
            return False

    def _list_others(self) -> None:
        listed = self._node.get_topic_names_and_types()
        others = {name for name, _ in listed if self._wants(name)} - self._of_nodes
        self._new = [name for name in self._new if name in others]
        self._new += others.difference(self._others)
        self._others = sorted(others)
        self._unlisted &= others
        self._nameless = {name: at for name, at in self._nameless.items() if name in others}

    def _due(self) -> set[str]:
        """Return what to look at closely now."""
        due, self._new = set(self._new[:NEW_LOOKS]), self._new[NEW_LOOKS:]
        if self._others:
            start = self._turn * LOOKS % len(self._others)
            due.update(self._others[start : start + LOOKS])
        return due - self._of_nodes

    def _look(self, name: str, now: float) -> None:
        """Look at the publishers of a topic; a new one without a name may yet be a bridge."""
        infos = self._node.get_publishers_info_by_topic(name)
        nodes = {info.node_name for info in infos if not is_bridge(info)}
        if nodes == {NAMELESS}:
            since = self._nameless.setdefault(name, now)
            is_published = name in self._found or now >= since + NAMED_WITHIN_S
        else:
            self._nameless.pop(name, None)
            is_published = bool(nodes)
        if is_published:
            self._unlisted.add(name)
        else:
            self._unlisted.discard(name)

    def _report(self, now: float) -> None:
        """Report what is found if it differs, and at first."""
        present = self._of_nodes | self._unlisted
        if present == self._present and not self._gone and not self._is_new:
            return
        self._gone.update(dict.fromkeys(self._present - present, now + GRACE_S))
        self._present = present
        self._gone = {
            name: end for name, end in self._gone.items() if now < end and self._wants(name)
        }
        found = frozenset(present.union(self._gone))
        if self._request is not None and (found != self._found or self._is_new):
            self._found, self._is_new = found, False
            self._request.found(found)
