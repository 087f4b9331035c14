# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What YAML the loader takes, and the lines of its errors."""

from __future__ import annotations

import pytest
from mappings import errors, load

from redis_bridge.errors import MappingError, PayloadError
from redis_bridge.mapping import load as loading
from redis_bridge.mapping import yaml12

ERRORS = [
    (
        '',
        'm.yaml: is empty, expected a mapping (see config/minimal.yaml)',
    ),
    (
        '# nothing\n',
        'm.yaml: is empty, expected a mapping (see config/minimal.yaml)',
    ),
    (
        '- a',
        'm.yaml:1: expected a map, got a list',
    ),
    (
        'hello',
        "m.yaml:1: expected a map, got 'hello'",
    ),
    (
        'a: [1\nb: 2',
        "m.yaml:2: not YAML: expected ',' or ']', but got ':' while parsing a flow sequence",
    ),
    (
        'a:\n  key: {robot}:odom',
        'm.yaml:2: put quotes around strings with {…}: "{robot}:odom"',
    ),
    (
        'a: {key: {name: {robot}:odom, ttl_ms: 5}}',
        'm.yaml:1: put quotes around strings with {…}: "{robot}:odom"',
    ),
    (
        'a: [{robot}/odom]',
        'm.yaml:1: put quotes around strings with {…}: "{robot}/odom"',
    ),
    (
        'a: {{robot}}:odom',
        'm.yaml:1: put quotes around strings with {…}: "{{robot}}:odom"',
    ),
    (
        'version: 1\nros_to_redis:\n- {topic: /{robot}/odom, to: {key: k}}',
        'm.yaml:3: put quotes around strings with {…}: "/{robot}/odom"',
    ),
    (
        'version: 1\nros_to_redis:\n- {topic: /{name:*}/scan, to: {channel: "{name}:scan"}}',
        'm.yaml:3: put quotes around strings with {…}: "/{name:*}/scan"',
    ),
    (
        'version: 1\nros_to_redis:\n- topic: /a\n  to: {key: x-{{robot}}}',
        'm.yaml:4: put quotes around strings with {…}: "x-{{robot}}"',
    ),
    (
        'version: 1\nros_to_redis:\n- topic: /a\n  exclude: [/{robot}/{name:**}]',
        'm.yaml:4: put quotes around strings with {…}: "/{robot}/{name:**}"',
    ),
    (
        'version: 1\nros_to_redis:\n- topic: /a\n  to: {key: {robot}}',
        'm.yaml:4: ros_to_redis[0].to.key: put quotes around strings with {…}: "{robot}"',
    ),
    (
        'a: *b',
        "m.yaml:1: not YAML: found undefined alias 'b'",
    ),
    (
        'a: 1\n---\nb: 2',
        'm.yaml:2: not YAML: but found another document expected a single document in the stream',
    ),
    (
        'version: 1\nredis: {url: "a\x07b"}',
        "m.yaml:2: not YAML: the character '\\x07' is not allowed",
    ),
    (
        'a: ' + '[' * 41 + ']' * 41,
        'm.yaml:1: not YAML: nested more than 40 levels deep',
    ),
    (
        'version: 1\nvars: &v {robot: *v}',
        'm.yaml:2: an alias is inside of what it names',
    ),
    (
        'version: 1\nvars: &v {<<: *v}',
        'm.yaml:2: an alias is inside of what it names',
    ),
    (
        'a: &a [x, x, x, x, x, x, x, x, x, x]\n'
        + '\n'.join(
            f'{b}: &{b} [{", ".join([f"*{a}"] * 10)}]'
            for a, b in zip('abcdef', 'bcdefg', strict=True)
        ),
        'm.yaml:1: the aliases expand to more than 100000 values',
    ),
    (
        'version: 1\nvars: {x: "\\ud800"}',
        'm.yaml:2: vars.x: is not valid Unicode',
    ),
    (
        'version: 1\n"\\ud800": 1',
        'm.yaml:2: a key is not valid Unicode',
    ),
    (
        'version: 1\nversion: 1',
        'm.yaml:2: version: the key is written twice, first on line 1',
    ),
    (
        'version: 1\n1: 2',
        'm.yaml:2: keys are strings, got 1: quote it',
    ),
    (
        'version: 1\ntrue: 2',
        'm.yaml:2: keys are strings, got true: quote it',
    ),
    (
        'version: 1\n[a]: 2',
        'm.yaml:2: keys are strings, got a list or a map',
    ),
    (
        'version: 1\n<<: 3',
        "m.yaml:2: '<<' takes an alias of a map, or a list of them",
    ),
    (
        'version: 1\n<<: {}\n<<: {}',
        "m.yaml:3: the key '<<' is written twice: it takes a list of aliases",
    ),
    (
        'version: 1\nexecutor: !x events',
        'm.yaml:2: executor: the YAML tag !x has no meaning here',
    ),
    (
        'version: 1\nexecutor: !!python/name:os.system ',
        'm.yaml:2: executor: the YAML tag !!python/name:os.system has no meaning here',
    ),
    (
        'version: 1\nvars: {x: !!int abc}',
        'm.yaml:2: vars.x: cannot be read as int',
    ),
    (
        'version: 1\nvars: {x: "${}"}',
        'm.yaml:2: vars.x: expected ${NAME} or ${NAME:-default} at "${" (write "$${" for "${")',
    ),
    (
        'version: 1\nvars: {x: "${A"}',
        'm.yaml:2: vars.x: expected ${NAME} or ${NAME:-default} at "${" (write "$${" for "${")',
    ),
    (
        'version: 1\nexecutor: ${NOPE}',
        'm.yaml:2: executor: the environment variable NOPE is not set',
    ),
]


@pytest.mark.parametrize('row', ERRORS, ids=lambda row: row[1][:60])
def test_each_error_has_its_place_and_its_reason(tmp_path, row):
    text, *expected = row
    robot = None if 'vars: {robot' in text else 'r1'
    assert errors(tmp_path, text, robot=robot) == expected


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
    assert yaml12.parse_value(text) == value


@pytest.mark.parametrize(
    'text',
    ['{a: 1, a: 2}', '{"a": 1, "a": 2}', '[' * 5000, '!!python/object:os.system {}', '{[1]: 2}',
     '{1: 2}', 'a: [', '\x00'],
)  # fmt: skip
def test_values_that_cannot_be_meant_are_rejected(text):
    with pytest.raises(PayloadError):
        yaml12.parse_value(text)


def test_anchors_and_merge_keys_work(tmp_path):
    loaded = load(
        tmp_path,
        """\
version: 1
ros_to_redis:
  - &base
    topic: /a
    max_rate_hz: 5
    on_change: true
    to: {channel: a}
  - <<: *base
    topic: /b
    to: {channel: b}
  - <<: [{meta: false, on_change: false}, *base]
    topic: /c
    to: {channel: c}
""",
    )
    assert [
        (route.topic, route.max_rate_hz, route.on_change, route.meta)
        for route in loaded.ros_to_redis
    ] == [('/a', 5, True, True), ('/b', 5, True, True), ('/c', 5, False, False)]


def test_an_error_in_a_merged_map_is_listed_where_it_stands(tmp_path):
    assert errors(
        tmp_path,
        """\
version: 1
ros_to_redis:
  - &base
    topic: /a
    max_rate_hz: fast
    to: {channel: a}
  - <<: *base
    topic: /b
""",
    ) == [
        "m.yaml:5: ros_to_redis[0].max_rate_hz: expected a number, got 'fast'",
        "m.yaml:5: ros_to_redis[1].max_rate_hz: expected a number, got 'fast'",
    ]


def test_files_that_cannot_be_read_are_errors_too(tmp_path):
    def said(path):
        with pytest.raises(MappingError) as error:
            loading.load(path, robot='r1', environ={})
        return str(error.value).replace(f'{tmp_path}', 'T')

    assert said(tmp_path / 'no.yaml') == 'T/no.yaml: no such file'
    assert said(tmp_path) == 'T: cannot be read: Is a directory'
    assert said('a\0b').endswith('cannot be read: embedded null byte')
    file = tmp_path / 'm.yaml'
    file.write_bytes(b'version: 1\nvars: {x: \xff}\n')
    assert said(file) == 'T/m.yaml:2: is not UTF-8: byte 0xff'
    file.write_bytes(b'#' * ((1 << 20) + 1))
    assert said(file) == 'T/m.yaml: is larger than 1048576 bytes, no mapping is that long'


def test_a_byte_order_mark_is_no_error(tmp_path):
    (tmp_path / 'm.yaml').write_bytes(b'\xef\xbb\xbfversion: 1\n')
    assert loading.load(tmp_path / 'm.yaml', robot='r1', environ={}).robot == 'r1'
