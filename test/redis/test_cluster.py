# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Redis Cluster: every name at its primary; nothing is lost unreported or doubled."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from clusters import ClusterGroup, ClusterNode, slot_of
from servers import is_replica
from support import eventually
from traffic import Traffic, bridge_connections

LOG = logging.getLogger('redis_bridge.test')
# From a fault until data flows again: 1 s until a node is missed, an election, a look at the map,
# and a machine that is busy.
FOUND_S = 6.0
CALM_S = 15.0  # until traffic flows at first, and after the test's fault


@pytest.fixture
def group(server_program: str, tmp_path: Path) -> Iterator[ClusterGroup]:
    """Give three primaries and their replicas."""
    with ClusterGroup(server_program, tmp_path) as group:
        yield group


def names_at(group: ClusterGroup, node: ClusterNode) -> Callable[[str], str]:
    """Return what makes names that lie at a node now, each with its `:dead` in a slot of its own."""
    slots = node.views()[node.id].slots

    def name_of(name: str) -> str:
        return next(
            numbered
            for numbered in (f'{{{name}{number}}}' for number in range(1000))
            if slot_of(numbered) in slots
        )

    return name_of


# --- faults --------------------------------------------------------------------------------------
def kill(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    node.kill()
    group.await_failover(node)


def stop(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    node.freeze()
    group.await_failover(node)


def plan(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    group.fail_over(node)
    group.await_failover(node)


def migrate(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    to = next(other for other in group.primaries() if other is not node)
    for name in names:
        group.migrate(slot_of(name), to)


def restart_all(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    group.kill()
    group.start()


def come_and_go(group: ClusterGroup, node: ClusterNode, names: list[str]) -> None:
    new = group.join()
    for name in names:
        group.migrate(slot_of(name), new)
    group.leave(new)
    new.kill()


@pytest.mark.parametrize(
    'fault', [kill, stop, plan, migrate, restart_all, come_and_go], ids=lambda f: f.__name__
)
def test_nothing_is_lost_unreported_or_doubled_over(
    fault, group, started_side_at, record_property
):
    side = started_side_at(group.url)
    nodes = group.primaries()
    names = [names_at(group, node) for node in nodes]
    with contextlib.closing(Traffic(side, group.url, names)) as traffic:
        traffic.flows(CALM_S)
        begun = time.monotonic()
        fault(group, nodes[0], traffic.lanes[0].names())
        traffic.flows(CALM_S)
        pauses = [lane.longest_pauses_s(begun) for lane in traffic.lanes]
        record_property('longest_pauses_s', pauses)
        LOG.info('%s: longest pauses %s', fault.__name__, pauses)
        assert max(max(each.values()) for each in pauses) < FOUND_S, pauses
        if fault is stop:
            nodes[0].thaw()
            eventually(lambda: is_replica(nodes[0]))
            eventually(group.is_ready, 20)
            traffic.flows(CALM_S)
        traffic.end()
        with group.client() as db:
            traffic.check(db)
