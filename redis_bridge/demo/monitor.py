# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What can be seen of the robots in Redis: poses, scans, temperatures, rates, latency, drops."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from statistics import median_high
from typing import Any

import redis

from redis_bridge.demo.steering import place
from redis_bridge.demo.world import Pose
from redis_bridge.errors import PayloadError
from redis_bridge.payloads import CODECS
from redis_bridge.protocol import keys, robot_status

WINDOW_S = 2.0  # rates and latencies are those of the last two seconds
REFRESH_S = 0.25  # how often the keys are read
TRAIL = 400  # poses remembered per robot
GAPS = 1000  # gaps remembered: 25 seconds of two robots' odometry


class Window(deque[tuple[float, float]]):
    """Arrivals: when each came, and how many seconds it was under way."""

    def flow(self, now: float) -> tuple[float, float | None]:
        """Return the rate (Hz) and median latency (ms) of the last `WINDOW_S`; forget the others.

        The latency is None when nothing came.
        """
        while self and self[0][0] < now - WINDOW_S:
            self.popleft()
        if not self:
            return 0.0, None
        return len(self) / WINDOW_S, 1e3 * median_high(latency for _, latency in self)


@dataclass
class RobotView:
    """One robot as Redis shows it."""

    pose: Pose | None = None
    speed: float = 0.0  # metres a second
    driven: float = 0.0  # metres, by the poses
    trail: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=TRAIL))
    hits: list[tuple[float, float]] = field(default_factory=list)  # of the last scan, in the room
    walls: set[tuple[float, float]] = field(default_factory=set)  # all hits, rounded
    temperature: str | None = None
    routes: list[dict[str, Any]] = field(default_factory=list)  # by the bridge's status hash
    odom: Window = field(default_factory=Window)
    commands: Window = field(default_factory=Window)


class Monitor:
    """Reads what the robots and the scripts put into one Redis.

    Odometry and commands come from their channels, all else from keys. Latency is the age on
    arrival here: of odometry by its header, since it left the robot's node; of commands by their
    stamp, since they left the script.
    """

    def __init__(self, db: redis.Redis, robots: Sequence[str]) -> None:
        self.views = {robot: RobotView() for robot in robots}
        self.gaps: deque[tuple[float, float]] = deque(maxlen=GAPS)  # (time, metres), newest last
        self._db = db
        self._refresh_at = 0.0
        self._topics = db.pubsub(ignore_subscribe_messages=True)
        for robot, view in self.views.items():
            odom, commands = partial(self._see_odom, view), partial(self._see_command, view)
            self._topics.subscribe(**{f'{robot}:odom': odom, f'{robot}:cmd_vel': commands})

    def close(self) -> None:
        """End the subscriptions."""
        self._topics.close()

    def read(self, seconds: float) -> None:
        """Take what comes within a time, and refresh what is in keys."""
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until:
            if now >= self._refresh_at:
                self._refresh_at = now + REFRESH_S
                self._read_keys()
            self._topics.get_message(timeout=until - now)  # calls what was subscribed with

    def missing(self) -> list[str]:
        """Return what has not been seen yet, in words."""
        return [
            f'{robot}: {what}'
            for robot, view in self.views.items()
            for what, seen in (
                ('odometry', view.pose is not None),
                ('scan', bool(view.hits)),
                ('temperature', view.temperature is not None),
                ('commands', view.commands.flow(time.monotonic())[0] > 0),
                ('bridge status', bool(view.routes)),
                ('movement', view.driven > 0.05),
            )
            if not seen
        ]

    def _see_odom(self, view: RobotView, message: dict[str, Any]) -> None:
        odom, _ = CODECS['msgpack'].unpack(message['data'])
        stamp = odom['header']['stamp']
        pose = Pose(*place(odom))
        if view.pose is not None:
            view.driven += math.hypot(pose.x - view.pose.x, pose.y - view.pose.y)
        view.pose = pose
        view.speed = odom['twist']['twist']['linear']['x']
        view.trail.append((pose.x, pose.y))
        now = time.monotonic()
        view.odom.append((now, time.time() - stamp['sec'] - stamp['nanosec'] / 1e9))
        first, second = (each.pose for each in self.views.values())
        if first and second:
            self.gaps.append((now, math.hypot(first.x - second.x, first.y - second.y)))

    def _see_command(self, view: RobotView, message: dict[str, Any]) -> None:
        try:
            _, meta = CODECS['json'].unpack(message['data'])
        except PayloadError:
            return  # somebody tries what the bridge does about it: it rejects and counts that
        if meta is not None:
            # The stamp is of the server's clock, which is ours, because it runs on this machine.
            view.commands.append((time.monotonic(), time.time() - meta.stamp))

    def _read_keys(self) -> None:
        for robot, view in self.views.items():
            with self._db.pipeline(transaction=False) as batch:
                batch.get(f'{robot}:scan')
                batch.get(f'{robot}:temperature')
                batch.hgetall(keys.robot_key(robot))
                scan, temperature, bridge = batch.execute()
            view.temperature = temperature and temperature.decode()
            view.routes = robot_status.read(robot, bridge, time.time()).status['routes']
            if scan and view.pose:
                view.hits = _hits(view.pose, CODECS['msgpack'].unpack(scan)[0])
                view.walls.update((round(x, 1), round(y, 1)) for x, y in view.hits)
            else:
                view.hits = []


def _hits(pose: Pose, scan: dict[str, Any]) -> list[tuple[float, float]]:
    """Return where in the room the beams of a scan ended."""
    first = pose.heading + scan['angle_min']
    return [
        (pose.x + distance * math.cos(angle), pose.y + distance * math.sin(angle))
        for angle, distance in zip(count(first, scan['angle_increment']), scan['ranges'])
        if math.isfinite(distance)
    ]
