# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One mapping in several processes, as the launch file starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack

import pytest
from support import eventually

pytest.importorskip('rclpy')

from diagnostic_msgs.msg import DiagnosticArray
from graph import DOMAIN, LATCHED, Graph
from processes import BridgeProcess
from std_msgs.msg import String

BOTH_WAYS = """
    defaults: {encoding: json}
    ros_to_redis:
      - {topic: /say, to: {channel: said}}
      - {topic: /note, to: {key: noted}}
    redis_to_ros:
      - {channel: tell, topic: /told, type: std_msgs/msg/String}
      - {key: set, topic: /is_set, type: std_msgs/msg/String}
"""


@pytest.fixture
def ros():
    with Graph() as graph:
        yield graph


@pytest.fixture
def shards_of(tmp_path, redis_server):
    """Give a function that starts the processes of a mapping."""
    with ExitStack() as opened:

        def start(mapping, count):
            made = []
            for number in range(1, count + 1):
                folder = tmp_path / str(number)
                folder.mkdir()
                parameters = {'shards': count, 'shard': number, 'boot': 'b007'}
                name = 'redis_bridge' if number == 1 else f'redis_bridge_{number}'
                words = [f'{key}:={value}' for key, value in parameters.items()]
                ros_args = [word for text in words for word in ('-p', text)]
                bridge = BridgeProcess(
                    folder, mapping, redis_server, domain=DOMAIN,
                    ros_args=(*ros_args, '-r', f'__node:={name}'),
                )  # fmt: skip
                made.append(opened.enter_context(bridge))
            return made

        yield start


def status(server):
    """Return what the command line says of the robot."""
    told = subprocess.run(
        [sys.executable, '-m', 'redis_bridge.cli', 'status', 'robot1', '--json'],
        env={**os.environ, 'REDIS_URL': server.url}, capture_output=True, check=True,
    )  # fmt: skip
    return json.loads(told.stdout)


def test_two_processes_carry_all_routes_and_are_told_as_one_bridge(ros, redis_server, shards_of):
    say = ros.node.create_publisher(String, '/say', 10)
    note = ros.node.create_publisher(String, '/note', 10)
    told, is_set = ros.collect(String, '/told'), ros.collect(String, '/is_set', LATCHED)
    diagnostics = ros.collect(DiagnosticArray, '/diagnostics')
    ros.start()
    one, two = shards_of(BOTH_WAYS, 2)
    eventually(lambda: [route['state'] for route in one.routes()] == ['open'] * 4, 20)
    with redis_server.client() as client:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe('said')
        eventually(lambda: client.pubsub_numsub('said')[0][1])

        def heard():
            say.publish(String(data='hello'))
            return pubsub.get_message(timeout=0.1)

        assert json.loads(eventually(heard)['data'])['data'] == 'hello'
        pubsub.close()

        def noted():
            note.publish(String(data='here'))
            return json.loads(client.get('noted') or '{}').get('data') == 'here'

        eventually(noted)
        client.set('set', '{"data": "on"}')
        eventually(lambda: 'on' in [message.data for message in is_set])
        eventually(lambda: client.publish('tell', '{"data": "you"}') and told)
    assert {message.data for message in told} == {'you'}
    eventually(lambda: all(route['carried'] for route in one.routes()))

    shown = status(redis_server)
    names = ['/say -> channel said', '/note -> key noted', 'channel tell -> /told']
    names.append('key set -> /is_set')
    assert [route['route'] for route in shown['routes']] == names
    assert [route['shard'] for route in shown['routes']] == [1, 2, 1, 2]
    assert {'writer', 'writer (shard 2)', 'channels', 'keys (shard 2)'} <= set(shown['state'])
    assert set(shown['state'].values()) == {'connected'}
    pids = [shard['pid'] for shard in shown['shards']]
    assert pids == [bridge.process.pid for bridge in (one, two)]

    def told_by_ros():
        return {status.name: status for array in diagnostics for status in array.status}

    expected = {
        'redis_bridge: Redis',
        'redis_bridge: Redis (shard 2)',
        *(f'redis_bridge: {name}' for name in names),
    }
    eventually(lambda: set(told_by_ros()) == expected)
    assert {status.hardware_id for status in told_by_ros().values()} == {'robot1'}

    two.process.kill()

    def told_dead():
        shown = status(redis_server)
        return shown if 'shard 2' in shown['state'] else None

    shown = eventually(told_dead)
    assert 'no sign of life' in shown['state']['shard 2']
    assert [route['state'] == 'open' for route in shown['routes']] == [True, False, True, False]
    assert one.stop() == 0
    assert one.hash() == {}


def test_what_one_process_sent_is_not_taken_for_foreign_by_another(ros, redis_server, shards_of):
    mapping = """
        defaults: {encoding: json}
        ros_to_redis:
          - {topic: /say, to: {channel: said}}
        redis_to_ros:
          - {channel: heard, topic: /heard, type: std_msgs/msg/String}
    """
    say = ros.node.create_publisher(String, '/say', 10)
    heard = ros.collect(String, '/heard')
    ros.start()
    one, _ = shards_of(mapping, 2)
    eventually(lambda: [route['state'] for route in one.routes()] == ['open'] * 2, 20)
    assert [route['shard'] for route in one.routes()] == [1, 2]
    with redis_server.client() as client:
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.subscribe('said')
        eventually(lambda: client.pubsub_numsub('said', 'heard')[0][1])

        def said():
            say.publish(String(data='mine'))
            return pubsub.get_message(timeout=0.1)

        own = eventually(said)['data']
        pubsub.close()
        assert json.loads(own)['_meta']['origin'] == 'robot1/b007'
        eventually(lambda: client.publish('heard', own))  # as a relay in Redis would
        eventually(lambda: one.routes()[1]['dropped'].get('own_origin') == 1)
        # Until DDS has matched the two ends, what is published there is lost.
        eventually(lambda: client.publish('heard', '{"data": "foreign"}') and heard)
    assert {message.data for message in heard} == {'foreign'}


def test_a_process_without_routes_idles_and_the_first_one_warns_for_all(redis_server, shards_of):
    mapping = """
        redis_to_ros:
          - {channel: drive, topic: /cmd_vel, type: geometry_msgs/msg/Twist}
    """
    one, two = shards_of(mapping, 2)
    one.ready()
    eventually(lambda: 'no routes are left' in two.text(), 20)
    assert 'looks like commands' in one.text()
    assert 'looks like commands' not in two.text()
    eventually(lambda: set(status(redis_server)['state'].values()) == {'connected'})
    assert (one.stop(), two.stop()) == (0, 0)
    assert one.hash() == {}


def test_a_mistake_in_any_route_ends_all_processes(shards_of):
    mapping = """
        redis_to_ros:
          - {channel: a, topic: /a, type: std_msgs/msg/String}
          - {channel: b, topic: /b, type: no_such_msgs/msg/Thing}
    """
    for bridge in shards_of(mapping, 2):
        assert bridge.process.wait(20) == 1
        assert 'robot1.yaml:' in bridge.text()
        assert 'no_such_msgs' in bridge.text()


@pytest.mark.parametrize(
    ('parameters', 'expected'),
    [
        (('shards:=2', 'shard:=3', 'boot:=b007'), 'shard: expected 1 to 2'),
        (('shards:=0',), 'shards: expected 1 to'),
        (('shards:=2',), 'boot: expected the same text in all 2 shards'),
        (('shards:=two',), 'shards: expected a whole number'),
        (
            ('robot:=7',),
            """robot: expected text, quoted where it looks like a number: -p 'robot:="7"'""",
        ),
        (('boot:=a/b',), 'boot: expected up to 32 letters and digits'),
    ],
)
def test_parameters_that_cannot_be_end_the_node_with_the_reason(
    redis_server, tmp_path, parameters, expected
):
    ros_args = tuple(word for text in parameters for word in ('-p', text))
    with BridgeProcess(
        tmp_path, BOTH_WAYS, redis_server, domain=DOMAIN, ros_args=ros_args
    ) as bridge:
        assert bridge.process.wait(20) == 1
        assert expected in bridge.text()
        assert 'Traceback' not in bridge.text()
