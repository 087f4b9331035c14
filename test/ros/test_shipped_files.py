# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The shipped mapping `config/teleop.yaml` at work with the examples and the command line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

from geometry_msgs.msg import PoseStamped, Twist
from graph import DOMAIN, Graph
from nav_msgs.msg import Odometry
from processes import BridgeProcess

ROOT = Path(__file__).resolve().parents[2]
DRIVE, POSE, WATCH = (
    [sys.executable, str(ROOT / 'examples' / f'{name}.py'), *arguments]
    for name, *arguments in (
        ('drive', 'robot1', '0.2', '0.1', '1'),
        ('read_pose', 'robot1'),
        ('watch_client', 'robot1:odom'),
    )
)
CLI = [sys.executable, '-m', 'redis_bridge.cli', 'publish']


@pytest.fixture
def ros():
    with Graph() as graph:
        yield graph


@pytest.fixture
def run(redis_server):
    """Return what runs a program against the server, and returns what it prints."""
    env = {**os.environ, 'REDIS_URL': redis_server.url, 'PYTHONUNBUFFERED': '1'}

    def finish(command, error=None):
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=30, check=False
        )
        expected = (0, '') if error is None else (1, f'redis-bridge: {error}\n')
        assert (done.returncode, done.stderr) == expected
        return done.stdout

    finish.env = env
    return finish


def test_teleop_works_with_every_example_and_with_publish(ros, redis_server, run, tmp_path):
    mapping = (ROOT / 'config' / 'teleop.yaml').read_text().replace('version: 1\n', '')
    commands = ros.collect(Twist, '/cmd_vel')
    goals = ros.collect(PoseStamped, '/goal_pose')
    odometry = ros.node.create_publisher(Odometry, '/odom', 10)
    message = Odometry()
    message.pose.pose.position.x = 1.5
    message.pose.pose.orientation.w = 1.0
    ros.node.create_timer(0.1, lambda: odometry.publish(message))
    ros.start()
    client = redis_server.client()
    with BridgeProcess(tmp_path, mapping, redis_server, domain=DOMAIN) as bridge:
        eventually(lambda: client.pubsub_numsub('robot1:cmd_vel')[0][1] == 1, 20)
        eventually(lambda: client.exists('robot1:odom'), 20)

        run(DRIVE)
        moved = [(command.linear.x, command.angular.z) for command in commands]
        assert (0.2, 0.1) in moved, bridge.text()
        eventually(lambda: commands[-1].linear.x == 0.0)

        assert run(POSE).startswith('robot1 is at x 1.50 m, y 0.00 m')

        with subprocess.Popen(WATCH, env=run.env, stdout=subprocess.PIPE, text=True) as watching:
            assert 'robot1:odom from robot1/' in watching.stdout.readline()
            watching.kill()

        # As the first lines of the mapping say.
        run([*CLI, 'robot1:cmd_vel', '{linear: {x: 0.3}}'])
        eventually(lambda: 0.3 in [command.linear.x for command in commands])
        run([*CLI, 'robot1:goal', '{pose: {position: {x: 1.0}, orientation: {w: 1.0}}}'])
        eventually(lambda: [goal.pose.position.x for goal in goals] == [1.0])

        # What the bridge would reject is not sent.
        run(
            [*CLI, 'robot1:cmd_vel', '{linear: {x: 0.9}}'],
            'linear.x is 0.9, allowed is -0.5 to 0.5',
        )
        run([*CLI, 'robot1:cmd_vel', '{linear: {z: .nan}}'], 'a number is NaN or infinite')
        run(
            [*CLI, 'robot1:goal', '{pose: {position: {x: 2.0}}}'],
            'pose.orientation is required and was left out',
        )
        run([*CLI, 'robot1:goal', '{pose: {position: {x: 3.0}, orientation: {w: 1.0}}}'])
        eventually(lambda: [goal.pose.position.x for goal in goals] == [1.0, 3.0])
        routes = {route['route']: route for route in bridge.routes()}
        # On a busy machine commands may come two at once.
        inbound = [each for each in routes.values() if each['direction'] == 'redis_to_ros']
        rejected = {reason for route in inbound for reason in route['dropped']}
        assert len(inbound) == 2 and rejected <= {'superseded'}, routes
