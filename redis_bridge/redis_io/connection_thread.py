# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The thread of one connection role, which connects again after every loss.

redis-py's own retries are off everywhere: they send writes twice and hide how long a call takes.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable

import redis

from redis_bridge.redis_io.address import Address, InvalidSettings, Timing
from redis_bridge.redis_io.connection import Connection, Waker
from redis_bridge.redis_io.health import Health

Session = Callable[[Connection], None]

GATE_POLL_S = 0.05
CUT_S = 0.15  # for a thread to end once its connection was broken


class ConnectionThread:
    """A role's thread: connects, runs a session, comes back after each loss.

    `session` runs with a fresh connection until `closing` is set or the connection fails; it
    calls `mark_connected` once it is set up. `gate`, if given, returns why the role may not
    connect now, `is_idle` whether it needs no connection now.
    """

    def __init__(
        self,
        role: str,
        address: Address,
        session: Session,
        *,
        health: Health,
        timing: Timing,
        on_disconnect: Callable[[], None] = lambda: None,
        gate: Callable[[], str | None] = lambda: None,
        is_idle: Callable[[], bool] = lambda: False,
    ) -> None:
        self.role = role
        self.timing = timing
        self.waker = Waker()
        self.closing = threading.Event()
        self._address = address
        self._session = session
        self._health = health
        self._on_disconnect = on_disconnect
        self._gate = gate
        self._is_idle = is_idle
        self._is_up = False
        self._pause_s = timing.retry_first_s
        self._connection: Connection | None = None
        self._extra: Connection | None = None
        self._thread = threading.Thread(target=self._run, name=f'redis {role}', daemon=True)
        health.add(role)

    def start(self) -> None:
        """Start the thread; returns at once."""
        self._thread.start()

    def mark_connected(self) -> None:
        """Note that the session is set up, from within it; raises where the gate has shut."""
        reason = self._gate()
        if reason is not None:
            raise redis.ConnectionError(reason)
        self._is_up = True
        self._pause_s = self.timing.retry_first_s
        self._health.mark_connected(self.role)

    def second_connection(self) -> Connection:
        """Return a second connection that lives as long as the session, from within it."""
        self._extra = Connection(self._address.connection())
        self._extra.connect()
        return self._extra

    def redact(self, error: BaseException) -> str:
        """Return the text of an error without secrets."""
        return self._address.redact(error)

    def finish(self) -> None:
        """Ask the session to end in its own time."""
        self.closing.set()
        self.waker.set()

    def interrupt(self) -> None:
        """Break the connection; the thread goes on with the next one, or ends if closing."""
        for connection in (self._connection, self._extra):
            if connection is not None:
                connection.interrupt()
        self.waker.set()

    def join(self, deadline: float) -> bool:
        """Wait until `deadline` (monotonic seconds); return whether the thread has ended."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    def close(self, deadline: float) -> None:
        """End the session, in its own time until `deadline`, then without asking."""
        self.finish()
        last = max(deadline, time.monotonic()) + CUT_S
        while not self.join(deadline) and time.monotonic() < last:
            self.interrupt()  # again and again, as a connection may just be coming about
            deadline = time.monotonic() + 0.01
        if self._thread.ident is None:
            self.waker.close()

    def _run(self) -> None:
        while not self.closing.is_set():
            if self._is_idle():
                self._health.remove(self.role)
                self.closing.wait(GATE_POLL_S)
                continue
            reason = self._gate()
            if reason is not None:
                self._health.mark_disconnected(self.role, reason, quiet=True)
                self.closing.wait(GATE_POLL_S)
                continue
            self._is_up = False
            is_denied = False
            problem = 'the session ended'
            try:
                self._hold_session()
            except (
                redis.AuthenticationError,
                redis.exceptions.NoPermissionError,
                InvalidSettings,
            ) as e:
                is_denied, problem = True, self.redact(e)
            except (redis.RedisError, OSError) as e:
                problem = self.redact(e)
            except Exception as e:  # a bug must not end the role; it is logged with its traceback
                problem = f'internal error: {self.redact(e)}'
                self._health.bug(self.role, self.redact(e))
            finally:
                self._hang_up()
            if not self.closing.is_set() and not self._is_idle():
                self._recover(problem, is_denied)
        self._health.mark_disconnected(self.role, 'closed', quiet=True)
        self.waker.close()

    def _hold_session(self) -> None:
        self._connection = Connection(self._address.connection())
        self._connection.connect()
        self._session(self._connection)

    def _hang_up(self) -> None:
        for connection in (self._connection, self._extra):
            if connection is not None:
                connection.close()
        self._connection = self._extra = None

    def _recover(self, problem: str, is_denied: bool) -> None:
        """Report the loss and wait before the next attempt."""
        is_shut = self._gate() is not None  # then it was interrupted on purpose
        self._health.mark_disconnected(self.role, problem, quiet=is_shut)
        if self._is_up:
            try:
                self._on_disconnect()
            except Exception as e:  # a bug of a receiver; see above
                self._health.bug(self.role, self.redact(e))
        pause_s = random.uniform(0, self._pause_s)
        longest_s = self.timing.denied_max_s if is_denied else self.timing.retry_max_s
        self._pause_s = min(2 * self._pause_s, longest_s)
        self.closing.wait(pause_s)
