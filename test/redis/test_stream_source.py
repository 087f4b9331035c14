# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Streams as sources: where reading starts, groups, what was trimmed, servers with less."""

from __future__ import annotations

import logging
import threading
import time
import tracemalloc

import pytest
from fakes import MemoryPublisher
from samples import NUMBER
from samples import number as number_sample
from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.bridge.inbound import InboundRoute
from redis_bridge.counters import Counters
from redis_bridge.errors import RedisError
from redis_bridge.mapping.model import (
    Heartbeat,
    RedisToRos,
    StreamSinkConfig,
    StreamSourceConfig,
)
from redis_bridge.ports import Received, Write
from redis_bridge.protocol.meta import Meta
from redis_bridge.redis_io import route_receivers, stream_source
from redis_bridge.redis_io.group_source import GroupSource
from redis_bridge.redis_io.stream_source import DeliveredEntries, Entry


def reading(endpoints, *sources, **recorder):
    listeners = [Recorder(**recorder) for _ in sources]
    endpoints.want(list(map(request, sources, listeners)))
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    return listeners


def add(db, name, *numbers):
    with db.pipeline(transaction=False) as pipe:
        for number in numbers:
            pipe.xadd(name, {'data': number})
        pipe.execute()


def texts(*numbers):
    return [b'%d' % number for number in numbers]


def test_lately_seen_entries_are_known_however_many_come():
    seen = DeliveredEntries()
    entries = [Entry(b'%d-0' % number, [b'data', b'x']) for number in range(250_000)]
    for entry in entries:
        seen.add(entry)
    assert all(entry in seen for entry in entries[-100_000:])
    assert entries[0] not in seen
    assert Entry(entries[-1].id, [b'data', b'other']) not in seen


@pytest.mark.parametrize('start', ['last', 'beginning'])
def test_what_was_there_before_waits_for_a_subscriber_and_delays_no_other_stream(
    each_server, redis_side_at, start
):
    with each_server.client() as db:
        add(db, 's', 1, 2)
        endpoints = redis_side_at(each_server.url)
        recorders = waiting, other = Recorder(wants=False), Recorder(wants=False)
        sources = StreamSourceConfig('s', start), StreamSourceConfig('t', 'new')
        endpoints.want(list(map(request, sources, recorders)))
        endpoints.start(dict)
        eventually(lambda: all_connected(endpoints))
        add(db, 's', 3)
        add(db, 't', 4)
        eventually(lambda: other.payloads == texts(4))
        assert waiting.payloads == []
        waiting.wants = True
        kept = texts(1, 2, 3) if start == 'beginning' else texts(2, 3)
        eventually(lambda: len(waiting.payloads) == len(kept))
        waiting.wants = False  # the subscriber goes, as it may in ROS
        add(db, 's', 5)
        eventually(lambda: waiting.payloads == kept + texts(5))
        assert waiting.gaps == []


def test_a_stream_goes_on_and_says_so_if_nobody_subscribes(
    redis_server, redis_side_at, db, caplog, monkeypatch
):
    monkeypatch.setattr(route_receivers, 'SUBSCRIBED_WITHIN_S', 0.3)
    add(db, 's', 1, 2)
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, StreamSourceConfig('s', 'beginning'), wants=False)
    eventually(lambda: heard.payloads == texts(1, 2))
    said = [text for text in caplog.messages if 'nobody subscribes' in text]
    assert said == [
        'stream s: nobody subscribes, so its entries from before the start reach nobody'
    ]


GROUP = StreamSourceConfig('s', 'group', 'g')


def test_reading_starts_where_the_mapping_says(each_server, redis_side_at):
    with each_server.client() as db:
        add(db, 's', 1, 2, 3)
        endpoints = redis_side_at(each_server.url)
        starts = ('new', 'last', 'beginning')
        new, last, beginning = reading(
            endpoints, *(StreamSourceConfig('s', how) for how in starts)
        )
        add(db, 's', 4)
        eventually(lambda: new.payloads and len(beginning.payloads) == 4)
        assert new.payloads == texts(4)
        assert eventually(lambda: last.payloads == texts(3, 4))
        assert beginning.payloads == texts(1, 2, 3, 4)
        assert new.gaps == last.gaps == beginning.gaps == []


def test_a_stream_that_does_not_exist_yet_is_waited_for(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    heard = reading(
        endpoints, *(StreamSourceConfig('s', how) for how in ('new', 'last', 'beginning'))
    )
    add(db, 's', 1)
    eventually(lambda: all(listener.payloads == texts(1) for listener in heard))


def test_metadata_stands_in_fields_and_is_optional(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, StreamSourceConfig('s'))
    db.xadd('s', {'data': '1', 'origin': 'o/1', 'seq': '7', 'stamp': '12.5'})
    db.xadd('s', {'data': '2', 'stamp': '12.5'})
    db.xadd('s', {'data': '3', 'seq': 'x', 'stamp': 'nan'})
    db.xadd('s', {'data': '4'})
    eventually(lambda: len(heard.arrivals) == 4)
    metas = [arrival.meta for arrival in heard.arrivals]
    assert metas == [Meta('o/1', 7, 12.5), Meta('', 0, 12.5), None, None]


def test_no_entry_is_lost_or_doubled_while_connections_are_cut(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    sources = StreamSourceConfig('s', 'beginning'), GROUP
    cursor, group = reading(endpoints, *sources)
    for start in range(0, 1000, 100):
        add(db, 's', *range(start, start + 100))
        proxy.cut()
        eventually(lambda: all_connected(endpoints))
    eventually(lambda: len(cursor.payloads) >= 1000 and len(set(group.payloads)) == 1000)
    assert cursor.payloads == texts(*range(1000))
    assert sorted(set(map(int, group.payloads))) == list(range(1000))
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)
    assert cursor.gaps == []


def test_entries_added_during_an_outage_arrive_afterwards(redis_server, db, proxy, redis_side_at):
    endpoints = redis_side_at(proxy.url)
    (heard,) = reading(endpoints, StreamSourceConfig('s', 'new'))
    proxy.stall()
    eventually(lambda: heard.losses == 1)
    add(db, 's', 1, 2)
    proxy.flow()
    eventually(lambda: heard.payloads == texts(1, 2))
    assert heard.losses == 1


def test_what_was_trimmed_before_it_was_read_is_counted(redis_server, db, proxy, redis_side_at):
    endpoints = redis_side_at(proxy.url)
    (heard,) = reading(endpoints, StreamSourceConfig('s', 'new'))
    add(db, 's', *range(10))
    eventually(lambda: len(heard.payloads) == 10)
    proxy.stall()
    eventually(lambda: heard.losses == 1)
    add(db, 's', *range(10, 60))
    db.xtrim('s', maxlen=20, approximate=False)
    proxy.flow()
    proxy.cut()
    eventually(lambda: len(heard.payloads) == 30)
    assert heard.payloads == texts(*range(10), *range(40, 60))
    eventually(lambda: heard.gaps == [30])


def test_what_was_trimmed_while_we_were_slow_is_counted(redis_server, db, redis_side_at):
    class Slow(Recorder):
        def receive(self, arrivals):
            super().receive(arrivals)
            started.set()
            eventually(may_go_on.is_set)

    started, may_go_on = threading.Event(), threading.Event()
    heard = Slow()
    endpoints = redis_side_at(redis_server.url)
    endpoints.want([request(StreamSourceConfig('s', 'new'), heard, False, 100)])
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    add(db, 's', 0)
    eventually(started.is_set)
    add(db, 's', *range(1, 1000))
    db.xtrim('s', maxlen=500, approximate=False)
    may_go_on.set()
    eventually(lambda: len(heard.payloads) == 501)
    eventually(lambda: heard.gaps == [499])


def test_a_server_that_comes_back_with_less_is_followed_without_doubles(
    redis_server, db, redis_side_at
):
    endpoints = redis_side_at(redis_server.url)
    feed = endpoints.open_sink(StreamSinkConfig('s', maxlen=100_000), Counters())
    (heard,) = reading(endpoints, StreamSourceConfig('s', 'beginning'))
    for number in range(1000):
        feed.write([Write(b'%d' % number, Meta('o', number, 0.0))])
    eventually(lambda: len(heard.payloads) == 1000)
    redis_server.restart()  # with nothing; the ring of the sink brings all of it back
    eventually(lambda: db.xlen('s') == 1000)
    eventually(lambda: all_connected(endpoints))
    feed.write([Write(b'1000', Meta('o', 1000, 0.0))])
    eventually(lambda: heard.payloads[-1:] == [b'1000'])
    assert heard.payloads == texts(*range(1001))


def test_smaller_ids_after_a_loss_of_all_data_are_read(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, StreamSourceConfig('s', 'beginning'))
    db.xadd('s', {'data': 'old'}, id='1000-0')
    eventually(lambda: heard.payloads == [b'old'])
    redis_server.restart()
    eventually(lambda: heard.gaps == [None])
    db.xadd('s', {'data': 'new'}, id='5-0')
    eventually(lambda: heard.payloads == [b'old', b'new'])


def test_a_group_takes_what_is_there_and_acknowledges_it(each_server, redis_side_at):
    with each_server.client() as db:
        add(db, 's', 1, 2)
        endpoints = redis_side_at(each_server.url)
        (heard,) = reading(endpoints, GROUP)
        add(db, 's', 3)
        eventually(lambda: heard.payloads == texts(1, 2, 3))
        eventually(lambda: db.xpending('s', 'g')['pending'] == 0)
        assert db.xinfo_consumers('s', 'g')[0]['name'] == b'robot1'


def test_a_group_is_read_only_while_somebody_wants_it(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, GROUP, wants=False)
    add(db, 's', 1)
    eventually(lambda: db.xinfo_groups('s'))
    assert db.xinfo_groups('s')[0]['last-delivered-id'] == b'0-0'
    heard.wants = True
    eventually(lambda: heard.payloads == texts(1))


def test_an_entry_not_done_with_comes_again_after_a_restart_of_the_bridge(
    redis_server, db, redis_side_at
):
    add(db, 's', 1, 2, 3)
    first = redis_side_at(redis_server.url)
    (heard,) = reading(first, GROUP, verdict=None)
    eventually(lambda: heard.payloads == texts(1, 2, 3))
    heard.arrivals[1].acknowledge(True)
    eventually(lambda: db.xpending('s', 'g')['pending'] == 2)
    first.close()
    (again,) = reading(redis_side_at(redis_server.url), GROUP)
    eventually(lambda: again.payloads == texts(1, 3))
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)


def test_an_entry_in_hand_does_not_come_again_when_the_connection_does(
    redis_server, db, proxy, redis_side_at
):
    add(db, 's', 1)
    endpoints = redis_side_at(proxy.url)
    (heard,) = reading(endpoints, GROUP, verdict=None)
    eventually(lambda: heard.payloads == texts(1))
    proxy.cut()
    eventually(lambda: heard.losses == 1)
    eventually(lambda: all_connected(endpoints))
    add(db, 's', 2)
    eventually(lambda: len(heard.payloads) == 2)
    assert heard.payloads == texts(1, 2)
    for arrival in heard.arrivals:
        arrival.acknowledge(True)
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)


def test_an_entry_is_acknowledged_from_any_thread_and_soon(redis_server, db, redis_side_at):
    add(db, 's', *range(50))
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, GROUP, verdict=None)
    eventually(lambda: len(heard.payloads) == 50)
    threads = [
        threading.Thread(target=arrival.acknowledge, args=(True,)) for arrival in heard.arrivals
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0, seconds=1)


def test_an_entry_given_up_goes_to_the_dead_ones(redis_server, db, redis_side_at):
    db.xadd('s', {'data': 'bad', 'note': 'x'}, id='5-0')
    db.xadd('s', {'other': 'field'}, id='6-0')
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, GROUP, verdict=False)
    eventually(lambda: db.xlen('s:dead') == 2)
    assert heard.payloads == [b'bad']
    assert sorted((fields for _, fields in db.xrange('s:dead')), key=lambda f: f[b'id']) == [
        {b'data': b'bad', b'note': b'x', b'id': b'5-0'},
        {b'other': b'field', b'id': b'6-0'},
    ]
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)


def test_two_routes_do_not_take_entries_from_each_other(redis_side_at):
    endpoints = redis_side_at()
    with pytest.raises(RedisError, match='give one of them another group'):
        endpoints.want([request(GROUP, Recorder()), request(GROUP, Recorder(), True)])


@pytest.mark.parametrize('what', ['delete', 'restart'])
def test_a_group_that_is_gone_is_made_again_from_the_beginning(
    redis_server, db, redis_side_at, what
):
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, GROUP)
    add(db, 's', 1)
    eventually(lambda: heard.payloads == texts(1))
    if what == 'delete':
        db.delete('s')
    else:
        redis_server.restart()
    add(db, 's', 2, 3)
    eventually(lambda: heard.payloads == texts(1, 2, 3))


def test_a_stream_of_another_kind_hides_no_other(redis_server, db, redis_side_at, caplog):
    db.set('wrong', '1')
    endpoints = redis_side_at(redis_server.url)
    sources = [
        StreamSourceConfig('wrong'), StreamSourceConfig('s'),
        StreamSourceConfig('wrong', 'group', 'g'), StreamSourceConfig('s', 'group', 'g'),
    ]  # fmt: skip
    _, cursor, _, group = reading(endpoints, *sources)
    add(db, 's', 1)
    eventually(lambda: cursor.payloads == group.payloads == texts(1))
    said = [r.getMessage() for r in caplog.records if 'stream wrong: cannot be read' in r.message]
    assert len(said) == 2


def test_a_group_that_may_not_be_created_is_reported_once_until_it_may(
    redis_server, db, redis_side_at, monkeypatch, caplog
):
    caplog.set_level(logging.INFO, 'redis_bridge.test')
    looks = []
    look = GroupSource._look
    monkeypatch.setattr(GroupSource, '_look', lambda *args: looks.append(look(*args)))
    monkeypatch.setattr(stream_source, 'LOOK_AGAIN_S', 0.05)
    add(db, 's', 1)
    db.acl_setuser('default', enabled=True, commands=['+@all', '-xgroup'])
    endpoints = redis_side_at(redis_server.url)
    (receiver,) = reading(endpoints, GROUP)
    source = request(GROUP, receiver)
    eventually(lambda: endpoints.source_state(source).startswith('error: cannot be read: NOPERM'))
    eventually(lambda: len(looks) > 5)
    db.acl_setuser('default', enabled=True, commands=['+@all'])
    eventually(lambda: receiver.payloads == texts(1))
    assert endpoints.source_state(source) == 'open'
    said = [r.getMessage() for r in caplog.records if 'stream s: ' in r.getMessage()]
    assert len(said) == 2
    assert said[0].startswith('stream s: cannot be read: NOPERM')
    assert said[1] == 'stream s: can be read'


DEAD_FAULTS = {
    'out of memory': (
        lambda db: db.config_set('maxmemory', '1'),
        lambda db: db.config_set('maxmemory', '0'),
        'OOM',
    ),
    'denied': (
        lambda db: db.acl_setuser('default', enabled=True, commands=['+@all', '-xadd']),
        lambda db: db.acl_setuser('default', enabled=True, commands=['+@all']),
        'NOPERM',
    ),
    'wrong type': (
        lambda db: db.set('s:dead', 'x'),
        lambda db: db.delete('s:dead'),
        'WRONGTYPE',
    ),
}


@pytest.mark.parametrize('fault', DEAD_FAULTS.values(), ids=DEAD_FAULTS)
def test_an_entry_given_up_is_acknowledged_only_once_it_is_stored(
    redis_server, db, redis_side_at, fault, caplog
):
    begin, end, code = fault
    for number in range(1, 6):
        db.xadd('s', {'data': f'bad {number}'}, id=f'{number}-0')
    db.xadd('good', {'data': 'good'})
    endpoints = redis_side_at(redis_server.url, presence=Heartbeat(every_ms=1000, ttl_ms=60_000))
    bad, good = Recorder(verdict=False, wants=False), Recorder()
    other = StreamSourceConfig('good', 'group', 'g')
    endpoints.want([request(GROUP, bad), request(other, good)])
    endpoints.start(dict)
    eventually(lambda: all_connected(endpoints))
    begin(db)
    bad.wants = True
    eventually(lambda: len(bad.payloads) == 5)
    eventually(lambda: good.payloads and db.xpending('good', 'g')['pending'] == 0)
    assert db.xpending('s', 'g')['pending'] == 5

    def said():
        texts = [text for text in caplog.messages if 's:dead' in text]
        return [text for text in texts if 'stream s: these stay pending' in text]

    (line,) = eventually(said)
    assert '1-0, 2-0, 3-0, 4-0, 5-0: ' in line
    assert code in line
    end(db)
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)
    assert sorted(fields[b'id'] for _, fields in db.xrange('s:dead')) == [
        b'%d-0' % number for number in range(1, 6)
    ]
    assert len(bad.payloads) == 5


def test_many_entries_that_cannot_be_stored_make_one_line_of_the_log(
    redis_server, db, redis_side_at, caplog
):
    for number in range(1, 501):
        db.xadd('s', {'data': 'bad'}, id=f'{number}-0')
    db.set('s:dead', 'x')
    endpoints = redis_side_at(redis_server.url)
    (bad,) = reading(endpoints, GROUP, verdict=False)
    eventually(lambda: len(bad.payloads) == 500)
    tried = db.info('commandstats')['cmdstat_xadd']['calls']
    eventually(lambda: db.info('commandstats')['cmdstat_xadd']['calls'] >= tried + 200)
    (line,) = [r.getMessage() for r in caplog.records if 's:dead' in r.getMessage()]
    assert ' 10-0 and ' in line
    db.delete('s:dead')
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)
    assert db.xlen('s:dead') == 500


def test_what_a_receiver_gives_back_comes_again(redis_server, db, redis_side_at):
    add(db, 's', *range(5))
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, GROUP, verdict=None)
    eventually(lambda: len(heard.payloads) == 5)
    for number, verdict in enumerate([True, None, True, None, True]):
        heard.arrivals[number].acknowledge(verdict)
    eventually(lambda: len(heard.payloads) == 7)
    assert heard.payloads[5:] == texts(1, 3)
    for arrival in heard.arrivals[5:]:
        arrival.acknowledge(True)
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)


def test_what_a_group_gave_to_a_bridge_that_had_paused_comes_again(
    redis_server, db, redis_side_at, monkeypatch
):
    endpoints = redis_side_at(redis_server.url)
    route = RedisToRos('m.yaml:1', GROUP, '/n', NUMBER.name, field='data', encoding='json')
    publisher = MemoryPublisher(NUMBER)
    inbound = InboundRoute(
        route, publisher, endpoints, logging.getLogger('redis_bridge.test'),
        ros_now=lambda: (0, 0), dead_man=None, is_new=None, clock=time.monotonic,
    )  # fmt: skip
    endpoints.want([inbound.request])
    endpoints.start(dict)
    eventually(lambda: db.exists('s') and db.xinfo_groups('s'))
    asked: list[None] = []
    monkeypatch.setattr(endpoints, 'term', lambda: asked.append(None))  # the name is not ours
    add(db, 's', 7)
    eventually(lambda: asked)
    monkeypatch.undo()
    eventually(lambda: publisher.published == [number_sample(7)])
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)


def test_no_more_is_handed_on_than_there_is_room_for_and_others_go_on(
    redis_server, db, redis_side_at
):
    class Narrow(Recorder):
        """Has room for three entries that are not acknowledged."""

        def room(self):
            return 3 - (len(self.arrivals) - self.done)

        done = 0

    add(db, 's', *range(50))
    narrow, other = Narrow(verdict=None), Recorder()
    endpoints = redis_side_at(redis_server.url)
    endpoints.want([
        request(GROUP, narrow), request(StreamSourceConfig('other', 'group', 'g'), other),
    ])  # fmt: skip
    endpoints.start(dict)
    for number in range(50):
        add(db, 'other', number)
        eventually(lambda: other.payloads[-1:] == texts(number))  # noqa: B023
        eventually(lambda: len(narrow.arrivals) == min(50, number + 3))  # noqa: B023
        assert narrow.room() >= 0
        narrow.done += 1
        narrow.arrivals[number].acknowledge(True)
    assert narrow.payloads == texts(*range(50))
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)


class Sizes(Recorder):
    """Remembers only how large payloads were."""

    def receive(self, arrivals):
        self.arrivals += [Received(b'%d' % len(arrival.payload)) for arrival in arrivals]
        for arrival in arrivals:
            if arrival.acknowledge is not None:
                arrival.acknowledge(self.verdict)


@pytest.mark.parametrize(
    ('source', 'verdict'),
    [
        (StreamSourceConfig('s', 'beginning'), None),
        (GROUP, True),
        (GROUP, False),
    ],
    ids=['cursor', 'group', 'group, all rejected'],
)
@pytest.mark.parametrize('small', [0, 500])
def test_large_entries_take_little_memory(redis_server, db, redis_side_at, source, verdict, small):
    add(db, 's', *range(small))
    size, count = 3_000_000, 40
    for _ in range(count):
        db.xadd('s', {'data': b'x' * size})
    heard = Sizes(verdict)
    endpoints = redis_side_at(redis_server.url)
    endpoints.want([request(source, heard)])
    tracemalloc.start()
    try:
        endpoints.start(dict)
        eventually(lambda: len(heard.arrivals) == small + count, 30)
        if source.group is not None:
            eventually(lambda: db.xpending('s', 'g')['pending'] == 0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert heard.payloads[small:] == [b'%d' % size] * count
    assert peak < 45_000_000


def test_entries_without_data_are_dropped_and_counted(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    cursor, group = reading(endpoints, StreamSourceConfig('s'), GROUP)
    db.xadd('s', {'other': 'field'}, id='5-0')
    add(db, 's', 1)
    eventually(lambda: cursor.payloads == group.payloads == texts(1))
    for heard in (cursor, group):
        assert heard.drops == [('bad_payload', 'entry 5-0 has no field `data`')]
        assert heard.gaps == []
    eventually(lambda: [fields[b'id'] for _, fields in db.xrange('s:dead')] == [b'5-0'])


def test_what_was_trimmed_from_a_stream_made_again_is_counted(
    redis_server, db, proxy, redis_side_at
):
    endpoints = redis_side_at(proxy.url)
    cursor, group = reading(endpoints, StreamSourceConfig('s', 'new'), GROUP)
    add(db, 's', *range(600))
    eventually(lambda: len(cursor.payloads) == len(group.payloads) == 600)
    eventually(lambda: db.xpending('s', 'g')['pending'] == 0)
    proxy.stall()
    eventually(lambda: cursor.losses == group.losses == 1)
    db.delete('s')
    add(db, 's', *range(600, 1100))
    db.xtrim('s', maxlen=10, approximate=False)
    proxy.flow()
    proxy.cut()
    for heard in (cursor, group):
        eventually(lambda: heard.payloads == texts(*range(600), *range(1090, 1100)))  # noqa: B023
        assert heard.gaps == [490]


def test_what_was_trimmed_before_a_group_was_given_anything_is_counted(
    redis_server, db, redis_side_at
):
    add(db, 's', *range(100))
    db.xtrim('s', maxlen=0, approximate=False)
    endpoints = redis_side_at(redis_server.url)
    (heard,) = reading(endpoints, GROUP, wants=False)
    eventually(lambda: db.xinfo_groups('s'))
    add(db, 's', *range(100, 600))
    db.xtrim('s', maxlen=10, approximate=False)
    eventually(lambda: heard.gaps == [490])
    heard.wants = True
    eventually(lambda: heard.payloads == texts(*range(590, 600)))
    assert heard.gaps == [490]


def test_a_destroyed_group_is_noted_on_its_stream_only(redis_server, db, redis_side_at):
    endpoints = redis_side_at(redis_server.url)
    one, two = reading(
        endpoints, StreamSourceConfig('s', 'group', 'g'), StreamSourceConfig('t', 'group', 'g')
    )
    add(db, 's', 0, 1)
    add(db, 't', 1)
    eventually(lambda: (one.payloads, two.payloads) == (texts(0, 1), texts(1)))
    db.xtrim('s', maxlen=1, approximate=False)  # what was read is not missed
    db.xgroup_destroy('s', 'g')
    add(db, 's', 2)
    add(db, 't', 2)
    eventually(lambda: (one.payloads, two.payloads) == (texts(0, 1, 2), texts(1, 2)))
    assert (one.gaps, two.gaps) == ([None], [])
