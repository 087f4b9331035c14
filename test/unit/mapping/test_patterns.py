# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Templates of names."""

from __future__ import annotations

import pytest

from redis_bridge.mapping import patterns


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
    assert patterns.captures('/{name:*}/{rest:**}/{robot}') == {'name': '*', 'rest': '**'}
    assert patterns.captures('{{x:*}}:{robot}') == {'x': '*'}
    assert patterns.captures('/{robot}/odom') == {}
