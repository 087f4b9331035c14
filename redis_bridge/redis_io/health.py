# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What each connection role is doing, for log and status."""

from __future__ import annotations

import logging
import threading


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
        self.bugs = 0

    def add(self, role: str) -> None:
        """Make a role known, as not yet connected."""
        with self._lock:
            self._problems[role] = 'not started'

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
            self._log.info('Redis at %s: connected', self._where)

    def mark_disconnected(self, role: str, problem: str, *, quiet: bool = False) -> None:
        """Note that a role is not connected, and why."""
        with self._lock:
            self._problems[role] = problem
            if quiet or problem in self._logged:
                return
            self._logged.add(problem)
            self._log.warning('Redis at %s (%s): %s', self._where, role, problem)

    def bug(self, role: str, text: str) -> None:
        """Note an error of our own, with its traceback."""
        self.bugs += 1
        self._log.exception('Redis (%s): internal error: %s', role, text)

    def states(self) -> dict[str, str]:
        """Return role -> 'connected' or 'connecting: reason'."""
        with self._lock:
            return {
                role: f'connecting: {problem}' if problem else 'connected'
                for role, problem in self._problems.items()
            }
