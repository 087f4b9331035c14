# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Leases, held by real processes that are killed and stopped, on servers that lose their data."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import end_all, end_process
from redis.crc import key_slot
from support import eventually

from redis_bridge import Client
from redis_bridge.errors import BridgeError, RedisError, WaitTimeoutError

HELPERS = Path(__file__).parents[1] / 'helpers'
TTL_MS = 1000
TTL_S = TTL_MS / 1000
KEY = 'redis_bridge:lease:{dock-1}'


class User:
    """One process of `lease_user.py`; `lines` is what it printed, in words."""

    def __init__(self, url: str, how: str, *more: object) -> None:
        words = [sys.executable, HELPERS / 'lease_user.py', url, 'dock-1', TTL_MS, how, *more]
        self.lines: list[list[str]] = []
        self.process = subprocess.Popen(
            [*map(str, words)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(HELPERS), *sys.path])},
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            self.lines.append(line.split())

    def said(self, word: str) -> list[tuple[int, float]]:
        """Return the tokens and times of the lines that begin with a word."""
        return [(int(line[1]), float(line[2])) for line in list(self.lines) if line[0] == word]

    def until(self, word: str, seconds: float = 20.0) -> tuple[int, float]:
        """Wait until it has printed such a line; return its token and time."""
        return eventually(lambda: self.said(word), seconds)[0]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def end(self, kill: bool = False) -> None:
        """End it in order, or by force."""
        if kill:
            self.process.kill()
        end_process(self.process, self._reader)


@pytest.fixture
def user(redis_server):
    """Give a function that starts one more process that uses the lease."""
    made: list[User] = []

    def start(how: str = 'hold', *more: object, url: str = redis_server.url) -> User:
        made.append(User(url, how, *more))
        return made[-1]

    yield start
    end_all(made)


@pytest.fixture
def client(redis_server):
    with Client(redis_server.url, origin='me') as client:
        yield client


@pytest.fixture
def old_server(redis_server):
    """Wait until the server can no longer have lost a lease in a restart."""
    with redis_server.client() as db:
        eventually(lambda: db.info('server')['uptime_in_seconds'] > TTL_S)
        db.set(f'{KEY}:token', 0)
    return redis_server


def begins(user: User, count: int) -> None:
    """Wait until it held the lease so many times more."""
    until = len(user.said('begin')) + count
    eventually(lambda: len(user.said('begin')) >= until)


# --- in order ------------------------------------------------------------------------------------
def test_one_at_a_time_holds_it_and_the_next_one_has_it_at_once(old_server, db, client):
    with client.lease('dock-1', ttl_ms=TTL_MS) as first:
        assert first.held and not first.lost.is_set()
        assert db.hget(KEY, 'origin') == b'me'
        begun = time.monotonic()
        with (
            pytest.raises(WaitTimeoutError) as failure,
            client.lease('dock-1', ttl_ms=TTL_MS, timeout_s=0.3),
        ):
            pass
        assert 0.3 <= time.monotonic() - begun < 0.3 + 1
        assert "lease 'dock-1' was not ours within 0.3 s: it is held by me (host " in str(
            failure.value
        )
        assert f'pid {os.getpid()})' in str(failure.value)
    assert not first.held
    assert not first.lost.is_set()
    with client.lease('dock-1', ttl_ms=TTL_MS, timeout_s=2) as second:
        assert second.token > first.token
        assert second.held


def test_it_is_renewed_as_long_as_it_is_held(old_server, db, client):
    with client.lease('dock-1', ttl_ms=TTL_MS) as lease:
        end = time.monotonic() + 2.5 * TTL_S
        while time.monotonic() < end:
            assert db.pttl(KEY) > 0
            assert lease.held
            time.sleep(0.02)
        assert not lease.lost.is_set()


def test_a_lease_that_the_server_does_not_know_stays_free_for_one_time_to_live(client):
    begun = time.monotonic()
    with pytest.raises(WaitTimeoutError, match='may have lost it'):
        client.lease('dock-1', ttl_ms=TTL_MS, timeout_s=0).acquire()
    with client.lease('dock-1', ttl_ms=TTL_MS) as lease:
        assert time.monotonic() - begun >= TTL_S
        assert lease.held


def test_who_came_first_has_it_first_and_one_who_does_not_wait_passes_nobody(
    old_server, db, redis_server
):
    order: list[int] = []
    with contextlib.ExitStack() as opened:
        clients = [opened.enter_context(Client(redis_server.url)) for _ in range(5)]

        def wait(number: int) -> None:
            with clients[number].lease('dock-1', ttl_ms=TTL_MS):
                order.append(number)
                time.sleep(0.15)

        with clients[4].lease('dock-1', ttl_ms=TTL_MS):
            waiters = []
            for number in range(4):
                waiters.append(threading.Thread(target=wait, args=(number,)))
                waiters[-1].start()
                eventually(lambda: db.zcard(f'{KEY}:line') == len(waiters))
        eventually(lambda: order)
        with pytest.raises(WaitTimeoutError):
            clients[4].lease('dock-1', ttl_ms=TTL_MS, timeout_s=0).acquire()
        for waiter in waiters:
            waiter.join()
    assert order == [0, 1, 2, 3]


def test_of_ten_that_always_want_it_nobody_starves(old_server, redis_server):
    counts: Counter[int] = Counter()
    holders: set[int] = set()
    ended = threading.Event()

    def work(number: int) -> None:
        with Client(redis_server.url) as client:
            while not ended.is_set():
                with client.lease('dock-1', ttl_ms=5000):
                    holders.add(number)
                    assert holders == {number}
                    counts[number] += 1
                    time.sleep(0.001)
                    holders.remove(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(10)]
    for worker in workers:
        worker.start()
    eventually(lambda: counts.total() > 100, 60)
    ended.set()
    for worker in workers:
        worker.join()
    assert len(counts) == 10
    assert min(counts.values()) >= max(counts.values()) / 3, counts


def test_one_that_died_in_line_holds_nobody_up(old_server, db, user, client):
    lease = client.lease('dock-1', ttl_ms=TTL_MS)
    lease.acquire()
    waiter = user()
    eventually(lambda: db.zcard(f'{KEY}:line'))
    waiter.end(kill=True)
    lease.release()
    with client.lease('dock-1', ttl_ms=TTL_MS, timeout_s=5):
        pass


def test_the_keys_of_a_lease_are_in_one_slot_and_leave_nothing_but_the_token(
    old_server, db, client
):
    with client.lease('dock-1', ttl_ms=TTL_MS):
        with contextlib.suppress(WaitTimeoutError):
            client.lease('dock-1', ttl_ms=TTL_MS, timeout_s=0).acquire()
        keys = db.keys('redis_bridge:lease:*')
        assert len({key_slot(key) for key in keys}) == 1
    assert sorted(db.keys('*')) == [f'{KEY}:token'.encode(), b'redis_bridge:names']


# --- holders that fail ---------------------------------------------------------------------------
def test_of_a_killed_holder_it_is_free_after_the_time_to_live(old_server, db, user):
    first = user()
    token, _ = first.until('begin')
    second = user()
    eventually(lambda: db.zcard(f'{KEY}:line'))
    first.end(kill=True)
    killed = time.monotonic()
    next_token, at = second.until('begin', TTL_S + 5)
    assert at - killed < TTL_S + 1
    assert next_token > token


def test_a_holder_that_was_stopped_for_longer_than_the_time_to_live_has_lost_it(
    old_server, db, user
):
    first = user()
    token, _ = first.until('begin')
    second = user()
    first.stop()
    next_token, _ = second.until('begin')
    first.go_on()
    assert first.until('lost')[0] == token < next_token
    first.end()
    assert first.lines[-1][3] == 'False'
    assert db.hget(KEY, 'token') == str(next_token).encode()
    second.end()
    assert second.lines[-1][3] == 'True'
    assert not second.said('lost')


def test_the_loss_is_reported_before_the_time_to_live_ends(old_server, db, user):
    holder = user()
    holder.until('begin')
    old_server.freeze()
    frozen = time.monotonic()
    try:
        _, at = holder.until('lost')
    finally:
        old_server.thaw()
    # It was renewed at the latest when the server stopped.
    assert at - frozen < TTL_S
    holder.end()
    assert holder.lines[-1][3] == 'False'


def test_what_on_lost_raises_is_logged(old_server, db, client, caplog):
    def fail(lease):
        raise ValueError('oops')

    with client.lease('dock-1', ttl_ms=TTL_MS, on_lost=fail) as lease:
        token = lease.token
        db.hset(KEY, 'owner', 'another')
        assert lease.lost.wait(TTL_S)
        assert not lease.held
        eventually(lambda: 'lease dock-1: on_lost failed' in caplog.text)
    assert lease.token == token
    assert db.hget(KEY, 'owner') == b'another'


def test_never_a_token_twice_and_never_a_smaller_one(old_server, db, user):
    """Processes are killed and stopped, wall clocks jump, the server's clock ends leases early."""
    chance = random.Random(7)
    users = [user('again', shift) for shift in (0, 3600, -3600, 0)]
    gone: list[User] = []
    for step in range(12):
        victim = chance.randrange(4)
        if step % 4 == 1:
            users[victim].end(kill=True)
            gone.append(users[victim])
            users[victim] = user('again', 3600)
        elif step % 4 == 3:
            users[victim].stop()
            begins(users[(victim + 1) % 4], 1)
            users[victim].go_on()
        else:
            db.pexpire(KEY, 1)  # as if the server's clock was set forward
            begins(users[victim], 1)
    for each in users:
        each.end()
    spans = sorted((at, token) for each in users + gone for token, at in each.said('begin'))
    tokens = [token for _, token in spans]
    assert len(tokens) > 20
    assert len(set(tokens)) == len(tokens)
    assert int(db.get(f'{KEY}:token')) >= max(tokens)
    for each in users + gone:
        own = [token for token, _ in each.said('begin')]
        assert own == sorted(own)


# --- servers that fail ---------------------------------------------------------------------------
@pytest.mark.parametrize('how', ['FLUSHALL', 'DEL'])
def test_a_holder_keeps_it_when_its_keys_are_deleted(old_server, db, user, how):
    first = user()
    token, _ = first.until('begin')
    second = user()
    eventually(lambda: db.zcard(f'{KEY}:line'))
    for _ in range(4):
        if how == 'FLUSHALL':
            db.flushall()
        else:
            db.delete(KEY, f'{KEY}:token')
        eventually(lambda: db.hget(KEY, 'token') == str(token).encode(), TTL_S)
        assert int(db.get(f'{KEY}:token')) == token
    assert not first.said('lost') and not second.said('begin')
    first.end()
    next_token, _ = second.until('begin')
    assert next_token > token


def test_a_holder_keeps_it_when_the_server_comes_back_empty(old_server, db, user):
    first = user()
    token, _ = first.until('begin')
    second = user()
    eventually(lambda: db.zcard(f'{KEY}:line'))
    old_server.restart()
    eventually(lambda: db.hget(KEY, 'token') == str(token).encode() or first.said('lost'))
    first.end()
    next_token, at = second.until('begin')
    assert next_token > token
    assert (first.said('lost') or first.said('end'))[0][1] < at


def test_a_server_with_an_older_snapshot_gives_it_to_nobody_too_early(
    tmp_path, old_server, db, user
):
    old_server.options = ('--dbfilename', 'dump.rdb')
    db.save()  # before anybody held it
    first = user()
    token, _ = first.until('begin')
    second = user()
    eventually(lambda: db.zcard(f'{KEY}:line'))
    old_server.restart()
    assert db.get(f'{KEY}:token') is not None
    eventually(lambda: db.hget(KEY, 'token') == str(token).encode() or first.said('lost'))
    first.end()
    next_token, at = second.until('begin')
    assert next_token > token
    assert (first.said('lost') or first.said('end'))[0][1] < at


def test_after_the_data_are_lost_with_the_holder_tokens_still_grow(old_server, db, client):
    tokens = []
    for _ in range(3):
        with client.lease('dock-1', ttl_ms=200) as lease:
            tokens.append(lease.token)
        db.flushall()
    assert tokens == sorted(set(tokens))


def test_a_lost_reply_costs_neither_the_lease_nor_a_token(old_server, db, proxy):
    proxy.lose_reply_to(b'EXEC')
    with Client(proxy.url) as client, client.lease('dock-1', ttl_ms=TTL_MS) as lease:
        assert proxy.lost_replies == 1
        assert db.hget(KEY, 'token') == str(lease.token).encode()
        assert lease.held


def test_who_waits_goes_on_waiting_over_a_restart(old_server, db, user, client):
    waiter = user()
    with client.lease('dock-1', ttl_ms=TTL_MS):
        old_server.restart()
    waiter.until('begin')


def test_a_server_out_of_memory_leaves_it_with_its_holder(old_server, db, client):
    with client.lease('dock-1', ttl_ms=TTL_MS) as lease:
        db.config_set('maxmemory', 1)
        try:
            with pytest.raises(RedisError, match='OOM'):
                client.lease('dock-2', ttl_ms=300).acquire()
            assert not lease.lost.wait(1.5 * TTL_S)
        finally:
            db.config_set('maxmemory', 0)


# --- invalid use ---------------------------------------------------------------------------------
@pytest.mark.parametrize('ttl_ms', [0, -1, 99, 1.5, True, '2000', 86_400_001])
def test_an_invalid_time_to_live_is_an_error(client, ttl_ms):
    with pytest.raises(BridgeError, match='ttl_ms: expected a whole number of milliseconds from'):
        client.lease('dock-1', ttl_ms=ttl_ms)


@pytest.mark.parametrize('name', ['', ' ', '{dock}', 'a}b', 'x' * 600, 'a\nb'])
def test_an_invalid_name_is_an_error(client, name):
    with pytest.raises(BridgeError, match='name'):
        client.lease(name)


def test_a_lease_is_used_once(old_server, client):
    lease = client.lease('dock-1', ttl_ms=TTL_MS)
    with pytest.raises(BridgeError, match='not acquired yet'):
        lease.token  # noqa: B018
    with lease, pytest.raises(BridgeError, match='used before'):
        lease.acquire()
    lease.release()
    with pytest.raises(BridgeError, match='used before'):
        lease.acquire()


def test_without_a_server_it_fails_at_once():
    with Client('redis://127.0.0.1:1') as client, pytest.raises(RedisError):
        client.lease('dock-1', timeout_s=5).acquire()


def test_a_foreign_value_under_its_key_is_an_error(old_server, db, client):
    db.set(KEY, 'x')
    with pytest.raises(RedisError, match='WRONGTYPE'):
        client.lease('dock-1').acquire()


def test_a_closed_client_releases_its_leases(old_server, db, redis_server):
    with Client(redis_server.url) as client:
        lease = client.lease('dock-1', ttl_ms=TTL_MS)
        lease.acquire()
    assert not lease.held
    assert not db.exists(KEY)
