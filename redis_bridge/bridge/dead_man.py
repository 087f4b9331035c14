# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Stops a robot when the commands on a topic stop coming."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from redis_bridge.bridge.timers import CallAt
from redis_bridge.counters import Counters
from redis_bridge.mapping.model import Stop
from redis_bridge.ports import Publisher

REPEAT_EVERY_S = 0.05  # a best-effort subscriber may miss one stop message, hardly five
REPEAT_WITHIN_S = 0.5  # at the end of the bridge


class DeadMan:
    """The dead-man of one topic, shared by all routes that command it.

    The first command arms it. It triggers when no further command came for `stop.after_ms`, when
    the source is lost and at shutdown, and then publishes the stop message `stop.repeat` times.
    A new command ends the repeating and arms it again. `message` is the serialized stop message.
    """

    def __init__(
        self,
        stop: Stop,
        publisher: Publisher,
        message: bytes,
        call_at: CallAt,
        log: logging.Logger,
        clock: Callable[[], float],
    ) -> None:
        self.stop = stop
        self.publisher = publisher
        self._message = message
        self._call_at = call_at
        self._log = log
        self._clock = clock
        self._lock = threading.RLock()
        self._deadline: float | None = None  # None: not armed
        self._counters = Counters()  # of the route that commanded last
        self._timer_is_set = False
        self._left = 0  # stop messages still to be repeated
        self._closed = False

    def command(self, publisher: Publisher, command: bytes, counters: Counters) -> bool:
        """Publish a command and expect the next one; False once closed, when none may pass.

        `publisher` and `counters` are those of the route, which counts the stop if no further
        command comes.
        """
        with self._lock:
            if self._closed:
                return False
            publisher.publish(command)
            self._counters = counters
            self._left = 0
            self._deadline = self._clock() + self.stop.after_ms / 1000
            if not self._timer_is_set:
                self._timer_is_set = True
                self._call_at(self._deadline, self._check)
            return True

    def trigger(self, why: str) -> None:
        """Stop now, if it is armed."""
        with self._lock:
            if self._deadline is None or self._closed:
                return
            self._deadline, self._left = None, self.stop.repeat
            self._counters.count_event('stop')
            self._log.warning('%s: stop, %s', self.publisher.name, why)
            self._send_next()

    def close(self) -> int:
        """Reject further commands; return how many stop messages are still to be sent."""
        with self._lock:
            self._closed = True
            left = self.stop.repeat if self._deadline is not None else self._left
            self._deadline, self._left = None, 0
            return left

    def publish_stop(self) -> None:
        """Publish one stop message; an error is logged, so that all other topics stop as well."""
        try:
            self.publisher.publish(self._message)
        except Exception:
            self._log.exception('%s: the stop message was not published', self.publisher.name)

    def _check(self) -> None:
        with self._lock:
            self._timer_is_set = False
            if self._deadline is None or self._closed:
                return
            if self._clock() < self._deadline:
                self._timer_is_set = True
                self._call_at(self._deadline, self._check)
            else:
                self.trigger(f'no command for {self.stop.after_ms} ms')

    def _send_next(self) -> None:
        with self._lock:
            if self._left > 0 and not self._closed:
                self.publish_stop()
                self._left -= 1
                if self._left > 0:
                    self._call_at(self._clock() + REPEAT_EVERY_S, self._send_next)


def close_all(dead_men: Iterable[DeadMan]) -> None:
    """Close dead-men, and send the stop messages of those in force.

    Every topic gets its first stop message at once. Repetitions take 0.5 s at most, because what
    started the bridge may kill it if its end takes long.
    """
    left = {dead_man: dead_man.close() for dead_man in dead_men}
    until = time.monotonic() + REPEAT_WITHIN_S
    while left := {dead_man: count for dead_man, count in left.items() if count > 0}:
        for dead_man in left:
            dead_man.publish_stop()
            left[dead_man] -= 1
        if not any(left.values()) or time.monotonic() + REPEAT_EVERY_S > until:
            break
        time.sleep(REPEAT_EVERY_S)
