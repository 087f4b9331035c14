# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A primary with a replica, and the sentinels that watch them, as real processes."""

from __future__ import annotations

import contextlib
from pathlib import Path

import redis
from servers import FileServer, Server, plain_client
from support import eventually

SERVICE = 'mymaster'
# The third one is slower, so that no election ends in a draw, after which the next is much later.
DOWN_AFTER_MS = (800, 800, 2000)
FAILOVER_S = 20.0  # within which a failover is expected
# Sentinels look and talk more often than they do by default, so that tests take seconds. One that
# had no CPU time for two seconds decides nothing for one more (tilt-period), not for 30.
QUICK = {'info-period': 300, 'publish-period': 200, 'ask-period': 200, 'tilt-period': 1000}


class SentinelGroup:
    """Two servers, of which the first one is the primary at first, and three sentinels."""

    def __init__(
        self,
        program: str,
        folder: Path,
        *,
        server_lines: tuple[str, ...] = (),
        sentinel_lines: tuple[str, ...] = (),
        password: str | None = None,
        sentinel_password: str | None = None,
        tls: Path | None = None,
    ) -> None:
        self._scheme = 'redis+sentinel' if tls is None else 'rediss+sentinel'
        lines = ('save ""', 'repl-diskless-sync-delay 0', *server_lines)
        first = FileServer(program, folder / 'a', *lines, tls=tls)
        replicates = f'replicaof 127.0.0.1 {first.port}'
        second = FileServer(program, folder / 'b', *lines, replicates, tls=tls)
        self.servers = (first, second)
        for server in self.servers:
            server.password = password
        self.sentinels = tuple(
            FileServer(
                program, folder / f's{number}',
                f'sentinel monitor {SERVICE} 127.0.0.1 {first.port} 2',
                f'sentinel down-after-milliseconds {SERVICE} {down_after_ms}',
                f'sentinel failover-timeout {SERVICE} 2000',
                *sentinel_lines,
                flags=('--sentinel',),
                tls=tls,
            )
            for number, down_after_ms in enumerate(DOWN_AFTER_MS)
        )  # fmt: skip
        for sentinel in self.sentinels:
            sentinel.password = sentinel_password

    def __enter__(self) -> SentinelGroup:
        try:
            return self.start()
        except BaseException:
            self.kill()
            raise

    def __exit__(self, *exc_info: object) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill all processes; a stopped one too."""
        for server in (*self.sentinels, *self.servers):
            server.kill()

    def start(self) -> SentinelGroup:
        """Start all of them, and wait until a failover is possible."""
        for server in (*self.servers, *self.sentinels):
            server.start()
        for sentinel in self.sentinels:
            self._hurry(sentinel)
        eventually(self.is_ready, FAILOVER_S)
        return self

    @property
    def url(self) -> str:
        """The URL of the primary."""
        url = url_by(*(sentinel.port for sentinel in self.sentinels))
        return url.replace('redis+sentinel', self._scheme)

    def is_ready(self) -> bool:
        """Return whether one is in step with the other, and all sentinels know all of them."""
        for sentinel in self.sentinels:
            state = self.state(sentinel)
            if state['flags'] != 'master' or state['num-other-sentinels'] != 2:
                return False
            with plain_client(sentinel) as client:
                replicas = client.sentinel_slaves(SERVICE)
            if [(one['flags'], one['master-link-status']) for one in replicas] != [
                ('slave', 'ok')
            ]:
                return False
        return True

    def state(self, sentinel: Server) -> dict:
        """Return what a sentinel says of the primary."""
        with plain_client(sentinel) as client:
            return client.sentinel_master(SERVICE)

    def primary(self) -> Server:
        """Return the server that most sentinels call the primary."""
        ports = [self.state(sentinel)['port'] for sentinel in self.sentinels]
        port = max(ports, key=ports.count)
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> None:
        """Begin a planned failover."""
        with plain_client(self.sentinels[0]) as client:
            client.execute_command('SENTINEL', 'FAILOVER', SERVICE)

    def await_failover(self, old: Server) -> None:
        """Wait until all sentinels that run call another server the primary."""
        eventually(lambda: self.primary() is not old, FAILOVER_S)

    def _hurry(self, sentinel: Server) -> None:
        with plain_client(sentinel) as client:
            for name, value in QUICK.items():
                with contextlib.suppress(redis.ResponseError):  # only from Redis 7.0 on
                    client.execute_command('SENTINEL', 'DEBUG', name, value)


def url_by(*ports: int) -> str:
    """Return the URL of the primary by sentinels at these ports."""
    return f'redis+sentinel://{",".join(f"127.0.0.1:{port}" for port in ports)}/{SERVICE}/0'
