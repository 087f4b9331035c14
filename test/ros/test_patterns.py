# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Patterns of topics and of Redis names, through a real bridge, a real graph and a real server."""

from __future__ import annotations

import json
import time

import pytest
from support import eventually

pytest.importorskip('rclpy')

from geometry_msgs.msg import Twist
from graph import DOMAIN, Graph
from processes import PATIENT, QUICK, BridgeProcess
from std_msgs.msg import Float64, Int32, String

from redis_bridge.protocol import keys

OUT = """
    defaults: {encoding: text}
    ros_to_redis:
      - topic: "/{name:*}/count"
        exclude: ["/secret/{any:**}"]
        max_matches: 3
        to: {key: "{name}:count", stream: "{name}:count:log", channel: "{name}:count"}
"""
COMMANDS = """
    redis_to_ros:
      - channel: "{name:*}:cmd_vel"
        topic: "/{name}/cmd_vel"
        type: geometry_msgs/msg/Twist
        encoding: json
        limits: {linear.x: [-1, 1]}
        stop: {after_ms: 300, repeat: 2}
        max_matches: 3
"""
STORED = """
    defaults: {encoding: text}
    redis_to_ros:
      - {key: "{name:*}:rate", topic: "/{name}/rate", type: std_msgs/msg/Float64}
      - {stream: "{name:*}:tasks", topic: "/{name}/tasks", type: std_msgs/msg/String}
"""
WITHIN_S = 1.0  # in which a topic that appears is carried


@pytest.fixture
def ros():
    with Graph() as graph:
        yield graph


def state_of(bridge, route):
    found = [each['state'] for each in bridge.routes() if each['route'] == route]
    return found[0] if found else None


def patterned(mapping, tmp_path, server, presence=QUICK):
    """Return a bridge whose patterns wait for names."""
    made = BridgeProcess(tmp_path, mapping, server, domain=DOMAIN, presence=presence)
    eventually(lambda: any('waiting for a' in each['state'] for each in made.routes()), 20)
    return made


def command(x):
    return json.dumps({'linear': {'x': x}})


def test_topics_that_appear_are_carried_within_a_second(tmp_path, redis_server, db, ros):
    ros.start()
    with patterned(OUT, tmp_path, redis_server):
        late = []
        for number in range(3):
            publisher = ros.node.create_publisher(Int32, f'/r{number}/count', 10)
            begun = time.monotonic()

            def arrived(publisher=publisher, number=number):
                publisher.publish(Int32(data=number))
                return db.get(f'r{number}:count') == b'%d' % number

            eventually(arrived)
            late.append(time.monotonic() - begun)
        assert min(late) < WITHIN_S  # the machine may be busy for a moment


def test_topics_that_vanish_release_all_that_was_theirs(tmp_path, redis_server, db, ros):
    ros.start()
    with patterned(OUT, tmp_path, redis_server) as bridge:
        publisher = ros.node.create_publisher(Int32, '/r1/count', 10)
        ros.until_matched(publisher)
        publisher.publish(Int32(data=1))
        eventually(lambda: db.get('r1:count') == b'1')
        described = keys.meta_key('r1:count')
        eventually(lambda: db.exists(described))
        ros.node.destroy_publisher(publisher)
        eventually(lambda: ros.node.count_subscribers('/r1/count') == 0)
        eventually(lambda: not db.hexists(described, 'key'))
        eventually(
            lambda: state_of(bridge, '/{name}/count -> key {name}:count, stream {name}:count:log, '
            'channel {name}:count') == 'waiting for a topic that matches'
        )  # fmt: skip
        assert db.get('r1:count') == b'1'  # what is stored stays


def test_what_runs_loses_nothing_while_others_come_and_go(tmp_path, redis_server, db, ros):
    ros.start()
    with patterned(OUT, tmp_path, redis_server, PATIENT):
        steady = ros.node.create_publisher(Int32, '/steady/count', 1000)
        ros.until_matched(steady)
        sent = 0
        for turn in range(4):
            other = ros.node.create_publisher(Int32, f'/other{turn % 2}/count', 10)

            def is_carried(other=other, turn=turn):
                nonlocal sent
                sent += 1
                steady.publish(Int32(data=sent))
                other.publish(Int32(data=turn))
                return db.get(f'other{turn % 2}:count') == b'%d' % turn

            eventually(is_carried)
            ros.node.destroy_publisher(other)
        eventually(lambda: db.xlen('steady:count:log') == sent)
        stored = [int(fields[b'data']) for _, fields in db.xrange('steady:count:log')]
        assert stored == list(range(1, sent + 1))


def test_each_topic_keeps_its_own_type(tmp_path, redis_server, db, ros):
    ros.start()
    with patterned(OUT, tmp_path, redis_server):
        number = ros.node.create_publisher(Int32, '/a/count', 10)
        text = ros.node.create_publisher(String, '/b/count', 10)

        def arrived():
            number.publish(Int32(data=7))
            text.publish(String(data='seven'))
            return db.mget('a:count', 'b:count') == [b'7', b'seven']

        eventually(arrived)


def test_excluded_hidden_and_surplus_topics_are_not_carried(tmp_path, redis_server, db, ros):
    ros.start()
    names = ['/a/count', '/b/count', '/c/count']
    with patterned(OUT, tmp_path, redis_server) as bridge:
        made = [ros.node.create_publisher(Int32, name, 10) for name in names]
        for publisher in made:
            ros.until_matched(publisher)
        for name in ('/secret/count', '/_hidden/count', '/deep/er/count', '/d/count'):
            ros.node.create_publisher(Int32, name, 10)
        pattern = (
            '/{name}/count -> key {name}:count, stream {name}:count:log, channel {name}:count'
        )
        eventually(lambda: str(state_of(bridge, pattern)).startswith('error: /d/count: 3 names'))
        for name in ('/secret/count', '/_hidden/count', '/deep/er/count', '/d/count'):
            assert ros.node.count_subscribers(name) == 0
        assert bridge.text().count('/d/count is not carried') == 1
        ros.node.destroy_publisher(made[0])
        eventually(lambda: ros.node.count_subscribers('/d/count') == 1)  # there is room now


def test_each_channel_that_is_heard_has_its_own_topic_and_dead_man(
    tmp_path, redis_server, db, ros
):
    received = {name: ros.collect(Twist, f'/{name}/cmd_vel') for name in ('r1', 'r2')}
    ros.start()
    with patterned(COMMANDS, tmp_path, redis_server):
        for name, got in received.items():
            eventually(
                lambda name=name, got=got: db.publish(f'{name}:cmd_vel', command(0.5)) and got
            )

        def goes_on():
            db.publish('r2:cmd_vel', command(0.25))
            return received['r1'][-1].linear.x == 0.0  # commands of r1 have stopped

        eventually(goes_on)
        assert received['r2'][-1].linear.x in (0.5, 0.25)
        assert all(message.linear.x for message in received['r2'])
        count = len(received['r2'])
        db.publish('r2:cmd_vel', command(1.5))  # beyond the limits
        eventually(lambda: received['r2'][-1].linear.x == 0.0)
        assert all(message.linear.x < 1 for message in received['r2'][count:])


def test_a_sender_creates_no_topic_beyond_the_mapping(tmp_path, redis_server, db, ros):
    ros.start()
    with patterned(COMMANDS, tmp_path, redis_server) as bridge:
        for name in ('4wd:cmd_vel', 'a/b:cmd_vel', 'a:b:cmd_vel', 'r1:cmd_vel', 'r2:cmd_vel'):
            db.publish(name, command(0.5))
        for number in range(2000):
            db.publish(f'flood{number}:cmd_vel', command(0.5))
        pattern = 'channel {name}:cmd_vel -> /{name}/cmd_vel'
        eventually(lambda: 'error: 4wd:cmd_vel' in str(state_of(bridge, pattern)))

        def topics():
            names = {name for name, _ in ros.node.get_topic_names_and_types()}
            return {name for name in names if name.endswith('cmd_vel')}

        eventually(lambda: len(topics()) >= 3)
        assert topics() == {'/r1/cmd_vel', '/r2/cmd_vel', '/flood0/cmd_vel'}
        assert bridge.text().count('is not carried') <= 101


def test_registered_keys_and_streams_are_read(tmp_path, redis_server, db, ros):
    rates = ros.collect(Float64, '/r1/rate')
    tasks = ros.collect(String, '/r1/tasks')
    ros.start()
    with patterned(STORED, tmp_path, redis_server):
        db.set('r1:rate', '0.5')
        db.hset('redis_bridge:names', mapping={'key:r1:rate': 'me', 'stream:r1:tasks': 'me'})
        eventually(lambda: [message.data for message in rates][-1:] == [0.5])
        eventually(lambda: db.xadd('r1:tasks', {'data': 'go'}) and tasks)
        db.hdel('redis_bridge:names', 'key:r1:rate')
        eventually(lambda: ros.node.count_publishers('/r1/rate') == 0)


def test_a_reload_leaves_the_matches_of_other_patterns_alone(tmp_path, redis_server, db, ros):
    ros.start()
    with patterned(OUT, tmp_path, redis_server, PATIENT) as bridge:
        publisher = ros.node.create_publisher(Int32, '/r1/count', 1000)
        ros.until_matched(publisher)
        sent = 0

        def publish(until):
            nonlocal sent
            sent += 1
            publisher.publish(Int32(data=sent))
            return until()

        bridge.write(OUT + COMMANDS)
        bridge.process.send_signal(1)
        pattern = 'channel {name}:cmd_vel -> /{name}/cmd_vel'
        eventually(lambda: publish(lambda: state_of(bridge, pattern) is not None))
        bridge.write(OUT)
        bridge.process.send_signal(1)
        eventually(lambda: publish(lambda: state_of(bridge, pattern) is None))
        eventually(lambda: db.xlen('r1:count:log') == sent)
        stored = [int(fields[b'data']) for _, fields in db.xrange('r1:count:log')]
        assert stored == list(range(1, sent + 1))
