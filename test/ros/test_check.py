# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""`redis-bridge check` where message packages can be imported, and where they cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest
from support import eventually

pytest.importorskip('geometry_msgs')

from graph import DOMAIN, Graph
from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from std_msgs.msg import Float64, String

from redis_bridge.ros_io import look
from redis_bridge.ros_io.graph import BRIDGE_NODE

CHECK = """
import sys
class Missing:
    def find_spec(self, name, path, target=None):
        if name in {missing!r}: raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Missing())
from redis_bridge.cli import main
sys.exit(main.main(['check', *sys.argv[1:]]))
"""
TWIST = 'topic: /a, type: geometry_msgs/msg/Twist'
WRONG = f"""\
version: 1
vars: {{robot: r}}
redis_to_ros:
- {{channel: c, {TWIST}, limits: {{linear: [0, 1]}}}}
- {{channel: d, topic: /d, type: geometry_msgs/msg/Twits}}
ros_to_redis:
- {{topic: /e, type: geometry_msgs/msg/Twist, encoding: text, to: {{key: k}}}}
"""


@pytest.fixture
def check(tmp_path):
    """Check a mapping in a process of its own, without rclpy; return status, stdout, stderr."""

    def run(text, *args, missing=('rclpy', 'redis')):
        path = tmp_path / 'm.yaml'
        path.write_text(text)
        done = subprocess.run(
            [sys.executable, '-c', CHECK.format(missing=missing), str(path), *args],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, 'ROS_DOMAIN_ID': str(DOMAIN)},
        )
        return done.returncode, done.stdout, done.stderr.replace(f'{tmp_path}/', '')

    return run


def test_errors_that_the_message_types_show_have_file_and_line(check):
    assert check(WRONG) == (
        1,
        '',
        'm.yaml:4: redis_to_ros[0].limits.linear: limits need a number; linear is '
        'geometry_msgs/Vector3: use linear.x, linear.y, linear.z\n'
        'm.yaml:5: redis_to_ros[1].type: geometry_msgs/msg/Twits: geometry_msgs.msg has no type '
        "Twits, did you mean 'Twist'? (if the package is newer, source its workspace again)\n"
        'm.yaml:7: ros_to_redis[0].to.key: text carries one scalar, but geometry_msgs/msg/Twist '
        'has 6: give one as field (linear.x, linear.y, linear.z, angular.x, angular.y, '
        'angular.z)\n',
    )


def test_what_cannot_be_imported_is_named_as_not_checked(check):
    text = (
        'version: 1\nvars: {robot: r}\n'
        'redis_to_ros: [{channel: c, topic: /a, type: no_msgs/Thing, required: [x]}]\n'
        'ros_to_redis: [{topic: /b, field: data, to: {key: k}}]\n'
    )
    status, out, err = check(text)
    assert (status, 'no_msgs/msg/Thing' in out) == (0, True)
    missing, discovered = err.splitlines()
    assert missing.startswith(
        'not checked: routes of no_msgs/msg/Thing: the package no_msgs is not there: install it'
    )
    assert discovered == (
        'not checked: m.yaml:4: ros_to_redis[0]: fields, because the type is discovered'
    )


def test_without_ros_the_rest_is_checked(check):
    status, out, err = check(WRONG, missing=('rosidl_parser',))
    assert (status, 'r:' not in err, 'geometry_msgs/msg/Twits' in out) == (0, True, True)
    assert err.splitlines()[0] == (
        'not checked: message types, fields and values, because ROS 2 cannot be imported here '
        '(no module rosidl_parser)'
    )


def test_namespace_and_remappings_decide_which_routes_share_a_topic(check):
    text = """\
version: 1
vars: {robot: r}
redis_to_ros:
- {channel: c, topic: a, type: geometry_msgs/msg/Twist, stop: {after_ms: 5}}
- {channel: d, topic: /bot/a, type: geometry_msgs/msg/Twist}
"""
    assert check(text)[0] == 0
    rule = 'm.yaml:5: redis_to_ros[1]: all routes to {} need the same stop as redis_to_ros[0]\n'
    for namespace in ('/bot', 'bot', '/bot/'):
        assert check(text, '--namespace', namespace) == (1, '', rule.format('/bot/a'))
    assert check(text, '--remap', 'a:=/x', '--remap', '/bot/a:=x') == (1, '', rule.format('/x'))


@pytest.mark.parametrize(
    ('args', 'error'),
    [
        (('--namespace', 'a b'), 'a topic name consists of letters'),
        (('--remap', '/a'), "expected FROM:=TO, got '/a'"),
        (('--remap', '/a:=/b c'), 'a topic name consists of letters'),
        (('--remap', '__ns:=/bot'), 'give the namespace as --namespace /bot'),
    ],
)
def test_invalid_names_are_errors_of_the_command_line(check, args, error):
    status, _, err = check('', *args)
    assert (status, error in err) == (2, True)


# --- the running graph ---------------------------------------------------------------------------
FLEET = """\
version: 1
ros_to_redis:
- {topic: "/{name:*}/odom", to: {key: "{name}:odom"}, exclude: [/spare/odom]}
- {topic: "/{name:*}/say", qos: {reliability: reliable}, to: {channel: "{name}:say"}}
- {topic: /env, field: temperature, encoding: text, to: {key: Temperature}}
redis_to_ros:
- {channel: "{name:*}:heard", topic: "/{name}/heard", type: std_msgs/String}
- {key: "{name:*}:speed", topic: "/{name}/speed", type: std_msgs/Float64}
"""
EMPTY = DOMAIN + 3  # a domain of nobody
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


@pytest.fixture
def live(check):
    """Check the fleet's mapping against the graph; return status, lines of it, and stderr."""

    def run(url='redis://127.0.0.1:1', text=FLEET, missing=()):
        status, out, err = check(
            text, '--robot', 'robot1', '--redis-url', url, '--live', missing=missing
        )
        return status, out.partition('in the running graph: ')[2].splitlines(), err

    return run


@pytest.fixture
def robots():
    """Publish the topics of two robots, and what the bridge should leave alone."""
    with Graph(name='robots') as graph, Graph(name='odd') as odd, Graph(name='other') as other:
        for name in ('/r1/odom', '/spare/odom', '/_hidden/odom'):
            graph.node.create_publisher(Odometry, name, 10)
        graph.node.create_publisher(Odometry, '/r2/odom', BEST_EFFORT)
        graph.node.create_publisher(Odometry, '/odd/odom', 10)
        odd.node.create_publisher(String, '/odd/odom', 10)
        graph.node.create_publisher(String, '/r1/say', 10)
        graph.node.create_publisher(String, '/r2/say', BEST_EFFORT)
        graph.node.create_subscription(Float64, '/r1/speed', print, 10)
        graph.node.create_subscription(String, '/r2/speed', print, 10)
        bridge = other.add_node(f'{BRIDGE_NODE}other')
        bridge.create_publisher(Odometry, '/of_bridge/odom', 10)
        other.node.create_subscription(Odometry, '/nobody/odom', print, 10)
        yield graph


def test_live_shows_what_is_in_the_graph_and_what_is_registered(live, robots, redis_server, db):
    db.hset('redis_bridge:names', mapping={'key:r1:speed': 'me', 'key:r2:speed': 'me'})
    db.hset('redis_bridge:names', mapping={'key:4wd:speed': 'me', 'stream:r3:speed': 'me'})
    status, lines, err = live(redis_server.url)
    assert lines[0].startswith(f'ROS domain {DOMAIN}, nodes: ')
    assert lines[1:] == [
        '',
        'ros_to_redis',
        '  [0] /{name:*}/odom: 2 of 3 topics that match can be carried',
        '      /r1/odom  nav_msgs/msg/Odometry, QoS reliable, volatile     -> key r1:odom',
        '      /r2/odom  nav_msgs/msg/Odometry, QoS best_effort, volatile  -> key r2:odom',
        '      not carried: /odd/odom: publishers of several types: nav_msgs/msg/Odometry, '
        'std_msgs/msg/String',
        '  [1] /{name:*}/say: 1 of 2 topics that match can be carried',
        '      /r1/say  std_msgs/msg/String, QoS reliable, volatile  -> channel r1:say',
        '      not carried: /r2/say: incompatible QoS with /robots: Best effort publisher and '
        'reliable subscription',
        '  [2] /env  no publisher  -> key Temperature',
        '',
        'redis_to_ros',
        '  [0] channel {name:*}:heard: each channel on which a message comes, up to 100',
        '  [1] key {name:*}:speed: 1 of 3 registered keys that match can be carried',
        '      key r1:speed  -> /r1/speed  std_msgs/msg/Float64, QoS reliable, transient_local, '
        '1 subscriber',
        '      not carried: r2:speed: /r2/speed: a subscriber expects std_msgs/msg/String, this '
        'route publishes std_msgs/msg/Float64',
        "      not carried: 4wd:speed: {name} is '4wd', which is no part of a ROS name: it needs "
        'letters, digits and underscores, and does not begin with a digit',
    ]
    assert (status, err.splitlines()) == (
        1,
        [
            'error: m.yaml:3: ros_to_redis[0]: not carried: /odd/odom',
            'error: m.yaml:4: ros_to_redis[1]: not carried: /r2/say',
            'error: m.yaml:8: redis_to_ros[1]: not carried: r2:speed, 4wd:speed',
        ],
    )


def test_live_says_which_types_are_not_installed_and_goes_on_without_redis(live, robots):
    status, lines, err = live(missing=('nav_msgs',))
    (said,) = [line for line in lines if 'not carried: /r1/odom: ' in line]
    assert 'nav_msgs/msg/Odometry: the package nav_msgs is not there: install it' in said
    assert '  [1] key {name:*}:speed: not checked' in lines
    assert 'not checked: patterns of keys and streams: Redis at 127.0.0.1:1: ' in err
    assert status == 1


def test_live_has_status_0_if_all_that_is_there_can_be_carried(live, robots):
    text = FLEET.replace('[/spare/odom]', '[/odd/odom]').replace(
        'qos: {reliability: reliable}, ', ''
    )
    status, lines, err = live(text=text)
    assert (status, '  [0] /{name:*}/odom: 3 topics match' in lines) == (0, True), lines
    assert [line.partition(':')[0] for line in err.splitlines()] == ['not checked']


def test_live_needs_ros_and_says_how_to_get_it(live):
    status, lines, err = live(missing=('rclpy',))
    assert (status, lines) == (1, [])
    assert err.startswith('redis-bridge: this needs ROS 2, but the Python module rclpy cannot be')
    assert 'source /opt/ros/' in err


def test_live_leaves_the_graph_alone(live, robots):
    seen: dict[str, set[str]] = {}
    done = threading.Event()

    def watch():
        node = robots.node
        while not done.is_set():
            for name, namespace in node.get_node_names_and_namespaces():
                if 'check' not in name:
                    continue
                with suppress(RuntimeError):  # it has gone
                    ends = node.get_publisher_names_and_types_by_node(name, namespace)
                    ends += node.get_subscriber_names_and_types_by_node(name, namespace)
                    seen.setdefault(name, set()).update(topic for topic, _ in ends)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        live()
    finally:
        done.set()
        watcher.join()
    ((name, topics),) = seen.items()
    assert name.startswith('_check_redis_bridge_') and not name.startswith(BRIDGE_NODE)
    assert topics == {'/parameter_events'}
    eventually(lambda: name not in robots.node.get_node_names())


def test_a_look_at_an_empty_graph_and_at_one_that_never_rests_is_doubtful(monkeypatch):
    with Graph(name='alone', domain=EMPTY) as graph:
        monkeypatch.setattr(look, 'RESTS_S', 0.3)
        assert f'no other node in ROS domain {EMPTY}' in look.GraphLook(graph.node).wait()
        other = graph.add_node('other')
        assert look.GraphLook(graph.node).wait() is None

        monkeypatch.setattr(look, 'WITHIN_S', 1.0)
        numbers = iter(range(1000))
        monkeypatch.setattr(
            look.time,
            'sleep',
            lambda seconds: other.create_publisher(String, f'/topic{next(numbers)}', 1),
        )
        assert 'still come and go' in look.GraphLook(graph.node).wait()


# --- the mappings for others ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ('name', 'foreign'),
    [
        ('turtlebot4.yaml', {'irobot_create_msgs/msg/DockStatus'}),
        ('nav2.yaml', {'nav2_msgs/msg/CollisionMonitorState', 'nav2_msgs/msg/SpeedLimit'}),
        ('gazebo_fleet.yaml', set()),
    ],
)
def test_the_mappings_for_others_pass_and_name_the_packages_that_are_missing(name, foreign):
    path = Path(__file__).resolve().parents[2] / 'config' / name
    done = subprocess.run(
        [sys.executable, '-m', 'redis_bridge.cli', 'check', str(path), '--robot', 'robot1'],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    missing = {kind for kind in foreign if find_spec(kind.partition('/')[0]) is None}
    assert done.returncode == 0, done.stderr
    assert {*re.findall(r'not checked: routes of (\S+):', done.stderr)} == missing
    assert len(done.stderr.splitlines()) == len(missing)
