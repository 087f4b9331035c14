# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which primary holds which name, by what the nodes of a cluster say."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_bridge.mapping.model import RedisSettings
from redis_bridge.protocol import keys
from redis_bridge.protocol.names import hash_tag
from redis_bridge.redis_io.address import Timing
from redis_bridge.redis_io.cluster import SLOTS, Cluster, slot_of

HOST = '10.0.0.1'
LOG = logging.getLogger('test')
LOW, HIGH = 'b', 'a'  # names in the lower and the upper half of the slots


def row(first: int, last: int, port: int, host: bytes | None = HOST.encode()) -> list[Any]:
    """Return a row of the reply to CLUSTER SLOTS, with a replica."""
    return [first, last, [host, port, b'id'], [HOST.encode(), 9999, b'other']]


HALVES = [row(0, SLOTS // 2 - 1, 1), row(SLOTS // 2, SLOTS - 1, 2)]


class Followed:
    """A cluster that was told its map, and how often its names were spread anew."""

    def __init__(self) -> None:
        self.cluster = Cluster(RedisSettings(f'redis+cluster://{HOST}:1'), 'test', Timing(), LOG)
        self.changes = 0
        self.epoch = 0
        self.cluster.on_change(self.count)

    def count(self) -> None:
        self.changes += 1

    def take(self, slots: list[Any]) -> None:
        self.epoch += 1
        self.cluster._take(self.epoch, (HOST, 1), slots)

    def hosts(self) -> list[tuple[str, int] | None]:
        return [self.cluster.node_of(name).host for name in (LOW, HIGH)]


@pytest.fixture
def followed() -> Followed:
    followed = Followed()
    followed.take(HALVES)
    return followed


def test_before_any_node_answers_one_shard_holds_all_names():
    cluster = Followed().cluster
    assert cluster.node_of(LOW) is cluster.node_of(HIGH)
    assert cluster.node_of(LOW).leads_to() is None


def test_each_name_is_at_the_primary_of_its_slot(followed):
    assert slot_of(LOW) < SLOTS // 2 <= slot_of(HIGH)
    assert followed.hosts() == [(HOST, 1), (HOST, 2)]
    assert followed.changes == 1


def test_the_same_map_in_another_order_is_no_change(followed):
    followed.take(HALVES[::-1])
    assert followed.changes == 1


def test_over_a_failover_the_names_of_a_shard_stay_together(followed):
    low, high = followed.cluster.node_of(LOW), followed.cluster.node_of(HIGH)
    followed.take([row(0, SLOTS // 2 - 1, 3), HALVES[1]])
    assert followed.cluster.node_of(LOW) is low
    assert followed.cluster.node_of(HIGH) is high
    assert followed.hosts() == [(HOST, 3), (HOST, 2)]


def test_a_slot_that_moves_takes_its_names_to_the_other_primary(followed):
    moved = slot_of(LOW)
    followed.take([row(0, moved - 1, 1), row(moved + 1, SLOTS // 2 - 1, 1), row(moved, moved, 2),
                   HALVES[1]])  # fmt: skip
    assert followed.cluster.node_of(LOW) is followed.cluster.node_of(HIGH)
    assert followed.changes == 2


def test_a_node_that_joins_is_another_shard_and_one_that_leaves_is_not_needed(followed):
    low, high = followed.cluster.node_of(LOW), followed.cluster.node_of(HIGH)
    followed.take([row(0, SLOTS // 2 - 1, 3), row(SLOTS // 2, SLOTS - 2, 2),
                   row(SLOTS - 1, SLOTS - 1, 1)])  # fmt: skip
    assert followed.cluster.node_of(LOW) not in (low, high)
    assert low.is_needed()  # it has kept one slot
    followed.take([row(0, SLOTS - 1, 3)])
    assert not low.is_needed()
    assert not high.is_needed()
    assert followed.hosts() == [(HOST, 3), (HOST, 3)]


def test_slots_without_a_primary_stay_where_they_were(followed):
    followed.take([HALVES[0]])
    assert followed.hosts() == [(HOST, 1), (HOST, 2)]


def test_a_node_that_does_not_know_its_own_name_is_where_it_was_asked():
    followed = Followed()
    followed.take([row(0, SLOTS - 1, 7, b'')])
    assert followed.hosts() == [(HOST, 7), (HOST, 7)]


def test_names_that_one_command_reads_have_one_reader(followed):
    reader_of = followed.cluster.reader_of
    assert reader_of('{r1}:a') is reader_of('{r1}:b')
    assert reader_of('{r1}:a') is not reader_of('{r2}:a')


def test_the_roster_is_in_one_slot():
    assert slot_of(keys.FLEET) == slot_of(keys.FLEET_DUE)


@given(st.text(alphabet='a{}b', max_size=8), st.text(alphabet='a{}b', max_size=8))
def test_names_with_one_hash_tag_are_in_one_slot(name, other):
    if hash_tag(name) == hash_tag(other):
        assert slot_of(name) == slot_of(other)
