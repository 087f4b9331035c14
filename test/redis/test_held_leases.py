# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The leases that a bridge holds for its robot, against a real server."""

from __future__ import annotations

import socket
import time

import pytest
from support import eventually

from redis_bridge import Client
from redis_bridge.mapping.model import LeaseConfig
from redis_bridge.redis_io import held_leases

LEASES = (LeaseConfig('corridor', 1000), LeaseConfig('dock', 1000))
KEY = 'redis_bridge:lease:{corridor}'
SERVER_OLD_S = 1.0


@pytest.fixture
def old_server(redis_server):
    """Wait until the server can no longer have lost a lease in a restart."""
    with redis_server.client() as db:
        eventually(lambda: db.info('server')['uptime_in_seconds'] > SERVER_OLD_S)
        db.mset({f'{KEY}:token': 0, 'redis_bridge:lease:{dock}:token': 0})
    return redis_server


@pytest.fixture
def side(old_server, redis_side_at):
    side = redis_side_at(old_server.url, leases=LEASES)
    side.start(dict)
    return side


def is_acquired(side, name='corridor'):
    """Ask for a lease, once; return its token as text, '' if it is not held."""
    is_held, text = side.acquire_lease(name)
    return text if is_held else ''


def test_asking_again_gets_it_and_asking_once_more_gets_the_same_token(side, db):
    assert side.lease_token('corridor') is None
    eventually(lambda: side.states()['leases'] == 'connected')
    is_held, text = side.acquire_lease('corridor')
    assert (is_held, text) == (
        False, 'waits for the lease corridor: call again, at least every 5 s',
    )  # fmt: skip
    token = eventually(lambda: is_acquired(side))
    assert int(token) == side.lease_token('corridor') == int(db.hget(KEY, 'token'))
    assert side.acquire_lease('corridor') == (True, token)
    assert side.lease_token('dock') is None


def test_it_is_renewed_until_it_is_released(side, db):
    eventually(lambda: is_acquired(side))
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert side.lease_token('corridor') is not None
        time.sleep(0.02)
    assert side.release_lease('corridor') == (True, '')
    assert side.lease_token('corridor') is None
    eventually(lambda: not db.exists(KEY))
    assert side.release_lease('corridor') == (False, 'the lease corridor was not held')
    eventually(lambda: is_acquired(side))


def test_a_bridge_waits_behind_a_client_and_says_for_whom(side, old_server):
    with Client(old_server.url, origin='me') as client:
        with client.lease('corridor', ttl_ms=1000) as lease:
            side.acquire_lease('corridor')
            text = eventually(lambda: 'held by me' in side.acquire_lease('corridor')[1])
            assert text
        token = eventually(lambda: is_acquired(side), 2)
        assert int(token) > lease.token


def test_who_no_longer_asks_leaves_the_line(side, old_server, db, monkeypatch):
    monkeypatch.setattr(held_leases, 'ASKED_WITHIN_S', 0.5)
    with Client(old_server.url) as client:
        with client.lease('corridor', ttl_ms=1000):
            side.acquire_lease('corridor')
            eventually(lambda: db.zcard(f'{KEY}:line') == 1)
            eventually(lambda: db.zcard(f'{KEY}:line') == 0)
        side.acquire_lease('corridor')  # it gets it, and nobody takes that
        eventually(lambda: db.exists(KEY))
        eventually(lambda: not db.exists(KEY))
        assert side.lease_token('corridor') is None


def test_a_lease_that_is_lost_is_not_asked_for_by_itself(side, old_server, db, caplog):
    token = eventually(lambda: is_acquired(side))
    old_server.freeze()
    try:
        eventually(lambda: side.lease_token('corridor') is None, 1.5)
    finally:
        old_server.thaw()
    eventually(lambda: 'lease corridor is lost' in caplog.text)
    eventually(lambda: not db.exists(KEY))
    assert side.lease_token('corridor') is None
    eventually(lambda: int(is_acquired(side) or 0) > int(token))


def test_it_is_kept_over_a_lost_connection(side, db):
    token = eventually(lambda: is_acquired(side))
    for _ in range(3):
        db.client_kill_filter(_type='normal', skipme=True)
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            assert side.lease_token('corridor') == int(token)
            time.sleep(0.01)


def test_a_lease_that_the_server_rejects_is_no_problem_for_others(side, db, caplog):
    token = int(eventually(lambda: is_acquired(side, 'dock')))
    db.set(KEY, 'foreign')
    eventually(
        lambda: (
            side.acquire_lease('corridor')[1]
            == 'waits for the lease corridor, which the server rejects: WRONGTYPE Operation '
            'against a key holding the wrong kind of value: call again, at least every 5 s'
        )
    )
    end = time.monotonic() + 2
    while time.monotonic() < end:
        assert side.lease_token('dock') == token
        time.sleep(0.02)
    assert side.states()['leases'] == 'connected'
    said = [r.getMessage() for r in caplog.records if 'WRONGTYPE' in r.getMessage()]
    assert len(said) == 1
    db.delete(KEY)
    eventually(lambda: is_acquired(side))
    db.set(KEY, 'foreign')
    side.close()
    assert not db.exists('redis_bridge:lease:{dock}')


def test_who_asks_while_redis_is_away_is_told_so(side, redis_server):
    redis_server.kill()
    eventually(lambda: ', Redis: connecting: ' in side.acquire_lease('corridor')[1])


def test_leases_are_given_up_at_the_end(side, db):
    eventually(lambda: is_acquired(side))
    side.close()
    assert not db.exists(KEY)
    assert side.lease_token('corridor') is None


def test_a_server_that_closes_idle_connections_does_not_close_that_of_leases(
    old_server, db, redis_side_at, monkeypatch, caplog
):
    monkeypatch.setattr(held_leases, 'ASKED_WITHIN_S', 0.3)
    db.config_set('timeout', 1)
    side = redis_side_at(old_server.url, leases=LEASES)
    side.start(dict)
    eventually(lambda: side.states()['leases'] == 'connected')
    for _ in range(2):  # that of leases would be closed before the second one at the latest
        with socket.create_connection(('127.0.0.1', old_server.port), timeout=10) as idle:
            idle.sendall(b'PING\r\n')
            assert idle.recv(100) == b'+PONG\r\n'
            assert idle.recv(100) == b''  # after a while
    assert side.states()['leases'] == 'connected'
    assert 'leases' not in caplog.text


def test_without_leases_there_is_no_connection_for_them(redis_server, redis_side_at):
    side = redis_side_at(redis_server.url)
    assert 'leases' not in side.states()
    assert side.lease_token('corridor') is None
