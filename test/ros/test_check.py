# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""`redis-bridge check` where message packages can be imported, and where they cannot."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip('geometry_msgs')

CHECK = """
import sys
for name in {missing!r}: sys.modules[name] = None
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
