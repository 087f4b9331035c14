# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Drives a robot along the lanes to a place: stops for obstacles, and waits for the corridor.

It sees only what a robot has: its pose, the points that its lidar hit, and whether it holds the
lease of the corridor.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence

from redis_bridge.demo.geometry import Point, Pose, along_path, clamp
from redis_bridge.demo.warehouse import (
    CORRIDOR,
    CORRIDOR_LANES,
    FLOOR,
    LANES,
    PLACES,
    ROBOT,
    WAYPOINTS,
)
from redis_bridge.demo.world import Command

DECELERATION = 2.0  # metres a second squared, to stop at a point
CORNER_SPEED = 0.75  # metres a second through a right angle
AHEAD_M = 0.4  # it steers to a point so far ahead on its path
OFF_LANE_M = 1.0  # farther from its lane it drives straight to the next waypoint
PASSED_M = 0.25  # a waypoint on the way is passed at this distance
ARRIVED_M = 0.05
LANE_M = ROBOT.radius + 0.1  # half of the width that it needs
GAP_M = 0.35  # it keeps from what is ahead
LOOK_M = 2.5  # how far ahead along the path
ASK_M = 1.6  # it asks for the corridor so far before the place where it would wait
MERGE_M = 2.5  # of the lane that must be free before it comes out of a dock
MOUTH_M = 0.6  # of the lane behind the corridor that must be free as well

_NEXT: dict[str, list[str]] = {}
for _start, _end in LANES:
    _NEXT.setdefault(_start, []).append(_end)


def length(start: str, end: str) -> float:
    """Return the length of a lane in metres."""
    return math.dist(WAYPOINTS[start], WAYPOINTS[end])


def route(start: str, goal: str) -> list[str]:
    """Return the waypoints of the shortest way, from the first one after `start` to `goal`."""
    best = {start: 0.0}
    before: dict[str, str] = {}
    ahead = [(0.0, start)]
    while ahead:
        far, here = heapq.heappop(ahead)
        if here == goal:
            break
        for following in _NEXT[here]:
            there = far + length(here, following)
            if there < best.get(following, math.inf):
                best[following] = there
                before[following] = here
                heapq.heappush(ahead, (there, following))
    way: list[str] = []
    while goal != start:
        way.insert(0, goal)
        goal = before[goal]
    return way


class Navigator:
    """Follows one route; `doing` says in words what it does now."""

    def __init__(self, start: str) -> None:
        self.doing = 'waits for a goal'
        self._last = start  # the waypoint that was passed last
        self._route: list[str] = []
        self._leaving: str | None = None  # while it is in the corridor: where it has left it

    @property
    def has_arrived(self) -> bool:
        """Whether there is nothing left to drive."""
        return not self._route

    @property
    def is_in_corridor(self) -> bool:
        """Whether it has entered the corridor, and not left it for good."""
        return self._leaving is not None

    def go(self, place: str) -> None:
        """Drive to a place from now on; the lane that it is on is driven to its end."""
        started = self._route[:1]
        self._route = started + route(started[0] if started else self._last, place)

    def wants_corridor(self, pose: Pose) -> bool:
        """Return whether it needs the lease now: it is in the corridor, or about to enter it."""
        if self.is_in_corridor:
            return True
        gate = self._gate()
        if gate is None:
            return False
        points = [(pose.x, pose.y), *(WAYPOINTS[name] for name in self._route[:gate])]
        return sum(map(math.dist, points, points[1:])) < ASK_M

    def steer(self, pose: Pose, linear: float, hits: Sequence[Point], has_lease: bool) -> Command:
        """Return the next command, from the pose, the speed, what the lidar hit, and the lease."""
        self._pass_waypoints(pose, linear)
        if not self._route:
            self.doing = 'waits for a goal'
            return Command()
        self.doing = f'drives to {self._route[-1]}'
        gate = self._gate()
        if gate is not None and has_lease and not _is_occupied(_corridor_ahead(), hits):
            gate = None
        ends = self._route if gate is None else self._route[:gate]
        path = self._path(pose, ends)
        free = sum(map(math.dist, path, path[1:]))
        if gate is not None and free < ASK_M:
            self.doing = 'sees a blocked corridor' if has_lease else 'waits for the corridor'
        obstacle = _first_on(path, hits)
        if obstacle is not None and obstacle - ROBOT.radius - GAP_M < free:
            free = obstacle - ROBOT.radius - GAP_M
            if free < 0.3:
                self.doing = 'stops for an obstacle'
        if self._is_held_in_dock(pose, hits):
            free = 0.0
            self.doing = 'lets others pass'
        return _pursue(pose, path, max(0.0, free))

    def _path(self, pose: Pose, ends: Sequence[str]) -> list[Point]:
        """Return the path from the nearest point of the lane to the last of some waypoints."""
        here = (pose.x, pose.y)
        if not ends:
            return [here]
        lane = [WAYPOINTS[self._last], WAYPOINTS[ends[0]]]
        passed = along_path(here, lane, OFF_LANE_M)
        start = here if passed is None else _point_at(lane, passed)
        return [start, *(WAYPOINTS[name] for name in ends)]

    def _gate(self) -> int | None:
        """Return how many waypoints are before the corridor; None if it is not on the way."""
        way = [self._last, *self._route]
        for i, lane in enumerate(zip(way, way[1:])):
            if lane in CORRIDOR_LANES and not (i == 0 and self.is_in_corridor):
                return i
        return None

    def _pass_waypoints(self, pose: Pose, linear: float) -> None:
        here = (pose.x, pose.y)
        while self._route:
            lane = (self._last, self._route[0])
            if lane in CORRIDOR_LANES and math.dist(here, WAYPOINTS[self._last]) > PASSED_M:
                self._leaving = CORRIDOR_LANES[lane]
            left = math.dist(here, WAYPOINTS[self._route[0]])
            is_last = len(self._route) == 1
            if left > (ARRIVED_M if is_last else PASSED_M) or (is_last and linear > 0.05):
                return
            self._last = self._route.pop(0)
            if self._last == self._leaving:
                self._leaving = None

    def _is_held_in_dock(self, pose: Pose, hits: Sequence[Point]) -> bool:
        """Return whether it is still in its dock and somebody comes along the lane."""
        place = PLACES.get(self._last)
        if place is None or place.kind != 'dock' or math.dist(pose[:2], place[1:3]) > PASSED_M:
            return False
        x, y = WAYPOINTS[self._route[0]]
        east = min(x + MERGE_M, FLOOR.east - LANE_M)  # not the wall
        return _is_occupied((x - 0.5, y - LANE_M, east, y + LANE_M), hits)


def _corridor_ahead() -> tuple[float, float, float, float]:
    """Return the corridor and the lane behind its ends, as they must be free for who enters."""
    half = CORRIDOR.north - 0.1
    return (CORRIDOR.west - MOUTH_M, -half, CORRIDOR.east + MOUTH_M, half)


def _is_occupied(area: tuple[float, float, float, float], hits: Iterable[Point]) -> bool:
    west, south, east, north = area
    return any(west < x < east and south < y < north for x, y in hits)


def _first_on(path: Sequence[Point], hits: Iterable[Point]) -> float | None:
    """Return how far along the path the first obstacle is, within `LOOK_M`."""
    seen: list[Point] = []
    travelled = 0.0
    for point in path:
        travelled += math.dist(seen[-1], point) if seen else 0.0
        seen.append(point)
        if travelled > LOOK_M:
            break
    near = (point for point in hits if math.dist(point, path[0]) < LOOK_M)
    found = (along_path(point, seen, LANE_M) for point in near)
    return min((far for far in found if far is not None and far > 0.0), default=None)


def _pursue(pose: Pose, path: Sequence[Point], free: float) -> Command:
    """Steer along a path, no faster than one can stop within `free` metres."""
    x, y = _point_at(path, AHEAD_M)
    aside = math.remainder(math.atan2(y - pose.y, x - pose.x) - pose.heading, 2 * math.pi)
    linear = min(ROBOT.max_linear, math.sqrt(2 * DECELERATION * free))
    travelled = 0.0
    for before, corner, after in zip(path, path[1:], path[2:]):
        travelled += math.dist(before, corner)
        sharpness = _turn(before, corner, after) / (math.pi / 2)
        if sharpness > 0.1:
            slow = CORNER_SPEED / min(1.0, sharpness)
            linear = min(linear, math.sqrt(slow**2 + 2 * DECELERATION * travelled))
    linear *= max(0.0, math.cos(aside)) ** 3
    return Command(linear, clamp(4.0 * aside, ROBOT.max_angular))


def _turn(before: Point, corner: Point, after: Point) -> float:
    """Return by how much a path turns at a corner, from 0 to pi."""
    first = math.atan2(corner[1] - before[1], corner[0] - before[0])
    second = math.atan2(after[1] - corner[1], after[0] - corner[0])
    return abs(math.remainder(second - first, 2 * math.pi))


def _point_at(path: Sequence[Point], far: float) -> Point:
    """Return the point so far along a path, or its end."""
    for start, end in zip(path, path[1:]):
        left = math.dist(start, end)
        if far <= left and left > 0.0:
            part = far / left
            return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])
        far -= left
    return path[-1]
