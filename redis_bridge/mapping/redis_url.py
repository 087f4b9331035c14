# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Tells what a Redis url says, without telling its secrets."""

from __future__ import annotations

import ipaddress
from urllib.parse import parse_qsl, unquote, urlsplit

from redis_bridge.protocol import names

NO_PASSWORD = (
    "a password does not stand in a mapping: name a file that holds it as 'password_file', or let "
    'the url take it from the environment by ${...}'
)
_SCHEMES = ('redis', 'rediss', 'unix')
_LATER_SCHEMES = ('redis+sentinel', 'redis+cluster', 'rediss+sentinel', 'rediss+cluster')
_NOT_A_URL = (
    'expected a url such as redis://host:6379/0, rediss://host:6379/0 or unix:///path?db=0 '
    '(special characters in a user name or password are written percent-encoded)'
)


def problem(url: str, mask: str) -> str | None:
    """Tell what is wrong with a url, without a word of it that may be secret.

    `mask` is the url as `Document.masks` has it: a password must not stand in it literally.
    """
    scheme = url.partition('://')[0]
    if scheme in _LATER_SCHEMES:
        return f'{scheme}:// is not yet supported'
    try:
        parts = urlsplit(url)
        port = parts.port
        query = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        return _NOT_A_URL
    if '://' not in url or scheme not in _SCHEMES:
        near = names.suggestion(scheme, _SCHEMES + _LATER_SCHEMES) if '://' in url else ''
        return _NOT_A_URL + near
    if port == 0 or parts.fragment or any(character.isspace() for character in url):
        return _NOT_A_URL
    if scheme == 'unix':
        database = query.pop('db', '0')
        if not parts.path.strip('/') or parts.hostname:
            return 'expected unix:///path/of/the/socket, with three slashes'
    else:
        database = query.pop('db', None) or parts.path.strip('/') or '0'
        if not parts.hostname:
            return _NOT_A_URL
    if not database.isdecimal():
        return 'expected the number of a database at the end of the url, as in redis://host:6379/0'
    if query:
        return 'options do not stand in the url: they have keys of their own under redis'
    if has_password(mask) and _password(mask).strip('\0'):
        return NO_PASSWORD
    return None


def has_password(url: str) -> bool:
    """Tell whether a url carries a password, also where it is no good otherwise."""
    return bool(_password(url)) or 'password=' in url.partition('?')[2].lower()


def _password(url: str) -> str:
    userinfo = url.partition('://')[2].rpartition('@')[0]
    return unquote(userinfo.partition(':')[2])


def address(url: str) -> str:
    """Return where a checked url leads, without user, password and options."""
    parts = urlsplit(url)
    if parts.scheme == 'unix':
        return f'unix://{parts.path}'
    return f'{parts.scheme}://{parts.netloc.rpartition("@")[2]}{parts.path}'


def is_plaintext_elsewhere(url: str) -> bool:
    """Tell whether a checked url leads to another machine without encryption."""
    parts = urlsplit(url)
    return parts.scheme == 'redis' and not _is_loopback(parts.hostname or '')


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == 'localhost' or host.endswith('.localhost')
