# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The Redis server's clock."""

from __future__ import annotations

import time
from collections import deque

from redis_bridge.redis_io.connection import Connection


class Clock:
    """The Redis server's clock, from our monotonic one and what TIME answered.

    The server reads its clock at a moment between the sending of TIME and its reply, which is not
    known any closer. `now` is the earliest time that the server's clock may show, `latest` the
    latest.
    """

    def __init__(self) -> None:
        self._earliest = time.time() - time.monotonic()
        self._uncertainty_s = 0.0
        self._samples: deque[tuple[float, float]] = deque(maxlen=8)  # round trip, earliest

    def now(self) -> float:
        """Return the server's time in seconds; our own wall clock until `measure` succeeded."""
        return time.monotonic() + self._earliest

    def latest(self) -> float:
        """Return the latest time in seconds that the server's clock may show, to judge ages by."""
        return self.now() + self._uncertainty_s

    def measure(self, connection: Connection) -> None:
        """Compare with the server's clock; of the last measurements the tightest counts."""
        before = time.monotonic()
        seconds, micros = connection.call('TIME')
        after = time.monotonic()
        earliest, round_trip = int(seconds) + int(micros) / 1e6 - after, after - before
        # If this one cannot be reconciled with the others, a clock was set, or it is another
        # server: then those are worth nothing.
        if any(
            earliest > old + trip or earliest + round_trip < old for trip, old in self._samples
        ):
            self._samples.clear()
        self._samples.append((round_trip, earliest))
        self._uncertainty_s, self._earliest = min(self._samples)

    def uncertainty_s(self) -> float:
        """Return how far `latest` is from `now`."""
        return self._uncertainty_s
