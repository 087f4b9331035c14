# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The only parser of Redis URLs; no text of its errors shows a secret."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from redis_bridge.errors import BridgeError, did_you_mean

_SCHEMES = ('redis', 'rediss', 'unix')
_LATER_SCHEMES = ('redis+sentinel', 'redis+cluster', 'rediss+sentinel', 'rediss+cluster')
_PORT = 6379
_NOT_A_URL = (
    'expected a url such as redis://host:6379/0, rediss://host:6379/0 or unix:///path?db=0 '
    '(percent-encode special characters in a user name or password)'
)


class RedisUrlError(BridgeError, ValueError):
    """A string that is no URL of a Redis server; the error's text shows nothing of it."""


@dataclass(frozen=True)
class RedisUrl:
    """Where a Redis server is, and who connects."""

    scheme: str  # redis | rediss | unix
    host: str = ''  # empty for unix
    port: int = _PORT
    path: str = ''  # of the socket, for unix
    database: int = 0
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)

    @property
    def address(self) -> str:
        """The URL without user name and password."""
        if self.scheme == 'unix':
            return f'unix://{self.path}' + (f'?db={self.database}' if self.database else '')
        host = f'[{self.host}]' if ':' in self.host else self.host
        return f'{self.scheme}://{host}:{self.port}/{self.database}'

    @property
    def is_plaintext_elsewhere(self) -> bool:
        """Whether the server is on another machine and the connection is not encrypted."""
        return self.scheme == 'redis' and not _is_loopback(self.host)


def parse(url: str) -> RedisUrl:
    """Return the parts of a URL; raises RedisUrlError with a text that shows nothing of it."""
    scheme, separator, _ = url.partition('://')
    if scheme in _LATER_SCHEMES:
        raise RedisUrlError(f'{scheme}:// is not yet supported')
    if not separator or scheme not in _SCHEMES:
        near = did_you_mean(scheme, _SCHEMES + _LATER_SCHEMES) if separator else ''
        raise RedisUrlError(_NOT_A_URL + near)
    try:
        parts = urlsplit(url)
        port = parts.port
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise RedisUrlError(_NOT_A_URL) from None
    is_unix, host = scheme == 'unix', unquote(parts.hostname or '')
    if is_unix and (host or not parts.path.strip('/')):
        raise RedisUrlError('expected unix:///path/of/the/socket, with three slashes')
    if port == 0 or parts.fragment or any(map(str.isspace, url)) or not (is_unix or host):
        raise RedisUrlError(_NOT_A_URL)
    database = query.pop('db', '') or ('' if is_unix else parts.path.strip('/')) or '0'
    if not (database.isascii() and database.isdecimal() and len(database) < 10):
        raise RedisUrlError(
            'expected the number of a database at the end of the url, as in redis://host:6379/0'
        )
    if query:
        raise RedisUrlError('a url takes no option but db: use the keys of the redis section')
    return RedisUrl(
        scheme,
        host,
        port or _PORT,
        unquote(parts.path) if is_unix else '',
        int(database),
        unquote(parts.username or '') or None,
        unquote(parts.password or '') or None,
    )


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
