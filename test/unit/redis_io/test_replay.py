# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which entries a server that came back has lost, and which of them can be restored."""

from __future__ import annotations

import pytest
import redis

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import StreamSinkConfig
from redis_bridge.ports import Write
from redis_bridge.redis_io.replay import ReplayBuffer, last_id
from redis_bridge.redis_io.write_queue import WRITE_OVERHEAD, WriteQueue


def entries(count, stream='s'):
    """Return written entries with the ids 1-0, 2-0, ... of a stream."""
    queue = WriteQueue(lambda: None)
    handle = queue.open(StreamSinkConfig(stream), Counters())
    queue.put(handle, [Write(b'%4d' % number, None) for number in range(1, count + 1)])
    taken = queue.take()
    for number, entry in enumerate(taken, 1):
        entry.entry_id = (number, 0)
        entry.acknowledged_at = float(number)
    return taken


def numbers(lost):
    return [int(entry.payload) for entry in lost]


def test_entries_beyond_the_servers_last_id_are_lost():
    buffer = ReplayBuffer()
    for entry in entries(5):
        buffer.add(entry, 5.0)
    assert numbers(buffer.lost({'s': (3, 0)})) == [4, 5]
    assert numbers(buffer.lost({'s': (3, 1)})) == [4, 5]
    assert numbers(buffer.lost({'s': (0, 0)})) == [1, 2, 3, 4, 5]
    assert buffer.lost({'s': (9, 0)}) == buffer.lost({}) == buffer.lost({'t': (0, 0)}) == []
    assert buffer.pop_gaps({'s': (0, 0)}) == []


def test_what_was_evicted_and_lost_is_reported_once_per_stream():
    buffer = ReplayBuffer(seconds=1e9, size=2 * (WRITE_OVERHEAD + 4))
    for entry in entries(5):
        buffer.add(entry, 5.0)
    assert numbers(buffer.lost({'s': (0, 0)})) == [4, 5]
    assert buffer.pop_gaps({'s': (3, 0), 't': (0, 0)}) == []
    assert buffer.pop_gaps({'s': (2, 0)}) == ['s']
    assert buffer.pop_gaps({'s': (2, 0)}) == []


def test_entries_are_kept_for_a_time():
    buffer = ReplayBuffer(seconds=2.0)
    for entry in entries(5):
        buffer.add(entry, entry.acknowledged_at)
    assert numbers(buffer.lost({'s': (0, 0)})) == [3, 4, 5]


def test_an_entry_larger_than_the_buffer_is_evicted_at_once():
    buffer = ReplayBuffer(size=10)
    [entry] = entries(1)
    buffer.add(entry, 1.0)
    assert buffer.lost({'s': (0, 0)}) == []
    assert buffer.pop_gaps({'s': (0, 0)}) == ['s']


@pytest.mark.parametrize(
    ('info', 'expected'),
    [
        ([b'length', 1, b'last-generated-id', b'5-2', b'groups', 0], (5, 2)),
        (redis.ResponseError('ERR no such key'), (0, 0)),
        (redis.ResponseError('WRONGTYPE Operation against a key'), None),
    ],
)
def test_the_last_id_is_known_even_of_a_stream_that_is_not_there(info, expected):
    assert last_id(info) == expected
