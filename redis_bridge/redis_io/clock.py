# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis server's clock."""

from __future__ import annotations

import time
from collections import deque

from redis_bridge.redis_io.connection import Connection


class Clock:
    """The Redis server's clock, from our monotonic one and what TIME answered."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()
        self._samples: deque[tuple[float, float]] = deque(maxlen=8)  # round trip, offset

    def now(self) -> float:
        """Return the server's time in seconds; our own wall clock until `measure` succeeded."""
        return time.monotonic() + self._offset

    def measure(self, connection: Connection) -> None:
        """Compare with the server's clock; of the last measurements the tightest counts."""
        before = time.monotonic()
        seconds, micros = connection.call('TIME')
        after = time.monotonic()
        offset = int(seconds) + int(micros) / 1e6 - (before + after) / 2
        round_trip = after - before
        # Where this one cannot be reconciled with the others, a clock was set, or it is another
        # server: then those are worth nothing.
        if any(abs(offset - old) > round_trip + trip for trip, old in self._samples):
            self._samples.clear()
        self._samples.append((round_trip, offset))
        self._offset = min(self._samples)[1]
