# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Stops a robot when the commands on a topic stop coming."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

from redis_bridge.counters import Counters
from redis_bridge.mapping.model import Qos, RedisToRos, Stop
from redis_bridge.messages import cdr_write
from redis_bridge.ports import Publisher, RosSide, Timers

REPEAT_EVERY_S = 0.05  # a best-effort subscriber may miss one stop message, hardly five
STOP_ACKED_WITHIN_S = 0.3


class DeadMan:
    """The dead-man of one topic, shared by all routes that command it.

    The first command arms it. It triggers when no further command came for `stop.after_ms`, when
    the source is lost and at shutdown, and then publishes the stop message `stop.repeat` times.
    A new command ends the repeating and arms it again.
    """

    def __init__(
        self,
        stop: Stop,
        publish_stop: Callable[[], None],
        timers: Timers,
        log: logging.Logger,
        *,
        topic: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._after_s = stop.after_ms / 1000
        self._repeat = stop.repeat
        self._publish_stop = publish_stop
        self._timers = timers
        self._log = log
        self._topic = topic
        self._clock = clock
        self._lock = threading.Lock()
        self._deadline: float | None = None  # None: not armed
        self._counters = Counters()  # of the route that commanded last
        self._timer_is_set = False
        self._left = 0  # stop messages still to be repeated
        self._closed = False

    def command(self, publish: Callable[[], None], counters: Counters) -> bool:
        """Publish a command and expect the next one; False once closed, when none may pass.

        `counters` are those of the route, which count the stop if no further command comes.
        """
        with self._lock:
            if self._closed:
                return False
            publish()
            self._counters = counters
            self._left = 0
            self._deadline = self._clock() + self._after_s
            if not self._timer_is_set:
                self._timer_is_set = True
                self._timers.call_at(self._deadline, self._check)
            return True

    def trigger(self, why: str) -> None:
        """Stop now, if it is armed."""
        with self._lock:
            self._stop(why)

    def close(self) -> None:
        """Reject further commands and, if one was in force, send all stop messages now."""
        with self._lock:
            self._closed = True
            left = self._repeat if self._deadline is not None else self._left
            self._deadline, self._left = None, 0
        for turn in range(left):
            if turn:
                time.sleep(REPEAT_EVERY_S)
            self._publish_stop()

    def _check(self) -> None:
        with self._lock:
            self._timer_is_set = False
            if self._deadline is None or self._closed:
                return
            if self._clock() < self._deadline:
                self._timer_is_set = True
                self._timers.call_at(self._deadline, self._check)
            else:
                self._stop(f'no command for {self._after_s * 1000:.0f} ms')

    def _stop(self, why: str) -> None:
        if self._deadline is None or self._closed:
            return
        self._deadline = None
        self._left = self._repeat
        self._counters.count_event('stop')
        self._log.warning('%s: stop, %s', self._topic, why)
        self._send()

    def _send(self) -> None:
        self._publish_stop()
        self._left -= 1
        if self._left > 0:
            self._timers.call_at(self._clock() + REPEAT_EVERY_S, self._send_next)

    def _send_next(self) -> None:
        with self._lock:
            if self._left > 0 and not self._closed:
                self._send()


class _Guard(NamedTuple):
    """A dead-man with what it was made from."""

    publisher: Publisher
    stop: Stop
    dead_man: DeadMan


class DeadMen:
    """The dead-men of all topics that routes with a stop command.

    Each holds a publisher of its own, because the route that it was made for may go first.
    """

    def __init__(
        self, ros: RosSide, timers: Timers, log: logging.Logger, clock: Callable[[], float]
    ) -> None:
        self._ros = ros
        self._timers = timers
        self._log = log
        self._clock = clock
        self._guards: list[_Guard] = []

    def of(self, route: RedisToRos, topic: str) -> DeadMan | None:
        """Return the dead-man of the route's topic (its full name); None without a stop.

        Raises PayloadError for a stop message that does not fit the type.
        """
        stop = route.stop
        if stop is None:
            return None
        for guard in self._guards:
            if (guard.publisher.name, guard.stop) == (topic, stop):
                return guard.dead_man
        publisher = self._ros.publisher(*publisher_of(route))
        stop_message = cdr_write.writer(publisher.message)(stop.message)
        dead_man = DeadMan(
            stop,
            lambda: publisher.publish(stop_message),
            self._timers,
            self._log,
            topic=topic,
            clock=self._clock,
        )
        self._guards.append(_Guard(publisher, stop, dead_man))
        return dead_man

    def keep(self, used: Collection[DeadMan]) -> None:
        """Close all others, which sends their stop messages if commands were in force."""
        unused = [guard for guard in self._guards if guard.dead_man not in used]
        self._guards = [guard for guard in self._guards if guard.dead_man in used]
        for guard in unused:
            guard.dead_man.close()
        for guard in unused:
            guard.publisher.wait_for_acked(STOP_ACKED_WITHIN_S)
            self._ros.release(guard.publisher)


def publisher_of(route: RedisToRos) -> tuple[str, str, Qos, bool]:
    """Return the arguments of `RosSide.publisher` for the route's topic."""
    return route.topic, route.type, route.qos, not route.source.is_event
