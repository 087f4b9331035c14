# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Keeps other web pages, and strangers, out: Host, Origin, headers and the token.

A page of another site cannot send its own Host or Origin. By DNS rebinding it can make its name
lead to this machine, and then the Host is that name.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from pathlib import Path

from redis_bridge.errors import BridgeError

SHORTEST_TOKEN = 16
HEADERS = {
    'Content-Security-Policy': (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
    'Cache-Control': 'no-cache',
}


class Guard:
    """Decides which requests are answered.

    :param host: the address that the server binds to. At a loopback one only loopback names are
        accepted; else every address, `localhost`, and `host` itself if it is a name.
    """

    def __init__(self, host: str, token: str) -> None:
        self._host = host.lower()
        address = _address(host)
        self._is_loopback = self._host == 'localhost' or (
            address is not None and address.is_loopback
        )
        self._token = token.encode()

    def accepts_host(self, host: str | None) -> bool:
        """Return whether the header Host names this server."""
        name = _name(host or '')
        address = _address(name)
        if address is not None:
            return address.is_loopback or not self._is_loopback
        return name in ('localhost', self._host)

    def accepts_origin(self, origin: str | None, host: str | None) -> bool:
        """Return whether the header Origin names the page of this server."""
        scheme, _, rest = (origin or '').partition('://')
        return scheme in ('http', 'https') and bool(host) and rest.lower() == (host or '').lower()

    def accepts_token(self, token: object) -> bool:
        """Return whether this is the token, in a time that does not depend on where it differs."""
        return isinstance(token, str) and hmac.compare_digest(
            token.encode(errors='replace'), self._token
        )


def read_token(path: str | None) -> str:
    """Return the first line of a file, or a new token.

    :raises BridgeError: the file cannot be read, or its token is too short.
    """
    if path is None:
        return secrets.token_urlsafe(24)
    try:
        lines = Path(path).read_text(encoding='utf-8').splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BridgeError(f'--token-file: cannot be read: {error}') from None
    token = lines[0].strip() if lines else ''
    if len(token) < SHORTEST_TOKEN:
        raise BridgeError(
            f'--token-file {path}: expected a token of at least {SHORTEST_TOKEN} characters in '
            f'the first line, got {len(token)}: write one with `openssl rand -hex 16 > {path}`'
        )
    return token


def _name(host: str) -> str:
    """Return a Host without its port."""
    if host.startswith('['):
        return host[1:].partition(']')[0]
    return host.partition(':')[0].lower()


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None
