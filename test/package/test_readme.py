# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The README's mappings, commands and code do what it says."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN, Graph
from nav_msgs.msg import Odometry
from sensor_msgs.msg import BatteryState

from redis_bridge.counters import DROP_REASONS, EVENTS
from redis_bridge.mapping.load import load
from redis_bridge.mapping.plan import plan
from redis_bridge.protocol import keys

CHECKOUT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r'```(\w+)\n(.*?)```', (CHECKOUT / 'README.md').read_text(), re.DOTALL)
COMMANDS = [
    line
    for language, text in BLOCKS
    if language == 'sh'
    for line in text.replace('\\\n', ' ').splitlines()
]
BRIDGE_COMMANDS = [
    line
    for line in COMMANDS
    if line.startswith('redis-bridge ') and not line.startswith('redis-bridge run')
]


def in_language(wanted: str) -> list[str]:
    return [text for language, text in BLOCKS if language == wanted]


def command(line: str) -> list[str]:
    """Return a `redis-bridge` command of the README as words to run here."""
    return [sys.executable, '-m', 'redis_bridge.cli', *shlex.split(line)[1:]]


@pytest.fixture
def robot(redis_server):
    """Run the README's bridge beside a robot that publishes; return the environment to use it."""
    environment = {**os.environ, 'REDIS_URL': redis_server.url, 'ROS_DOMAIN_ID': str(DOMAIN)}
    (run,) = [line for line in COMMANDS if line.startswith('redis-bridge run')]
    with Graph() as graph, redis_server.client() as client:
        odom = graph.node.create_publisher(Odometry, '/odom', 10)
        battery = graph.node.create_publisher(BatteryState, '/battery', 10)
        charge = 0.0

        def publish() -> None:
            nonlocal charge
            charge += 0.001
            odom.publish(Odometry())
            battery.publish(BatteryState(percentage=charge))

        graph.node.create_timer(0.05, publish)
        graph.start()
        bridge = subprocess.Popen(
            command(run),
            cwd=CHECKOUT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            eventually(
                lambda: (
                    client.exists('robot1:odom', 'robot1:battery') == 2
                    and client.pubsub_numsub('robot1:cmd_vel')[0][1]
                    and client.exists(keys.meta_key('robot1:cmd_vel'))
                ),
                20,
            )
            yield environment
        finally:
            bridge.send_signal(signal.SIGINT)
            output, _ = bridge.communicate(timeout=10)
        assert bridge.returncode == 0, output


@pytest.mark.parametrize('text', in_language('yaml'))
def test_mappings_are_sound(tmp_path, text):
    path = tmp_path / 'readme.yaml'
    path.write_text(text)
    assert not plan(load(path, robot='robot1')).errors


def test_commands_run(robot):
    assert len(BRIDGE_COMMANDS) >= 5
    for line in BRIDGE_COMMANDS:
        ended = subprocess.run(
            command(line),
            cwd=CHECKOUT,
            env=robot,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert ended.returncode == 0, f'{line}\n{ended.stdout}{ended.stderr}'
        if line.startswith('redis-bridge queue'):
            assert ended.stdout == 'tasks: 0 waiting, 0 claimed, 0 dead\n'
        elif ' publish ' not in line:
            assert 'robot1' in ended.stdout or 'pose' in ended.stdout, line


def test_code_runs(robot, redis_server):
    (code,) = in_language('python')
    url = 'redis://localhost:6379/0'
    assert url in code
    with subprocess.Popen(
        [sys.executable, '-u', '-c', code.replace(url, redis_server.url)],
        env=robot,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        lines = [process.stdout.readline().strip() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    assert lines[0] == "{'x': 0.0, 'y': 0.0, 'z': 0.0}"
    assert lines[1:] == ['robot1:odom 0.0', 'robot1:odom 0.0']


def test_the_lines_to_look_inside_the_demo_name_what_the_demo_writes():
    routes = [
        load(CHECKOUT / 'redis_bridge/demo/demo.yaml', robot=robot, environ={})
        for robot in ('robot1', 'robot2')
    ]
    known = {keys.robot_key(mapping.robot) for mapping in routes}
    for mapping in routes:
        known |= {sink.name for route in mapping.ros_to_redis for sink in route.sinks}
        known |= {route.source.name for route in mapping.redis_to_ros}
    looks = [shlex.split(line) for line in COMMANDS if line.startswith('redis-cli')]
    assert looks
    for _, dash_p, port, _, name in looks:
        assert (dash_p, port) == ('-p', 'PORT')
        assert name in known


def test_every_reason_for_a_drop_and_every_other_count_is_listed():
    text = (CHECKOUT / 'doc/promises.md').read_text()
    for title, table in (('reason', DROP_REASONS), ('count', EVENTS)):
        (listed,) = re.findall(
            rf'\n\| {title} \|.*?\n\|---\|---\|\n(.*?\n)(?:\n|$)', text, re.DOTALL
        )
        assert dict(re.findall(r'\| `(\w+)` \| (.*?) \|\n', listed)) == table


def test_make_targets_and_launch_arguments_exist():
    makefile = (CHECKOUT / 'Makefile').read_text()
    for line in COMMANDS:
        first, *words = shlex.split(line)
        if first == 'make':
            assert re.search(rf'^{words[0]}:', makefile, re.MULTILINE)
        elif first == 'ros2':
            assert words[:2] == ['launch', 'redis_bridge']
            launch = (CHECKOUT / 'launch' / words[2]).read_text()
            for word in words[3:]:
                assert f"'{word.partition(':=')[0]}'" in launch
        else:
            assert first.rpartition('/')[2] in (
                'redis-bridge',
                'redis-cli',
                'rosdep',
                'colcon',
                'source',
            )
