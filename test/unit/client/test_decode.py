# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Decoding for a client, without a server."""

from __future__ import annotations

import pytest

from redis_bridge.client.decode import Decoder, Update, guess, guess_fields, nested
from redis_bridge.client.stored import Event, entry, stored
from redis_bridge.errors import PayloadError
from redis_bridge.messages.definition import parse_definition
from redis_bridge.protocol.meta import Meta

SAMPLE = parse_definition('demo_msgs/msg/Sample', 'float64 x\nuint8[] data\nstring text\n')
META = Meta('robot1/0a0b', 7, 1234.5)


@pytest.mark.parametrize(
    ('payload', 'value'),
    [
        (b'21.5', '21.5'),
        (b'{"a": [1, 2]}', {'a': [1, 2]}),
        (b' [1, "x"]', [1, 'x']),
        (b'{not json', '{not json'),
        (b'\xff\x00', b'\xff\x00'),
    ],
)
def test_a_payload_of_unknown_encoding_is_json_a_string_or_bytes(payload, value):
    assert guess(payload) == (value, None)
    assert guess_fields({b'field': payload}) == {'field': value}


def test_a_hash_becomes_the_map_it_was_written_from():
    fields = {b'x': b'1.5', b'data': b'"AAE="', b'text': b'21'}
    assert nested(fields, SAMPLE) == {'x': 1.5, 'data': b'\x00\x01', 'text': '21'}
    assert nested({b'a.b': b'1', b'a.c.d': b'[2]'}, None) == {'a': {'b': '1', 'c': {'d': [2]}}}


def test_a_hash_field_that_is_both_a_value_and_a_parent_is_an_error():
    with pytest.raises(PayloadError, match=r'^a\.b: a is also a field with a value$'):
        nested({b'a': b'1', b'a.b': b'2'}, None)


def test_an_update_has_the_metadata_of_the_entry_or_else_of_the_payload():
    decode = Decoder(lambda payload: (payload.decode(), META))
    other = Meta('robot2/1', 1, 2.0)
    assert decode.update(Event('s', 'stream', b'x', other, '1-0')) == Update(
        's', 'stream', 'x', other, '1-0'
    )
    assert decode.update(Event('c', 'channel', b'x')) == Update('c', 'channel', 'x', META)
    assert decode.update(Event('k', 'key', None)) == Update('k', 'key', None)


def test_an_error_names_the_payload_that_cannot_be_decoded():
    def fail(payload):
        raise PayloadError('no')

    with pytest.raises(PayloadError, match=r"^key 'k': no$"):
        Decoder(fail).update(Event('k', 'key', b'x'))


def test_an_entry_is_its_field_data_or_else_all_its_fields():
    meta = [b'origin', b'r/1', b'seq', b'3', b'stamp', b'1.5']
    assert entry('s', b'1-0', [b'data', b'x', *meta]) == Event(
        's', 'stream', b'x', Meta('r/1', 3, 1.5), '1-0'
    )
    assert entry('s', b'1-0', [b'word', b'x']).payload == {b'word': b'x'}


@pytest.mark.parametrize(('kind', 'reply'), [('key', None), ('hash', []), ('stream', [])])
def test_a_name_that_is_gone_has_no_payload(kind, reply):
    assert stored('n', kind, reply).payload is None
