# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Stand-ins for our own protocols: a clock with timers, a sink, a publisher."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from redis_bridge.protocol.meta import Meta


class FakeClock:
    """A clock that stands until a test moves it, and the timers that hang on it."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def call_at(self, when: float, call: Callable[[], None]) -> None:
        self.timers.append((when, call))

    def move(self, seconds: float) -> None:
        """Let time pass; timers are called at their moment, in order."""
        end = self.now + seconds
        while due := [alarm for alarm in self.timers if alarm[0] <= end]:
            alarm = min(due, key=lambda alarm: alarm[0])
            self.timers.remove(alarm)
            self.now = max(self.now, alarm[0])
            alarm[1]()
        self.now = end


class MemorySink:
    """Keeps what is written to it."""

    def __init__(self) -> None:
        self.written: list[tuple[Any, Meta]] = []
        self.renewed = 0

    def write(self, samples: Sequence[tuple[Any, Meta | None]]) -> None:
        self.written += samples

    def renew(self) -> None:
        self.renewed += 1

    @property
    def payloads(self) -> list[Any]:
        return [payload for payload, _ in self.written]


class MemoryPublisher:
    """Keeps what is published."""

    def __init__(self, message: Any) -> None:
        self.message = message
        self.published: list[bytes] = []
        self.subscribers = 1
        self.acknowledges = True

    def publish(self, cdr: bytes) -> None:
        self.published.append(cdr)

    def has_subscribers(self) -> bool:
        return self.subscribers > 0

    def wait_for_acked(self, seconds: float) -> bool:
        return self.acknowledges
