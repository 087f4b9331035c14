# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The roster: each change once, whatever becomes of bridges and server, and never a wrong one."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from processes import end_all
from rivals import Rival
from servers import Server, leave_claim
from support import eventually

from redis_bridge.mapping.model import RedisSettings
from redis_bridge.protocol.fleet import LOST, ONLINE, RobotEvent, event_of, events_of
from redis_bridge.protocol.keys import FLEET, FLEET_DUE, robot_key
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.roster import Roster

TTL_S = 1.5  # as in rival.MAPPING


class Listener:
    """Keeps what the channel of the roster carries, over restarts of the server."""

    def __init__(self, server: Server) -> None:
        self.events: list[RobotEvent] = []
        self._ended = threading.Event()
        self._subscribed = threading.Event()
        self._server = server
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        assert self._subscribed.wait(10)

    def _listen(self) -> None:
        while not self._ended.wait(0.005):
            try:
                with self._server.client() as db, db.pubsub() as channel:
                    channel.subscribe(FLEET)
                    while not self._ended.is_set():
                        message = channel.get_message(timeout=0.05)
                        if message is not None and message['type'] == 'message':
                            self.events.append(event_of(message['data']))
                        elif message is not None:
                            self._subscribed.set()
            except redis.RedisError:
                pass

    def of(self, robot: str) -> list[str]:
        """Return what happened to a robot."""
        return [event.event for event in self.events if event.robot == robot]

    def end(self) -> None:
        self._ended.set()
        self._thread.join()


@pytest.fixture
def listener(redis_server: Server) -> Iterator[Listener]:
    listener = Listener(redis_server)
    yield listener
    listener.end()


@pytest.fixture
def start(redis_server: Server, tmp_path: Path) -> Iterator[Callable[..., Rival]]:
    """Give a function that starts a bridge process and waits until its robot is online."""
    made: list[Rival] = []

    def start(robot: str, *, wait: bool = True) -> Rival:
        if wait:
            leave_claim(redis_server.url, robot)
        made.append(one := Rival(redis_server, tmp_path, robot))
        if wait:
            with redis_server.client() as db:
                eventually(lambda: one.has_name(db) and online(db).get(robot) == boot(db, robot))
        return one

    yield start
    end_all(made)


def boot(db: redis.Redis, robot: str) -> str:
    return (db.hget(robot_key(robot), 'boot') or b'').decode()


def roster(db: redis.Redis) -> dict[str, RobotEvent]:
    return events_of(db.hgetall(FLEET))


def online(db: redis.Redis) -> dict[str, str]:
    """Return the boots of the robots that the roster has as online."""
    return {name: event.boot for name, event in roster(db).items() if event.event == ONLINE}


def is_true(db: redis.Redis, *robots: str) -> bool:
    """Return whether exactly these are online, by the bridges that hold their names."""
    due = {name.decode() for name in db.zrange(FLEET_DUE, 0, -1)}
    return online(db) == {robot: boot(db, robot) for robot in robots} and due == set(robots)


def test_a_robot_comes_and_leaves_in_order(start, listener, db):
    one = start('robot1')
    begun = boot(db, 'robot1')
    one.end()
    eventually(lambda: listener.of('robot1') == ['online', 'offline'])
    first, last = listener.events
    assert (first.boot, first.host) == (last.boot, last.host) == (begun, first.host)
    assert abs(last.stamp - time.time()) < 30
    assert first.stamp < last.stamp
    assert roster(db) == {'robot1': last}
    assert not db.exists(FLEET_DUE)
    assert json.loads(db.hget(FLEET, 'robot1')) == last._asdict()


def test_a_killed_robot_is_reported_once_by_many(start, listener, db):
    others = ['robot2', 'robot3', 'robot4']
    for robot in others:
        start(robot)
    killed = start('robot1')
    killed.process.kill()
    begun = time.monotonic()
    eventually(lambda: LOST in listener.of('robot1'))
    assert time.monotonic() - begun < TTL_S + 1
    looked = time.monotonic() + TTL_S
    eventually(lambda: time.monotonic() > looked)
    assert Counter(event.event for event in listener.events) == {ONLINE: 4, LOST: 1}
    assert is_true(db, *others)
    assert roster(db)['robot1'].event == LOST


def test_a_robot_that_was_stopped_is_lost_and_comes_back(start, listener, db):
    start('robot2')
    stopped = start('robot1')
    begun = boot(db, 'robot1')
    for _ in range(2):
        stopped.process.send_signal(signal.SIGSTOP)
        eventually(lambda: listener.of('robot1')[-1] == LOST, 2 * TTL_S + 1)
        stopped.process.send_signal(signal.SIGCONT)
        eventually(lambda: is_true(db, 'robot1', 'robot2'), TTL_S + 1)
    eventually(lambda: listener.of('robot1') == ['online', *2 * ['lost', 'online']])
    assert {event.boot for event in listener.events if event.robot == 'robot1'} == {begun}
    assert listener.of('robot2') == ['online']
    stamps = [event.stamp for event in listener.events if event.robot == 'robot1']
    assert stamps == sorted(stamps)


def test_a_robot_moves_to_another_bridge(start, listener, db):
    start('robot2')
    first = start('robot1')
    second = start('robot1', wait=False)
    eventually(lambda: 'held by another bridge' in second.log)
    old = boot(db, 'robot1')
    first.end()  # in order
    eventually(lambda: second.has_name(db) and is_true(db, 'robot1', 'robot2'), TTL_S + 1)
    new = boot(db, 'robot1')
    third = start('robot1', wait=False)
    eventually(lambda: 'held by another bridge' in third.log)
    second.process.kill()
    eventually(lambda: third.has_name(db) and is_true(db, 'robot1', 'robot2'), 2 * TTL_S + 1)
    newest = boot(db, 'robot1')
    eventually(lambda: len(listener.of('robot1')) == 5)
    found = [(event.event, event.boot) for event in listener.events if event.robot == 'robot1']
    assert found == [
        ('online', old), ('offline', old), ('online', new), ('lost', new), ('online', newest),
    ]  # fmt: skip


def test_one_that_was_stopped_and_replaced_reports_nothing(start, listener, db):
    first = start('robot1')
    second = start('robot1', wait=False)
    eventually(lambda: 'held by another bridge' in second.log)
    first.process.send_signal(signal.SIGSTOP)
    eventually(lambda: second.has_name(db) and is_true(db, 'robot1'), 2 * TTL_S + 3)
    before = list(listener.events)
    assert [event.event for event in before] == ['online', 'lost', 'online']
    first.process.send_signal(signal.SIGCONT)
    eventually(lambda: 'held by another bridge' in first.log)
    first.end()
    assert is_true(db, 'robot1')
    second.end()
    eventually(lambda: listener.of('robot1') == ['online', 'lost', 'online', 'offline'])


@pytest.mark.parametrize('how', ['restart', 'flush', 'delete'])
def test_what_the_server_loses_comes_back_without_an_event(start, listener, db, redis_server, how):
    robots = ('robot1', 'robot2', 'robot3')
    for robot in robots:
        start(robot)
    eventually(lambda: len(listener.events) == 3)
    before = roster(db)
    for _ in range(2):
        if how == 'restart':
            redis_server.restart()
        elif how == 'flush':
            db.flushall()
        else:
            db.delete(*map(robot_key, robots), FLEET_DUE)
        eventually(lambda: is_true(db, *robots), TTL_S + 1)
        until = time.monotonic() + TTL_S + 1
        eventually(lambda: time.monotonic() > until)  # noqa: B023
        assert is_true(db, *robots)
        assert roster(db) == before
    assert len(listener.events) == 3


@pytest.mark.parametrize('how', ['away', 'frozen'])
def test_no_robot_is_lost_because_the_server_was(start, listener, db, redis_server, how):
    robots = ('robot1', 'robot2', 'robot3')
    for robot in robots:
        start(robot)
    eventually(lambda: len(listener.events) == 3)
    gone = time.monotonic() + 2 * TTL_S
    if how == 'away':
        redis_server.options = ('--save', '3600 1')
        db.config_set('save', '3600 1')
        db.save()
        redis_server.kill()
        eventually(lambda: time.monotonic() > gone)
        redis_server.start()
        assert len(db.hgetall(FLEET)) == 3  # and all claims have run out
    else:
        redis_server.freeze()
        eventually(lambda: time.monotonic() > gone)
        redis_server.thaw()
    eventually(lambda: is_true(db, *robots), TTL_S + 1)
    until = time.monotonic() + 2 * TTL_S
    eventually(lambda: time.monotonic() > until)
    assert is_true(db, *robots)
    assert len(listener.events) == 3


def test_no_robot_is_lost_while_the_server_rejects_writes(tmp_path, start, redis_server):
    redis_server.options = ('--dbfilename', 'folder', '--save', '3600 1')
    redis_server.restart()
    (redis_server.folder / 'folder').mkdir()  # no dump can be saved under that name
    listener = Listener(redis_server)
    try:
        robots = ('robot1', 'robot2', 'robot3')
        for robot in robots:
            start(robot)
        with redis_server.client() as db:
            db.bgsave()
            eventually(lambda: not db.exists(*map(robot_key, robots)), TTL_S + 5)
            db.config_set('stop-writes-on-bgsave-error', 'no')
            eventually(lambda: is_true(db, *robots), TTL_S + 1)
            until = time.monotonic() + 2 * TTL_S
            eventually(lambda: time.monotonic() > until)
            assert is_true(db, *robots)
        assert [event.event for event in listener.events] == 3 * [ONLINE]
    finally:
        listener.end()


def test_a_bridge_without_the_right_works_and_says_so_once(
    redis_server, db, redis_side_at, caplog
):
    db.execute_command(
        'ACL', 'SETUSER', 'bridge', 'on', '>pw', '~redis_bridge:robot:*', '+@all', 'resetchannels'
    )
    side = redis_side_at(f'redis://bridge:pw@127.0.0.1:{redis_server.port}/0')
    side.start(dict)
    eventually(lambda: side.why_closed() is None)
    beats = db.info('commandstats')['cmdstat_time']['calls']
    eventually(lambda: db.info('commandstats')['cmdstat_time']['calls'] > beats + 8)
    said = [r.getMessage() for r in caplog.records if FLEET in r.getMessage()]
    assert len(said) == 1
    db.execute_command('ACL', 'SETUSER', 'bridge', '~redis_bridge:*fleet*')  # but not the channel
    eventually(lambda: db.zcard(FLEET_DUE))
    side.close()
    assert not db.exists(robot_key('robot1'))


def test_a_watch_that_begins_again_is_current_only_once_it_has_read_the_roster(
    redis_server, redis_side_at
):
    side = redis_side_at(redis_server.url)
    watch = side.watch_robots(lambda event: None)
    assert not watch.is_current()
    watch.want(True)
    eventually(watch.is_current)
    watch.want(False)
    eventually(lambda: 'roster' not in side.states())
    assert not watch.is_current()
    redis_server.kill()
    watch.want(True)
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        assert not watch.is_current()
        time.sleep(0.001)
    redis_server.start()
    eventually(watch.is_current)


# --- many ---------------------------------------------------------------------------------------
class Member:
    """A roster with a connection of its own; `stats` counts what it sends."""

    def __init__(self, server: Server, robot: str) -> None:
        self.errors: list[object] = []
        address = Address(RedisSettings(server.url), 'test', Timing())
        self.connection = Connection(address.connection())
        self.connection.connect()
        clock = Clock()
        clock.measure(self.connection)
        self.roster = Roster(
            robot, f'b-{robot}', 'h', 0.2, clock, lambda *said: self.errors.append(said)
        )

    def look_quickly(self) -> None:
        """Look with no regard to when it looked last."""
        self.roster._looked_at = time.monotonic() - 0.05
        self.roster._quiet_until = 0.0
        self.roster.look(self.connection, accepts_writes=True)


@pytest.fixture
def members(redis_server: Server, monkeypatch) -> Iterator[list[Member]]:
    monkeypatch.setattr('redis_bridge.redis_io.roster.LOOK_S', 0.0)
    members = [Member(redis_server, f'r{number}') for number in range(100)]
    with redis_server.client() as db:
        for member in members:
            name = member.roster._robot
            db.hset(robot_key(name), 'boot', f'b-{name}')
            member.roster.beat(member.connection)
    yield members
    for member in members:
        member.connection.close()


def test_a_hundred_bridges_report_fifty_losses_once_each(members, listener, db):
    lost = {f'r{number}' for number in range(50)}
    assert len(online(db)) == 100
    db.delete(*map(robot_key, lost))
    eventually(lambda: db.zcount(FLEET_DUE, '-inf', time.time()) == 100)
    together = threading.Barrier(50)

    def watch(member: Member) -> None:
        together.wait()
        for _ in range(5):
            member.look_quickly()

    threads = [threading.Thread(target=watch, args=(member,)) for member in members[50:]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for _ in range(3):
        members[-1].look_quickly()
    eventually(lambda: len(listener.events) >= 50)
    db.publish(FLEET, RobotEvent('end', 'r', 'h', 'b', 0).to_json())
    eventually(lambda: listener.events[-1].event == 'end')
    assert {event.robot for event in listener.events[:-1]} == lost
    assert len(listener.events) == 51
    assert online(db).keys() == {f'r{number}' for number in range(50, 100)}
    assert not any(member.errors for member in members)


def test_a_hundred_robots_that_come_at_once_are_all_there_after_one_beat(members, listener, db):
    for _ in range(3):
        db.delete(FLEET)
        together = threading.Barrier(100)

        def beat(member: Member) -> None:
            together.wait()  # noqa: B023
            member.roster.beat(member.connection)

        threads = [threading.Thread(target=beat, args=(member,)) for member in members]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(online(db)) == 100
    assert listener.events == []


def claim_late(monkeypatch, db, member, boot):
    """Have a bridge take the claim of r0 right before the next transaction of a member."""
    pipe = member.connection.pipe

    def pipe_late(commands):
        if commands[0] == ('MULTI',):
            db.hset(robot_key('r0'), 'boot', boot)
        return pipe(commands)

    monkeypatch.setattr(member.connection, 'pipe', pipe_late)


def test_one_whose_claim_is_taken_while_it_enters_stays_out(members, db, monkeypatch):
    db.hdel(FLEET, 'r0')
    member = members[0]
    claim_late(monkeypatch, db, member, 'another')
    member.roster.beat(member.connection)
    assert 'r0' not in roster(db)


def test_a_look_at_a_hundred_robots_costs_one_command(members, db):
    for member in members:
        member.roster._ttl_s = 60
        member.roster.beat(member.connection)
    db.config_resetstat()
    for member in members:
        member.look_quickly()
    stats = db.info('commandstats')
    stats.pop('cmdstat_info', None), stats.pop('cmdstat_config|resetstat', None)
    assert {name: stat['calls'] for name, stat in stats.items()} == {'cmdstat_zrangebyscore': 100}
    assert stats['cmdstat_zrangebyscore']['usec'] < 100 * 100


def test_a_beat_writes_one_entry(members, db):
    db.config_resetstat()
    for member in members:
        member.roster.beat(member.connection)
    stats = db.info('commandstats')
    assert stats['cmdstat_zadd']['calls'] == stats['cmdstat_hget']['calls'] == 100
    assert 'cmdstat_multi' not in stats


def test_a_robot_that_comes_back_while_its_loss_is_decided_is_not_lost(
    members, listener, db, monkeypatch
):
    db.delete(robot_key('r0'))
    eventually(lambda: db.zcount(FLEET_DUE, '-inf', time.time()) == 100)
    watcher = members[1]
    claim_late(monkeypatch, db, watcher, 'b-r0')
    watcher.look_quickly()
    assert roster(db)['r0'].event == ONLINE
    assert db.zscore(FLEET_DUE, 'r0') is not None
    assert listener.of('r0') == []


def test_what_is_no_entry_is_replaced(members, listener, db):
    db.hset(FLEET, mapping={'r0': 'nonsense', b'\xff': 'nonsense'})
    db.zadd(FLEET_DUE, {b'\xff': 1})
    members[2].look_quickly()
    assert db.zscore(FLEET_DUE, b'\xff') is None
    db.hset(FLEET, 'r1', json.dumps({**roster(db)['r1']._asdict(), 'robot': 7}))
    for member in members[:2]:
        member.roster.beat(member.connection)
    assert {roster(db)[robot].event for robot in ('r0', 'r1')} == {ONLINE}
    assert listener.events == []


def test_what_is_long_gone_is_forgotten_by_the_next_robot_that_comes(members, db):
    old = RobotEvent(LOST, 'old', 'h', 'b', time.time() - 90_000)
    new = RobotEvent(LOST, 'new', 'h', 'b', time.time())
    db.hset(FLEET, mapping={event.robot: event.to_json() for event in (old, new)})
    db.hdel(FLEET, 'r0')
    members[0].roster.beat(members[0].connection)
    assert not db.hexists(FLEET, 'old')
    assert db.hexists(FLEET, 'new')
