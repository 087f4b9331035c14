# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The primary that sentinels know: found at each connect, and followed when it changes.

Every sentinel of the URL is listened to, so that a failover is noticed at once, and also with one
of them away. Then the connections to the old primary are broken, dead or alive. A failover takes
more than half of the sentinels: as long as we hear that many, none can go unnoticed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from dataclasses import replace
from typing import Any, NamedTuple

import redis

from redis_bridge.errors import did_you_mean
from redis_bridge.mapping.model import Login, RedisSettings
from redis_bridge.mapping.redis_url import Host, host_text
from redis_bridge.ports import SENTINEL_ROLE
from redis_bridge.redis_io.address import Address, Timing, parse_url
from redis_bridge.redis_io.connection import Connection, Pings
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.moving import MovingAddress
from redis_bridge.redis_io.resp import pairs, raise_if_error

SWITCHED, ANSWERS_AGAIN = '+switch-master', '-sdown'  # what sentinels publish
# One that is silent for longer may be on the other side of a broken network, where a failover
# begins. This is shorter than such a failover and a free claim take together; see `claim`.
PING_S, PINGS = 0.5, 3
MOST_S = 1.0  # that connecting to one or an answer of it takes, because others wait to be asked
RETRY_MAX_S = 1.0
START_LOOK_S = 0.005
ROLE = 'watch'
BATCH = 100


class Primary(NamedTuple):
    """The primary as a sentinel knows it."""

    epoch: int  # grows with each failover, so that the largest one is right
    host: Host
    age_s: float  # for which it has been the primary, at least
    is_down: bool  # it does not answer this sentinel


class Sentinel:
    """One sentinel: it can be asked, and a thread listens to it."""

    def __init__(
        self, address: Address, service: str, owner: PrimaryAddress, log: logging.Logger
    ) -> None:
        self.where = address.where
        self._address = address
        self._service = service
        self._owner = owner
        self._health = Health(log, f'sentinel {address.where}')
        self._is_heard = False
        self.thread = ConnectionThread(
            ROLE, address, self._session, health=self._health, retry_max_s=RETRY_MAX_S
        )
        self.thread.start()

    def is_heard(self) -> bool:
        """Return whether what it publishes would reach us."""
        return self._is_heard

    def has_tried(self) -> bool:
        """Return whether it is heard, or known not to be."""
        return self._is_heard or self._health.failure(ROLE) is not None

    def state(self) -> str:
        """Return 'connected', or why it is not heard."""
        return self._health.state(ROLE)

    def redact(self, error: BaseException) -> str:
        """Return the text of an error without secrets."""
        return self._address.redact(error)

    def ask(self) -> Primary:
        """Return the primary; raises redis.RedisError if it does not know it, or cannot be asked.

        The text says why, not where.
        """
        try:
            connection = Connection(self._address.connection())
            try:
                connection.connect()
                return self._primary(connection.pipe([('SENTINEL', 'MASTERS')])[0])
            finally:
                connection.close()
        except redis.RedisError as error:
            is_login = isinstance(error, redis.AuthenticationError)
            if not is_login and 'WRONGPASS' not in str(error):  # redis-py 4 does not know that one
                raise
            raise redis.AuthenticationError(
                f'{self.redact(error)} (the login at sentinels is redis.sentinel in the mapping, '
                'or --sentinel-username and --sentinel-password-file)'
            ) from error

    def _primary(self, reply: Any) -> Primary:
        """Return the primary from a reply to SENTINEL MASTERS."""
        if isinstance(reply, redis.ResponseError) and 'unknown command' in str(reply).lower():
            raise redis.ConnectionError('this is no sentinel: give the port of the sentinels')
        known = {
            fields[b'name'].decode(errors='replace'): fields
            for fields in map(pairs, raise_if_error(reply))
        }
        if self._service not in known:
            near = did_you_mean(self._service, known)
            raise redis.ConnectionError(
                f'it knows no primary named {self._service}{near}: see SENTINEL MASTERS there'
            )
        fields = known[self._service]
        flags = fields[b'flags'].split(b',')
        return Primary(
            int(fields[b'config-epoch']),
            (fields[b'ip'].decode(), int(fields[b'port'])),
            int(fields.get(b'role-reported-time', 0)) / 1000,
            b's_down' in flags or b'o_down' in flags,
        )

    def _session(self, connection: Connection) -> None:
        subscribe = [('SUBSCRIBE', event) for event in (SWITCHED, ANSWERS_AGAIN)]
        for reply in connection.pipe(subscribe):
            raise_if_error(reply)
        self._owner.note(self.ask())  # what it published before nobody heard
        self.thread.mark_connected()
        self._is_heard = True
        self._owner.hasten_all()
        try:
            pings = Pings(connection, self._address.timing)
            while not self.thread.closing.is_set():
                pings.send_if_due()
                if pings.wait(self.thread.waker):
                    messages = [r for r in connection.replies(BATCH) if isinstance(r, tuple)]
                    if messages:  # of any primary: few have more than one, and it is cheap to ask
                        self._owner.note(self.ask())
                        self._owner.hasten_all()
        finally:
            self._is_heard = False


class PrimaryAddress(MovingAddress):
    """Makes connections to the primary, and breaks them when another server takes its place.

    Threads that listen to the sentinels run from the first connection until `close`.
    """

    why_replica = 'a replica, though sentinels call it primary'

    def __init__(
        self, settings: RedisSettings, client_name: str, timing: Timing, log: logging.Logger
    ) -> None:
        super().__init__(settings, client_name, timing)
        url = parse_url(settings)
        self.where = f'{url.service} of the sentinels {self.where}'
        self._service = url.service
        scheme = 'rediss' if url.is_tls else 'redis'
        login = settings.sentinel or Login()
        at_sentinels = replace(
            timing,
            connect_s=min(timing.connect_s, MOST_S),
            reply_s=min(timing.reply_s, MOST_S),
            ping_s=PING_S,
            pings=PINGS,
        )
        self._addresses = [
            Address(
                RedisSettings(
                    f'{scheme}://{host_text(host)}', login.username, login.password_file,
                    settings.tls,
                ),
                client_name,
                at_sentinels,
            )
            for host in url.hosts
        ]  # fmt: skip
        self._log = log
        self._starting = threading.Lock()  # held while threads start or end
        self._is_closed = False
        self._sentinels: list[Sentinel] = []
        self._asking = threading.Lock()  # held while one thread asks for all
        self._asked_at = -math.inf  # monotonic, when that ended last
        self._problem: str | None = None  # why nothing was found then
        self._state = threading.Lock()  # over what follows
        self._primary: Primary | None = None
        self._primary_since = math.inf  # monotonic

    # --- see `Address` --------------------------------------------------------------------------
    def connection(self) -> Any:
        """Return a new connection to the primary, not yet connected.

        Raises redis.ConnectionError if no sentinel knows a primary that answers, and as
        `Address.connection` does.
        """
        self._start()
        return self.connection_to(self._find())

    def leads_to(self) -> Host | None:
        primary = self._primary
        return None if primary is None else primary.host

    def why_unsure(self) -> str | None:
        sentinels = self._sentinels
        missing = [each for each in sentinels if not each.is_heard()]
        if sentinels and len(missing) * 2 < len(sentinels):
            return None
        reasons = '; '.join(f'{each.where}: {each.state()}' for each in missing)
        return (
            f'only {len(sentinels) - len(missing)} of {len(self._addresses)} sentinels can be '
            f'heard, so that a failover might go unnoticed ({reasons})'
        )

    def primary_for_s(self) -> float:
        return time.monotonic() - self._primary_since

    def states(self) -> dict[str, str]:
        return {f'{SENTINEL_ROLE}{each.where}': each.state() for each in self._sentinels}

    def close(self, deadline: float) -> None:
        with self._starting:
            self._is_closed = True
        for each in self._sentinels:
            each.thread.finish()
        for each in self._sentinels:
            each.thread.close(deadline)

    # --- what sentinels call --------------------------------------------------------------------
    def note(self, primary: Primary) -> None:
        """Take what a sentinel knows, unless it is older; leave the old primary for a new one."""
        with self._state:
            known = self._primary
            if known is not None and primary.epoch < known.epoch:
                return
            since = time.monotonic() - primary.age_s
            has_moved = known is None or known.host != primary.host
            self._primary = primary
            self._primary_since = since if has_moved else min(self._primary_since, since)
            if has_moved:
                was = '' if known is None else f', no longer {host_text(known.host)}'
                text = f'{host_text(primary.host)}{was}'
                self._log.info('the primary of %s is %s', self._service, text)
        if has_moved:
            self.leave_others()
            self.hasten_all()

    # --- finding it -----------------------------------------------------------------------------
    def _start(self) -> None:
        """Listen to the sentinels, unless we do; return once enough are heard, or all failed."""
        with self._starting:
            if not self._sentinels and not self._is_closed:
                self._sentinels = [
                    Sentinel(address, self._service, self, self._log)
                    for address in self._addresses
                ]
        while self.why_unsure() is not None:
            if all(each.has_tried() for each in self._sentinels):
                return
            time.sleep(START_LOOK_S)

    def _find(self) -> Host:
        """Return where the primary is now; threads that want to know at once share the answer."""
        wanted_at = time.monotonic()
        with self._asking:
            if self._asked_at < wanted_at:
                self._problem = self._ask()
                self._asked_at = time.monotonic()
            if self._problem is not None or self._primary is None:
                raise redis.ConnectionError(self._problem or 'closed')
            return self._primary.host

    def _ask(self) -> str | None:
        """Ask one sentinel after the other; return why none knows a primary that answers."""
        problems = []
        older: list[Primary] = []
        # Those that are away may cost time, so they come last.
        for sentinel in sorted(self._sentinels, key=lambda each: not each.is_heard()):
            try:
                found = sentinel.ask()
            except (redis.RedisError, OSError) as error:
                problems.append(f'sentinel {sentinel.where}: {sentinel.redact(error)}')
                continue
            known = self._primary
            if known is not None and found.epoch < known.epoch:
                older.append(found)
                problems.append(f'sentinel {sentinel.where}: it does not know the last failover')
            elif found.is_down:
                problems.append(
                    f'sentinel {sentinel.where}: the primary {host_text(found.host)} is down'
                )
            else:
                self.note(found)
                return None
        if len(older) * 2 > len(self._addresses):  # they were set up anew
            with self._state:
                self._primary = None
            self.note(max(older))
            return None
        return f'no primary of {self._service} is known: {"; ".join(problems)}'
