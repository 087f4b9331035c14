# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The registry of keys and streams: who writes it, and who follows it."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from servers import Recorder, all_connected, request
from support import eventually

from redis_bridge.mapping.model import ChannelSourceConfig, KeySourceConfig
from redis_bridge.protocol.descriptions import NameDescription, TypeDescription
from redis_bridge.redis_io import key_source, registry
from redis_bridge.redis_io.side import RedisSide

NAMES = 'redis_bridge:names'
STRING = TypeDescription('std_msgs/msg/String', 'string data', 'RIHS01_x')
SPEED, LOG = ('key', 'r1:speed'), ('stream', 'r1:log')


def written(kind, name, type_=STRING):
    return NameDescription(name, kind, False, 'json', None, type_)


def field(pair):
    return ':'.join(pair)


class Follower:
    """Takes what is registered."""

    def __init__(self, side: RedisSide) -> None:
        self.taken: list[set[tuple[str, str]]] = []
        self.side = side
        side.discover([], self.take)

    def take(self, names: frozenset[tuple[str, str]]) -> None:
        self.taken.append(set(names))

    def has(self, *names: tuple[str, str], seconds: float = 10.0) -> None:
        """Wait until exactly these are known."""
        eventually(lambda: self.taken and self.taken[-1] == set(names), seconds)

    def start(self) -> Follower:
        self.side.start(dict)
        eventually(lambda: all_connected(self.side) and self.side.registry_state() == 'open')
        return self


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have what is missing count as gone soon, and what is denied be tried again."""
    monkeypatch.setattr(registry, 'GONE_S', 0.3)
    monkeypatch.setattr(key_source, 'RETRY_S', 0.1)


@pytest.mark.usefixtures('quick')
def test_what_a_plain_client_registers_is_found_within_a_second(each_server, redis_side_at):
    with each_server.client() as db:
        db.hset(NAMES, field(LOG), 'me')
        names = Follower(redis_side_at(each_server.url)).start()
        names.has(LOG)
        db.hset(NAMES, field(SPEED), 'me')
        names.has(LOG, SPEED, seconds=1)
        db.hset(NAMES, mapping={'nonsense': '', 'key:redis_bridge:names': 'me'})
        db.hset(NAMES, field(SPEED), 'another')
        db.hset(NAMES, 'stream:last', '')
        names.has(LOG, SPEED, ('stream', 'last'))
        db.hdel(NAMES, field(SPEED))
        names.has(LOG, ('stream', 'last'))
        assert len(names.taken) == 4


def test_a_bridge_registers_the_keys_and_streams_that_it_writes(redis_server, db, redis_side_at):
    side = redis_side_at(redis_server.url)
    side.describe([
        written('key', 'a'), written('stream', 'b'), written('hash', 'c'), written('channel', 'd'),
        written('key', 'unknown', None),
        NameDescription('e', 'key', True, 'json', None, STRING),
    ])  # fmt: skip
    side.start(dict)
    eventually(lambda: db.hgetall(NAMES) == {b'key:a': b'robot1', b'stream:b': b'robot1'})
    writes = db.info('commandstats')['cmdstat_hset']['calls']
    beats = db.info('commandstats')['cmdstat_time']['calls']
    eventually(lambda: db.info('commandstats')['cmdstat_time']['calls'] > beats + 5)
    beats = db.info('commandstats')['cmdstat_time']['calls'] - beats
    # Each beat writes the robot's hash, and nothing else.
    assert db.info('commandstats')['cmdstat_hset']['calls'] - writes <= beats + 2
    for lose in (db.flushall, redis_server.restart, lambda: db.hdel(NAMES, 'key:a')):
        lose()
        eventually(lambda: db.hkeys(NAMES) and set(db.hkeys(NAMES)) == {b'key:a', b'stream:b'})


@pytest.mark.parametrize('is_restarted', [False, True])
def test_what_a_later_mapping_no_longer_has_is_removed(
    redis_server, db, redis_side_at, is_restarted
):
    side = redis_side_at(redis_server.url)
    side.describe([written('key', 'a'), written('stream', 'a'), written('key', 'theirs')])
    side.start(dict)
    eventually(lambda: db.hlen(NAMES) == 3)
    db.hset(NAMES, 'key:theirs', 'robot2')  # which writes it too
    db.hset(NAMES, 'key:plain', 'me')
    if is_restarted:
        side.close()
        assert db.hlen(NAMES) == 4  # what is stored can still be read
        side = redis_side_at(redis_server.url)
    side.describe([written('stream', 'a', None), written('key', 'b')])
    if is_restarted:
        side.start(dict)
    left = {b'stream:a', b'key:b', b'key:theirs', b'key:plain'}
    eventually(lambda: set(db.hkeys(NAMES)) == left)  # the type of a is only not known yet
    assert db.hget(NAMES, 'key:theirs') == b'robot2'


def test_a_name_that_two_bridges_write_stays_until_both_have_left_it(
    redis_server, db, redis_side_at
):
    sides = [redis_side_at(redis_server.url, robot) for robot in ('robot1', 'robot2')]
    for side in sides:
        side.describe([written('key', 'shared')])
        side.start(dict)
        eventually(lambda: db.hget(NAMES, 'key:shared') == side.origin.split('/')[0].encode())  # noqa: B023
    names = Follower(redis_side_at(redis_server.url, 'robot3')).start()
    names.has(('key', 'shared'))
    sides[1].describe([written('key', 'other')])
    names.has(('key', 'shared'), ('key', 'other'))
    eventually(lambda: db.hget(NAMES, 'key:shared') == b'robot1')  # with its next heartbeat
    assert len(names.taken) == 2
    sides[0].describe([])
    eventually(lambda: not db.hexists(NAMES, 'key:shared'))


def test_a_server_that_lost_its_data_takes_no_names_of_bridges_away(
    redis_server, db, redis_side_at
):
    writer = redis_side_at(redis_server.url, 'robot2')
    writer.describe([written(*SPEED)])
    writer.start(dict)
    names = Follower(redis_side_at(redis_server.url)).start()
    names.has(SPEED)
    reads = redis_side_at(redis_server.url, 'robot3')
    again = Follower(reads).start()
    for number, lose in enumerate((db.flushall, redis_server.restart, db.flushall)):
        lose()
        eventually(lambda: db.hexists(NAMES, field(SPEED)))
        extra = ('key', f'n{number}')
        db.hset(NAMES, field(extra), 'me')
        eventually(lambda: extra in names.taken[-1] and extra in again.taken[-1])  # noqa: B023
    assert all(SPEED in taken for taken in names.taken[1:] + again.taken[1:])


@pytest.mark.usefixtures('quick')
def test_a_plain_name_is_gone_after_a_restart_that_lost_it(redis_server, db, redis_side_at):
    db.hset(NAMES, field(SPEED), 'me')
    names = Follower(redis_side_at(redis_server.url)).start()
    names.has(SPEED)
    redis_server.restart()
    names.has()
    db.hset(NAMES, field(SPEED), 'me')
    names.has(SPEED)


def test_nobody_follows_it_if_no_pattern_asks(redis_server, db, redis_side_at):
    db.hset(NAMES, field(SPEED), 'me')
    side = redis_side_at(redis_server.url)
    side.start(dict)
    eventually(lambda: all_connected(side))
    assert 'keys' not in side.states()
    names = Follower(side)
    names.has(SPEED)
    assert side.states()['keys'] == 'connected'
    side.discover([], None)
    eventually(lambda: 'keys' not in side.states())
    db.hset(NAMES, field(LOG), 'me')
    again = Follower(side)
    again.has(SPEED, LOG)
    assert names.taken == [{SPEED}]
    db.hset(NAMES, 'key:more', 'me')
    side.discover([], again.take)
    again.has(SPEED, LOG, ('key', 'more'))
    assert len(again.taken) == 2


@pytest.mark.usefixtures('quick')
def test_without_the_right_to_read_it_all_else_runs(
    redis_server, db, redis_side_at, tmp_path, caplog
):
    caplog.set_level(logging.INFO, 'redis_bridge.test')
    db.hset(NAMES, field(SPEED), 'me')
    allowed = ('~a', '~redis_bridge:robot:*', '~redis_bridge:fleet*', '&*', '+@all')
    db.execute_command('ACL', 'SETUSER', 'ann', 'on', '>pw', *allowed)
    (tmp_path / 'password').write_text('pw')
    side = redis_side_at(
        redis_server.url, username='ann', password_file=str(tmp_path / 'password')
    )
    key, channel = Recorder(), Recorder()
    side.want([request(KeySourceConfig('a'), key), request(ChannelSourceConfig('c'), channel)])
    side.describe([written('key', 'a')])
    names = Follower(side)
    side.start(dict)
    eventually(lambda: side.registry_state().startswith('error: cannot be read: NOPERM'))
    eventually(lambda: all_connected(side))
    db.set('a', '1')
    eventually(lambda: key.payloads == [b'1'])
    eventually(lambda: db.publish('c', '2') and channel.payloads)
    assert names.taken == []
    db.execute_command('ACL', 'SETUSER', 'ann', f'~{NAMES}')
    names.has(SPEED, ('key', 'a'))
    eventually(lambda: side.registry_state() == 'open')

    def said():
        texts = [record.getMessage().partition(': NOPERM')[0] for record in caplog.records]
        return [text for text in texts if text.startswith('hash ')]

    eventually(lambda: said()[1:])
    assert said() == [f'hash {NAMES}: cannot be read', f'hash {NAMES}: can be read']


def test_a_side_that_ends_leaves_no_timer(redis_server, db, redis_side_at):
    db.hset(NAMES, field(SPEED), 'me')
    side = redis_side_at(redis_server.url)
    names = Follower(side).start()
    names.has(SPEED)

    def timers():
        return [each for each in threading.enumerate() if isinstance(each, threading.Timer)]

    before = len(timers())
    db.delete(NAMES)
    eventually(lambda: len(timers()) == before + 1)
    side.close()
    eventually(lambda: len(timers()) == before, seconds=2)
    assert names.taken == [{SPEED}]


def test_what_is_handed_on_may_want_and_discover(redis_server, db, redis_side_at):
    """As the core does, with a lock of its own that others hold while they change the side."""
    side = redis_side_at(redis_server.url)
    receiver, lock = Recorder(), threading.Lock()

    def take(names):
        with lock:
            side.want([request(KeySourceConfig(name), receiver) for _, name in names])
            side.discover([], take)

    side.discover([], take)
    side.start(dict)
    eventually(lambda: all_connected(side))
    db.set('a', '1')
    db.hset(NAMES, 'key:a', 'me')
    end = time.monotonic() + 1
    while time.monotonic() < end and not receiver.payloads:
        with lock:
            side.discover([], lambda names: None)
            side.discover([], take)
    eventually(lambda: receiver.payloads == [b'1'])
