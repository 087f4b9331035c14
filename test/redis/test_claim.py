# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Several bridges with one name, each a process: never do two command, or write, at once."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from processes import end_all
from rivals import EVERY_MS, Rival
from servers import Server
from support import eventually

from redis_bridge import Client

KEY = 'redis_bridge:robot:robot1'
TTL_S = 1.5  # as in rival.MAPPING


class Commander:
    """Sends numbers that count up to the channel, the key and the stream, at about 85 Hz."""

    def __init__(self, server: Server) -> None:
        self.sent_at: list[float] = []
        self._ended = threading.Event()
        self._server = server
        self._thread = threading.Thread(target=self._send)
        self._thread.start()

    def _send(self) -> None:
        with self._server.client() as db:
            while not self._ended.wait(1 / 85):
                number = len(self.sent_at)
                self.sent_at.append(time.monotonic())
                try:
                    db.publish('c', number)
                    db.set('k', number)
                    db.xadd('s', {'data': number})
                except redis.RedisError:
                    pass

    def goes_on(self, count: int) -> None:
        """Wait until it has sent so many more."""
        until = len(self.sent_at) + count
        eventually(lambda: len(self.sent_at) > until)

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def rival(redis_server: Server, tmp_path: Path) -> Iterator[Callable[[], Rival]]:
    """Give a function that starts one more bridge with the same name."""
    made: list[Rival] = []

    def start(every_ms: int = EVERY_MS) -> Rival:
        made.append(Rival(redis_server, tmp_path, every_ms=every_ms))
        return made[-1]

    yield start
    end_all(made)


@pytest.fixture
def commander(redis_server: Server) -> Iterator[Commander]:
    commander = Commander(redis_server)
    yield commander
    commander.end()


@pytest.fixture
def pair(rival, commander: Commander, db: redis.Redis) -> tuple[Rival, Rival]:
    """Give two bridges with one name, of which the first one holds it."""
    first = rival()
    eventually(lambda: first.has_name(db))
    second = rival()
    eventually(lambda: 'held by another bridge' in second.log)
    first.goes_on()
    return first, second


def test_a_first_bridge_waits_no_longer_than_promised(redis_server, db, redis_side_at):
    side = redis_side_at(redis_server.url)  # every_ms: 100
    db.delete(KEY)
    begun = time.monotonic()
    side.start(dict)
    eventually(lambda: side.why_closed() is None)
    assert 0.4 < time.monotonic() - begun < 0.1 + 0.5 + 0.2  # and what the machine takes


def test_of_several_that_want_the_name_at_once_one_has_it(rival, db, commander):
    waiting = [rival() for _ in range(4)]
    nobody = {'channel': 0, 'key': 0, 'stream': 0}
    for _ in range(3):
        holder = eventually(lambda: [each for each in waiting if each.has_name(db)])[0]
        holder.goes_on()
        waiting.remove(holder)
        eventually(lambda: all('held by another bridge' in each.log for each in waiting))
        assert [each.counts() for each in waiting] == [nobody] * len(waiting)
        holder.process.kill()  # all others see at once that it is gone
        holder.process.wait()


@pytest.mark.parametrize('how', ['FLUSHALL', 'DEL'])
def test_a_holder_keeps_its_name_when_the_hash_is_deleted(pair, db, how):
    first, second = pair
    for _ in range(4):
        db.execute_command(*(['FLUSHALL'] if how == 'FLUSHALL' else ['DEL', KEY]))
        eventually(lambda: first.has_name(db))
        first.goes_on()
    assert second.counts() == {'channel': 0, 'key': 0, 'stream': 0}


def test_a_holder_keeps_its_name_when_the_hash_is_deleted_all_the_time(pair, db):
    first, second = pair
    end = time.monotonic() + 4
    while time.monotonic() < end:  # so fast that looks at the hash hardly ever find it
        db.delete(KEY)
        time.sleep(0.002)
    first.goes_on()
    assert second.counts() == {'channel': 0, 'key': 0, 'stream': 0}


@pytest.mark.parametrize('how', ['frozen', 'empty'])
def test_a_holder_keeps_its_name_over_a_long_outage(pair, db, redis_server, how):
    first, second = pair
    for _ in range(2):
        if how == 'frozen':
            redis_server.freeze()
            time.sleep(TTL_S + 1)
            redis_server.thaw()
        else:
            redis_server.kill()
            time.sleep(TTL_S + 1)
            redis_server.start()
        eventually(lambda: first.has_name(db))
        first.goes_on()
    assert second.counts() == {'channel': 0, 'key': 0, 'stream': 0}


def test_a_holder_keeps_its_name_when_the_server_comes_back_empty(pair, db, redis_server):
    first, second = pair
    for _ in range(2):
        redis_server.restart()
        back = time.monotonic()
        eventually(lambda: first.has_name(db), TTL_S + 2)
        first.goes_on()
        assert time.monotonic() - back < TTL_S + 1
    assert second.counts() == {'channel': 0, 'key': 0, 'stream': 0}


def test_a_second_bridge_writes_nothing_and_says_so(pair, db, redis_server):
    first, second = pair
    writers = set()
    origin = eventually(lambda: [k for k in db.keys(f'{KEY}/*') if db.hexists(k, 'pid')])[0]
    end = len(db.xrange('os')) + 100
    while len(entries := db.xrange('os')) < end:
        writers.add(db.get('o'))
    writers |= {fields[b'data'] for _, fields in entries}
    assert {int(float(json.loads(each))) for each in writers if each} == {first.process.pid}
    assert 'start this one with another --robot' in second.log
    with Client(redis_server.url) as client:
        robots = {robot.name: robot for robot in client.robots()}
    shadow = robots[origin.decode().removeprefix('redis_bridge:robot:')]
    assert shadow.status['pid'] == second.process.pid
    for route in shadow.status['routes']:
        assert route['state'].startswith('closed: the name robot1 is held by another bridge')
    second.end()
    (dropped,) = [drops for route, drops in second.dropped.items() if route.startswith('/o')]
    assert dropped['closed'] > 20
    assert not db.exists(origin)


def test_a_paused_holder_publishes_nothing_that_it_read_before(pair, db, commander):
    first, second = pair
    first.process.send_signal(signal.SIGSTOP)
    eventually(lambda: second.has_name(db), TTL_S + 3)
    second.goes_on()
    before = first.counts()
    first.process.send_signal(signal.SIGCONT)
    eventually(lambda: 'held by another bridge' in first.log)
    second.goes_on()
    assert first.counts() == before
    os_after = int(db.xinfo_stream('os')['entries-added'])
    eventually(lambda: int(db.xinfo_stream('os')['entries-added']) > os_after + 20)
    newest = [fields[b'data'] for _, fields in db.xrevrange('os', count=20)]
    assert {int(float(json.loads(each))) for each in newest} == {second.process.pid}


def test_after_a_pause_nothing_older_is_published_though_nobody_took_the_name(
    rival, db, commander
):
    only = rival()
    for _ in range(3):
        only.goes_on()
        only.process.send_signal(signal.SIGSTOP)
        commander.goes_on(85)  # longer than it may trust its look
        before = only.counts()
        awake = time.monotonic()
        only.process.send_signal(signal.SIGCONT)
        only.goes_on('channel')
        only.goes_on('key')
        for route in ('channel', 'key'):
            after = [number for _, number in only.numbers[route][before[route] :]]
            # What a key holds when it is read again counts as sent now.
            oldest = commander.sent_at[after[0]]
            assert oldest > awake - 0.05, f'{route}: {awake - oldest:.3f} s old'
    assert only.has_name(db)


def test_a_respawn_takes_over_at_once_from_a_process_that_is_gone(rival, db, commander):
    first = rival()
    eventually(lambda: first.has_name(db))
    first.process.kill()
    first.process.wait()
    second = rival()
    eventually(lambda: 'host' in second.log or second.has_name(db))
    assert db.hget(KEY, 'pid') == str(second.process.pid).encode()
    second.goes_on()


def test_a_process_elsewhere_is_waited_for(redis_server, db, redis_side_at):
    db.hset(KEY, mapping={'boot': 'x', 'pid': '1', 'process': 'elsewhere pid:[1] 1 1'})
    db.pexpire(KEY, 700)
    side = redis_side_at(redis_server.url)
    begun = time.monotonic()
    side.start(dict)
    eventually(lambda: side.why_closed() is None)
    assert time.monotonic() - begun > 0.7


def test_a_server_out_of_memory_leaves_the_name_with_its_holder(pair, db):
    first, second = pair
    db.config_set('maxmemory', 1)
    end = time.monotonic() + TTL_S + 2
    while time.monotonic() < end:
        first.goes_on('channel')  # PUBLISH still works
    assert first.has_name(db)
    assert first.log.count('the server rejects writes: OOM') == 1
    db.config_set('maxmemory', 0)
    eventually(lambda: 'the server accepts writes' in first.log)
    assert second.counts() == {'channel': 0, 'key': 0, 'stream': 0}
    assert 'stop, ' not in first.log


def test_a_server_that_cannot_save_leaves_the_name_with_its_holder(tmp_path, rival, redis_server):
    redis_server.options = ('--dbfilename', 'folder', '--save', '3600 1')
    redis_server.restart()
    (redis_server.folder / 'folder').mkdir()  # no dump can be saved under that name
    commander = Commander(redis_server)
    with redis_server.client() as db:
        try:
            # A process that pauses for longer than that loses its name, here for good.
            first = rival(every_ms=1000)
            eventually(lambda: first.has_name(db))
            second = rival(every_ms=1000)
            eventually(lambda: 'held by another bridge' in second.log)
            db.bgsave()
            eventually(lambda: 'the server rejects writes: MISCONF' in first.log)
            eventually(lambda: not db.exists(KEY))
            end = time.monotonic() + 2
            while time.monotonic() < end:
                first.goes_on('channel')
            db.config_set('stop-writes-on-bgsave-error', 'no')
            eventually(lambda: first.has_name(db))
            first.goes_on('channel')
            assert second.counts() == {'channel': 0, 'key': 0, 'stream': 0}
        finally:
            commander.end()
