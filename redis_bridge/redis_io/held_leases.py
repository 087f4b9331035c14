# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The leases that a bridge holds for its robot: one thread waits for them and renews them.

Nobody waits for that thread. Who wants a lease asks again until it is there; who no longer asks
loses the place in line.
"""

from __future__ import annotations

import logging
import math
import os
import secrets
import socket
import threading
import time
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass

import redis

from redis_bridge.mapping.model import LeaseConfig
from redis_bridge.protocol.leases import lease_keys
from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.clock import Clock
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.lease import RENEWALS, LeaseClaim, look_again_s

ASKED_WITHIN_S = 5.0  # who waits asks again at least as often
RETRY_MAX_S = 0.5
ROLE = 'leases'


@dataclass
class _Lease:
    """One lease; `claim` is changed by the thread alone."""

    config: LeaseConfig
    claim: LeaseClaim | None = None
    is_wanted: bool = False
    is_taken: bool = False  # by whoever asked
    asked_at: float = 0.0
    renew_at: float = 0.0
    problem: str | None = None  # why the server rejects what it needs

    def token(self) -> int | None:
        """Return the token; None if the lease may not be relied on, or was given up."""
        claim = self.claim
        if claim is None or not self.is_wanted or time.monotonic() >= claim.held_until:
            return None
        return claim.token


class HeldLeases:
    """All leases that a mapping lists; a lease is given up at the end, and when asked to."""

    def __init__(
        self,
        leases: Collection[LeaseConfig],
        address: Address,
        clock: Clock,
        origin: str,
        *,
        health: Health,
        log: logging.Logger,
    ) -> None:
        self._leases = {config.name: _Lease(config) for config in leases}
        self._clock = clock
        self._origin = origin
        self._health = health
        self._log = log
        self._lock = threading.Lock()  # over what is wanted and taken
        self._thread = ConnectionThread(
            ROLE, address, self._session, health=health, retry_max_s=RETRY_MAX_S
        )

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def close(self, deadline: float) -> None:
        """Give all leases up and end the thread."""
        self._thread.close(deadline)
        for lease in self._leases.values():
            if lease.claim is not None:
                lease.claim.end()

    def token(self, name: str) -> int | None:
        """Return the token of a lease; None if it is not held now, or not listed."""
        lease = self._leases.get(name)
        return None if lease is None else lease.token()

    def acquire(self, name: str) -> tuple[bool, str]:
        """Return True and the token if the lease is held; else ask for it, and return why not."""
        lease = self._leases[name]
        with self._lock:
            token = lease.token()
            if token is not None:
                lease.is_taken = True
                return True, str(token)
            if not lease.is_taken:
                lease.is_wanted, lease.asked_at = True, time.monotonic()
        self._thread.waker.set()
        again = f'call again, at least every {ASKED_WITHIN_S:g} s'
        return False, f'waits for the lease {name}{self._why_not(lease)}: {again}'

    def release(self, name: str) -> tuple[bool, str]:
        """Give a lease up, or the place in line; return whether it was held, and a text."""
        lease = self._leases[name]
        with self._lock:
            is_held = lease.token() is not None
            lease.is_wanted = lease.is_taken = False
        self._thread.waker.set()
        return is_held, '' if is_held else f'the lease {name} was not held'

    def _why_not(self, lease: _Lease) -> str:
        state = self._health.state(ROLE)
        if state != 'connected':
            return f', Redis: {state}'
        if lease.problem is not None:
            return f', which the server rejects: {lease.problem}'
        claim = lease.claim
        holder = None if claim is None else claim.holder
        return f', held by {holder}' if holder is not None and holder.owner else ''

    def _session(self, connection: Connection) -> None:
        self._thread.mark_connected()
        while not self._thread.closing.is_set():
            due = min(self._serve(lease, connection) for lease in self._leases.values())
            if due == math.inf:
                connection.call('PING')  # or a server that closes idle connections would
            pause_s = max(0.0, min(due - time.monotonic(), ASKED_WITHIN_S))
            connection.pause(pause_s, self._thread.waker)
        for lease in self._leases.values():
            if lease.claim is not None:
                with suppress(redis.ResponseError):  # of this one; all others are released
                    lease.claim.release(_at(connection, lease))
                lease.claim = None

    def _serve(self, lease: _Lease, connection: Connection) -> float:
        """Do what is due for one lease; what the server rejects concerns no other lease."""
        problem = None
        try:
            due = self._step(lease, _at(connection, lease))
        except redis.RedisError as error:
            is_away = isinstance(error, (redis.ConnectionError, redis.TimeoutError))
            if is_away and not connection.lose_broken():
                raise
            problem = self._thread.redact(error)
            often_s = lease.config.ttl_ms / 1000 / RENEWALS
            due = time.monotonic() + min(RETRY_MAX_S, often_s / 2)
        if problem != lease.problem and problem is not None:
            self._log.warning('lease %s: the server rejects it: %s', lease.config.name, problem)
        lease.problem = problem
        return due

    def _step(self, lease: _Lease, connection: Connection) -> float:
        """Do what is due for one lease; return when something is due again (monotonic)."""
        name, ttl_ms = lease.config.name, lease.config.ttl_ms
        now = time.monotonic()
        with self._lock:
            if not lease.is_taken and now - lease.asked_at > ASKED_WITHIN_S:
                lease.is_wanted = False
        if not lease.is_wanted:
            if lease.claim is not None:
                lease.claim.release(connection)
                lease.claim = None
            return math.inf
        claim = lease.claim
        if claim is None:
            claim = lease.claim = LeaseClaim(
                name, secrets.token_hex(8), ttl_ms, self._origin, socket.gethostname(), os.getpid()
            )
        if not claim.token:
            if not claim.try_take(connection, self._clock.now()):
                return now + look_again_s(claim.ahead)
            self._log.info('lease %s: held, with token %d', name, claim.token)
        elif now < lease.renew_at:
            return lease.renew_at
        elif not claim.renew(connection):
            self._lose(lease, connection, claim)
            return now
        lease.renew_at = now + ttl_ms / 1000 / RENEWALS
        return lease.renew_at

    def _lose(self, lease: _Lease, connection: Connection, claim: LeaseClaim) -> None:
        with self._lock:
            if lease.is_wanted:  # not given up meanwhile
                self._log.warning('lease %s is lost', lease.config.name)
            lease.is_wanted = lease.is_taken = False
        claim.release(connection)
        lease.claim = None


def _at(connection: Connection, lease: _Lease) -> Connection:
    """Return the connection to where a lease is."""
    return connection.at(lease_keys(lease.config.name).holder)
