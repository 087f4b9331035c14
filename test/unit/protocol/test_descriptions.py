# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Descriptions of names and types, as they are written and read."""

from __future__ import annotations

import pytest

from redis_bridge.errors import InterfaceError
from redis_bridge.protocol.descriptions import (
    Demands,
    Format,
    NameDescription,
    NameInfo,
    TypeDescription,
    marks_of,
    marks_to_json,
    obsolete,
    type_description,
    unsaid_fields,
)

STRING = TypeDescription('std_msgs/msg/String', 'string data', 'RIHS01_x')


def as_bytes(fields):
    return {key.encode(): value.encode() for key, value in fields.items()}


def test_a_type_is_read_as_it_was_written():
    assert STRING.key() == 'redis_bridge:type:std_msgs/msg/String'
    assert STRING.fields() == {
        'definition': 'string data', 'type_hash': 'RIHS01_x', 'protocol': '1',
    }  # fmt: skip
    assert type_description(STRING.name, as_bytes(STRING.fields())) == STRING


@pytest.mark.parametrize(
    ('fields', 'text'),
    [
        ({}, 'no bridge describes the type'),
        ({'definition': 'x', 'protocol': '2'}, 'protocol 2, and this client speaks protocol 1'),
        ({'definition': 'x'}, 'protocol None'),
    ],
)
def test_a_type_that_cannot_be_used_raises(fields, text):
    with pytest.raises(InterfaceError, match=text):
        type_description('a/msg/B', as_bytes(fields))


def test_a_name_is_described_for_both_sides():
    written = NameDescription('n', 'key', False, 'json', 'data', STRING)
    read = NameDescription('n', 'channel', True, 'cdr', None, STRING._replace(type_hash='y'))
    assert written.key() == read.key() == 'redis_bridge:meta:n'
    assert written.fields('r') == {
        'robot': 'r', 'key': 'json', 'type': STRING.name, 'type_hash': 'RIHS01_x',
        'field': 'data',
    }  # fmt: skip
    assert read.fields('r') == {
        'robot': 'r', 'from_channel': 'cdr', 'from_type': STRING.name, 'from_type_hash': 'y',
        'from_channel_demands': '{}',
    }  # fmt: skip
    info = NameInfo.of(as_bytes({**written.fields('r'), **read.fields('r')}), ('key', 'channel'))
    assert info.kinds == ['key', 'channel']
    assert info.to_read('key') == Format('json', STRING.name, 'RIHS01_x', 'data')
    assert info.to_publish('channel') == Format('cdr', STRING.name, 'y', None)
    assert info.to_publish('key') == info.to_read('key')
    assert info.to_read('stream') is None


def test_a_key_or_stream_that_is_written_is_registered():
    key = NameDescription('a', 'key', False, 'json', None, STRING)
    assert key.registration('r') == {'key:a': 'r'}
    assert key._replace(kind='stream').registration('r') == {'stream:a': 'r'}
    for other in (
        key._replace(kind='hash'),
        key._replace(kind='channel'),
        key._replace(is_read=True),
        key._replace(type=None),
    ):
        assert other.registration('r') == {}


def test_a_name_that_is_read_as_the_type_it_is_written_with():
    fields = {b'type': b'a/msg/B', b'from_key': b'json', b'unknown': b'\xff'}
    info = NameInfo.of(fields, ('channel', 'key'))
    assert info.read_as == {'key': Format('json', 'a/msg/B', None, None)}


def test_a_name_whose_type_is_not_known_yet_has_a_mark_and_no_fields():
    said = NameDescription('n', 'stream', True, 'cdr', None, None)
    assert (said.mark(), said.fields('r')) == ('from_stream', {})


@pytest.mark.parametrize('text', ['', '[]', '5', '{', '{"a": 1}', 'null'])
def test_a_list_of_descriptions_that_cannot_be_read_is_empty(text):
    assert marks_of(text) == {}
    said = {'a': {'key', 'from_channel'}, 'b': set()}
    assert marks_of(marks_to_json(said)) == said


@pytest.mark.parametrize(
    ('gone', 'left', 'fields'),
    [
        (['key'], ['channel', 'from_channel'], ['key', 'key_demands']),
        (['key'], ['from_key'], ['key', 'key_demands', 'type', 'type_hash', 'field']),
        (
            ['from_key'],
            [],
            [
                'from_key', 'from_key_demands', 'type', 'type_hash', 'field', 'from_type',
                'from_type_hash', 'from_field', 'robot',
            ],
        ),
    ],
)  # fmt: skip
def test_what_a_description_leaves_behind_is_removed_if_no_other_needs_it(gone, left, fields):
    assert obsolete(gone, left) == fields


def test_the_field_of_an_earlier_description_may_not_stay():
    whole = NameDescription('n', 'key', False, 'json', None, STRING)
    assert unsaid_fields(whole.fields('r')) == ['field']
    assert unsaid_fields(whole._replace(field='data').fields('r')) == []
    assert unsaid_fields(whole._replace(is_read=True).fields('r')) == ['from_field']
    assert unsaid_fields(STRING.fields()) == []


def test_demands_are_those_of_the_kind_that_a_bridge_reads():
    demands = Demands({'x': (-0.5, 1.0)}, ('x', 'y.z'), True, 1000)
    guarded = NameDescription('n', 'channel', True, 'json', None, STRING, demands)
    free = NameDescription('n', 'key', True, 'json', None, STRING)
    fields = {**guarded.fields('r'), **free.fields('r')}
    assert fields['from_channel_demands'] == (
        '{"limits":{"x":[-0.5,1.0]},"required":["x","y.z"],"finite":true,"max_bytes":1000}'
    )
    info = NameInfo.of(as_bytes(fields), ('key', 'channel'))
    assert info.to_publish('channel').demands == demands
    assert info.to_publish('key').demands == Demands()


@pytest.mark.parametrize(
    ('text', 'demands'),
    [
        ('', Demands()),
        ('{"finite":true,"newer":[1]}', Demands(finite=True)),
        *[(text, Demands()) for text in ('[1]', '5', '{"limits":5}', '{"limits":{"x":[1]}}', '{')],
    ],
)
def test_demands_that_cannot_be_read_are_none(text, demands):
    assert Demands.of(text) == demands
