# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The compiled functions between CDR and msgpack: forms, padding, long arrays, broken input."""

from __future__ import annotations

import os
from array import array

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_types import LONG
from strategies import encode_cdr, plain_values, same

from redis_bridge.errors import PayloadError
from redis_bridge.messages import cdr_write
from redis_bridge.messages.definition import parse_definition
from redis_bridge.messages.types import Message
from redis_bridge.payloads import CODECS, msgpack_direct
from redis_bridge.protocol.meta import Meta


def type_of(definition: str) -> Message:
    return parse_definition('pkg/msg/Type', definition)


PACK = msgpack_direct.to_msgpack(LONG)
PACK_TYPED = CODECS['msgpack'].encoder(LONG, arrays='typed')
DECODE, WRITE = CODECS['msgpack'].decoder(LONG), cdr_write.writer(LONG)
META = Meta('robot1/boot', 7, 1.5)

often = settings(derandomize=True, database=None, max_examples=20)
values = plain_values(LONG, longest=6)


@often
@given(values, st.sampled_from([b'\0', b'\xaa']))
def test_values_go_out_as_they_are(value, padding):
    payload = PACK(encode_cdr(LONG, value, padding=padding), b'')
    assert same(msgpack.unpackb(payload), value)


@often
@given(values)
def test_typed_arrays_go_out_as_they_are(value):
    payload = encode_cdr(LONG, value)
    decoded, meta = DECODE(PACK_TYPED(payload, META))
    assert meta == META
    assert WRITE(decoded) == payload
    assert type(decoded['covariance']) is array


@pytest.mark.parametrize(
    'count', [*range(12), 27, 28, 29, 31, 32, 33, 50, 51, 52, 63, 64, 65, 720]
)
@pytest.mark.parametrize('kind', ['float32', 'float64'])
def test_sequences_of_any_length(kind, count):
    message = type_of(f'int8 before\n{kind}[] numbers\nint8 behind')
    value = {'before': 1, 'numbers': [n * 0.5 - 7 for n in range(count)], 'behind': 2}
    payload = msgpack_direct.to_msgpack(message)(encode_cdr(message, value), b'')
    assert same(msgpack.unpackb(payload), value)
    assert len(payload) - len(msgpack.packb({**value, 'numbers': []})) >= count * 5


@pytest.mark.parametrize('count', [0, 31, 32, 255, 256, 65535, 65536])
def test_strings_and_bytes_of_any_length(count):
    message = type_of('string text\nuint8[] data\nuint8 behind')
    value = {'text': 'é' + 'x' * count, 'data': os.urandom(count), 'behind': 3}
    payload = msgpack_direct.to_msgpack(message)(encode_cdr(message, value), b'')
    assert payload == msgpack.packb(value).replace(b'\xa6behind\3', b'\xa6behind\xcc\3')


@pytest.mark.parametrize(
    ('line', 'value', 'form'),
    [
        ('int8 n', -1, b'\xd0\xff'),
        ('uint8 n', 1, b'\xcc\1'),
        ('int16 n', 1, b'\xd1\0\1'),
        ('uint16 n', 1, b'\xcd\0\1'),
        ('int32 n', 1, b'\xd2\0\0\0\1'),
        ('uint32 n', 1, b'\xce\0\0\0\1'),
        ('int64 n', 1, b'\xd3\0\0\0\0\0\0\0\1'),
        ('uint64 n', 1, b'\xcf\0\0\0\0\0\0\0\1'),
        ('float32 n', 1.5, b'\xca\x3f\xc0\0\0'),
        ('float64 n', 1.5, b'\xcb\x3f\xf8\0\0\0\0\0\0'),
        ('bool n', True, b'\xc3'),
        ('int32[] n', [1, -1], b'\x92\1\xff'),
    ],
)
def test_numbers_keep_their_width_but_in_sequences(line, value, form):
    message = type_of(line)
    payload = msgpack_direct.to_msgpack(message)(encode_cdr(message, {'n': value}), b'')
    assert payload == b'\x81\xa1n' + form


@pytest.mark.parametrize('fields', [0, 1, 14, 15, 16, 40])
def test_further_entries_stand_behind_the_fields(fields):
    message = type_of('\n'.join(f'int8 n{number}' for number in range(fields)))
    value = {f'n{number}': number for number in range(fields)}
    payload = encode_cdr(message, value)
    packed = msgpack_direct.to_msgpack(message)(payload, b'\xa1x\1')
    assert msgpack.unpackb(packed) == {**value, 'x': 1}


@often
@given(values)
def test_broken_cdr_is_rejected_and_names_the_type(value):
    payload = encode_cdr(LONG, value)
    for cut in {0, 1, 4, 5, len(payload) // 3, len(payload) // 2, len(payload) - 1}:
        with pytest.raises(PayloadError):
            PACK(payload[:cut], b'')


@pytest.mark.parametrize(
    ('line', 'body', 'error'),
    [
        ('string a', b'\3\0\0\0\xff\xfe\0', 'a: the string is not UTF-8'),
        ('string<=2 a', b'\4\0\0\0abc\0', 'a: expected string<=2, got 3 characters'),
        ('int32[<=1] a', b'\2\0\0\0\1\0\0\0\2\0\0\0', r'a: expected int32\[<=1\], got 2 items'),
        ('string[] a', b'\xff\xff\xff\xff', 'a: has 4294967295 items, but 0 bytes are left'),
        ('float64 a', b'\0\0\0\0', 'a: '),
    ],
)
def test_what_is_broken_is_named(line, body, error):
    with pytest.raises(PayloadError, match=error):
        msgpack_direct.to_msgpack(type_of(line))(b'\0\1\0\0' + body, b'')


# As the codecs use it


@given(st.builds(Meta, st.text(), st.integers(0, 2**64 - 1), st.floats(allow_nan=False)))
def test_metadata_comes_back(meta):
    message = type_of('float64 b')
    payload = encode_cdr(message, {'b': 1.5})
    encoded = CODECS['msgpack'].encoder(message)(payload, meta)
    if abs(meta.stamp) < 1e15:
        assert CODECS['msgpack'].decoder(message)(encoded) == ({'b': 1.5}, meta)
