# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Calls functions when they are due, all from one thread."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Callable

Call = Callable[[], None]
CallAt = Callable[[float, Call], None]  # `Timers.call_at`


class Timers:
    """A thread that waits for the earliest of its timers; times are monotonic seconds."""

    def __init__(self, name: str, log: logging.Logger) -> None:
        self._log = log
        self._heap: list[tuple[float, int, Call]] = []
        self._order = itertools.count()  # equal times keep their order
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def call_at(self, when: float, call: Call) -> None:
        """Have `call` called at `when`, or at once if that has passed."""
        with self._changed:
            heapq.heappush(self._heap, (when, next(self._order), call))
            if self._heap[0][0] == when:
                self._changed.notify()

    def close(self) -> None:
        """Stop calling; timers that are not due yet are dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while call := self._next_due():
            try:
                call()
            except Exception:  # one broken timer must not stop the dead-men of the others
                self._log.exception('a timer failed')

    def _next_due(self) -> Call | None:
        """Wait for the earliest timer; None once closed."""
        with self._changed:
            while not self._closed:
                wait = self._heap[0][0] - time.monotonic() if self._heap else None
                if wait is not None and wait <= 0:
                    return heapq.heappop(self._heap)[2]
                self._changed.wait(None if wait is None else min(wait, threading.TIMEOUT_MAX))
        return None
