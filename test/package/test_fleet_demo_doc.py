# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The page about the demo names what is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from redis_bridge.cli import main
from redis_bridge.demo.coordinator import LOG, QUEUE
from redis_bridge.demo.fleet import MAPPING
from redis_bridge.demo.warehouse import MAX_ROBOTS
from redis_bridge.mapping.load import load

CHECKOUT = Path(__file__).resolve().parents[2]
TEXT = (CHECKOUT / 'doc/fleet_demo.md').read_text(encoding='utf-8')
COMMANDS = [
    line.partition('#')[0]
    for block in re.findall(r'```sh\n(.*?)```', TEXT, re.DOTALL)
    for line in block.splitlines()
]


def test_its_commands_are_accepted():
    ours = [shlex.split(line)[1:] for line in COMMANDS if line.startswith('redis-bridge')]
    assert len(ours) > 5
    for words in ours:
        main._parser().parse_args(words)  # SystemExit if not


def test_each_option_and_launch_argument_is_in_its_table():
    demo = main._parser()._subparsers._group_actions[0].choices['demo']
    options = {
        name for action in demo._actions for name in action.option_strings if name != '--help'
    }
    assert {*re.findall(r'\| `(--[a-z-]+) ', TEXT)} == options - {'-h'}
    launch = (CHECKOUT / 'launch/fleet_demo.launch.py').read_text(encoding='utf-8')
    declared = re.findall(r"DeclareLaunchArgument\(\s+'(\w+)'", launch)
    assert re.findall(r'`(\w+):=[NSX]`', TEXT) == declared
    assert f'| 1 to {MAX_ROBOTS}, ' in TEXT


def test_each_name_that_its_mapping_has_is_in_its_table():
    mapping = load(MAPPING, robot='robot1', environ={})
    names = {sink.name for route in mapping.ros_to_redis for sink in route.sinks}
    names |= {route.source.name for route in mapping.redis_to_ros}
    table = TEXT.partition('| name in Redis |')[2].partition('\n\n')[0]
    first_cells = re.findall(r'^\| (`.*?) \|', table, re.MULTILINE)
    listed = {name for cell in first_cells for name in re.findall(r'`(.*?)`', cell)}
    assert names | {QUEUE, LOG} <= listed
