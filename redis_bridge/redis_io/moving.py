# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""An address at which another server may take the place of the one that is there."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, ClassVar
from weakref import WeakSet

import redis

from redis_bridge.mapping.model import RedisSettings
from redis_bridge.mapping.redis_url import Host, host_text
from redis_bridge.redis_io.address import Address, Follower, Timing
from redis_bridge.redis_io.connection import Connection


class MovingAddress(Address):
    """Makes connections to the primary that is there now, and breaks those to others.

    At each login it makes sure that the server is no replica.
    """

    why_replica: ClassVar[str]  # what it means if it is one

    def __init__(self, settings: RedisSettings, client_name: str, timing: Timing) -> None:
        super().__init__(settings, client_name, timing)
        self._lock = threading.Lock()  # over what follows
        self._made: WeakSet[Any] = WeakSet()  # connections of redis-py
        self._followers: WeakSet[Follower] = WeakSet()

    def leads_to(self) -> Host | None:
        """Return the server that is there, as far as it is known."""
        raise NotImplementedError

    def add_follower(self, follower: Follower) -> None:
        with self._lock:
            self._followers.add(follower)

    def hasten_all(self) -> None:
        """Have everybody connect now who waits for that."""
        with self._lock:
            followers = list(self._followers)
        for follower in followers:
            follower.hasten()

    def leave_others(self) -> None:
        """Break the connections to servers that are not there any more, dead or alive."""
        host = self.leads_to()
        with self._lock:
            left = [made for made in self._made if (made.host, made.port) != host]
        for made in left:
            Connection(made).interrupt()

    def connection_to(self, host: Host) -> Any:
        """Return a new connection to a server, not yet connected, that `leave_others` may break.

        Raises as `Address.connection` does.
        """
        name, port = host
        made = self._class(**{
            **self._options_now(), 'host': name, 'port': port,
            'redis_connect_func': partial(self._log_in, host),
        })  # fmt: skip
        with self._lock:
            self._made.add(made)
        return made

    def _log_in(self, host: Host, redis_py: Any) -> None:
        """Log in at a server, and make sure that it is a primary, and the one that is there."""
        where = host_text(host)
        try:
            redis_py.on_connect()
            redis_py.send_command('ROLE')
            role = redis_py.read_response()[0]
        except redis.RedisError as error:
            raise type(error)(f'{where}: {error}') from error
        if role != b'master':
            raise redis.ConnectionError(f'{where}: {self.why_replica}')
        if self.leads_to() != host:
            raise redis.ConnectionError(f'{where}: another server is the primary by now')
