# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Checks the rules of the warehouse by the true poses of the robots alone: no lease, no Redis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations
from typing import NamedTuple

from redis_bridge.demo.geometry import Pose, distance_to_box, wall_distance
from redis_bridge.demo.warehouse import CORRIDOR, ROBOT

CONTACT = 0.01  # metres; what is nearer counts as touched


class Violation(NamedTuple):
    """A rule that was broken: when (seconds of the simulation), where, and how."""

    time: float
    x: float
    y: float
    text: str

    def __str__(self) -> str:
        return f'at {self.time:.2f} s, at ({self.x:.2f}, {self.y:.2f}): {self.text}'


class Checker:
    """Is shown all robots after each step of the simulation, also those that are dead.

    A violation counts once, until it is over.
    """

    def __init__(self) -> None:
        self.passages = 0  # how often a robot came into the corridor
        self.closest = math.inf  # metres between two robots
        self._inside: frozenset[str] = frozenset()
        self._broken: set[tuple[str, ...]] = set()

    def look(self, time: float, poses: Mapping[str, Pose]) -> list[Violation]:
        """Return the violations that begin now."""
        broken: dict[tuple[str, ...], Violation] = {}
        inside = frozenset(
            name
            for name, pose in poses.items()
            if distance_to_box(pose.x, pose.y, CORRIDOR) < ROBOT.radius
        )
        self.passages += len(inside - self._inside)
        self._inside = inside
        for first, second in combinations(sorted(poses), 2):
            one, other = poses[first], poses[second]
            gap = math.hypot(one.x - other.x, one.y - other.y) - 2 * ROBOT.radius
            self.closest = min(self.closest, gap)
            if gap < CONTACT:
                text = f'{first} and {second} collided'
                broken['collision', first, second] = Violation(time, one.x, one.y, text)
            if inside >= {first, second}:
                text = f'{first} and {second} are both in the corridor'
                broken['corridor', first, second] = Violation(time, one.x, one.y, text)
        for name, pose in poses.items():
            if wall_distance(pose.x, pose.y) - ROBOT.radius < CONTACT:
                text = f'{name} touches a wall or a shelf'
                broken['wall', name] = Violation(time, pose.x, pose.y, text)
        new = [what for rule, what in broken.items() if rule not in self._broken]
        self._broken = {*broken}
        return new
