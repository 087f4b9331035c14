# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Values as people type them on the command line."""

from __future__ import annotations

import pytest

from redis_bridge.errors import PayloadError
from redis_bridge.mapping import literals


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('1e-3', 1e-3),
        ('{x: 1e3, y: -.5}', {'x': 1e3, 'y': -0.5}),
        ('on', 'on'),
        ('{a: yes, b: true}', {'a': 'yes', 'b': True}),
        ('12:30', '12:30'),
        ('2026-11-22', '2026-11-22'),
        ('0x10', 16),
        ('0o17', 15),
        ('007', 7),
        ('-.inf', float('-inf')),
        ('{"a": "b", "c": [1, null]}', {'a': 'b', 'c': [1, None]}),
        ('- 1\n- two', [1, 'two']),
        ('"1"', '1'),
        ('', None),
        ('hello world', 'hello world'),
    ],
)
def test_values_are_read_by_the_rules_of_yaml_1_2(text, value):
    assert literals.parse(text) == value


@pytest.mark.parametrize(
    'text',
    ['{a: 1, a: 2}', '{"a": 1, "a": 2}', '[' * 5000, '!!python/object:os.system {}', '{[1]: 2}',
     '{1: 2}', 'a: [', '\x00'],
)  # fmt: skip
def test_values_that_cannot_be_meant_are_refused(text):
    with pytest.raises(PayloadError):
        literals.parse(text)
