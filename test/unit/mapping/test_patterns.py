# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Templates of names."""

from __future__ import annotations

import pytest

from redis_bridge.mapping import patterns
from redis_bridge.mapping.patterns import Capture, NamePattern


def test_templates_take_values_with_and_without_braces():
    variables = {'robot': 'robot1', 'site': 'north'}
    assert patterns.expand('plain', variables) == 'plain'
    assert patterns.expand('{site}:{robot}:odom', variables) == 'north:robot1:odom'
    assert patterns.expand('{{robot}}:odom', variables) == '{robot1}:odom'


@pytest.mark.parametrize(
    ('template', 'robot', 'topic'),
    [
        ('/{robot}/odom', 'tb3-1', '/tb3_1/odom'),
        ('/{robot}/odom', 'tb3_1', '/tb3_1/odom'),
        ('/{robot}/odom', 'a.b-c', '/a_b_c/odom'),
        ('/{robot}/odom', '4wd', '/_4wd/odom'),
        ('{robot}/odom', '4wd', '_4wd/odom'),
        ('/robot{robot}/odom', '7', '/robot7/odom'),
        ('/robot{robot}/odom', '4-wd', '/robot4_wd/odom'),
        ('/{robot}/odom', 'fleet/tb3-1', '/fleet/tb3-1/odom'),  # no robot's name
    ],
)
def test_names_of_robots_are_valid_in_topics(template, robot, topic):
    assert patterns.expand(template, {'robot': robot}, is_topic=True) == topic
    assert patterns.expand('{robot}:odom', {'robot': robot}) == f'{robot}:odom'


def test_values_are_not_taken_for_templates():
    assert patterns.expand('{a}{b}', {'a': '{b}', 'b': 'x'}) == '{b}x'


@pytest.mark.parametrize(
    ('template', 'reason'),
    [
        (
            '{robt}:x',
            "unknown variable {robt} in '{robt}:x', did you mean 'robot'? (known: robot)",
        ),
        (
            '{{robt}}',
            "unknown variable {robt} in '{{robt}}', did you mean 'robot'? (known: robot)",
        ),
        ('{}', "unknown variable {} in '{}' (known: robot)"),
        ('{robot', "unmatched '{' in '{robot'"),
        ('robot}', "unmatched '}' in 'robot}'"),
        ('{robot}}', "unmatched '}' in '{robot}}'"),
        ('{{robot}', "unmatched '{' in '{{robot}'"),
    ],
)
def test_braces_around_anything_else_are_rejected(template, reason):
    with pytest.raises(ValueError) as error:
        patterns.expand(template, {'robot': 'robot1'})
    assert str(error.value) == reason


def test_captures_are_told_from_variables():
    assert patterns.captures('/{name:*}/{rest:**}/{robot}') == [
        Capture('name', is_many=False, is_tag=False),
        Capture('rest', is_many=True, is_tag=False),
    ]
    assert patterns.captures('{{x:*}}:{robot}') == [Capture('x', is_many=False, is_tag=True)]
    assert patterns.captures('/{robot}/odom') == []


def test_a_capture_becomes_the_value_of_its_name_or_stays():
    assert patterns.expand('/{a:*}/{b:**}/{{c:*}}', {'b': 'x/y'}) == '/{a:*}/x/y/{{c:*}}'


@pytest.mark.parametrize(
    ('template', 'name', 'captured'),
    [
        ('/{name:*}/odom', '/r1/odom', {'name': 'r1'}),
        ('/{name:*}/odom', '/r1/arm/odom', None),
        ('/{name:*}/odom', '/odom', None),
        ('/{robot}/{rest:**}', '/tb3_1/a/b', {'rest': 'a/b'}),
        ('/{robot}/{rest:**}', '/tb3_1', None),
        ('/{a:*}/{b:*}', '/x/y', {'a': 'x', 'b': 'y'}),
    ],
)
def test_a_pattern_of_topics_matches_full_names(template, name, captured):
    pattern = NamePattern.of(template, {'robot': 'tb3-1'}, is_topic=True)
    assert pattern.match(name) == captured
    assert pattern.may_match(name) is (captured is not None)


@pytest.mark.parametrize(
    ('template', 'name', 'captured'),
    [
        ('{name:*}:cmd_vel', 'r1:cmd_vel', {'name': 'r1'}),
        ('{name:*}:cmd_vel', 'a:b:cmd_vel', None),
        ('{robot}:{name:*}', 'tb3-1:x', {'name': 'x'}),
        ('{{name:*}}:tasks', '{r1}:tasks', {'name': 'r1'}),
        ('{{robot}}:{name:*}', '{tb3-1}:x', {'name': 'x'}),
        ('a.b:{name:*}', 'aXb:r1', None),
    ],
)
def test_a_pattern_of_redis_names_has_parts_between_colons(template, name, captured):
    pattern = NamePattern.of(template, {'robot': 'tb3-1'})
    assert pattern.match(name) == captured


@pytest.mark.parametrize('value', ['4wd', 'tb3-1', 'ä', 'r1 ', 'r1\n'])
def test_a_capture_that_is_no_part_of_a_ros_name_is_an_error(value):
    with pytest.raises(ValueError, match='which is no part of a ROS name'):
        NamePattern.of('{name:*}:x', {}).check({'name': value})


@pytest.mark.parametrize(
    ('template', 'glob'),
    [
        ('{name:*}:cmd_vel', '*:cmd_vel'),
        ('{{name:*}}:x', '{*}:x'),
        ('{robot}?[a]:{name:**}', r'r1\?\[a\]:*'),
        (r'a\b*{name:*}', r'a\\b\**'),
    ],
)
def test_a_glob_takes_all_else_literally(template, glob):
    assert NamePattern.of(template, {'robot': 'r1'}).glob == glob
