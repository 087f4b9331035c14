# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What waits, what gives way, and in which order writes are taken; without a server."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import Counter
from functools import partial

import pytest
from support import eventually

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import (
    ChannelSinkConfig,
    HashSinkConfig,
    KeySinkConfig,
    StreamSinkConfig,
)
from redis_bridge.ports import Write
from redis_bridge.redis_io.commands import SINK_COMMANDS, StreamCommands
from redis_bridge.redis_io.write_queue import BATCH_COMMANDS, WRITE_OVERHEAD, WriteQueue


class Feed:
    """A handle with a numbered payload per write."""

    def __init__(self, queue, config):
        self.queue, self.counters, self.sent = queue, Counters(), 0
        self.handle = queue.open(config, self.counters)

    def write(self, count=1):
        for _ in range(count):
            self.sent += 1
            self.queue.put(self.handle, [Write(b'%d' % self.sent, None)])

    def get(self, what):
        return self.counters.snapshot()[what]

    @property
    def dropped(self):
        return self.get('dropped')


@pytest.fixture
def wakes():
    return []


@pytest.fixture
def queue(wakes):
    made = WriteQueue(lambda: wakes.append(True))
    made.connect([])
    return made


def payloads(batch):
    return [write.payload for write in batch]


def take_all(queue):
    batch, got = queue.take(), []
    while batch:
        got += batch
        batch = queue.take()
    return got


def test_all_kinds_are_taken_in_the_order_they_were_put(queue):
    feeds = [
        Feed(queue, ChannelSinkConfig('c')), Feed(queue, KeySinkConfig('k')),
        Feed(queue, StreamSinkConfig('s')), Feed(queue, ChannelSinkConfig('d')),
    ]  # fmt: skip
    for feed in feeds:
        feed.write()
    assert [write.handle for write in queue.take()] == [feed.handle for feed in feeds]
    assert queue.take() == []


def test_of_a_key_only_the_newest_value_waits_in_the_place_of_the_first(queue):
    key, stream = Feed(queue, KeySinkConfig('k')), Feed(queue, StreamSinkConfig('s'))
    key.write()
    stream.write()
    key.write(2)
    queue.put(key.handle, [Write(b'3.5', None), Write(b'4', None)])
    assert payloads(queue.take()) == [b'4', b'1']
    assert key.dropped == {'superseded': 4}
    key.write()
    assert payloads(queue.take()) == [b'4']


def test_a_hash_counts_with_names_and_values(queue):
    handle = queue.open(HashSinkConfig('h'), Counters())
    queue.put(handle, [Write({'ab': b'123', 'c': b''}, None)])
    [write] = queue.take()
    assert write.size == 6


def test_channels_drop_while_disconnected_and_the_rest_is_kept(queue):
    feeds = [
        Feed(queue, config('x')) for config in (ChannelSinkConfig, KeySinkConfig, StreamSinkConfig)
    ]
    for feed in feeds:
        feed.write()
    queue.disconnect([])
    for feed in feeds:
        feed.write()
    queue.connect([])
    assert payloads(queue.take()) == [b'2', b'1', b'2']
    assert [feed.dropped for feed in feeds] == [{'disconnected': 2}, {'superseded': 1}, {}]


def test_a_new_sink_only_declares_that_nothing_is_stored(queue, monkeypatch):
    class LossySinkConfig(StreamSinkConfig):
        redis_type = None

    monkeypatch.setitem(SINK_COMMANDS, LossySinkConfig, StreamCommands)
    lossy = Feed(queue, LossySinkConfig('s'))
    lossy.write()
    taken = queue.take()
    lossy.write()
    queue.disconnect(taken)
    lossy.write()
    assert lossy.dropped == {'disconnected': 3}


def test_what_was_under_way_comes_first_after_the_loss_unless_it_is_outdated(queue):
    feeds = [
        Feed(queue, config('x')) for config in (ChannelSinkConfig, KeySinkConfig, StreamSinkConfig)
    ]
    for feed in feeds:
        feed.write()
    taken = queue.take()
    for feed in feeds[1:]:
        feed.write()
    queue.disconnect(taken)
    queue.connect([])
    assert payloads(queue.take()) == [b'1', b'2', b'2']
    assert [feed.dropped for feed in feeds] == [{'disconnected': 1}, {'superseded': 1}, {}]


def test_a_value_that_waited_longer_than_its_time_to_live_is_dropped(queue, monkeypatch):
    key, stream = Feed(queue, KeySinkConfig('k', ttl_ms=50)), Feed(queue, StreamSinkConfig('s'))
    now = 100.0
    monkeypatch.setattr('time.monotonic', lambda: now)
    key.write()
    stream.write()
    now += 0.06
    assert [write.handle for write in queue.take()] == [stream.handle]
    assert key.dropped == {'too_old': 1}


def test_the_queue_is_bounded_in_count_and_each_drop_is_counted(wakes):
    queue = WriteQueue(lambda: wakes.append(True), max_count=500)
    queue.connect([])
    stream, key = Feed(queue, StreamSinkConfig('s')), Feed(queue, KeySinkConfig('k'))
    channel = Feed(queue, ChannelSinkConfig('c'))
    for _ in range(3000):
        stream.write()
        key.write()
        channel.write()
        assert len(queue) <= 500 + 1  # the value of the key does not count
    left = Counter(write.handle for write in take_all(queue))
    for feed in (stream, key, channel):
        assert left[feed.handle] + sum(feed.dropped.values()) == feed.sent
    assert stream.dropped['outbox_full'] > 0
    assert (len(queue), queue.size) == (0, 0)


def test_a_latest_value_is_never_given_up_for_a_backlog(wakes):
    queue = WriteQueue(lambda: wakes.append(True), max_count=100)
    key, hash_ = Feed(queue, KeySinkConfig('k')), Feed(queue, KeySinkConfig('h'))
    stream = Feed(queue, StreamSinkConfig('s'))
    key.write()
    hash_.write()
    stream.write(12_000)
    assert (key.dropped, hash_.dropped) == ({}, {})
    assert stream.dropped == {'outbox_full': 11_900}
    assert payloads(take_all(queue)) == [b'1', b'1', *(b'%d' % n for n in range(11_901, 12_001))]


def test_best_effort_gives_way_first_and_of_it_what_takes_the_most_room(wakes):
    queue = WriteQueue(lambda: wakes.append(True), max_bytes=10_000)
    queue.connect([])
    stream, small = Feed(queue, StreamSinkConfig('s')), Feed(queue, ChannelSinkConfig('small'))
    stream.write(5)
    small.write(5)
    counters = Counters()
    images = queue.open(ChannelSinkConfig('images'), counters)
    for _ in range(20):
        queue.put(images, [Write(bytes(3000), None)])
    assert (stream.dropped, small.dropped) == ({}, {})
    assert counters.snapshot()['dropped'] == {'outbox_full': 18}
    stream.write(100)
    assert sum(small.dropped.values()) == 5
    assert stream.dropped['outbox_full'] > 0
    left = take_all(queue)
    assert [write.payload for write in left] == [b'%d' % n for n in range(106 - len(left), 106)]


def test_a_message_of_a_channel_waits_no_longer_than_it_may(queue):
    old, patient = (
        Feed(queue, ChannelSinkConfig('c', max_wait_ms=0)),
        Feed(queue, ChannelSinkConfig('d', max_wait_ms=None)),
    )
    old.write(3)
    patient.write(1)
    assert [write.handle for write in take_all(queue)] == [patient.handle]
    assert old.dropped == {'too_old': 3}


def test_what_depends_on_a_write_follows_once_it_is_stored(queue):
    said = []
    key = queue.open(KeySinkConfig('k'), Counters())
    for number in (1, 2):
        then = partial(said.append, number)
        queue.put(key, [Write(b'%d' % number, None, then)])
    batch = queue.take()
    assert (payloads(batch), said) == ([b'2'], [])
    queue.put_back(batch)  # rejected for now
    batch = queue.take()
    queue.settle(batch, 1.0)
    queue.settle(batch, 2.0)
    assert said == [2]


def test_what_was_sent_and_waits_again_is_known_until_it_is_given_up(wakes):
    queue = WriteQueue(lambda: wakes.append(True), max_count=3)
    queue.connect([])
    stream = Feed(queue, StreamSinkConfig('s'))
    stream.write(2)
    batch = queue.take()
    for number, write in enumerate(batch):
        write.entry_id = (1, number)
    queue.disconnect(batch)
    assert queue.unanswered() == batch
    stream.write(2)
    assert queue.unanswered() == batch[1:]
    stream.write(2)
    assert queue.unanswered() == []


def test_the_queue_is_bounded_in_bytes(wakes):
    queue = WriteQueue(lambda: wakes.append(True), max_bytes=10 * (WRITE_OVERHEAD + 100))
    stream = queue.open(StreamSinkConfig('s'), counters := Counters())
    queue.put(stream, [Write(bytes(100), None)] * 25)
    assert len(queue) == 10
    assert counters.snapshot()['dropped'] == {'outbox_full': 15}


def test_while_nothing_can_be_stored_events_go_on(queue):
    stream, channel = Feed(queue, StreamSinkConfig('s')), Feed(queue, ChannelSinkConfig('c'))
    stream.write()
    channel.write()
    assert [write.handle for write in queue.take(is_paused=True)] == [channel.handle]
    assert queue.sleep(is_paused=True)
    assert not queue.sleep()
    assert [write.handle for write in queue.take()] == [stream.handle]


def test_writes_to_try_again_keep_their_order(queue):
    stream = Feed(queue, StreamSinkConfig('s'))
    stream.write(3)
    batch = queue.take()
    stream.write()
    queue.put_back(reversed(batch))
    assert payloads(queue.take()) == [b'1', b'2', b'3', b'4']


def test_entries_that_the_server_lost_come_before_all_others(queue):
    stream = Feed(queue, StreamSinkConfig('s'))
    stream.write(2)
    lost = queue.take()
    queue.settle(lost, 1.0)
    queue.disconnect([])
    stream.write()
    queue.connect(lost)
    assert payloads(queue.take()) == [b'1', b'2', b'3']
    queue.put_back(lost)  # the server was full
    assert queue.take(is_paused=True) == []
    assert payloads(queue.take()) == [b'1', b'2']
    assert not queue.disconnect(lost)  # whoever remembers them finds them at the next connect
    assert queue.disconnect([])
    assert queue.take() == []
    assert stream.get('carried') == 2
    queue.connect(lost)
    queue.clear()  # at the end
    assert stream.get('noted') == {'missed': 2}


def test_written_payloads_are_counted_once(queue):
    key = Feed(queue, KeySinkConfig('k'))
    key.write()
    [write] = batch = queue.take()
    assert queue.settle(batch, write.queued_at + 2.0) == batch
    assert queue.settle(batch, write.queued_at + 3.0) == []
    assert (key.get('carried'), key.get('bytes'), key.get('latency_s')) == (1, 1, 2.0)


def test_a_renewal_waits_only_if_no_value_does(queue):
    key, plain = Feed(queue, KeySinkConfig('k', ttl_ms=60_000)), Feed(queue, KeySinkConfig('p'))
    queue.renew(key.handle)  # the key may be another's as long as nothing was written
    assert queue.take() == []
    for feed, renewals in ((key, [None]), (plain, [])):
        feed.write()
        queue.settle(queue.take(), 1.0)
        queue.renew(feed.handle)
        queue.renew(feed.handle)
        assert payloads(queue.take()) == renewals
    key.write()
    queue.renew(key.handle)
    assert payloads(queue.take()) == [b'2']


def test_a_write_that_waited_lives_only_for_the_rest_of_its_time(queue, monkeypatch):
    configs = (KeySinkConfig('k', ttl_ms=60_000), HashSinkConfig('h', ttl_ms=60_000))
    for config in configs:
        payload = b'1' if config.kind == 'key' else {'a': b'1'}
        queue.put(queue.open(config, Counters()), [Write(payload, None)])
    key, fields = queue.take()
    start = key.queued_at
    monkeypatch.setattr(time, 'monotonic', lambda: start + 40.0)
    assert key.command() == ('SET', 'k', b'1', 'PX', 20_000)
    assert fields.command() == ('HSET', 'h', 'a', b'1')
    assert 19_000 < fields.expiry()[2] <= 20_001


def test_a_renewal_of_a_hash_writes_its_fields_again(queue):
    counters = Counters()
    handle = queue.open(HashSinkConfig('h', ttl_ms=60_000), counters)
    queue.put(handle, [Write({'a': b'1'}, None)])
    queue.settle(queue.take(), time.monotonic())
    queue.renew(handle)  # writes the fields again, because that fails if the key is another's
    assert [write.command() for write in queue.take()] == [('HSET', 'h', 'a', b'1')]
    assert counters.snapshot()['carried'] == 1


def test_a_value_that_is_gone_is_queued_again_unless_a_newer_one_waits(queue):
    key = Feed(queue, KeySinkConfig('k', ttl_ms=1000))
    key.write()
    queue.settle(queue.take(), 1.0)
    queue.write_again(key.handle)
    again = queue.take()
    assert payloads(again) == [b'1']
    queue.settle(again, 2.0)
    key.write()
    queue.write_again(key.handle)
    assert payloads(queue.take()) == [b'2']
    assert (key.get('carried'), key.get('noted')) == (1, {'rewritten': 1})


def test_a_value_is_written_again_with_what_is_left_of_its_time_to_live(queue):
    key = Feed(queue, KeySinkConfig('k', ttl_ms=60_000))
    key.write()
    queue.settle(queue.take(), time.monotonic())
    key.handle.valid_at -= 40
    queue.write_again(key.handle)
    [write] = queue.take()
    *command, ttl_ms = write.command()
    assert command == ['SET', 'k', b'1', 'PX']
    assert 10_000 < ttl_ms <= 20_000
    queue.settle([write], time.monotonic())
    key.handle.valid_at -= 40
    queue.write_again(key.handle)
    assert queue.take() == []


def test_a_sample_equal_to_a_rejected_one_is_written_and_counted(queue):
    key = Feed(queue, KeySinkConfig('k'))
    key.write()
    [write] = queue.take()
    write.drop('refused')
    queue.lose(write)
    assert not key.handle.holds()
    assert not key.handle.renew()
    queue.settle(queue.take(), time.monotonic())
    assert key.handle.holds()
    assert key.handle.renew()
    assert (key.get('carried'), key.dropped, key.get('noted')) == (1, {'refused': 1}, {})


def test_an_equal_sample_makes_a_waiting_value_as_new_as_itself(queue):
    key = Feed(queue, KeySinkConfig('k', ttl_ms=1000))
    key.write()
    key.handle.writes[0].queued_at -= 5
    assert not key.handle.renew()
    assert payloads(queue.take()) == [b'1']
    assert key.dropped == {'superseded': 1}


def test_a_value_that_no_server_can_take_is_counted_and_not_tried_for_ever(queue):
    key = Feed(queue, KeySinkConfig('k'))
    key.write()
    [write] = queue.take()
    write.drop('refused')
    queue.lose(write, for_good=True)
    assert queue.resting(0.0) == []
    assert not key.handle.renew()
    assert queue.take() == []
    assert key.dropped == {'refused': 2}


def test_a_mirrored_value_is_left_to_its_last_writer(queue):
    counters = Counters()
    handle = queue.open(KeySinkConfig('k'), counters, is_mirrored=True)
    queue.put(handle, [Write(b'1', None)])
    queue.settle(queue.take(), time.monotonic())
    queue.write_again(handle)
    assert not handle.holds()
    assert handle.renew()
    assert queue.take() == []
    queue.put(handle, [Write(b'1', None)])
    queue.settle(queue.take(), time.monotonic())
    assert handle.holds()


def test_only_values_that_rest_are_compared(queue):
    fresh, old, waiting, expired = (
        Feed(queue, KeySinkConfig(name, ttl_ms=ttl_ms))
        for name, ttl_ms in (('f', None), ('o', None), ('w', None), ('e', 1000))
    )
    Feed(queue, KeySinkConfig('never written'))
    now = time.monotonic()
    for feed, age in ((fresh, 0), (old, 2), (waiting, 2), (expired, 2)):
        feed.write()
        [write] = queue.take()
        write.queued_at = now - age
        queue.settle([write], now - age)
    waiting.write()
    assert queue.resting(1.0) == [old.handle]
    assert not expired.handle.holds()  # so that an equal sample is written


def test_what_is_put_for_several_sinks_wakes_the_writer_once_for_all(queue, wakes):
    handles = [queue.open(KeySinkConfig(name), Counters()) for name in ('k', 'l')]
    assert queue.sleep()
    for handle in handles:
        queue.put(handle, [Write(b'1', None)], flush=False)
    assert not wakes
    queue.flush()
    queue.flush()
    assert len(wakes) == 1
    assert len(queue.take()) == 2


def test_a_flush_of_nothing_wakes_nobody(queue, wakes):
    assert queue.sleep()
    queue.flush()
    assert not wakes


def test_a_put_wakes_a_sleeping_writer_once(queue, wakes):
    stream = Feed(queue, StreamSinkConfig('s'))
    assert queue.sleep()
    assert not wakes
    stream.write(2)
    assert len(wakes) == 1
    assert not queue.sleep()
    stream.write()
    assert len(wakes) == 1


def test_a_producer_yields_to_a_writer_that_is_behind_but_once_per_batch(queue, monkeypatch):
    monkeypatch.setattr('redis_bridge.redis_io.write_queue.YIELD_S', 60.0)
    feed = Feed(queue, StreamSinkConfig('s'))
    feed.write(2 * BATCH_COMMANDS + 1)  # no batch was taken yet, so nobody yields
    assert len(queue.take()) == BATCH_COMMANDS
    producer = threading.Thread(target=feed.write)
    producer.start()
    eventually(lambda: feed.sent == 2 * BATCH_COMMANDS + 2 and len(queue) == BATCH_COMMANDS + 2)
    feed.queue.put(feed.handle, [Write(b'', None)])  # still behind, but one producer yields
    assert producer.is_alive()
    queue.take()
    producer.join(10)
    assert not producer.is_alive()
    feed.write()  # no longer behind


def test_after_the_end_nothing_is_taken_and_what_is_left_is_counted(queue):
    stream, channel = Feed(queue, StreamSinkConfig('s')), Feed(queue, ChannelSinkConfig('c'))
    stream.write(3)
    channel.write()
    assert queue.close()  # connected, so what waits may still be written
    stream.write()
    assert len(queue) == 4
    queue.clear()
    assert (stream.dropped, channel.dropped) == ({'closed': 4}, {'closed': 1})
    assert (len(queue), queue.size) == (0, 0)


def test_a_released_handle_is_gone_once_its_writes_are(queue):
    handle = queue.open(StreamSinkConfig('s'), Counters())
    other = queue.open(StreamSinkConfig('s'), Counters())
    assert handle.ids is other.ids
    assert set(queue.handles('s')) == {handle, other}
    queue.put(handle, [Write(b'1', None)])
    queue.release(handle)
    queue.release(handle)
    queue.release(other)
    del other
    assert queue.handles('s') == []
    assert list(queue.streams()) == ['s']
    gone = weakref.ref(handle)
    del handle
    assert payloads(queue.take()) == [b'1']
    gc.collect()
    assert gone() is None
    assert queue.streams() == {}


# --- sinks that move to another server's queue --------------------------------------------------
@pytest.fixture
def other():
    made = WriteQueue(lambda: None)
    made.connect([])
    return made


CONFIGS = (StreamSinkConfig('x'), KeySinkConfig('x'), ChannelSinkConfig('x'))
BY_KIND = pytest.mark.parametrize('config', CONFIGS, ids=lambda config: config.kind)


@BY_KIND
def test_what_waits_moves_with_its_sink_and_the_rest_stays(queue, other, config):
    moving, staying = Feed(queue, config), Feed(queue, StreamSinkConfig('y'))
    for feed in (moving, staying, moving):
        feed.write()
    queue.move(moving.handle, other)
    moving.handle.write([Write(b'3', None)])
    assert payloads(take_all(queue)) == [b'1']
    expected = [b'3'] if config.kind == 'key' else [b'1', b'2', b'3']
    assert payloads(take_all(other)) == expected
    assert len(queue) == len(other) == queue.size == other.size == 0


@BY_KIND
def test_what_a_slow_producer_puts_into_the_old_queue_arrives_in_the_new_one(queue, other, config):
    feed = Feed(queue, config)
    queue.move(feed.handle, other)
    feed.write()
    assert queue.take() == []
    assert payloads(other.take()) == [b'1']


def test_what_was_under_way_comes_before_what_moved(queue, other):
    feed = Feed(queue, StreamSinkConfig('x'))
    feed.write(2)
    under_way = queue.take()
    feed.write(2)
    queue.move(feed.handle, other)
    queue.put_back(under_way)
    assert queue.take() == []
    assert payloads(take_all(other)) == [b'1', b'2', b'3', b'4']


def test_a_channel_that_moves_to_a_server_that_is_away_drops_what_waits(queue):
    other = WriteQueue(lambda: None)
    feed = Feed(queue, ChannelSinkConfig('x'))
    feed.write(2)
    queue.move(feed.handle, other)
    assert feed.dropped == {'disconnected': 2}


def test_lost_entries_move_with_their_stream(queue, other):
    feed = Feed(queue, StreamSinkConfig('x'))
    feed.write(2)
    lost = queue.take()
    queue.settle(lost, time.monotonic())
    queue.disconnect([])
    queue.connect(lost)
    queue.move(feed.handle, other)
    assert queue.take() == []
    assert payloads(other.take()) == [b'1', b'2']


class Meanwhile:
    """A lock that is taken only once something was tried in another thread."""

    def __init__(self, lock, work):
        self._lock, self._work = lock, work

    def __enter__(self):
        work, self._work = self._work, None
        if work is not None:
            thread = threading.Thread(target=work, daemon=True)
            thread.start()
            thread.join(0.2)
        return self._lock.__enter__()

    def __exit__(self, *exc_info):
        return self._lock.__exit__(*exc_info)


@BY_KIND
def test_what_is_put_while_a_sink_moves_comes_after_what_waits(queue, other, config):
    feed = Feed(queue, config)
    feed.write()
    done = threading.Event()

    def put():
        feed.handle.write([Write(b'2', None)])
        done.set()

    other._lock = Meanwhile(other._lock, put)
    queue.move(feed.handle, other)
    assert done.wait(20)
    assert payloads(take_all(other)) == ([b'2'] if config.kind == 'key' else [b'1', b'2'])
