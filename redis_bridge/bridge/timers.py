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


class Timers:
    """A thread that waits for the earliest of its timers; times are monotonic seconds."""

    def __init__(self, name: str, log: logging.Logger) -> None:
        self._log = log
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()  # equal times keep their order
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start calling."""
        self._thread.start()

    def call_at(self, when: float, call: Callable[[], None]) -> None:
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
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (wait := self._wait()) != 0:
                    self._changed.wait(wait)
                if self._closed:
                    return
                _, _, call = heapq.heappop(self._heap)
            try:
                call()
            except Exception:  # one broken timer must not stop the dead-men of the others
                self._log.exception('a timer failed')

    def _wait(self) -> float | None:
        """Return the seconds until the next timer, 0 if one is due, None if there is none."""
        if not self._heap:
            return None
        return max(0.0, self._heap[0][0] - time.monotonic())
