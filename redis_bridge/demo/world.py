# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The simulated world: a room with pillars, a laser scanner's rays, and a two-wheeled base."""

from __future__ import annotations

import math
from dataclasses import dataclass

STEP_S = 0.01  # the base is simulated in steps of at most this length
BEAMS = 180  # of the laser scanner
NEAREST, FARTHEST = 0.12, 3.5  # what it can see, in metres
# What the base can do, in metres, seconds and radians.
RADIUS = 0.18
MAX_LINEAR, MAX_ANGULAR = 1.0, 2.0
LINEAR_ACCELERATION, ANGULAR_ACCELERATION = 1.5, 6.0
TIMEOUT_S = 0.6  # without a command for that long it stops by itself


@dataclass(frozen=True)
class Pose:
    """A place in the room in metres, and a heading in radians, counted from the x axis."""

    x: float
    y: float
    heading: float


@dataclass(frozen=True)
class Pillar:
    """A round pillar."""

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Room:
    """A rectangle around the origin with pillars in it, seen from above; all in metres."""

    length: float  # along x
    width: float  # along y
    pillars: tuple[Pillar, ...] = ()

    def is_free(self, x: float, y: float, radius: float) -> bool:
        """Return whether a round body fits there without touching a wall or a pillar."""
        return (
            abs(x) <= self.length / 2 - radius
            and abs(y) <= self.width / 2 - radius
            and all(
                math.hypot(x - pillar.x, y - pillar.y) >= pillar.radius + radius
                for pillar in self.pillars
            )
        )

    def ray(self, x: float, y: float, angle: float) -> float:
        """Return how far one sees from a free place in a direction."""
        dx, dy = math.cos(angle), math.sin(angle)
        hits = [
            (math.copysign(half, direction) - position) / direction
            for position, direction, half in ((x, dx, self.length / 2), (y, dy, self.width / 2))
            if direction != 0.0
        ]
        for pillar in self.pillars:
            to_x, to_y = pillar.x - x, pillar.y - y
            along = to_x * dx + to_y * dy
            aside_squared = to_x * to_x + to_y * to_y - along * along
            half_chord_squared = pillar.radius * pillar.radius - aside_squared
            if along > 0.0 and half_chord_squared >= 0.0:
                hits.append(along - math.sqrt(half_chord_squared))
        return min(hits)


def scan(room: Room, pose: Pose, beams: int = BEAMS) -> list[float]:
    """Return the ranges all round, the first one backwards (-pi).

    By REP 117, -inf is too near, and inf is nothing within reach.
    """
    angles = (pose.heading - math.pi + i * 2 * math.pi / beams for i in range(beams))
    seen = (room.ray(pose.x, pose.y, angle) for angle in angles)
    return [-math.inf if far < NEAREST else math.inf if far > FARTHEST else far for far in seen]


def move(pose: Pose, linear: float, angular: float, seconds: float) -> Pose:
    """Return where a differential drive is after a time at constant speeds (exactly: an arc)."""
    turn = angular * seconds
    # The chord of the arc: sin(turn / 2) / (turn / 2) of its length, halfway between the headings.
    half = turn / 2
    chord = linear * seconds * (math.sin(half) / half if abs(half) > 1e-9 else 1.0)
    return Pose(
        pose.x + chord * math.cos(pose.heading + half),
        pose.y + chord * math.sin(pose.heading + half),
        math.remainder(pose.heading + turn, 2 * math.pi),
    )


class Base:
    """A differential-drive base: takes commands, obeys them with inertia, stops at walls.

    `now` is any monotonic time in seconds; the first one is that of the start.
    """

    def __init__(self, room: Room, pose: Pose, now: float) -> None:
        self.pose = pose
        self.linear = 0.0
        self.angular = 0.0
        self._room = room
        self._now = now
        self._wanted = (0.0, 0.0)
        self._wanted_until = now

    def command(self, linear: float, angular: float, now: float) -> None:
        """Take a velocity command; one that is not finite is ignored."""
        if not (math.isfinite(linear) and math.isfinite(angular)):
            return
        self.advance(now)
        self._wanted = (_clamp(linear, MAX_LINEAR), _clamp(angular, MAX_ANGULAR))
        self._wanted_until = now + TIMEOUT_S

    def advance(self, now: float) -> None:
        """Simulate up to a moment."""
        while now - self._now > 1e-9:
            seconds = min(STEP_S, now - self._now)
            self._now += seconds
            self._step(seconds)

    def _step(self, seconds: float) -> None:
        linear, angular = self._wanted if self._now <= self._wanted_until else (0.0, 0.0)
        self.linear += _clamp(linear - self.linear, LINEAR_ACCELERATION * seconds)
        self.angular += _clamp(angular - self.angular, ANGULAR_ACCELERATION * seconds)
        pose = move(self.pose, self.linear, self.angular, seconds)
        if not self._room.is_free(pose.x, pose.y, RADIUS):
            self.linear = 0.0
            pose = move(self.pose, 0.0, self.angular, seconds)
        self.pose = pose


def _clamp(value: float, most: float) -> float:
    return max(-most, min(most, value))


ROOM = Room(9.6, 5.6, (Pillar(-2.2, 0.0, 0.35), Pillar(2.2, 0.0, 0.35)))
STARTS = {  # robot1 on its figure of eight, robot2 far behind it and looking elsewhere
    'robot1': Pose(0.0, 0.0, 0.84),
    'robot2': Pose(-3.2, -2.0, math.pi / 2),
}
