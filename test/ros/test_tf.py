# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Transforms of several robots over real DDS and a real server, by the mappings of the page.

`tf2_msgs` has no wheel. So DDS carries the bytes of its TFMessage, by the text of its definition,
under the name of a type that has one: rclpy publishes and takes serialized messages unread.
"""

import logging
import re
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from message_types import TF_MESSAGE
from support import eventually

pytest.importorskip('rclpy')

from graph import DOMAIN, LATCHED, Graph
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import UInt8MultiArray

from redis_bridge import Client
from redis_bridge.bridge.bridge import Bridge
from redis_bridge.errors import NotFoundError
from redis_bridge.mapping.load import load
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.ros_io import types
from redis_bridge.ros_io.drain import has_publisher_gid
from redis_bridge.ros_io.graph import BRIDGE_NODE
from redis_bridge.ros_io.side import RosSide

LOG = logging.getLogger('test')
CARRIER = 'std_msgs/msg/UInt8MultiArray'
MESSAGE = replace(TF_MESSAGE, name=CARRIER)
LATE = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)  # as tf2 listens

PAGE = (Path(__file__).parents[2] / 'doc/frames.md').read_text()
ROBOT, VIEWER = [
    text.replace(TF_MESSAGE.name, CARRIER)
    for text in re.findall(r'```yaml\n(.*?)```', PAGE, re.DOTALL)[-2:]
]


@pytest.fixture(autouse=True)
def tf_message(monkeypatch):
    """Have the carrier read as a TFMessage."""
    describe = types.describe
    monkeypatch.setattr(
        types, 'describe', lambda cls: MESSAGE if cls is UInt8MultiArray else describe(cls)
    )


def tf(parent, child, x=0.0):
    return cdr_write.writer(MESSAGE)(
        {
            'transforms': [
                {
                    'header': {'frame_id': parent},
                    'child_frame_id': child,
                    'transform': {'translation': {'x': x}},
                }
            ]
        }
    )


def links(*messages):
    """Return parent, child and x of all transforms in some messages."""
    return [
        (
            each['header']['frame_id'],
            each['child_frame_id'],
            each['transform']['translation']['x'],
        )
        for message in messages
        for each in message['transforms']
    ]


def listen(graph, topic, qos):
    """Return a list that grows by each message on a topic, read as a TFMessage."""
    heard = []
    read = cdr_read.reader(MESSAGE)
    graph.node.create_subscription(
        UInt8MultiArray, topic, lambda cdr: heard.append(read(cdr)), qos, raw=True
    )
    return heard


@pytest.fixture
def bridge_of(redis_server, redis_side_at, tmp_path):
    """Give a function that runs a bridge in a domain of its own until the end of a block."""

    @contextmanager
    def run(robot, mapping, domain):
        path = tmp_path / f'{robot}.yaml'
        path.write_text(mapping)
        with ExitStack() as opened:
            redis = redis_side_at(redis_server.url, robot)
            opened.callback(redis.close)
            graph = opened.enter_context(
                Graph(domain, f'{BRIDGE_NODE}{redis.origin.rpartition("/")[2]}')
            )
            ros = RosSide(graph.node, LOG, has_gid=has_publisher_gid())
            graph.on_close(ros.close)
            bridge = Bridge(
                load(path, robot=robot),
                ros,
                redis,
                log=LOG,
                resolve=graph.node.resolve_topic_name,
                distro='kilted' if has_publisher_gid() else 'jazzy',
            )
            opened.enter_context(bridge)
            graph.start()
            opened.callback(bridge.close)
            yield bridge

    return run


def stored(redis_server, name):
    """Return the transforms in a key, as a client without ROS reads them."""
    with Client(redis_server.url) as client:
        try:
            value = client.get(name)
        except NotFoundError:
            return []
    return sorted(links(value)) if isinstance(value, dict) else []  # if it is not yet described


def latch(graph, *transforms):
    """Publish each transform with a latched publisher of its own, as nodes do."""
    publishers = []
    for transform in transforms:
        publishers.append(graph.node.create_publisher(UInt8MultiArray, '/tf_static', LATCHED))
        publishers[-1].publish(tf(*transform))
    return publishers


def test_a_key_has_the_static_transforms_of_all_publishers_early_and_late(redis_server, bridge_of):
    with Graph(DOMAIN, 'robot') as robot:
        early = latch(robot, ('base_link', 'lidar', 1.0), ('base_link', 'camera', 2.0))
        robot.start()
        with bridge_of('robot1', ROBOT, DOMAIN):
            eventually(
                lambda: (
                    stored(redis_server, 'robot1:tf_static')
                    == [
                        ('robot1/base_link', 'robot1/camera', 2.0),
                        ('robot1/base_link', 'robot1/lidar', 1.0),
                    ]
                )
            )
            latch(robot, ('base_link', 'gripper', 3.0))
            early[0].publish(tf('base_link', 'lidar', 4.0))
            eventually(
                lambda: (
                    stored(redis_server, 'robot1:tf_static')
                    == [
                        ('robot1/base_link', 'robot1/camera', 2.0),
                        ('robot1/base_link', 'robot1/gripper', 3.0),
                        ('robot1/base_link', 'robot1/lidar', 4.0),
                    ]
                )
            )


EXPECTED = [
    ('robot1/base_link', 'robot1/camera', 1.0),
    ('robot1/base_link', 'robot1/lidar', 1.0),
    ('robot2/base_link', 'robot2/camera', 2.0),
    ('robot2/base_link', 'robot2/lidar', 2.0),
]


def test_a_late_joiner_and_a_late_bridge_get_the_static_transforms_of_every_robot_once(
    redis_server, bridge_of
):
    with ExitStack() as robots:
        for number in (1, 2):
            graph = robots.enter_context(Graph(DOMAIN + number, f'robot{number}'))
            x = float(number)
            latch(graph, ('base_link', 'lidar', x), ('base_link', 'camera', x))
            graph.start()
            name = f'robot{number}'
            robots.enter_context(bridge_of(name, ROBOT, DOMAIN + number))
            eventually(lambda name=name: len(stored(redis_server, f'{name}:tf_static')) == 2)
        for _ in range(2):  # the bridge of the viewer comes late, and again
            with Graph(DOMAIN, 'early') as early, bridge_of('viewer', VIEWER, DOMAIN):
                heard = listen(early, '/tf_static', LATE)
                early.start()
                eventually(lambda heard=heard: len(heard) == 2)
                with Graph(DOMAIN, 'late') as late:
                    heard_late = listen(late, '/tf_static', LATE)
                    late.start()
                    eventually(lambda heard_late=heard_late: len(heard_late) == 2)
                    for messages in (heard, heard_late):
                        assert sorted(links(*messages)) == EXPECTED


def test_transforms_of_two_robots_meet_in_one_graph_each_frame_at_its_rate(
    redis_server, bridge_of
):
    with ExitStack() as opened:
        viewer = opened.enter_context(Graph(DOMAIN, 'viewer'))
        heard = listen(viewer, '/tf', 100)
        viewer.start()
        opened.enter_context(bridge_of('viewer', VIEWER, DOMAIN))
        sent = 0

        def publish(graph, publishers):
            nonlocal sent
            sent += 1
            for publisher, (parent, child) in publishers:
                publisher.publish(tf(parent, child, float(sent)))

        bridges = []
        for number in (1, 2):
            graph = opened.enter_context(Graph(DOMAIN + number, f'robot{number}'))
            publishers = [
                (graph.node.create_publisher(UInt8MultiArray, '/tf', 100), link)
                for link in (('map', 'odom'), ('odom', 'base_link'), ('base_link', '/wheel'))
            ]
            graph.node.create_timer(
                0.01, lambda graph=graph, publishers=publishers: publish(graph, publishers)
            )
            graph.start()
            bridges.append(
                opened.enter_context(bridge_of(f'robot{number}', ROBOT, DOMAIN + number))
            )
        trees = {
            (parent if parent == 'map' else f'robot{number}/{parent}', f'robot{number}/{child}')
            for number in (1, 2)
            for parent, child in (('map', 'odom'), ('odom', 'base_link'), ('base_link', 'wheel'))
        }
        eventually(lambda: {link[:2] for link in links(*heard[-9:])} == trees, 20)
        known = len(heard)

        def come_together():
            # Each frame was published by itself.
            return sum(len(message['transforms']) == 3 for message in heard[known:])

        eventually(lambda: come_together() >= 8)
        for bridge in bridges:
            report = bridge.report()['/tf -> channel fleet:tf']
            assert report.dropped['over_rate'] > report.carried
