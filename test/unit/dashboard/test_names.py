# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Which names belong to which robot, and what is read there."""

from __future__ import annotations

import pytest

from redis_bridge.dashboard.names import Reading, Target, find_names, robot_of
from redis_bridge.dashboard.readings import (
    BATTERY,
    GRID,
    ODOMETRY,
    POSE,
    POSE_COVARIANCE,
    SCAN,
    TWIST,
    TWIST_STAMPED,
)
from redis_bridge.protocol.descriptions import Format, NameInfo


def written(type_, *kinds, field=None):
    return NameInfo({kind: Format('json', type_, None, field) for kind in kinds}, {})


def read(type_, *kinds, field=None):
    return NameInfo({}, {kind: Format('json', type_, None, field) for kind in kinds})


@pytest.mark.parametrize(
    ('name', 'bridge', 'robot'),
    [
        ('robot1:odom', 'robot1', 'robot1'),
        ('{robot1}:odom', 'robot1', 'robot1'),
        ('site/robot1/odom', 'robot1', 'robot1'),
        ('robot2:odom', 'fleet', 'robot2'),
        ('robot1:image', 'robot1-camera', 'robot1'),
        ('Temperature', 'robot1', 'robot1'),
        ('<b>:odom', 'fleet', '<b>'),
    ],
)
def test_a_name_belongs_to_its_bridge_or_to_the_robot_in_its_first_part(name, bridge, robot):
    assert robot_of(name, bridge) == robot


def test_one_bridge_for_several_robots_gives_several_robots():
    found = find_names({'fleet': {f'r{i}:odom': written(ODOMETRY, 'channel') for i in (1, 2)}})
    assert found.bridges == {'r1': 'fleet', 'r2': 'fleet'}
    assert found.readings == {
        (f'r{i}:odom', 'channel'): Reading('pose', f'r{i}', ODOMETRY) for i in (1, 2)
    }


def test_of_several_poses_the_one_in_a_map_counts_and_a_goal_is_none():
    names = {
        'r:odom': written(ODOMETRY, 'channel', 'key'),
        'r:goal_pose': written(POSE, 'channel'),
        'r:amcl_pose': written(POSE_COVARIANCE, 'key'),
    }
    assert find_names({'r': names}).readings.keys() == {('r:amcl_pose', 'key')}
    del names['r:amcl_pose']
    assert find_names({'r': names}).readings.keys() == {('r:odom', 'channel')}
    unfit = find_names({'r': names}, [('r:odom', 'channel')])
    assert unfit.readings.keys() == {('r:odom', 'key')}


def test_messages_come_from_channels_and_what_is_sent_once_from_keys():
    names = {
        'r:scan': written(SCAN, 'key', 'channel'),
        'r:battery': written(BATTERY, 'channel', 'hash'),
        'r:charge': written(BATTERY, 'channel', field='voltage'),
        'map': written(GRID, 'channel', 'key'),
        'r:costmap': written(GRID, 'channel'),
    }
    assert {pair: each.section for pair, each in find_names({'r': names}).readings.items()} == {
        ('r:scan', 'channel'): 'scan',
        ('r:battery', 'hash'): 'battery',
        ('map', 'key'): 'grid',
        ('r:costmap', 'channel'): 'grid',
    }


def test_goals_and_commands_are_the_names_that_a_bridge_reads():
    names = {
        'r:pose_in': read(POSE, 'channel'),
        'r:goal': read(POSE, 'stream'),
        'r:teleop': read(TWIST, 'channel'),
        'r:cmd_vel': read(TWIST_STAMPED, 'channel'),
        'r:speed': read(TWIST, 'key', field='linear'),
        'r:odom': written(ODOMETRY, 'channel'),
    }
    found = find_names({'r': names})
    assert found.goals == {'r': Target('r:goal', 'stream', POSE)}
    assert found.stops == {'r': Target('r:cmd_vel', 'channel', TWIST_STAMPED)}
