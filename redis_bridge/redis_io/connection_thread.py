# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The thread of one connection role, which connects again after every loss.

redis-py's own retries are off everywhere: they send writes twice and hide how long a call takes.
"""

from __future__ import annotations

import math
import random
import threading
import time
from collections.abc import Callable

import redis

from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.connection import Connection, Waker
from redis_bridge.redis_io.health import NOT_STARTED, Health

CUT_S = 0.15  # for a thread to end once its connection was broken
DENIED = (redis.AuthenticationError, redis.exceptions.NoPermissionError)


class ConnectionThread:
    """A role's thread: connects, runs a session, comes back after each loss.

    `session` runs with a fresh connection until `closing` is set or the connection fails; it
    calls `mark_connected` once it is set up. `gate`, if given, returns why the role may not
    connect now, `is_idle` whether it needs no connection now; `waker` is set when they change.
    """

    def __init__(
        self,
        role: str,
        address: Address,
        session: Callable[[Connection], None],
        *,
        health: Health,
        on_disconnect: Callable[[], None] = lambda: None,
        gate: Callable[[], str | None] = lambda: None,
        is_idle: Callable[[], bool] = lambda: False,
        retry_max_s: float = math.inf,  # beside that of the address
    ) -> None:
        self.waker = Waker()
        self.closing = threading.Event()
        self._role = role
        self._address = address
        self._session = session
        self._health = health
        self._on_disconnect = on_disconnect
        self._gate = gate
        self._is_idle = is_idle
        self._retry_max_s = min(retry_max_s, address.timing.retry_max_s)
        self._is_up = False
        self._hurry = threading.Event()  # ends the pause before the next connection
        self._pause_s = address.timing.retry_first_s
        self._connections: list[Connection] = []  # of the session
        self._thread = threading.Thread(target=self._run, name=f'redis {role}', daemon=True)
        health.mark_disconnected(role, NOT_STARTED, quiet=True)
        address.add_follower(self)

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def connect(self) -> Connection:
        """Return one more connection that lives as long as the session, from within it."""
        connection = self._address.open()
        self._connections.append(connection)
        connection.connect()
        return connection

    def mark_connected(self) -> None:
        """Note that the session is set up, from within it; raises where the gate has shut."""
        reason = self._gate()
        if reason is not None:
            raise redis.ConnectionError(reason)
        self._is_up = True
        self._pause_s = self._address.timing.retry_first_s
        self._health.mark_connected(self._role)

    def redact(self, error: BaseException) -> str:
        """Return the text of an error without secrets."""
        return self._address.redact(error)

    def finish(self) -> None:
        """Ask the session to end in its own time."""
        self.closing.set()
        self.hasten()
        self.waker.set()

    def hasten(self) -> None:
        """End the pause before the next connection; may be called from any thread."""
        self._hurry.set()

    def interrupt(self) -> None:
        """Break the connection; the thread goes on with the next one, or ends if closing."""
        for connection in tuple(self._connections):
            connection.interrupt()
        self.waker.set()

    def close(self, deadline: float) -> None:
        """End the session, in its own time until `deadline` (monotonic), then without asking."""
        self.finish()
        if self._thread.ident is None:
            self.waker.close()
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        last = time.monotonic() + CUT_S
        while self._thread.is_alive() and time.monotonic() < last:
            self.interrupt()  # again and again, because a connection may just be made
            self._thread.join(0.01)

    def _run(self) -> None:
        while not self.closing.is_set():
            if self._is_idle():
                self._health.remove(self._role)
                self.waker.wait()
            elif (reason := self._gate()) is not None:
                self._health.mark_disconnected(self._role, reason, quiet=True)
                self.waker.wait()
            else:
                self._run_session()
        self._health.mark_disconnected(self._role, 'closed', quiet=True)
        self.waker.close()

    def _run_session(self) -> None:
        """Connect once, and wait after a loss."""
        self._is_up = False
        longest_s = self._retry_max_s
        problem = 'the session ended'
        try:
            self._session(self.connect())
        except (redis.RedisError, OSError) as error:
            problem = self.redact(error)
            if isinstance(error, DENIED):
                longest_s = self._address.timing.denied_max_s
        except Exception as error:  # a bug must not end the role; it is logged with its traceback
            problem = f'internal error: {self.redact(error)}'
            self._health.bug(self._role, self.redact(error))
        finally:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
        if self.closing.is_set() or self._is_idle():
            return
        is_shut = self._gate() is not None  # then it was interrupted on purpose
        self._health.mark_disconnected(self._role, problem, quiet=is_shut)
        if self._is_up:
            try:
                self._on_disconnect()
            except Exception as error:  # a bug of a receiver; see above
                self._health.bug(self._role, self.redact(error))
        if self._hurry.wait(random.uniform(0, self._pause_s)):
            self._hurry.clear()
            self._pause_s = self._address.timing.retry_first_s
        else:
            self._pause_s = min(2 * self._pause_s, longest_s)
