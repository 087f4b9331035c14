# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the page draws of messages, whatever is in them."""

from __future__ import annotations

import math
import zlib

import pytest

from redis_bridge.dashboard import readings
from redis_bridge.dashboard.readings import TAKEN, Unfit


def at(x=1.0, y=2.0, yaw=0.5):
    return {
        'position': {'x': x, 'y': y, 'z': 0.0},
        'orientation': {'x': 0.0, 'y': 0.0, 'z': math.sin(yaw / 2), 'w': math.cos(yaw / 2)},
    }


def scan(**changes):
    whole = {
        'angle_min': -1.0, 'angle_increment': 0.5, 'range_min': 0.1, 'range_max': 5.0,
        'ranges': [1.0, 0.05, math.inf, math.nan, 6.0, 2.345],
    }  # fmt: skip
    return {**whole, **changes}


def grid(**changes):
    info = {'width': 2, 'height': 2, 'resolution': 0.5, 'origin': at(-1.0, -2.0, 0.0), **changes}
    return {'header': {'frame_id': 'map'}, 'info': info, 'data': [0, 100, -1, 50]}


@pytest.mark.parametrize('pose', [at(), {'pose': at(), 'covariance': [0.0] * 36}])
def test_a_pose_is_read_with_its_frame_and_with_or_without_covariance(pose):
    assert readings.pose({'header': {'frame_id': 'odom'}, 'pose': pose}) == {
        'x': 1.0, 'y': 2.0, 'yaw': 0.5, 'frame': 'odom',
    }  # fmt: skip


@pytest.mark.parametrize('number', [math.nan, math.inf, 1e300])
def test_a_pose_without_a_place_is_left_out(number):
    assert readings.pose({'pose': at(x=number)}) is None


def test_of_a_scan_points_that_see_nothing_are_zero():
    found = readings.scan(scan())
    assert found == {'start': -1.0, 'step': 0.5, 'cm': [100, 0, 0, 0, 0, 234]}


def test_of_a_long_scan_points_are_left_out_evenly():
    found = readings.scan(scan(ranges=[1.0] * 6000, angle_increment=0.001))
    assert len(found['cm']) == 1500
    assert found['step'] == pytest.approx(0.004)


def test_a_grid_keeps_its_cells_as_bytes():
    found = readings.grid(grid())
    assert zlib.decompress(found.cells) == bytes([0, 100, 255, 50])
    assert found.place == {
        'width': 2, 'height': 2, 'resolution': 0.5,
        'x': -1.0, 'y': -2.0, 'yaw': 0.0, 'frame': 'map',
    }  # fmt: skip


@pytest.mark.parametrize(
    'changes',
    [{'width': 1 << 20, 'height': 1 << 20}, {'width': 3}, {'resolution': 0.0}, {'width': 0}],
)
def test_a_grid_that_is_too_large_or_inconsistent_is_left_out(changes):
    assert readings.grid(grid(**changes)) is None


def test_the_charge_of_a_battery_is_a_field_or_the_value():
    assert readings.battery({'percentage': 0.51234}) == {'charge': 0.512}
    assert readings.battery(0.5) == {'charge': 0.5}
    assert readings.battery(math.nan) is None


@pytest.mark.parametrize('type_', TAKEN)
@pytest.mark.parametrize(
    'value',
    [
        None,
        'text',
        [],
        {},
        {'pose': 1},
        {'pose': {'pose': None}},
        {'info': []},
        {'ranges': 3},
        b'x',
    ],
)
def test_what_is_no_such_message_is_unfit(type_, value):
    with pytest.raises(Unfit):
        TAKEN[type_][1](value)


def test_a_goal_is_a_pose_that_is_read_as_the_same_place():
    goal = readings.goal(1.0, 2.0, 0.5, 'map')
    assert readings.pose(goal) == {'x': 1.0, 'y': 2.0, 'yaw': 0.5, 'frame': 'map'}
