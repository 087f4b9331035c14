# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The only parser of Redis URLs; no text of its errors shows a secret."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from redis_bridge.errors import BridgeError, did_you_mean

CLUSTER = ('redis+cluster', 'rediss+cluster')  # schemes
_SCHEMES = ('redis', 'rediss', 'unix', 'redis+sentinel', 'rediss+sentinel', *CLUSTER)
_PORT = 6379
_SENTINEL_PORT = 26379
_NOT_A_URL = (
    'expected a url such as redis://host:6379/0, rediss://host:6379/0, unix:///path?db=0, '
    'redis+sentinel://host1:26379,host2:26379/mymaster/0 or redis+cluster://host1:6379,host2:6379 '
    '(percent-encode special characters in a user name or password)'
)
_SENTINEL = 'redis+sentinel://host1:26379,host2:26379/mymaster/0'
_CLUSTER = 'redis+cluster://host1:6379,host2:6379'

Host = tuple[str, int]  # name or address, port


class RedisUrlError(BridgeError, ValueError):
    """A string that is no URL of a Redis server; the error's text shows nothing of it."""


@dataclass(frozen=True)
class RedisUrl:
    """Where a Redis server is, and who connects."""

    scheme: str  # one of _SCHEMES
    hosts: tuple[Host, ...] = ()  # the server, the sentinels, or nodes of the cluster
    path: str = ''  # of the socket, for unix
    service: str = ''  # the name by which sentinels know the primary
    database: int = 0
    username: str | None = field(default=None, repr=False)  # of the server, not of sentinels
    password: str | None = field(default=None, repr=False)

    @property
    def is_sentinel(self) -> bool:
        """Whether the hosts are sentinels, which know where the primary is."""
        return bool(self.service)

    @property
    def is_cluster(self) -> bool:
        """Whether the hosts are nodes of a Redis Cluster, each of which knows all others."""
        return self.scheme in CLUSTER

    @property
    def is_tls(self) -> bool:
        """Whether connections are encrypted, to servers and sentinels alike."""
        return self.scheme.startswith('rediss')

    @property
    def address(self) -> str:
        """The URL without user name and password."""
        if self.scheme == 'unix':
            return f'unix://{self.path}' + (f'?db={self.database}' if self.database else '')
        service = f'/{quote(self.service, safe="")}' if self.is_sentinel else ''
        hosts = ','.join(map(host_text, self.hosts))
        database = '' if self.is_cluster else f'/{self.database}'
        return f'{self.scheme}://{hosts}{service}{database}'

    @property
    def is_plaintext_elsewhere(self) -> bool:
        """Whether a server is on another machine and the connection is not encrypted."""
        return not self.is_tls and not all(_is_loopback(name) for name, _ in self.hosts)


def host_text(host: Host) -> str:
    """Return host:port, as a URL has it."""
    name, port = host
    return f'[{name}]:{port}' if ':' in name else f'{name}:{port}'


def parse(url: str) -> RedisUrl:
    """Return the parts of a URL; raises RedisUrlError with a text that shows nothing of it."""
    scheme, separator, _ = url.partition('://')
    if not separator or scheme not in _SCHEMES:
        near = did_you_mean(scheme, _SCHEMES) if separator else ''
        raise RedisUrlError(_NOT_A_URL + near)
    is_unix, is_sentinel = scheme == 'unix', scheme.endswith('+sentinel')
    is_cluster = scheme in CLUSTER
    try:
        parts = urlsplit(url)
        userinfo, _, listed = parts.netloc.rpartition('@')
        user = urlsplit(f'//{userinfo}@')
        default_port = _SENTINEL_PORT if is_sentinel else _PORT
        hosts = tuple(_host(text, default_port) for text in listed.split(',')) if listed else ()
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise RedisUrlError(_NOT_A_URL) from None
    if is_unix and (hosts or not parts.path.strip('/')):
        raise RedisUrlError('expected unix:///path/of/the/socket, with three slashes')
    if parts.fragment or any(map(str.isspace, url)) or not (is_unix or hosts):
        raise RedisUrlError(_NOT_A_URL)
    if len(hosts) > 1 and not (is_sentinel or is_cluster):
        raise RedisUrlError(
            f'{scheme}:// takes one host; several are sentinels, {_SENTINEL}, or nodes of a '
            f'cluster, {_CLUSTER}'
        )
    if len(set(hosts)) < len(hosts):
        raise RedisUrlError('a host is listed twice: list each one once')
    names = [] if is_unix else parts.path.strip('/').split('/')
    service = unquote(names.pop(0)) if is_sentinel else ''
    if is_sentinel and not service:
        raise RedisUrlError(
            f'expected the name of the primary behind the sentinels, as in {_SENTINEL}'
        )
    database = query.pop('db', '') or '/'.join(names) or '0'
    if not (database.isascii() and database.isdecimal() and len(database) < 10):
        if is_cluster:
            raise RedisUrlError(f'expected no database at the end of the url, as in {_CLUSTER}')
        raise RedisUrlError(
            'expected the number of a database at the end of the url, as in '
            + (_SENTINEL if is_sentinel else 'redis://host:6379/0')
        )
    if is_cluster and int(database):
        raise RedisUrlError(f'a cluster has database 0 alone, as in {_CLUSTER}: got {database}')
    if query:
        raise RedisUrlError('a url takes no option but db: use the keys of the redis section')
    return RedisUrl(
        scheme,
        hosts,
        unquote(parts.path) if is_unix else '',
        service,
        int(database),
        unquote(user.username or '') or None,
        unquote(user.password or '') or None,
    )


def _host(text: str, default_port: int) -> Host:
    """Return a host of a URL; raises ValueError."""
    parts = urlsplit(f'//{text}')
    name, port = unquote(parts.hostname or ''), parts.port
    if not name or port == 0 or text != parts.netloc:
        raise ValueError(text)
    return name, port or default_port


def has_password(url: str) -> bool:
    """Return whether a string has a password where a URL would have it, valid or not.

    NULs do not count: they take the place of environment variables.
    """
    userinfo = url.partition('://')[2].rpartition('@')[0]
    password = userinfo.partition(':')[2].strip('\0')
    return bool(password) or 'password=' in url.partition('?')[2].lower()


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost' or host.endswith('.localhost')
