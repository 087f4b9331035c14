# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What went through an end of a route, and what was dropped and why."""

from __future__ import annotations

import threading
from collections import Counter


class Counters:
    """Thread-safe tallies; `snapshot` reads them all at one moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._carried = 0
        self._bytes = 0
        self._latency_s = 0.0  # sum over the carried, for the mean between two snapshots
        self._dropped: Counter[str] = Counter()
        self._noted: Counter[str] = Counter()

    def carry(self, count: int, size: int, latency_s: float = 0.0) -> None:
        """Count samples that reached the other side, their bytes and their summed latency."""
        with self._lock:
            self._carried += count
            self._bytes += size
            self._latency_s += latency_s

    def drop(self, reason: str, count: int = 1) -> None:
        """Count samples that were given up, by reason (`over_rate`, `too_old`, ...)."""
        with self._lock:
            self._dropped[reason] += count

    def count_event(self, event: str, count: int = 1) -> None:
        """Count what is no drop but worth knowing (`gap`, `stop`, `resent`, ...)."""
        with self._lock:
            self._noted[event] += count

    def snapshot(self) -> dict:
        """Return {carried, bytes, latency_s, dropped: {reason: n}, noted: {event: n}}."""
        with self._lock:
            return {
                'carried': self._carried,
                'bytes': self._bytes,
                'latency_s': self._latency_s,
                'dropped': dict(self._dropped),
                'noted': dict(self._noted),
            }
