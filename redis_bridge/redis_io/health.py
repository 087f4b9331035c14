# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What each connection role is doing, for log and status."""

from __future__ import annotations

import logging
import threading

NOT_STARTED = 'not started'


class Health:
    """Which role is connected and why another is not; logs only what changed.

    Logs inside the lock, so that losses and connects appear in the order in which they happened.
    """

    def __init__(self, log: logging.Logger, where: str) -> None:
        self._log = log
        self._where = where
        self._lock = threading.Lock()
        self._problems: dict[str, str | None] = {}
        self._logged: set[str] = set()

    def remove(self, role: str) -> None:
        """Forget a role that needs no connection now."""
        with self._lock:
            self._problems.pop(role, None)

    def mark_connected(self, role: str) -> None:
        """Note that a role is connected."""
        with self._lock:
            was, self._problems[role] = self._problems.get(role, 'idle'), None
            if was is None or any(self._problems.values()):
                return
            self._logged.clear()
            self.log_connected()

    def mark_disconnected(self, role: str, problem: str, *, quiet: bool = False) -> None:
        """Note that a role is not connected, and why."""
        with self._lock:
            self._problems[role] = problem
            if quiet or problem in self._logged:
                return
            self._logged.add(problem)
            self.log_problem(role, problem)

    def log_connected(self) -> None:
        """Log that all roles are connected."""
        self._log.info('Redis at %s: connected', self._where)

    def log_problem(self, role: str, problem: str) -> None:
        """Log why a role is not connected."""
        self._log.warning('Redis at %s (%s): %s', self._where, role, problem)

    def bug(self, role: str, text: str) -> None:
        """Note an error of our own, with its traceback."""
        self._log.exception('Redis (%s): internal error: %s', role, text)

    def failure(self, role: str) -> str | None:
        """Return why a role could not connect or lost its connection; None before it has tried."""
        with self._lock:
            problem = self._problems.get(role)
        return None if problem == NOT_STARTED else problem

    def state(self, role: str) -> str:
        """Return 'connected' or 'connecting: reason', also of a role that was idle until now."""
        return _state(self._problems.get(role, NOT_STARTED))

    def states(self) -> dict[str, str]:
        """Return role -> 'connected' or 'connecting: reason'."""
        with self._lock:
            return {role: _state(problem) for role, problem in self._problems.items()}


def _state(problem: str | None) -> str:
    return f'connecting: {problem}' if problem else 'connected'
