# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A lease that a client waits for and holds: one thread renews it, another watches the time."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from functools import partial

from redis_bridge.client.calls import Calls, is_connection_loss
from redis_bridge.client.listings import register
from redis_bridge.client.spans import check_ms
from redis_bridge.errors import BridgeError, RedisError, WaitTimeoutError
from redis_bridge.mapping.model import RedisSettings
from redis_bridge.protocol import leases, registry
from redis_bridge.redis_io.address import Timing
from redis_bridge.redis_io.lease import RENEWALS, LeaseClaim, look_again_s

LOG = logging.getLogger('redis_bridge.client')
RETRY_S = 0.05  # after a renewal that failed


class Lease:
    """One lease, made by `Client.lease`; a context manager that holds it within.

    An object is used once. Several threads may share it.
    """

    def __init__(
        self,
        settings: RedisSettings,
        name: str,
        ttl_ms: int,
        timeout_s: float | None,
        on_lost: Callable[[Lease], None] | None,
        origin: str,
        on_close: Callable[[Lease], None],
    ) -> None:
        if problem := leases.lease_name_problem(name):
            raise BridgeError(problem)
        check_ms('ttl_ms', ttl_ms)
        self.name = name
        self.lost = threading.Event()
        self._timeout_s = timeout_s
        self._origin = origin
        self._on_lost = on_lost
        self._on_close = on_close
        self._renew_s = ttl_ms / 1000 / RENEWALS
        self._calls = Calls(settings, Timing(min(2.0, self._renew_s), min(5.0, self._renew_s)))
        self._use = partial(self._calls.use, at=leases.lease_keys(name).holder)
        self._claim = LeaseClaim(
            name, secrets.token_hex(8), ttl_ms, origin, socket.gethostname(), os.getpid()
        )
        self._lock = threading.Lock()  # over what follows
        self._is_used = False
        self._is_known = False  # the server may know us
        self._ended = threading.Event()
        self._changed = threading.Event()  # wakes the thread that watches the time

    def __enter__(self) -> Lease:
        self.acquire()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    @property
    def token(self) -> int:
        """The fencing token: larger than that of every holder before, and never another's.

        Whoever guards the shared thing rejects a token smaller than the largest one it has seen.
        It stays the same until the end, also after a loss. BridgeError before `acquire`.
        """
        if not self._claim.token:
            raise BridgeError(f'lease {self.name!r} was not acquired yet: it has no token')
        return self._claim.token

    @property
    def held(self) -> bool:
        """Whether this process may rely on the lease now, by its own clock."""
        is_over = self.lost.is_set() or self._ended.is_set()
        return not is_over and time.monotonic() < self._claim.held_until

    def acquire(self) -> None:
        """Wait until the lease is ours.

        :raises WaitTimeoutError: it is not ours within `timeout_s`.
        :raises RedisError: Redis cannot be reached, or answers with an error. While this waits, a
            lost connection is restored.
        """
        with self._lock:
            if self._is_used or self._ended.is_set():
                raise BridgeError(f'lease {self.name!r} was used before: ask for a new one')
            self._is_used = True
        try:
            self._wait()
        except BaseException:
            self.release()
            raise
        for work in (self._renew, self._watch_time):
            threading.Thread(target=work, name=f'lease {self.name}', daemon=True).start()

    def release(self) -> None:
        """Give the lease up, so that the next one has it at once; doing so twice is harmless."""
        with self._lock:
            if self._ended.is_set():
                return
            self._ended.set()
        self._claim.end()
        self._changed.set()
        try:
            if self._is_known:
                self._use(self._claim.release)
        except RedisError as error:
            LOG.warning('lease %s: not released, it ends by itself: %s', self.name, error)
        finally:
            self._calls.close()
            self._on_close(self)

    close = release

    def _wait(self) -> None:
        """Wait in line until the lease is ours."""
        end = None if self._timeout_s is None else time.monotonic() + self._timeout_s
        problem: RedisError | None = None
        while True:
            try:
                now = self._calls.now()
                self._is_known = True
                if self._use(partial(self._claim.try_take, now=now)):
                    register(self._calls, registry.LEASE, self.name, self._origin)
                    return
            except RedisError as error:
                if not self._is_known or not is_connection_loss(error):
                    raise
                problem = error
            else:
                problem = None
            pause_s = look_again_s(self._claim.ahead)
            left_s = pause_s if end is None else end - time.monotonic()
            if left_s <= 0:
                raise WaitTimeoutError(
                    f'lease {self.name!r} was not ours within {self._timeout_s:g} s: '
                    f'{problem or self._why_not()}'
                )
            if self._ended.wait(min(left_s, pause_s)):
                raise BridgeError(f'lease {self.name!r}: closed while it was waited for')

    def _why_not(self) -> str:
        holder = self._claim.holder
        if holder is not None and holder.owner:
            return f'it is held by {holder}'
        if self._claim.ahead:
            return 'others came before'
        return (
            'this server may have lost it, and so it stays free for one time to live, because a '
            'holder of before may still rely on it'
        )

    def _renew(self) -> None:
        """Renew the lease until its end."""
        pause_s = self._renew_s
        while not self._ended.wait(pause_s) and not self.lost.is_set():
            try:
                if not self._use(self._claim.renew):
                    break
                pause_s = self._renew_s
            except RedisError as error:
                LOG.warning('lease %s: not renewed: %s', self.name, error)
                pause_s = min(RETRY_S, self._renew_s)
        self._changed.set()

    def _watch_time(self) -> None:
        """Report the loss as soon as the lease cannot be relied on any more."""
        while not self._ended.is_set():
            left_s = self._claim.held_until - time.monotonic()
            if left_s <= 0:
                break
            self._changed.wait(left_s)
        with self._lock:
            if self._ended.is_set():
                return
            self.lost.set()
        LOG.warning('lease %s is lost', self.name)
        if self._on_lost is not None:
            try:
                self._on_lost(self)
            except Exception:  # a bug of the caller's; it is logged with its traceback
                LOG.exception('lease %s: on_lost failed', self.name)
