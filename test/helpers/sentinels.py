# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A primary with a replica, and the sentinels that watch them, as real processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import redis
from servers import Server
from support import eventually

SERVICE = 'mymaster'
# The third one is slower, so that no election ends in a draw, after which the next is much later.
DOWN_AFTER_MS = (800, 800, 2000)
FAILOVER_S = 20.0  # within which a failover is expected
# Sentinels look and talk more often than they do by default, so that tests take seconds. One that
# had no CPU time for two seconds decides nothing for one more (tilt-period), not for 30.
QUICK = {'info-period': 300, 'publish-period': 200, 'ask-period': 200, 'tilt-period': 1000}


class FileServer(Server):
    """A server with a configuration file, where it keeps over restarts what sentinels set.

    :param tls: the folder of its certificate, if it talks nothing but TLS.
    """

    def __init__(
        self,
        program: str,
        folder: Path,
        *lines: str,
        flags: tuple[str, ...] = (),
        tls: Path | None = None,
    ) -> None:
        super().__init__(program, folder)
        self._tls = tls
        ports = (f'port {self.port}',) if tls is None else (
            'port 0', f'tls-port {self.port}', f'tls-cert-file {tls}/ca.pem',
            f'tls-key-file {tls}/key.pem', f'tls-ca-cert-file {tls}/ca.pem',
            'tls-auth-clients no', 'tls-replication yes',
        )  # fmt: skip
        self._lines = (*ports, 'bind 127.0.0.1', f'dir {folder}', *lines)
        self._flags = flags

    @property
    def kwargs(self) -> dict[str, object]:
        """What redis.Redis takes to connect."""
        tls = {} if self._tls is None else {'ssl': True, 'ssl_ca_certs': f'{self._tls}/ca.pem'}
        return {**super().kwargs, **tls}

    def command(self) -> list[str]:
        """Return what starts it."""
        file = self.folder / 'server.conf'
        if not file.exists():
            file.write_text('\n'.join(self._lines) + '\n')
        return [self.program, str(file), *self._flags]


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
            with _client(sentinel) as client:
                replicas = client.sentinel_slaves(SERVICE)
            if [(one['flags'], one['master-link-status']) for one in replicas] != [
                ('slave', 'ok')
            ]:
                return False
        return True

    def state(self, sentinel: Server) -> dict:
        """Return what a sentinel says of the primary."""
        with _client(sentinel) as client:
            return client.sentinel_master(SERVICE)

    def primary(self) -> Server:
        """Return the server that most sentinels call the primary."""
        ports = [self.state(sentinel)['port'] for sentinel in self.sentinels]
        port = max(ports, key=ports.count)
        return next(server for server in self.servers if server.port == port)

    def fail_over(self) -> None:
        """Begin a planned failover."""
        with _client(self.sentinels[0]) as client:
            client.execute_command('SENTINEL', 'FAILOVER', SERVICE)

    def await_failover(self, old: Server) -> None:
        """Wait until all sentinels that run call another server the primary."""
        eventually(lambda: self.primary() is not old, FAILOVER_S)

    def _hurry(self, sentinel: Server) -> None:
        with _client(sentinel) as client:
            for name, value in QUICK.items():
                with contextlib.suppress(redis.ResponseError):  # only from Redis 7.0 on
                    client.execute_command('SENTINEL', 'DEBUG', name, value)


def url_by(*ports: int) -> str:
    """Return the URL of the primary by sentinels at these ports."""
    return f'redis+sentinel://{",".join(f"127.0.0.1:{port}" for port in ports)}/{SERVICE}/0'


def is_replica(server: Server) -> bool:
    """Return whether a server has become a replica."""
    with _client(server) as db:
        return db.execute_command('ROLE')[0] == b'slave'


@contextlib.contextmanager
def _client(server: Server) -> Iterator[redis.Redis]:
    with server.client() as client:
        yield client
        client.connection_pool.disconnect()  # redis-py 4 leaves it to the collector
