# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which entries a server that came back has lost, and which of them can be restored."""

from __future__ import annotations

import pytest
import redis

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import StreamSinkConfig
from redis_bridge.ports import Write
from redis_bridge.protocol.meta import entry_fields
from redis_bridge.protocol.stream_ids import id_text
from redis_bridge.redis_io.replay import ReplayBuffer, StreamState, count_stored
from redis_bridge.redis_io.write_queue import BATCH_BYTES, WRITE_OVERHEAD, WriteQueue


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


def kept(buffer, stream='s'):
    return [int(entry.payload) for entry in buffer.by_stream().get(stream, [])]


def test_entries_are_kept_by_stream_and_in_order():
    buffer = ReplayBuffer()
    for s, t in zip(entries(5), entries(5, 't')):
        buffer.add(s, 5.0)
        buffer.add(t, 5.0)
    assert kept(buffer) == kept(buffer, 't') == [1, 2, 3, 4, 5]
    assert kept(buffer, 'other') == []
    assert buffer.newest_evicted('s') is None


def test_of_what_was_evicted_the_newest_id_is_known():
    buffer = ReplayBuffer(seconds=1e9, size=2 * (WRITE_OVERHEAD + 4))
    for entry in entries(5):
        buffer.add(entry, 5.0)
    assert kept(buffer) == [4, 5]
    assert buffer.newest_evicted('s') == (3, 0)
    buffer.forget_evicted('s')
    assert buffer.newest_evicted('s') is None


def test_entries_are_kept_for_a_time():
    buffer = ReplayBuffer(seconds=2.0)
    for entry in entries(5):
        buffer.add(entry, entry.acknowledged_at)
    assert kept(buffer) == [3, 4, 5]


def test_an_entry_larger_than_the_buffer_is_evicted_at_once():
    buffer = ReplayBuffer(size=10)
    [entry] = entries(1)
    buffer.add(entry, 1.0)
    assert (kept(buffer), buffer.newest_evicted('s')) == ([], (1, 0))


FIELDS = [b'length', 3, b'last-generated-id', b'5-2', b'groups', 0]
FIRST_ENTRY = [b'first-entry', [b'2-0', [b'data', b'']]]


@pytest.mark.parametrize(
    ('info', 'expected'),
    [
        ([*FIELDS, b'first-entry', None], StreamState((5, 2), (0, 0), 3)),
        ([*FIELDS, *FIRST_ENTRY], StreamState((5, 2), (2, 0), 3)),
        (
            [*FIELDS, *FIRST_ENTRY, b'max-deleted-entry-id', b'4-0'],
            StreamState((5, 2), (2, 0), 3, (4, 0)),
        ),
        (redis.ResponseError('ERR no such key'), StreamState()),
        (redis.ResponseError('WRONGTYPE Operation against a key'), StreamState()),
        (redis.ResponseError('NOPERM this user has no permissions'), None),
    ],
)
def test_the_state_is_known_even_of_a_stream_that_is_not_there(info, expected):
    assert StreamState.of(info) == expected


class FakeStream:
    """A connection that has some entries of the stream."""

    def __init__(self, *there):
        self.there, self.asked = {id_text(e.entry_id): e for e in there}, []

    def pipe(self, commands):
        self.asked += [number for _, _, number, _ in commands]
        found = [self.there.get(number) for _, _, number, _ in commands]
        return [(e and [[b'', entry_fields(e.payload, e.meta)]]) or [] for e in found]


def test_the_newest_entry_that_is_there_counts_for_all_before_it():
    all_of_them = entries(5)
    for count in range(6):
        server = FakeStream(*all_of_them[count - 1 : count])
        assert count_stored(server, all_of_them, StreamState((9, 0))) == count
    assert count_stored(FakeStream(), all_of_them, StreamState((9, 0))) == 0
    server = FakeStream(all_of_them[0])
    assert count_stored(server, all_of_them, StreamState((2, 0))) == 2  # its last, and deleted
    assert server.asked == ['2-0', '1-0']  # not those that it cannot have
    assert count_stored(FakeStream(), all_of_them, StreamState((9, 0), deleted=(4, 0))) == 4


def test_the_search_asks_for_no_more_than_a_batch_at_once():
    large = entries(5)
    for entry in large:
        entry.size = BATCH_BYTES
    server = FakeStream(large[2])
    assert count_stored(server, large, StreamState((9, 0))) == 3
    assert server.asked == ['5-0', '4-0', '3-0']
