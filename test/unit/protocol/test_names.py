# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Valid names of topics, Redis names, robots and types."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redis_bridge.errors import InterfaceError
from redis_bridge.protocol import keys, names


def test_all_names_that_the_bridge_writes_are_its_own():
    assert keys.type_key('std_msgs/msg/String') == 'redis_bridge:type:std_msgs/msg/String'
    assert keys.meta_key('robot1:odom') == 'redis_bridge:meta:robot1:odom'
    assert keys.robot_key('robot1') == 'redis_bridge:robot:robot1'
    assert keys.dead_stream('robot1:tasks') == 'robot1:tasks:dead'
    for name in (keys.type_key('a'), keys.meta_key('a'), keys.robot_key('a')):
        assert 'belong to the bridge' in names.redis_name_problem(name)


@pytest.mark.parametrize('name', ['/a', 'odom', '/robot1/camera/image_raw', '/_hidden', 'a__b/c'])
def test_topic_names_pass(name):
    assert names.topic_problem(name) is None


@pytest.mark.parametrize(
    ('name', 'problem'),
    [
        ('', 'expected a topic name, got an empty one'),
        (
            '~/odom',
            "expected a topic name, got '~/odom': the bridge's own node has no private "
            "topics, write the full name, from '/' on",
        ),
        ('/', "a topic name does not end with '/': '/'"),
        ('/odom/', "a topic name does not end with '/': '/odom/'"),
        ('/a//b', "a topic name has no '//': '/a//b'"),
        ('/1a', "no part of a topic name begins with a digit: '1a' in '/1a'"),
        (
            '/robot-1/odom',
            'a topic name consists of letters, digits and underscores between slashes: '
            "'robot-1' in '/robot-1/odom'",
        ),
        ('/' + 'a' * 247, 'a topic name has at most 247 characters, this one has 248'),
    ],
)
def test_other_topic_names_are_rejected_with_the_reason(name, problem):
    assert names.topic_problem(name) == problem


@given(st.text(alphabet='/_a1~-{', max_size=8))
def test_topic_names_pass_exactly_where_rclpy_lets_them_pass_in_the_root_namespace(name):
    validate = pytest.importorskip('rclpy.validate_full_topic_name')
    exceptions = pytest.importorskip('rclpy.exceptions')
    try:
        validate.validate_full_topic_name(name if name.startswith('/') or not name else f'/{name}')
    except exceptions.InvalidTopicNameException:
        assert names.topic_problem(name)
    else:
        assert names.topic_problem(name) is None


@pytest.mark.parametrize('name', ['Temperature', 'robot1:odom', '{robot1}:odom', 'a b', 'ü/é'])
def test_redis_names_may_be_nearly_anything(name):
    assert names.redis_name_problem(name) is None


@pytest.mark.parametrize(
    ('name', 'problem'),
    [
        ('', 'expected a name, got an empty one'),
        ('  ', 'expected a name, got an empty one'),
        ('__redis__:invalidate', "names that begin with '__' belong to Redis: "),
        ('redis_bridge:robot:x', "names under 'redis_bridge:' belong to the bridge itself: "),
        ('a\nb', 'a name has no control characters: '),
        ('x' * 513, 'a name has at most 512 characters, this one has 513'),
    ],
)
def test_other_redis_names_are_rejected_with_the_reason(name, problem):
    assert names.redis_name_problem(name).startswith(problem)


@pytest.mark.parametrize(
    ('found', 'name'),
    [
        ('ü/é'.encode(), 'ü/é'),
        (b'robot1:odom', 'robot1:odom'),
        (b'\xff', None),
        (b'redis_bridge:fleet', None),
        (b'', None),
    ],
)
def test_a_name_that_is_found_is_one_that_a_route_may_have(found, name):
    assert names.redis_name(found) == name


@pytest.mark.parametrize('robot', ['robot1', 'r2-d2', 'R.7', '007', '_x'])
def test_robots_have_sensible_names(robot):
    assert names.robot_problem(robot) is None


@pytest.mark.parametrize('robot', ['', 'a:b', '{a}', 'a b', '-a', '.a', 'a/b', 'ü', 'x' * 101])
def test_robots_have_no_other_names(robot):
    assert names.robot_problem(robot)


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('std_msgs/String', 'std_msgs/msg/String'),
        ('std_msgs/msg/String', 'std_msgs/msg/String'),
        ('std_srvs/srv/SetBool', 'std_srvs/srv/SetBool'),
    ],
)
def test_types_are_written_in_full(text, name):
    assert names.normal_type(text) == name


@pytest.mark.parametrize(
    'text', ['String', 'std_msgs.msg.String', 'std_msgs/msg/string', 'a/b/c/D', 'a/b/C', '']
)
def test_what_is_no_type_is_rejected(text):
    with pytest.raises(InterfaceError, match="expected a type such as 'std_msgs/msg/String'"):
        names.normal_type(text)


@pytest.mark.parametrize('path', ['data', 'pose.position.x', 'a1.b_c'])
def test_dotted_paths_name_fields(path):
    assert names.field_path_problem(path) is None


@pytest.mark.parametrize('path', ['', '.a', 'a.', 'a..b', 'a[0]', '1a', '/a'])
def test_other_paths_are_rejected(path):
    assert names.field_path_problem(path) == (
        f"expected a dotted path such as 'pose.position.x', got {path!r}"
    )
