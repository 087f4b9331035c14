# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The warehouse as data: places, lanes and walls fit each other."""

from __future__ import annotations

import math

import pytest

from redis_bridge.demo.geometry import distance_to_box, wall_distance
from redis_bridge.demo.navigator import LANE_M, route
from redis_bridge.demo.warehouse import (
    CORRIDOR,
    CORRIDOR_LANES,
    LANES,
    MAX_ROBOTS,
    PLACES,
    ROBOT,
    WAYPOINTS,
    dock_of,
    nearest_place,
    robot_names,
)


def points_of(lane, every=0.05):
    start, end = (WAYPOINTS[name] for name in lane)
    steps = max(1, int(math.dist(start, end) / every))
    return [
        (start[0] + i / steps * (end[0] - start[0]), start[1] + i / steps * (end[1] - start[1]))
        for i in range(steps + 1)
    ]


@pytest.mark.parametrize('lane', LANES, ids='-'.join)
def test_a_robot_fits_along_every_lane_and_takes_no_wall_for_an_obstacle(lane):
    assert min(wall_distance(x, y) for x, y in points_of(lane)) > LANE_M


@pytest.mark.parametrize('lane', LANES, ids='-'.join)
def test_only_the_lanes_of_the_corridor_lead_through_it(lane):
    enters = any(distance_to_box(x, y, CORRIDOR) < ROBOT.radius for x, y in points_of(lane))
    if lane in CORRIDOR_LANES:
        assert enters
    elif 'out' not in lane[0]:  # the lane on which it leaves
        assert not enters


@pytest.mark.parametrize('name', [*CORRIDOR_LANES.values(), *(lane[0] for lane in CORRIDOR_LANES)])
def test_where_one_waits_for_the_corridor_and_has_left_it_one_is_outside(name):
    assert distance_to_box(*WAYPOINTS[name], CORRIDOR) > ROBOT.radius + 0.3


@pytest.mark.parametrize('start', PLACES)
def test_every_place_can_be_reached_from_every_other(start):
    for goal in PLACES:
        assert route(start, goal)[-1:] == ([goal] if goal != start else [])


def test_from_a_shelf_to_where_boxes_go_one_passes_the_corridor_once():
    for pick, deliver in (('P1', 'D3'), ('P3', 'D1')):
        way = [pick, *route(pick, deliver)]
        assert len({*zip(way, way[1:])} & {*CORRIDOR_LANES}) == 1


def test_robots_in_their_docks_do_not_touch():
    docks = [PLACES[dock_of(robot)] for robot in robot_names(MAX_ROBOTS)]
    gaps = [math.dist(a[1:3], b[1:3]) for i, a in enumerate(docks) for b in docks[:i]]
    assert min(gaps) > 2 * ROBOT.radius + 0.1
    assert all(wall_distance(dock.x, dock.y) > LANE_M for dock in docks)


@pytest.mark.parametrize('name', ['robot0', f'robot{MAX_ROBOTS + 1}', 'dock1', 'forklift'])
def test_a_robot_that_has_no_dock_is_rejected(name):
    with pytest.raises(ValueError, match=f'expected a robot from robot1 to robot{MAX_ROBOTS}'):
        dock_of(name)


def test_a_goal_is_the_nearest_place():
    for name, place in PLACES.items():
        assert nearest_place(place.x + 0.1, place.y - 0.1) == name
