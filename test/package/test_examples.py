# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The examples, each run as its docstring says, against a real server."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgpack
import pytest
from support import eventually

from redis_bridge.protocol import keys
from redis_bridge.protocol.fleet import RobotEvent

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'


@pytest.fixture
def start(redis_server):
    """Start an example as a process of its own, against the server."""
    started = []

    def start_one(name, *arguments):
        environ = {
            **os.environ,
            'REDIS_URL': redis_server.url,
            'PYTHONPATH': str(EXAMPLES.parent),
            'PYTHONUNBUFFERED': '1',
        }
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *arguments],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.communicate()


def odometry(x, y, z, w):
    pose = {'position': {'x': x, 'y': y, 'z': 0.0}, 'orientation': {'z': z, 'w': w}}
    return json.dumps({'pose': {'pose': pose}})


def test_read_pose_prints_the_value_of_the_key(db, start):
    db.set('robot7:odom', odometry(1.5, -2.0, 1.0, 0.0))
    process = start('read_pose.py', 'robot7')
    assert process.communicate(timeout=20) == (
        'robot7 is at x 1.50 m, y -2.00 m, heading 180 degrees\n',
        '',
    )
    assert process.returncode == 0


def test_read_pose_says_when_the_pose_is_stale(db, start):
    process = start('read_pose.py', 'robot7')
    _, complaint = process.communicate(timeout=20)
    assert complaint == 'the pose of robot7 is not in Redis, or has expired\n'
    assert process.returncode == 1


def test_drive_sends_stamped_commands_and_a_stop_at_the_end(db, start):
    with db.pubsub(ignore_subscribe_messages=True) as commands:
        commands.subscribe('robot7:cmd_vel')
        commands.get_message(timeout=5)  # subscribed
        process = start('drive.py', 'robot7', '0.2', '-0.5', '0.5')
        assert process.communicate(timeout=20) == ('', '')
        assert process.returncode == 0
        sent = []
        while (message := commands.get_message(timeout=0.5)) is not None:
            sent.append(json.loads(message['data']))
    assert len(sent) >= 3
    assert all(each['linear']['x'] == 0.2 and each['angular']['z'] == -0.5 for each in sent[:-1])
    assert sent[-1]['linear']['x'] == sent[-1]['angular']['z'] == 0.0
    metas = [each['_meta'] for each in sent]
    assert [meta['seq'] for meta in metas] == list(range(1, len(sent) + 1))
    assert len({meta['origin'] for meta in metas}) == 1
    seconds, microseconds = db.time()
    assert all(0 <= seconds + microseconds / 1e6 - meta['stamp'] < 30 for meta in metas)


def test_drive_says_when_no_bridge_listens(db, start):
    process = start('drive.py', 'robot7')
    _, complaint = process.communicate(timeout=20)
    assert complaint == 'nobody subscribes to the commands for robot7: does its bridge run?\n'
    assert process.returncode == 1


def test_watch_client_prints_messages_of_a_channel(db, start):
    meta = {'origin': 'robot7/boot', 'seq': 1, 'stamp': 1.0}
    payload = msgpack.packb({'data': 'hello', '_meta': meta})
    db.hset(
        'redis_bridge:meta:robot7:log',
        mapping={'type': 'std_msgs/msg/String', 'channel': 'msgpack'},
    )
    process = start('watch_client.py', 'robot7:log')
    eventually(lambda: db.publish('robot7:log', payload), seconds=20)
    assert process.stdout.readline() == (
        "channel robot7:log from robot7/boot: {'data': 'hello'}\n"
    )


def test_the_training_job_finds_the_line_and_shares_its_settings(db, start):
    process = start('learning_rate.py', '30')
    output, complaint = process.communicate(timeout=20)
    assert (complaint, process.returncode) == ('', 0)
    assert output.splitlines()[0].startswith('epoch 1: learning_rate 0.1, batch_size 4, loss ')
    slope, offset = re.fullmatch(r'y = (\S+) x (\S+)', output.splitlines()[-1]).groups()
    assert (float(slope), float(offset)) == pytest.approx((2.0, -1.0), abs=0.05)
    assert float(db.get('learning_rate')) < 0.1
    assert int(db.get('batch_size')) > 4


def test_the_training_job_takes_settings_that_somebody_else_made(db, start):
    db.mset({'learning_rate': '0.05', 'batch_size': '10'})
    output, _ = start('learning_rate.py', '1').communicate(timeout=20)
    assert output.startswith('epoch 1: learning_rate 0.05, batch_size 10, loss ')


def test_watch_robots_acts_on_a_loss(db, start):
    now = db.time()[0]
    events = [RobotEvent('online', robot, 'pi4', 'b', now) for robot in ('robot1', 'robot2')]
    for event in events:
        db.hset(keys.FLEET, event.robot, event.to_json())
        db.hset(keys.robot_key(event.robot), 'boot', event.boot)
    process = start('watch_robots.py')
    lines = [process.stdout.readline() for _ in events]
    assert lines[-1].endswith('online: robot1, robot2\n')
    assert db.publish(keys.FLEET, events[1].then('lost', now + 1).to_json()) == 1
    assert process.stdout.readline() == (
        'robot2 is lost (it ran on pi4): its tasks go to the others; online: robot1\n'
    )


@pytest.mark.parametrize('path', sorted(EXAMPLES.glob('*.py')), ids=lambda path: path.name)
def test_an_example_is_documented_and_has_nothing_to_do_with_ros(path):
    tree = ast.parse(path.read_text())
    assert f'python examples/{path.name}' in ast.get_docstring(tree)
    imported = {
        name.split('.')[0]
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for name in (
            [node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names]
        )
    }
    assert imported <= {*sys.stdlib_module_names, 'redis', 'redis_bridge'}
