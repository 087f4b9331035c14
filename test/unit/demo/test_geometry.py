# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The geometry of the simulation."""

from __future__ import annotations

import math

import pytest

from redis_bridge.demo.geometry import Pose, along_path, hits, move, scan, wall_distance
from redis_bridge.demo.warehouse import CORRIDOR, FLOOR, ROBOT


def test_without_turning_a_robot_moves_along_its_heading():
    pose = move(Pose(1.0, 2.0, math.pi / 6), 0.5, 0.0, 4.0)
    assert (pose.x, pose.y) == pytest.approx((1.0 + 2.0 * math.sqrt(0.75), 3.0))
    assert pose.heading == pytest.approx(math.pi / 6)


def test_on_the_spot_a_robot_only_turns():
    assert move(Pose(1.0, 2.0, 3.0), 0.0, 1.0, 1.0) == Pose(
        1.0, 2.0, pytest.approx(4.0 - 2 * math.pi)
    )


@pytest.mark.parametrize('turn', [math.pi / 2, -math.pi / 2, math.pi, 1e-6, 5.0])
def test_a_turning_robot_moves_on_a_circle_of_radius_v_over_w(turn):
    linear, seconds = 0.6, 2.0
    angular = turn / seconds
    radius = linear / angular
    pose = move(Pose(0.0, 0.0, 0.0), linear, angular, seconds)
    expected = (radius * math.sin(turn), radius * (1 - math.cos(turn)))
    assert (pose.x, pose.y) == pytest.approx(expected, abs=1e-9)


def test_walls_are_measured_from_both_sides_of_the_corridor_and_from_outside():
    assert wall_distance(0.0, 0.0) == pytest.approx(CORRIDOR.north)
    assert wall_distance(FLOOR.west + 0.3, 0.0) == pytest.approx(0.3)
    assert wall_distance(FLOOR.west - 0.3, 0.0) == pytest.approx(-0.3)
    assert wall_distance(0.0, 1.5) == 0.0  # within the wall


@pytest.mark.parametrize(
    ('point', 'far'),
    [((0.5, 0.1), 0.5), ((1.1, 0.5), 1.5), ((-0.1, 0.0), 0.0), ((0.3, 0.9), None)],
)
def test_a_point_is_found_along_a_path_if_it_is_near(point, far):
    found = along_path(point, [(0.0, 0.0), (1.0, 0.0), (1.0, 2.0)], 0.3)
    assert found == (None if far is None else pytest.approx(far))


def beam(ranges, degrees):
    """Return the range in a direction, counted from ahead."""
    return ranges[round((degrees + 180) / 360 * len(ranges)) % len(ranges)]


def test_a_scan_in_the_corridor_sees_its_walls_and_far_along_it():
    ranges = scan(Pose(0.0, 0.0, 0.0), [])
    assert beam(ranges, 90) == pytest.approx(CORRIDOR.north)
    assert beam(ranges, -90) == pytest.approx(-CORRIDOR.south)
    assert beam(ranges, 0) == pytest.approx(4.0)  # the chargers
    assert len(ranges) == ROBOT.beams


def test_a_scan_turns_with_the_robot_and_is_infinite_beyond_its_reach():
    assert beam(scan(Pose(0.0, 0.0, math.pi / 2), []), 0) == pytest.approx(CORRIDOR.north)
    assert beam(scan(Pose(-1.0, 0.0, 0.0), []), 180) == math.inf  # between the shelves


def test_a_scan_sees_another_robot():
    ranges = scan(Pose(-1.0, 0.0, 0.0), [(1.0, 0.0), (-9.5, 0.0)])
    assert beam(ranges, 0) == pytest.approx(2.0 - ROBOT.radius)
    assert beam(ranges, 180) == math.inf
    near = scan(Pose(0.0, 0.0, 0.0), [(ROBOT.radius + 0.05, 0.0)])
    assert beam(near, 0) == -math.inf


def test_the_hits_of_a_scan_are_where_the_walls_are():
    pose = Pose(0.5, 0.1, 1.0)
    assert all(abs(wall_distance(x, y)) < 1e-6 for x, y in hits(pose, scan(pose, [])))
