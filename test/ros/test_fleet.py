# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The shipped mappings of fleets: one bridge for all robots, and one per robot, alike in Redis.

Every test runs both ways, and asks and sends only through Redis, as a coordinator does.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('rclpy')

from geometry_msgs.msg import Twist
from graph import DOMAIN, Graph
from nav_msgs.msg import Odometry
from processes import BridgeProcess
from sensor_msgs.msg import LaserScan

from redis_bridge import Client
from redis_bridge.errors import PayloadError
from redis_bridge.protocol import keys

CONFIG = Path(__file__).resolve().parents[2] / 'config'
NAMES = ('robot1', 'robot2', 'robot3')
DOMAINS = dict(zip(NAMES, (DOMAIN, DOMAIN + 1, DOMAIN + 2)))
EVERY_S = 0.05


class Robot:
    """A base with odometry, a laser scanner and a motor; its topics and frames have prefixes."""

    def __init__(self, graph: Graph, prefix: str, frames: str, number: int) -> None:
        self.is_on = True
        self.commands = graph.collect(Twist, f'{prefix}/cmd_vel')
        self._odometry = graph.node.create_publisher(Odometry, f'{prefix}/odom', 10)
        self._scans = graph.node.create_publisher(LaserScan, f'{prefix}/scan', 10)
        self._odom = Odometry(child_frame_id=f'{frames}base_link')
        self._odom.header.frame_id = f'{frames}odom'
        self._odom.pose.pose.position.x = float(number)
        self._scan = LaserScan(ranges=[float(number), 0.5])
        self._scan.header.frame_id = f'{frames}laser'
        graph.node.create_timer(EVERY_S, self._publish)

    @property
    def speed(self) -> float | None:
        """The speed that was commanded last; None before the first command."""
        return self.commands[-1].linear.x if self.commands else None

    def _publish(self) -> None:
        if self.is_on:
            self._odometry.publish(self._odom)
            self._scans.publish(self._scan)


def shared(opened, start):
    """Return robots in namespaces of one graph, which share its transforms, with one bridge."""
    graph = opened.enter_context(Graph(DOMAIN, 'robots'))
    robots = {name: Robot(graph, f'/{name}', f'{name}/', int(name[-1])) for name in NAMES}
    graph.start()
    start('fleet_shared.yaml', 'fleet', DOMAIN)
    return robots


def apart(opened, start):
    """Return robots without a namespace, each in a domain of its own, with a bridge each."""
    robots = {}
    for name, domain in DOMAINS.items():
        graph = opened.enter_context(Graph(domain, 'robot'))
        robots[name] = Robot(graph, '', '', int(name[-1]))
        graph.start()
        start('fleet_robot.yaml', name, domain)
    return robots


@pytest.fixture(params=[shared, apart])
def robots(request, tmp_path, redis_server, db):
    """Give three robots whose odometry is in Redis."""
    with ExitStack() as opened:

        def start(file, name, domain):
            mapping = (CONFIG / file).read_text().replace('version: 1\n', '')
            bridge = BridgeProcess(tmp_path, mapping, redis_server, name, domain)
            opened.enter_context(bridge)

        robots = request.param(opened, start)
        eventually(lambda: db.exists(*(f'{name}:odom' for name in NAMES)) == len(NAMES), 30)
        yield robots


@pytest.fixture
def coordinator(redis_server):
    with Client(redis_server.url) as client:
        yield client


def drive(coordinator, robots, name, speed):
    """Send commands to one robot until it has the last one."""

    def has_it():
        coordinator.publish(f'{name}:cmd_vel', {'linear': {'x': speed}})
        return robots[name].speed == speed

    eventually(has_it, every=EVERY_S)


def described(db):
    """Return what bridges say about each name, without who says it."""
    said = {}
    for key in db.keys('redis_bridge:meta:*'):
        fields = {field.decode(): value.decode() for field, value in db.hgetall(key).items()}
        said[key.decode().removeprefix('redis_bridge:meta:')] = {
            field: value
            for field, value in fields.items()
            if field != 'robot' and not field.endswith(('type_hash', '_demands'))
        }
    return said


def dropped(coordinator, channel, reason):
    """Return how much of a channel was dropped for a reason, whichever bridge reads it."""
    routes = [route for robot in coordinator.robots() for route in robot.status['routes']]
    drops = [r['dropped'] for r in routes if r['route'].startswith(f'channel {channel} ')]
    return sum(each.get(reason, 0) for each in drops)


def test_the_names_the_values_and_their_kinds_are_the_same(robots, coordinator, db):
    for name in NAMES:
        number = float(name[-1])
        odom = coordinator.get(f'{name}:odom')
        assert odom['pose']['pose']['position']['x'] == number
        assert odom['header']['frame_id'] == f'{name}/odom'
        assert odom['child_frame_id'] == f'{name}/base_link'
        with coordinator.watch(f'{name}:odom', kind='channel') as updates:
            assert next(updates).value['pose']['pose']['position']['x'] == number
        eventually(lambda: db.exists(keys.meta_key(f'{name}:scan')))  # noqa: B023
        with coordinator.watch(f'{name}:scan') as updates:
            scan = next(updates).value
            assert list(scan['ranges']) == [number, 0.5]
            assert scan['header']['frame_id'] == f'{name}/laser'
        drive(coordinator, robots, name, 0.25)
    of_odom = {'key': 'json', 'channel': 'json', 'type': 'nav_msgs/msg/Odometry'}
    of_scan = {'channel': 'msgpack', 'type': 'sensor_msgs/msg/LaserScan'}
    of_command = {'from_channel': 'json', 'from_type': 'geometry_msgs/msg/Twist'}
    expected = {
        f'{name}:{what}': facts
        for name in NAMES
        for what, facts in (('odom', of_odom), ('scan', of_scan), ('cmd_vel', of_command))
    }
    eventually(lambda: described(db) == expected)
    assert {key for key in db.keys('*') if not key.startswith(b'redis_bridge:')} == {
        f'{name}:odom'.encode() for name in NAMES
    }


def test_commands_reach_their_robot_alone_and_are_guarded_there(robots, coordinator, db):
    drive(coordinator, robots, 'robot2', 0.25)
    assert robots['robot1'].speed is robots['robot3'].speed is None
    eventually(lambda: db.exists('redis_bridge:meta:robot2:cmd_vel'))
    target = coordinator.target('robot2:cmd_vel')
    with pytest.raises(PayloadError, match=r'linear.x is 0.75, allowed is -0.5 to 0.5'):
        coordinator.send(target, {'linear': {'x': 0.75}})

    # Nor does a sender that checks nothing move it.
    for speed, age_s, reason in ((0.75, 0.0, 'out_of_limits'), (0.5, 5.0, 'too_old')):
        meta = {'origin': 'tool/1', 'seq': 1, 'stamp': coordinator.now() - age_s}
        db.publish('robot2:cmd_vel', json.dumps({'linear': {'x': speed}, '_meta': meta}))
        eventually(lambda: dropped(coordinator, 'robot2:cmd_vel', reason) == 1)  # noqa: B023
    eventually(lambda: robots['robot2'].speed == 0.0)
    assert {command.linear.x for command in robots['robot2'].commands} == {0.0, 0.25}


def test_each_robot_stops_by_itself_when_its_commands_end(robots, coordinator):
    drive(coordinator, robots, 'robot1', 0.25)
    drive(coordinator, robots, 'robot3', 0.5)
    begin = len(robots['robot3'].commands)

    def has_stopped():
        coordinator.publish('robot3:cmd_vel', {'linear': {'x': 0.5}})
        return robots['robot1'].speed == 0.0

    eventually(has_stopped, every=EVERY_S)
    assert {command.linear.x for command in robots['robot3'].commands[begin:]} == {0.5}
    eventually(lambda: robots['robot3'].speed == 0.0)
    assert robots['robot2'].speed is None


def test_a_silent_robot_is_missing_and_the_others_are_not(robots, coordinator, db):
    robots['robot3'].is_on = False
    eventually(lambda: not db.exists('robot3:odom'))
    assert db.exists('robot1:odom', 'robot2:odom') == 2
    drive(coordinator, robots, 'robot3', 0.25)  # it can still be called
    robots['robot3'].is_on = True
    eventually(lambda: db.exists('robot3:odom'))
