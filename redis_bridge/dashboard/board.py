# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The newest state of all that the page shows: one place, which many browsers read.

A browser asks what has changed since the version that it has. What changed twice meanwhile is
there once, so that a slow browser gets newer data, less often, and nothing is kept for it.
"""

from __future__ import annotations

import threading
import time
from typing import Any, NamedTuple

Value = dict[str, Any] | list[Any]
Changes = dict[str, dict[str, Value | None]]  # by section and key; None: gone

MOST_EVENTS = 200
EVENTS = 'event'


class _Entry(NamedTuple):
    version: int
    value: Value | None


class Board:
    """Values by section and key, each with the version in which it changed; thread-safe.

    It also knows the time by the Redis server's clock, also while the server is away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._sections: dict[str, dict[str, _Entry]] = {}
        self._events = 0
        self._ahead_s = time.time() - time.monotonic()

    def put(self, section: str, key: str, value: Value) -> None:
        """Set a value; one that is equal is no change."""
        self._set(section, key, value)

    def remove(self, section: str, key: str) -> None:
        """Remove a value."""
        if self.get(section, key) is not None:
            self._set(section, key, None)

    def keep_only(self, section: str, values: dict[str, Value]) -> None:
        """Set all values of a section, and remove the others."""
        for key in self.keys(section) - values.keys():
            self.remove(section, key)
        for key, value in values.items():
            self._set(section, key, value)

    def get(self, section: str, key: str) -> Value | None:
        """Return a value; None if there is none."""
        with self._lock:
            entry = self._sections.get(section, {}).get(key)
            return None if entry is None else entry.value

    def keys(self, section: str) -> set[str]:
        """Return the keys of a section that have a value."""
        with self._lock:
            entries = self._sections.get(section, {})
            return {key for key, entry in entries.items() if entry.value is not None}

    def log(self, text: str, robot: str = '', kind: str = '', at: float | None = None) -> None:
        """Add a line to the log of events, which keeps the last ones.

        :param at: when it was, in seconds by the server's clock; None: now.
        """
        with self._lock:
            self._events += 1
            number = self._events
            entries = self._sections.setdefault(EVENTS, {})
            if len(entries) >= MOST_EVENTS:
                del entries[next(iter(entries))]
        stamp = round(self.now() if at is None else at, 3)
        self._set(EVENTS, str(number), {'at': stamp, 'robot': robot, 'kind': kind, 'text': text})

    def changes(self, since: int) -> tuple[int, Changes]:
        """Return the present version, and what has changed since another one (0: everything)."""
        with self._lock:
            found: Changes = {}
            for section, entries in self._sections.items():
                changed = {
                    key: entry.value
                    for key, entry in entries.items()
                    if entry.version > since and (since or entry.value is not None)
                }
                if changed:
                    found[section] = changed
            return self._version, found

    def now(self) -> float:
        """Return the time by the server's clock, in seconds."""
        return time.monotonic() + self._ahead_s

    def set_clock(self, now: float) -> None:
        """Learn the server's time."""
        self._ahead_s = now - time.monotonic()

    def _set(self, section: str, key: str, value: Value | None) -> None:
        with self._lock:
            entries = self._sections.setdefault(section, {})
            known = entries.get(key)
            if known is None or known.value != value:
                self._version += 1
                entries[key] = _Entry(self._version, value)
