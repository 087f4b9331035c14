# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Sends goals and stops to robots."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterable

from redis_bridge.client.client import Client
from redis_bridge.dashboard import readings
from redis_bridge.dashboard.names import Names, Target
from redis_bridge.errors import BridgeError, RedisError

STOP_FOR_S = 5.0
STOP_EVERY_S = 0.1


class Control:
    """Sends what users of the page ask for, over a client of its own."""

    def __init__(self, client: Client, names: Callable[[], Names]) -> None:
        self._client = client
        self._names = names
        self._changed = threading.Condition()
        self._stopping: dict[str, float] = {}  # until when (monotonic), by robot
        self._is_closed = False
        self._thread = threading.Thread(target=self._repeat, name='dashboard stop', daemon=True)

    def start(self) -> None:
        """Start the thread that repeats stops."""
        self._thread.start()

    def close(self) -> None:
        """End the thread, and close the client."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(5.0)
        self._client.close()

    def go(self, robot: str, x: float, y: float, yaw: float, frame: str) -> str:
        """Send a robot to a place, and return what to tell the user.

        :param x, y: in m, in `frame`; `yaw` in rad.
        :raises BridgeError: it was not sent, and why.
        """
        if not math.isfinite(x + y + yaw):
            raise BridgeError('a goal needs finite numbers')
        target = self._names().goals.get(robot)
        if target is None:
            raise BridgeError(
                f'{robot} has no goal name: add a redis_to_ros route of type {readings.POSE}'
            )
        self._send(target, readings.goal(x, y, yaw, frame))
        return f'goal ({x:.2f}, {y:.2f}) sent to {target.name}'

    def stop(self, robots: Iterable[str]) -> dict[str, str | None]:
        """Stop robots now and for STOP_FOR_S; return by robot why it was not sent, or None."""
        outcome: dict[str, str | None] = {}
        away: str | None = None  # why Redis cannot be reached: asked once, not per robot
        for robot in robots:
            with self._changed:  # also if the first one fails, such as while Redis is away
                self._stopping[robot] = time.monotonic() + STOP_FOR_S
                self._changed.notify()
            if away is not None:
                outcome[robot] = away
                continue
            try:
                self._stop(robot)
                outcome[robot] = None
            except RedisError as error:
                outcome[robot] = away = str(error)
            except BridgeError as error:
                outcome[robot] = str(error)
        return outcome

    def _stop(self, robot: str) -> None:
        target = self._names().stops.get(robot)
        if target is None:
            raise BridgeError(
                f'{robot} has no command name: add a redis_to_ros route of type {readings.TWIST}'
            )
        self._send(target, readings.STOP[target.type])

    def _send(self, target: Target, value: object) -> None:
        if not self._client.publish(target.name, value, kind=target.kind):
            raise BridgeError(f'nobody listens on {target.kind} {target.name}')

    def _repeat(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._is_closed)
                if self._is_closed:
                    return
                now = time.monotonic()
                self._stopping = {r: until for r, until in self._stopping.items() if until > now}
                robots = list(self._stopping)
            for robot in robots:
                try:
                    self._stop(robot)
                except RedisError:
                    break  # whoever asked was told so; a later one may arrive
                except BridgeError:
                    continue
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, STOP_EVERY_S)
