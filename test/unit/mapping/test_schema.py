# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The schema of the mapping, and the errors of documents that do not fit it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from mappings import CONFIG, errors, properties

from redis_bridge.mapping import schema
from redis_bridge.payloads import CODECS

ERRORS = [
    (
        'vars: {}',
        "m.yaml:1: 'version' is missing",
    ),
    (
        'version: 2',
        'm.yaml:1: version: expected 1, got 2',
    ),
    (
        "version: '1'",
        "m.yaml:1: version: expected 1, got '1'",
    ),
    (
        'version: 1\nros_to_reddis: []',
        "m.yaml:2: unknown key 'ros_to_reddis', did you mean 'ros_to_redis'?",
    ),
    (
        'version: 1\nfoo: 1',
        "m.yaml:2: unknown key 'foo', expected one of version, redis, vars, defaults, "
        'ros_to_redis, redis_to_ros, services, actions, parameters, presence, leases, executor',
    ),
    (
        'version: 1\non: 1',
        "m.yaml:2: unknown key 'on', expected one of version, redis, vars, defaults, "
        'ros_to_redis, redis_to_ros, services, actions, parameters, presence, leases, executor',
    ),
    (
        'version: 1\nros_to_redis: {}',
        'm.yaml:2: ros_to_redis: expected a list, got a map',
    ),
    (
        'version: 1\nros_to_redis:',
        'm.yaml:2: ros_to_redis: expected a list, got nothing',
    ),
    (
        'version: 1\nros_to_redis: [x]',
        "m.yaml:2: ros_to_redis[0]: expected a map, got 'x'",
    ),
    (
        'version: 1\nexecutor: event',
        "m.yaml:2: executor: expected one of events, single_threaded, got 'event', did you "
        "mean 'events'?",
    ),
    (
        'version: 1\nservices: [{server: ros, service: /add}]',
        'm.yaml:2: services: services are not yet supported',
    ),
    (
        'version: 1\nactions: [1, 2]',
        'm.yaml:2: actions: actions are not yet supported',
    ),
    (
        'version: 1\nparameters: [{}]',
        'm.yaml:2: parameters: parameters are not yet supported',
    ),
    (
        'version: 1\nvars: {a-b: x}',
        "m.yaml:2: vars: expected a name of letters, digits and underscores, got 'a-b'",
    ),
    (
        'version: 1\nvars: {x: [1]}',
        'm.yaml:2: vars.x: expected a string or a whole number, got a list',
    ),
    (
        'version: 1\nvars: {x: "{robot}"}',
        'm.yaml:2: vars.x: a variable has no braces: write them where it is used',
    ),
    (
        'version: 1\ndefaults: {stop: {after_ms: 5}}',
        "m.yaml:2: defaults: 'stop' has no default: set it on each route that needs it",
    ),
    (
        'version: 1\ndefaults: {limits: {}}',
        "m.yaml:2: defaults: 'limits' has no default: set it on each route that needs it",
    ),
    (
        'version: 1\ndefaults: {topic: /a}',
        "m.yaml:2: defaults: 'topic' has no default: set it on each route that needs it",
    ),
    (
        'version: 1\ndefaults: {encoding: xml}',
        f"m.yaml:2: defaults.encoding: expected one of {', '.join(CODECS)}, got 'xml'",
    ),
    (
        'version: 1\npresence: {every_ms: 0}',
        'm.yaml:2: presence.every_ms: expected at least 1, got 0',
    ),
    (
        'version: 1\npresence: {every_ms: 6000}',
        'm.yaml:2: presence.ttl_ms: expected more than every_ms (6000), got 6000: the '
        'bridge would count as gone between two heartbeats',
    ),
]


@pytest.mark.parametrize('row', ERRORS, ids=lambda row: row[1][:60])
def test_each_error_has_its_place_and_its_reason(tmp_path, row):
    text, *expected = row
    robot = None if 'vars: {robot' in text else 'r1'
    assert errors(tmp_path, text, robot=robot) == expected


def _values(value, path=()):
    """Yield (path, value) of all that a document says, lists left out of the paths."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield (*path, key), inner
            yield from _values(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from _values(inner, path)


def _default(node):
    if '$ref' in node:
        node = schema.schema()['definitions'][node['$ref'].rsplit('/', 1)[1]]
    return node.get('default', ...)


def test_the_reference_shows_every_option_at_its_default():
    document = yaml.safe_load((CONFIG / 'reference.yaml').read_text(encoding='utf-8'))
    said = {}
    for path, value in _values(document):
        said.setdefault(path, []).append(value)
    for path, node in properties(schema.schema()):
        assert path in said, f'{".".join(path)} is not in reference.yaml'
        default = _default(node)
        if default is not ... and isinstance(default, (str, int, float, bool, list)):
            assert set(map(str, said[path])) == {str(default)}, path
        elif default is None:
            assert None in said[path] or isinstance(said[path][0], dict), path


def test_every_property_of_the_schema_is_described():
    for path, node in properties(schema.schema()):
        target = node
        if '$ref' in node:
            target = schema.schema()['definitions'][node['$ref'].rsplit('/', 1)[1]]
        if path[-1] != 'name':
            assert target.get('description'), path


def test_the_schema_is_a_draft_7_schema_and_ships_beside_the_module():
    file = Path(schema.__file__).with_name('schema.json')
    shipped = json.loads(file.read_text(encoding='utf-8'))
    jsonschema.Draft7Validator.check_schema(shipped)
    shipped['definitions']['encoding']['enum'] = list(CODECS)
    assert shipped == schema.schema()
