# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The page about Gazebo names what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from redis_bridge.cli import main
from redis_bridge.demo import gazebo
from redis_bridge.demo.gazebo import TOPICS
from redis_bridge.mapping.load import load

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / 'doc/gazebo.md').read_text(encoding='utf-8')
LAUNCH = (CHECKOUT / 'launch/gazebo_fleet.launch.py').read_text(encoding='utf-8')


def test_its_commands_are_accepted():
    (block,) = re.findall(r'```sh\n(.*?)```', TEXT, re.DOTALL)
    ours = [shlex.split(line)[1:] for line in block.splitlines() if line.startswith('redis-')]
    assert len(ours) == 4
    for words in ours[1:]:  # without the server
        main._parser().parse_args(words)  # SystemExit if not


def test_each_launch_argument_is_in_its_table():
    declared = re.findall(r"DeclareLaunchArgument\(\s+'(\w+)'", LAUNCH)
    assert re.findall(r'^\| `(\w+):=', TEXT, re.MULTILINE) == declared


def test_each_bridged_topic_is_in_its_table_with_its_type():
    rows = dict(re.findall(r'^\| `(/[\w/]+)` \| (\w+) \|', TEXT, re.MULTILINE))
    for name, topic in TOPICS.items():
        assert rows[f'/robot1/{name}'] == topic.ros_type.rpartition('/')[2]
    assert rows['/clock'] == 'Clock'


def test_what_is_driven_by_hand_is_in_the_mapping():
    mapping = load(CHECKOUT / 'config/gazebo_fleet.yaml', robot='robot1', environ={})
    (route,) = (r for r in mapping.redis_to_ros if r.topic == 'cmd_vel_by_hand')
    assert '| `/robot1/cmd_vel_by_hand` | Twist | Redis, `robot1:cmd_vel` |' in TEXT
    assert route.source.name == 'robot1:cmd_vel'
    assert f'after {route.stop.after_ms / 1000} s' in TEXT


def test_the_tests_that_it_names_are_there():
    named = {*re.findall(r'test/\S+?\.py', TEXT)}
    assert len(named) == 4
    assert not [path for path in named if not (CHECKOUT / path).is_file()]


def test_the_range_that_it_names_is_that_of_the_lidar():
    assert f'{gazebo.RANGE_MIN_M:.2f} m, is just outside the hull' in TEXT
