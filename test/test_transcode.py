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
from strategies import encode_cdr, plain_values, same

from redis_bridge import cdr, codecs, transcode
from redis_bridge.endpoints import Meta
from redis_bridge.errors import PayloadError
from redis_bridge.interfaces import Message, parse_definition

# One of each that comes back, after strings and sequences and within loops.
BOTH_WAYS = """
bool flag
string name
int16 short
float64[] doubles
uint8[] data
float64[3] fixed
float64[36] covariance
string<=5 bounded
float32[<=90] few
pkg/Flat[] flats
pkg/Gap[2] gaps
string[] names
pkg/Nothing[] nothings
pkg/Nothing nothing
byte[4] id
int64 last
uint16[300] table
pkg/Deep[] deep
float32[1] one
================================================================================
MSG: pkg/Flat
float64 x
float32 y
byte[4] id
================================================================================
MSG: pkg/Gap
float64 x
uint8 y
================================================================================
MSG: pkg/Nothing
================================================================================
MSG: pkg/Deep
int8 a
pkg/Gap[] gaps
bool b
pkg/Flat flat
"""
# What only leaves for msgpack, where its form depends on the values.
ONE_WAY = """
wstring wide
int32[] integers
bool[2] flags
uint64[200] many
int8[<=3] bytes
uint16 last
"""


def type_of(definition: str) -> Message:
    return parse_definition('pkg/msg/Type', definition)


BOTH_TYPE, ONE_WAY_TYPE = type_of(BOTH_WAYS), type_of(ONE_WAY)
PACK, UNPACK = transcode.to_msgpack(BOTH_TYPE), transcode.from_msgpack(BOTH_TYPE)
PACK_TYPED = codecs.encoder(BOTH_TYPE, 'msgpack', arrays='typed')
DECODE, WRITE = codecs.decoder(BOTH_TYPE, 'msgpack'), cdr.writer(BOTH_TYPE)
READ = cdr.reader(BOTH_TYPE)
META = Meta('robot1/boot', 7, 1.5)

often = settings(deadline=None, derandomize=True, database=None, max_examples=60)
values = plain_values(BOTH_TYPE, longest=6)


@often
@given(values, st.sampled_from([b'\0', b'\xaa']))
def test_values_go_out_and_come_back(value, padding):
    payload = PACK(encode_cdr(BOTH_TYPE, value, padding=padding), b'')
    assert same(msgpack.unpackb(payload), value)
    assert UNPACK(payload) == (encode_cdr(BOTH_TYPE, value), b'')


@often
@given(plain_values(ONE_WAY_TYPE, longest=6))
def test_what_does_not_come_back_goes_out(value):
    pack = transcode.to_msgpack(ONE_WAY_TYPE)
    assert same(msgpack.unpackb(pack(encode_cdr(ONE_WAY_TYPE, value), b'')), value)
    assert transcode.from_msgpack(ONE_WAY_TYPE) is None


@often
@given(values)
def test_typed_arrays_go_out_as_they_are(value):
    payload = encode_cdr(BOTH_TYPE, value)
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
    payload = transcode.to_msgpack(message)(encode_cdr(message, value), b'')
    assert same(msgpack.unpackb(payload), value)
    assert len(payload) - len(msgpack.packb({**value, 'numbers': []})) >= count * 5
    assert transcode.from_msgpack(message)(payload) == (encode_cdr(message, value), b'')


@pytest.mark.parametrize('count', [0, 31, 32, 255, 256, 65535, 65536])
def test_strings_and_bytes_of_any_length(count):
    message = type_of('string text\nuint8[] data\nuint8 behind')
    value = {'text': 'é' + 'x' * count, 'data': os.urandom(count), 'behind': 3}
    payload = transcode.to_msgpack(message)(encode_cdr(message, value), b'')
    assert payload == msgpack.packb(value).replace(b'\xa6behind\3', b'\xa6behind\xcc\3')
    assert transcode.from_msgpack(message)(payload) == (encode_cdr(message, value), b'')


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
    payload = transcode.to_msgpack(message)(encode_cdr(message, {'n': value}), b'')
    assert payload == b'\x81\xa1n' + form


@pytest.mark.parametrize('fields', [0, 1, 14, 15, 16, 40])
def test_further_entries_stand_behind_the_fields(fields):
    message = type_of('\n'.join(f'int8 n{number}' for number in range(fields)))
    value = {f'n{number}': number for number in range(fields)}
    payload = encode_cdr(message, value)
    packed = transcode.to_msgpack(message)(payload, b'\xa1x\1')
    assert msgpack.unpackb(packed) == {**value, 'x': 1}
    unpack = transcode.from_msgpack(message)
    if fields == 15:  # the one number where the map's head would be longer with the entry
        assert unpack is None
    else:
        assert unpack(packed) == (payload, b'\xa1x\1')


@often
@given(values)
def test_broken_cdr_is_refused_and_names_the_type(value):
    payload = encode_cdr(BOTH_TYPE, value)
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
        transcode.to_msgpack(type_of(line))(b'\0\1\0\0' + body, b'')


@often
@given(values, st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=20))
def test_a_changed_payload_is_left_to_the_decoder_or_means_the_same_to_it(value, changes):
    payload = bytearray(PACK(encode_cdr(BOTH_TYPE, value), b''))
    for at, byte in changes:
        at %= len(payload)
        before, payload[at] = payload[at], byte
        found = UNPACK(bytes(payload))
        if found is not None:
            decoded, meta = DECODE(bytes(payload))
            assert same(READ(found[0]), decoded)  # the bytes of a NaN may differ
            assert (found[1], meta) == (b'', None)
        payload[at] = before


@often
@given(values, st.integers(0))
def test_a_cut_or_longer_payload_is_left_to_the_decoder(value, cut):
    payload = PACK(encode_cdr(BOTH_TYPE, value), b'')
    assert UNPACK(payload[: cut % len(payload)]) is None
    assert UNPACK(payload + b'\0') is None


def test_other_writers_are_left_to_the_decoder_unless_they_write_the_same():
    message = type_of('float64 x\nint32 n')
    unpack = transcode.from_msgpack(message)
    value = {'x': 1.5, 'n': 100_000}
    assert unpack(msgpack.packb(value)) is None  # an uint32, in their form
    assert unpack(msgpack.packb({'n': 1, 'x': 1.5})) is None
    only_floats = type_of('float64 x\nfloat64 y')
    assert transcode.from_msgpack(only_floats)(msgpack.packb({'x': 1.5, 'y': 2.5})) is not None


@pytest.mark.parametrize(
    ('line', 'body'),
    [
        ('string a', b'\xa2a\0'),
        ('string a', b'\xa2\xff\xfe'),
        ('string<=2 a', b'\xa3abc'),
        ('string a', b'\xda\0\1'),
        ('float64[<=1] a', b'\x92' + 2 * (b'\xcb' + bytes(8))),
        ('float64[] a', b'\x92\xcb' + bytes(8) + b'\xca' + bytes(8)),
        ('float64[] a', b'\xdd\xff\xff\xff\xff'),
        ('string[] a', b'\xdd\xff\xff\xff\xff'),
        ('float64[2] a', b'\x91\xcb' + bytes(8)),
        ('uint8[3] a', b'\xc4\2ab'),
        ('uint8[] a', b'\xc4\3ab'),
        ('bool a', b'\1'),
    ],
)
def test_what_does_not_fit_the_type_is_left_to_the_decoder(line, body):
    assert transcode.from_msgpack(type_of(line))(b'\x81\xa1a' + body) is None


# As the codecs use it


@pytest.mark.parametrize('encoding', ['msgpack', 'cdr'])
def test_the_recoder_gives_cdr_and_metadata(encoding):
    message = type_of('string a\nfloat64 b')
    payload = encode_cdr(message, {'a': 'x', 'b': 1.5})
    encode, recode = codecs.encoder(message, encoding), codecs.recoder(message, encoding)
    assert recode(encode(payload)) == (payload, None)
    assert recode(encode(payload, META)) == (payload, META if encoding == 'msgpack' else None)
    assert recode(b'\xc1') is None


@pytest.mark.parametrize('encoding', ['json', 'text'])
def test_encodings_that_need_the_value_have_no_recoder(encoding):
    assert codecs.recoder(type_of('string a'), encoding) is None


@pytest.mark.parametrize(
    ('entry', 'meta'),
    [
        ({'_meta': {'origin': 'é', 'seq': 3, 'stamp': 1.5}}, Meta('é', 3, 1.5)),
        ({'_meta': {'stamp': 1, 'more': [1]}}, Meta('', 0, 1.0)),
        ({'_meta': {'origin': 1, 'stamp': 1.5}}, None),
        ({'_meta': {'stamp': 'now'}}, None),
        ({'other': 1}, None),
    ],
)
def test_metadata_of_other_writers_is_read(entry, meta):
    message = type_of('float64 b')
    recode = codecs.recoder(message, 'msgpack')
    found = recode(msgpack.packb({'b': 1.5, **entry}))
    assert found == (None if meta is None else (encode_cdr(message, {'b': 1.5}), meta))


@given(st.builds(Meta, st.text(), st.integers(0, 2**64 - 1), st.floats(allow_nan=False)))
def test_metadata_comes_back(meta):
    message = type_of('float64 b')
    payload = encode_cdr(message, {'b': 1.5})
    encoded = codecs.encoder(message, 'msgpack')(payload, meta)
    if abs(meta.stamp) < 1e15:
        assert codecs.decoder(message, 'msgpack')(encoded) == ({'b': 1.5}, meta)
        assert codecs.recoder(message, 'msgpack')(encoded) == (payload, meta)
    else:
        assert codecs.recoder(message, 'msgpack')(encoded) is None
