# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Plane geometry of the simulation: poses, arcs, distances, and the rays of a lidar."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from redis_bridge.demo.warehouse import FLOOR, ROBOT, SOLIDS, Box

Point = tuple[float, float]


class Pose(NamedTuple):
    """A place in metres, and a heading in radians, counted from the x axis."""

    x: float
    y: float
    heading: float


def clamp(value: float, most: float) -> float:
    """Return the nearest value from -most to most."""
    return max(-most, min(most, value))


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


def distance_to_box(x: float, y: float, box: Box) -> float:
    """Return how far a point is from a box; 0 inside."""
    return math.hypot(max(box.west - x, 0.0, x - box.east), max(box.south - y, 0.0, y - box.north))


def wall_distance(x: float, y: float) -> float:
    """Return how far a point is from the nearest wall or shelf; below 0 behind the outer walls."""
    outer = min(x - FLOOR.west, FLOOR.east - x, y - FLOOR.south, FLOOR.north - y)
    return min(outer, *(distance_to_box(x, y, box) for box in SOLIDS))


def along_path(point: Point, path: Sequence[Point], width: float) -> float | None:
    """Return how far along a path one gets nearest to a point; None beyond `width` of it."""
    travelled = 0.0
    nearest = (width, 0.0)
    is_near = False
    for (x0, y0), (x1, y1) in zip(path, path[1:]):
        dx, dy = x1 - x0, y1 - y0
        length = math.hypot(dx, dy)
        part = 0.0
        if length > 0.0:
            part = ((point[0] - x0) * dx + (point[1] - y0) * dy) / (length * length)
            part = max(0.0, min(1.0, part))
        aside = math.hypot(point[0] - x0 - part * dx, point[1] - y0 - part * dy)
        if aside < nearest[0]:
            nearest, is_near = (aside, travelled + part * length), True
        travelled += length
    return nearest[1] if is_near else None


def scan(pose: Pose, others: Iterable[Point]) -> list[float]:
    """Return the ranges of a lidar all round, the first one backwards (-pi).

    `others` are the centres of other robots. By REP 117, -inf is too near, and inf is nothing
    within reach.
    """
    step = 2 * math.pi / ROBOT.beams
    first = pose.heading - math.pi
    near = [
        (x - pose.x, y - pose.y)
        for x, y in others
        if math.hypot(x - pose.x, y - pose.y) < ROBOT.range_max + ROBOT.radius
    ]
    seen = (_ray(pose.x, pose.y, first + i * step, near) for i in range(ROBOT.beams))
    return [
        -math.inf if far < ROBOT.range_min else math.inf if far > ROBOT.range_max else far
        for far in seen
    ]


def hits(pose: Pose, ranges: Sequence[float]) -> list[Point]:
    """Return where the beams of a scan ended."""
    step = 2 * math.pi / len(ranges)
    first = pose.heading - math.pi
    return [
        (pose.x + far * math.cos(first + i * step), pose.y + far * math.sin(first + i * step))
        for i, far in enumerate(ranges)
        if math.isfinite(far)
    ]


def _ray(x: float, y: float, angle: float, robots: Sequence[Point]) -> float:
    """Return how far one sees from a free point in a direction."""
    dx, dy = math.cos(angle) or 1e-12, math.sin(angle) or 1e-12
    far = min(
        ((FLOOR.east if dx > 0 else FLOOR.west) - x) / dx,
        ((FLOOR.north if dy > 0 else FLOOR.south) - y) / dy,
    )
    for west, south, east, north in SOLIDS:
        enter_x, leave_x = (west - x) / dx, (east - x) / dx
        if enter_x > leave_x:
            enter_x, leave_x = leave_x, enter_x
        enter_y, leave_y = (south - y) / dy, (north - y) / dy
        if enter_y > leave_y:
            enter_y, leave_y = leave_y, enter_y
        enter = enter_x if enter_x > enter_y else enter_y
        if 0.0 <= enter < far and enter <= leave_x and enter <= leave_y:
            far = enter
    for to_x, to_y in robots:
        along = to_x * dx + to_y * dy
        half_chord = ROBOT.radius**2 - (to_x * to_x + to_y * to_y - along * along)
        if along > 0.0 and half_chord >= 0.0:
            far = min(far, along - math.sqrt(half_chord))
    return far
