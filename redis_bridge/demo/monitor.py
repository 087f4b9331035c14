# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What can be seen of the robots in Redis: poses, scans, temperatures, rates, latency, drops."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import redis

from redis_bridge.demo.world import Pose
from redis_bridge.errors import PayloadError
from redis_bridge.payloads import CODECS
from redis_bridge.protocol import keys, robot_status

WINDOW_S = 2.0  # rates and latencies are those of the last two seconds
REFRESH_S = 0.25  # how often the keys are read
TRAIL = 400  # poses remembered per robot
GAPS = 1000  # gaps remembered: 25 seconds of two robots' odometry


class Window:
    """The arrivals of the last `WINDOW_S` seconds, each with how long it was under way."""

    def __init__(self) -> None:
        self._arrivals: deque[tuple[float, float]] = deque()

    def add(self, now: float, latency_s: float) -> None:
        """Note one arrival."""
        self._arrivals.append((now, latency_s))
        self._forget(now)

    def rate_hz(self, now: float) -> float:
        """Return the arrivals a second."""
        self._forget(now)
        return len(self._arrivals) / WINDOW_S

    def latency_ms(self, now: float) -> float | None:
        """Return the median time under way; None when nothing arrived."""
        self._forget(now)
        if not self._arrivals:
            return None
        latencies = sorted(latency for _, latency in self._arrivals)
        return 1e3 * latencies[len(latencies) // 2]

    def _forget(self, now: float) -> None:
        while self._arrivals and self._arrivals[0][0] < now - WINDOW_S:
            self._arrivals.popleft()


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
        self.first_gap: float | None = None  # metres
        self.gaps: deque[tuple[float, float]] = deque(maxlen=GAPS)  # (time, metres), newest last
        self._db = db
        self._refresh_at = 0.0
        self._topics = db.pubsub(ignore_subscribe_messages=True)
        self._handlers = {}
        for robot in robots:
            self._handlers[f'{robot}:odom'.encode()] = (self._see_odom, robot)
            self._handlers[f'{robot}:cmd_vel'.encode()] = (self._see_command, robot)
        self._topics.subscribe(*self._handlers)

    def close(self) -> None:
        """End the subscriptions."""
        self._topics.close()

    def read(self, seconds: float) -> None:
        """Take what comes within a time, and refresh what is in keys."""
        until = time.monotonic() + seconds
        while True:
            now = time.monotonic()
            if now >= self._refresh_at:
                self._refresh_at = now + REFRESH_S
                self._read_keys()
            if now >= until:
                return
            message = self._topics.get_message(timeout=max(0.001, until - now))
            if message is not None:
                see, robot = self._handlers[message['channel']]
                see(self.views[robot], message['data'])

    def missing(self) -> list[str]:
        """Return what has not been seen yet, in words."""
        return [
            f'{robot}: {what}'
            for robot, view in self.views.items()
            for what, seen in (
                ('odometry', view.pose is not None),
                ('scan', bool(view.hits)),
                ('temperature', view.temperature is not None),
                ('commands', bool(view.commands.rate_hz(time.monotonic()))),
                ('bridge status', bool(view.routes)),
                ('movement', view.driven > 0.05),
            )
            if not seen
        ]

    def start_over(self) -> None:
        """Forget the distances driven and the gaps seen so far."""
        self.first_gap = None
        self.gaps.clear()
        for view in self.views.values():
            view.driven = 0.0

    def _see_odom(self, view: RobotView, payload: bytes) -> None:
        odom, _ = CODECS['msgpack'].unpack(payload)
        stamp = odom['header']['stamp']
        position = odom['pose']['pose']['position']
        q = odom['pose']['pose']['orientation']
        pose = Pose(position['x'], position['y'], 2 * math.atan2(q['z'], q['w']))
        if view.pose is not None:
            view.driven += math.hypot(pose.x - view.pose.x, pose.y - view.pose.y)
        view.pose = pose
        view.speed = odom['twist']['twist']['linear']['x']
        view.trail.append((pose.x, pose.y))
        now = time.monotonic()
        view.odom.add(now, time.time() - stamp['sec'] - stamp['nanosec'] / 1e9)
        poses = [each.pose for each in self.views.values() if each.pose is not None]
        if len(poses) == len(self.views):
            first, second = poses
            gap = math.hypot(first.x - second.x, first.y - second.y)
            self.first_gap = gap if self.first_gap is None else self.first_gap
            self.gaps.append((now, gap))

    def _see_command(self, view: RobotView, payload: bytes) -> None:
        try:
            _, meta = CODECS['json'].unpack(payload)
        except PayloadError:
            return  # somebody tries what the bridge does about it: it rejects and counts that
        if meta is not None:
            # The stamp is of the server's clock, which is ours, as it runs on this machine.
            view.commands.add(time.monotonic(), time.time() - meta.stamp)

    def _read_keys(self) -> None:
        for robot, view in self.views.items():
            with self._db.pipeline(transaction=False) as batch:
                batch.get(f'{robot}:scan')
                batch.get(f'{robot}:temperature')
                batch.hgetall(keys.robot_key(robot))
                scan, temperature, bridge = batch.execute()
            view.temperature = temperature and temperature.decode()
            view.routes = robot_status.read(robot, bridge, time.time()).status['routes']
            view.hits = _hits(view.pose, CODECS['msgpack'].unpack(scan)[0]) if scan else []
            view.walls.update((round(x, 1), round(y, 1)) for x, y in view.hits)


def _hits(pose: Pose | None, scan: dict[str, Any]) -> list[tuple[float, float]]:
    """Return where in the room the beams of a scan ended."""
    if pose is None:
        return []
    angle, increment = scan['angle_min'] + pose.heading, scan['angle_increment']
    return [
        (
            pose.x + distance * math.cos(angle + i * increment),
            pose.y + distance * math.sin(angle + i * increment),
        )
        for i, distance in enumerate(scan['ranges'])
        if math.isfinite(distance)
    ]
