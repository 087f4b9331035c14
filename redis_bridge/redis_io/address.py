# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Where the server is, and the connections that the settings ask for."""

from __future__ import annotations

import inspect
import math
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import redis
from redis import connection as redis_connection

from redis_bridge.errors import RedisError
from redis_bridge.mapping import redis_url
from redis_bridge.mapping.model import RedisSettings, Tls
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.resp import Redirected

CLASSES = {
    'redis': redis_connection.Connection,
    'rediss': redis_connection.SSLConnection,
    'unix': redis_connection.UnixDomainSocketConnection,
}
KEEPALIVE = {
    getattr(socket, name): value
    for name, value in (
        ('TCP_KEEPIDLE', 5), ('TCP_KEEPINTVL', 2), ('TCP_KEEPCNT', 3), ('TCP_USER_TIMEOUT', 10000),
    )
    if hasattr(socket, name)
}  # fmt: skip
TLS_VERSIONS = {'1.2': ssl.TLSVersion.TLSv1_2, '1.3': ssl.TLSVersion.TLSv1_3}


@dataclass(frozen=True)
class Timing:
    """How long each connection role waits for what."""

    connect_s: float = 2.0
    reply_s: float = 5.0
    ping_s: float = 2.0
    pings: int = 3  # unanswered ones after which the peer counts as gone
    retry_first_s: float = 0.1  # doubles up to one of the next two, with full jitter
    retry_max_s: float = 5.0
    denied_max_s: float = 30.0  # wrong password or missing rights: these last longer
    block_ms: int = 1000  # of a blocking read; less than reply_s
    check_s: float = 1.0  # between two comparisons of a value with what the server has


class Follower(Protocol):
    """What waits before it connects again."""

    def hasten(self) -> None:
        """Connect again now; called from any thread."""


def parse_url(settings: RedisSettings) -> redis_url.RedisUrl:
    """Return the parts of the URL; raises RedisError."""
    try:
        return redis_url.parse(settings.url)
    except redis_url.RedisUrlError as error:
        raise RedisError(f'redis.url: {error}') from None


class Address:
    """Makes unconnected redis-py connections from settings, whichever redis-py is installed.

    Raises RedisError for settings that can never work. This one leads to one server, and what it
    says of its standing holds for that; `sentinel` and `cluster` have those of primaries that may
    move.
    """

    label = ''  # tells it from others of a cluster

    def __init__(self, settings: RedisSettings, client_name: str, timing: Timing) -> None:
        url = parse_url(settings)
        if settings.tls is not None and not url.is_tls:
            raise RedisError(f'redis.tls: needs a rediss:// url, got {url.scheme}://')
        if settings.sentinel is not None and not url.is_sentinel:
            raise RedisError(f'redis.sentinel: needs a redis+sentinel:// url, got {url.scheme}://')
        if settings.sharded_pubsub and not url.is_cluster:
            raise RedisError(
                f'redis.sharded_pubsub: needs a redis+cluster:// url, got {url.scheme}://'
            )
        self.timing = timing
        self._scheme = url.scheme
        self._class = CLASSES[url.scheme.partition('+')[0]]
        self._password_file = settings.password_file
        self._secrets = {url.password} if url.password else set()
        self._options: dict[str, Any] = {
            'db': url.database,
            'username': url.username if settings.username is None else settings.username,
            'password': url.password,
            'client_name': client_name,
            'socket_timeout': timing.reply_s,
        }
        known = _parameters(self._class)
        if url.scheme == 'unix':
            self.where = f'unix:{url.path}'
            self._options['path'] = url.path
        else:
            self.where = ','.join(map(redis_url.host_text, url.hosts))
            host, port = url.hosts[0]
            self._options.update(
                host=host,
                port=port,
                socket_keepalive=True,
                socket_keepalive_options=KEEPALIVE,
            )
        if url.database:
            self.where += f'/{url.database}'
        if url.is_tls:
            self._options.update(_tls_options(settings.tls or Tls(), known))
        # RESP2 has one shape of reply on every server and client and needs no HELLO. It also
        # keeps the notices of Redis Enterprise about its maintenance away.
        newer = {'protocol': 2, 'socket_connect_timeout': timing.connect_s, 'driver_info': None}
        if 'driver_info' not in known:  # its predecessors
            newer.update(lib_name=None, lib_version=None)
        self._options.update({name: value for name, value in newer.items() if name in known})

    def connection(self) -> Any:
        """Return a new connection, not yet connected; reads the password from its file.

        Raises redis.AuthenticationError if that is not possible now.
        """
        return self._class(**self._options_now())

    def open(self) -> Connection:
        """Return a new connection to be used, not yet connected; raises as `connection` does."""
        return Connection(self.connection(), self)

    def slot_of(self, name: str) -> int | None:
        """Return the slot of a name; None if there are none, and transactions take any names."""
        return None

    def visit(self, host: redis_url.Host) -> Connection:
        """Return a new connection to another node of the cluster; it is connected."""
        raise redis.ConnectionError(f'{self.where} is no cluster')

    @property
    def keeps_time(self) -> bool:
        """Whether its clock is the one by which ages are measured."""
        return True

    def is_needed(self) -> bool:
        """Return whether it holds any names."""
        return True

    # --- its standing: see `connection.Standing` -------------------------------------------------
    def why_unsure(self) -> str | None:
        return None

    def primary_for_s(self) -> float:
        return math.inf

    def note_redirected(self, error: Redirected) -> None:
        hint = self._scheme.partition('+')[0] + '+cluster'
        raise redis.ConnectionError(
            f'{self.where} is a node of a Redis Cluster: use {hint}:// and the same host'
        )

    def add_follower(self, follower: Follower) -> None:
        """Hasten it when the primary moves, as long as it lives."""

    def states(self) -> dict[str, str]:
        """Return what connections of its own do, by their roles."""
        return {}

    def close(self, deadline: float) -> None:
        """End threads of its own by then (monotonic); closing twice is harmless."""

    def _options_now(self) -> dict[str, Any]:
        """Return what makes a connection, with the password as it is now."""
        options = dict(self._options)
        path = self._password_file
        if path is not None:
            try:
                text = Path(path).read_text(encoding='utf-8')
                options['password'] = text.partition('\n')[0].rstrip('\r')
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else 'expected UTF-8'
                raise redis.AuthenticationError(f'password_file {path}: {reason}') from error
            if options['password']:
                self._secrets.add(options['password'])
        return options

    def redact(self, error: BaseException) -> str:
        """Return the text of an error without secrets."""
        text = ' '.join(str(error).split()) or type(error).__name__
        for secret in self._secrets:
            text = text.replace(secret, '***')
        return text


def _parameters(kind: type) -> set[str]:
    """Return the names of all parameters that a connection class takes."""
    known: set[str] = set()
    for base in kind.__mro__:
        parameters = inspect.signature(base).parameters
        known |= parameters.keys()
        if all(p.kind is not p.VAR_KEYWORD for p in parameters.values()):
            break  # nothing is passed on to the next base
    return known


def _tls_options(tls: Tls, known: set[str]) -> dict[str, Any]:
    options: dict[str, Any] = {
        'ssl_cert_reqs': 'required',
        'ssl_check_hostname': True,
        'ssl_ca_certs': tls.ca,
        'ssl_certfile': tls.cert,
        'ssl_keyfile': tls.key,
    }
    if tls.min_version is None:
        return options
    version = TLS_VERSIONS.get(tls.min_version)
    if version is None:
        raise RedisError(
            f'redis.tls.min_version: expected one of 1.2, 1.3, got {tls.min_version!r}'
        )
    if 'ssl_min_version' in known:
        options['ssl_min_version'] = version
    elif version > ssl.create_default_context().minimum_version:
        raise RedisError(
            f'redis.tls.min_version: redis-py {redis.__version__} cannot hold to '
            f'{tls.min_version}, install redis 5 or newer'
        )
    return options
