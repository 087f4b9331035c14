# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The physics of the simulation: the robots' bodies, the boxes that they carry, and the truth."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple

from redis_bridge.demo.checker import Checker, Violation
from redis_bridge.demo.geometry import Pose, clamp, move, scan, wall_distance
from redis_bridge.demo.warehouse import PLACES, ROBOT, dock_of

STEP_S = 0.01
TOW_S = 4.0  # after which a dead robot is taken away, with its box
HANDLING_S = 0.6  # to take a box from a shelf, or to put it down
AT_PLACE_M = 0.15
STANDING = 0.01  # metres a second


class Command(NamedTuple):
    """What a robot does: speeds (m/s, rad/s), and whether it takes or puts down a box."""

    linear: float = 0.0
    angular: float = 0.0
    handle: bool = False


class Tow(NamedTuple):
    """A dead robot was taken away."""

    robot: str
    x: float
    y: float


class Body:
    """A robot as the world knows it: obeys commands with inertia, stops at walls and robots."""

    def __init__(self, pose: Pose) -> None:
        self.pose = pose
        self.linear = 0.0
        self.angular = 0.0
        self.box: str | None = None  # the place that it comes from
        self.dead_since: float | None = None
        self._wanted = Command()
        self._wanted_until = 0.0
        self._handling_since: float | None = None

    def command(self, command: Command, now: float) -> None:
        """Take a command; one that is not finite is ignored."""
        if math.isfinite(command.linear) and math.isfinite(command.angular):
            self._wanted = command
            self._wanted_until = now + ROBOT.command_timeout

    def wanted(self, now: float) -> Command:
        """Return the command that holds now."""
        return self._wanted if now <= self._wanted_until else Command()

    def next_pose(self, now: float) -> Pose:
        """Change the speeds as far as inertia lets them, and return where they lead to."""
        wanted = self.wanted(now)
        for_linear = clamp(wanted.linear, ROBOT.max_linear) - self.linear
        for_angular = clamp(wanted.angular, ROBOT.max_angular) - self.angular
        self.linear += clamp(for_linear, ROBOT.linear_acceleration * STEP_S)
        self.angular += clamp(for_angular, ROBOT.angular_acceleration * STEP_S)
        return move(self.pose, self.linear, self.angular, STEP_S)

    def handles_at(self, now: float) -> str | None:
        """Return the place at which the robot has been ready to load or unload for long enough."""
        place = None
        if self.wanted(now).handle and abs(self.linear) < STANDING:
            place = next((name for name in PLACES if self._is_at(name)), None)
        if place is None:
            self._handling_since = None
        elif self._handling_since is None:
            self._handling_since = now
        elif now - self._handling_since >= HANDLING_S:
            self._handling_since = None
            return place
        return None

    def _is_at(self, name: str) -> bool:
        place = PLACES[name]
        return math.hypot(place.x - self.pose.x, place.y - self.pose.y) < AT_PLACE_M


class World:
    """All bodies; time is in seconds since the start of the simulation."""

    def __init__(self) -> None:
        self.time = 0.0
        self.bodies: dict[str, Body] = {}
        self.checker = Checker()
        self.delivered: Counter[tuple[str, str]] = Counter()  # boxes by where from and where to

    def add(self, robot: str) -> None:
        """Put a robot into its dock."""
        dock = PLACES[dock_of(robot)]
        self.bodies[robot] = Body(Pose(dock.x, dock.y, dock.heading))

    def die(self, robot: str) -> None:
        """Take a robot for dead: it stops by its timeout, and is in the way until it is towed."""
        self.bodies[robot].dead_since = self.time

    def scan(self, robot: str) -> list[float]:
        """Return what the lidar of a robot sees."""
        others = [(b.pose.x, b.pose.y) for name, b in self.bodies.items() if name != robot]
        return scan(self.bodies[robot].pose, others)

    def step(self) -> list[Violation | Tow]:
        """Simulate one step; return what happened that somebody should know."""
        self.time += STEP_S
        events: list[Violation | Tow] = []
        for name, body in list(self.bodies.items()):
            if body.dead_since is not None and self.time - body.dead_since >= TOW_S:
                del self.bodies[name]
                events.append(Tow(name, body.pose.x, body.pose.y))
                continue
            pose = body.next_pose(self.time)
            if self._is_free(name, pose):
                body.pose = pose
            else:
                body.linear = 0.0
                body.pose = pose._replace(x=body.pose.x, y=body.pose.y)
        return [*events, *self.look()]

    def look(self) -> list[Violation]:
        """Let robots load and unload where they are; return the rules that are broken from now."""
        for body in self.bodies.values():
            if place := body.handles_at(self.time):
                self._handle(body, place)
        poses = {name: body.pose for name, body in self.bodies.items()}
        return self.checker.look(self.time, poses)

    def _is_free(self, robot: str, pose: Pose) -> bool:
        """Return whether a robot can move to a pose, or at least away from what it touches."""

        def clearance(at: Pose) -> float:
            gaps = [
                math.hypot(body.pose.x - at.x, body.pose.y - at.y) - 2 * ROBOT.radius
                for name, body in self.bodies.items()
                if name != robot
            ]
            return min([wall_distance(at.x, at.y) - ROBOT.radius, *gaps])

        after = clearance(pose)
        return after >= 0.0 or after >= clearance(self.bodies[robot].pose)

    def _handle(self, body: Body, name: str) -> None:
        """Move a box between a robot and a place; there is always one to pick."""
        kind = PLACES[name].kind
        if kind == 'pick' and body.box is None:
            body.box = name
        elif kind == 'deliver' and body.box is not None:
            self.delivered[body.box, name] += 1
            body.box = None
