# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Descriptions made from rosidl classes, for every type of the environment."""

from __future__ import annotations

import json
import os
import sys
import uuid
from pathlib import Path

import pytest

rclpy = pytest.importorskip('rclpy')

from support import eventually  # noqa: E402

from redis_bridge.errors import InterfaceError  # noqa: E402
from redis_bridge.messages.definition import (  # noqa: E402
    definition_text,
    parse_definition,
    type_hash,
)
from redis_bridge.messages.types import (  # noqa: E402
    Array,
    Field,
    Primitive,
    Sequence,
    String,
)
from redis_bridge.ros_io import types  # noqa: E402


def installed_hashes() -> dict[str, str]:
    """Return the hash of every message type whose generated description is installed."""
    hashes = {}
    prefixes = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    for prefix in {*filter(None, prefixes), sys.prefix}:
        for file in sorted(Path(prefix, 'share').glob('*/*/*.json')):
            for entry in json.loads(file.read_text()).get('type_hashes', ()):
                hashes[entry['type_name']] = entry['hash_string']
    return hashes


def is_message(name: str) -> bool:
    """Tell messages from the services and actions whose parts they are, and from events."""
    return '/msg/' in name or name.rsplit('_', 1)[-1] in (
        'Request', 'Response', 'Goal', 'Result', 'Feedback', 'FeedbackMessage',
    )  # fmt: skip


@pytest.mark.parametrize('name', sorted(filter(is_message, installed_hashes())))
def test_every_installed_type_has_the_hash_of_ros_and_survives_the_text_form(name):
    package = name.split('/')[0]
    try:
        message = types.describe(types.load(name))
    except InterfaceError as error:
        # Some types come along as descriptions only, without Python classes.
        assert f'package {package} ' in str(error)
        pytest.skip(str(error))
    assert message.name == name
    assert type_hash(message) == installed_hashes()[name]
    assert parse_definition(name, definition_text(message)) == message
    assert hash(message) == hash(types.describe(types.load(name)))


NAMES = ['std_msgs/msg/Empty', 'nav_msgs/msg/Odometry', 'test_msgs/msg/MultiNested',
         'test_msgs/msg/WStrings']  # fmt: skip


def test_the_hash_is_the_one_in_the_graph():
    context = rclpy.Context()
    rclpy.init(context=context)
    try:
        node = rclpy.create_node(f'hashes_{uuid.uuid4().hex[:8]}', context=context)
        for index, name in enumerate(NAMES):
            topic = f'/{node.get_name()}/t{index}'
            publisher = node.create_publisher(types.load(name), topic, 1)
            (info,) = eventually(lambda topic=topic: node.get_publishers_info_by_topic(topic))
            assert str(info.topic_type_hash) == type_hash(types.describe(types.load(name)))
            node.destroy_publisher(publisher)
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)


def test_all_kinds_of_fields_are_described():
    strings = types.describe(types.load('test_msgs/msg/Strings'))
    assert strings.fields[0] == Field('string_value', String())
    assert strings.fields[4] == Field('string_value_default4', String(), "Hello'world!")
    assert strings.fields[6] == Field('bounded_string_value', String(bound=22))
    bounded = {
        f.name: f for f in types.describe(types.load('test_msgs/msg/BoundedSequences')).fields
    }
    assert bounded['byte_values_default'] == Field(
        'byte_values_default', Sequence(Primitive('octet'), 3), b'\0\1\xff'
    )
    assert bounded['string_values_default'].default == ('', 'max value', 'min value')
    wide = types.describe(types.load('test_msgs/msg/WStrings'))
    assert wide.fields[4].type == Array(String(wide=True), 3)


@pytest.mark.parametrize(
    ('name', 'error'),
    [
        ('std_msgs/String', "'std_msgs/String' is no message type"),
        ('std_msgs/msg/Strin', "has no type Strin, did you mean 'String'?"),
        ('std_msg/msg/String', 'the package std_msg is not there: install it (apt install ros-'),
        ('std_msgs/srv/String', 'the package std_msgs has no srv types'),
        ('std_msgs/msg/_string', 'has no type _string'),
        ('std_srvs/srv/SetBool', 'has no type SetBool'),
        ('os/path/Path', "'os/path/Path' is no message type"),
        ('std_msgs/msg/..', 'is no message type'),
    ],
)
def test_a_type_that_is_not_there_says_how_to_get_it(name, error):
    with pytest.raises(InterfaceError) as raised:
        types.load(name)
    assert error in str(raised.value)
