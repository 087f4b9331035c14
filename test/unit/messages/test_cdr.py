# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The compiled CDR functions without ROS: layout, broken input, rejected values."""

from __future__ import annotations

import math
import os
import time
from array import array
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_types import MIXED
from strategies import encode_cdr, plain_values, same

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.definition import parse_definition
from redis_bridge.messages.types import Field, Message, Primitive

POSE = """
std_msgs/Header header
geometry_msgs/Pose pose
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: builtin_interfaces/Time
int32 sec
uint32 nanosec
================================================================================
MSG: geometry_msgs/Pose
geometry_msgs/Point position
geometry_msgs/Quaternion orientation
================================================================================
MSG: geometry_msgs/Point
float64 x
float64 y
float64 z
================================================================================
MSG: geometry_msgs/Quaternion
float64 x
float64 y
float64 z
float64 w 1.0
"""
POSE_STAMPED = parse_definition('geometry_msgs/msg/PoseStamped', POSE)
MIXED_READ, MIXEDD = cdr_read.reader(MIXED), cdr_read.reader(MIXED, typed=True)
MIXED_WRITE, MIXED_CHECK = cdr_write.writer(MIXED), cdr_read.checker(MIXED)
BODY = b'\0\1\0\0'

often = settings(derandomize=True, database=None, max_examples=40)


def one(line: str, name: str = 'pkg/msg/One') -> Message:
    return parse_definition(name, line)


def written(message: Message, value: dict) -> bytes:
    return cdr_write.writer(message)(value)


# Layout


@pytest.mark.parametrize(
    ('frame', 'offset'), [('', 16), ('map', 16), ('odom', 24), ('odom1', 24), ('base_link', 24)]
)
def test_padding_depends_on_the_string_before(frame, offset):
    value = {'header': {'frame_id': frame}, 'pose': {'position': {'x': 1.5}}}
    payload = written(POSE_STAMPED, value)
    assert payload[4 + offset : 12 + offset] == b'\0\0\0\0\0\0\xf8\x3f'
    assert cdr_read.reader(POSE_STAMPED)(payload)['pose']['position']['x'] == 1.5


def test_an_empty_sequence_of_doubles_adds_no_padding():
    message = one('float64[] a\nint32 b')
    assert written(message, {'b': 7}) == BODY + b'\0\0\0\0\7\0\0\0'
    assert cdr_read.reader(message)(BODY + b'\0\0\0\0\7\0\0\0') == {'a': [], 'b': 7}


def test_an_empty_message_is_one_byte_of_any_value():
    message = one('')
    assert written(message, {}) == BODY + b'\0'
    assert cdr_read.reader(message)(BODY + b'\xaa') == {}
    with pytest.raises(PayloadError):
        cdr_read.reader(message)(BODY)


def test_wide_strings_take_four_bytes_a_unit():
    message = one('wstring text')
    payload = written(message, {'text': 'a😀'})
    assert payload == BODY + b'\3\0\0\0a\0\0\0\x3d\xd8\0\0\0\xde\0\0'
    assert cdr_read.reader(message)(payload) == {'text': 'a😀'}


@often
@given(plain_values(MIXED), st.sampled_from([b'\0', b'\xaa']))
def test_values_are_read_whatever_the_padding(value, padding):
    payload = encode_cdr(MIXED, value, padding)
    assert same(MIXED_READ(payload), value)
    assert same(MIXED_READ(payload + b'tail'), value)
    MIXED_CHECK(payload)
    assert MIXED_WRITE(value) == encode_cdr(MIXED, value)
    assert MIXED_WRITE(MIXEDD(payload)) == encode_cdr(MIXED, value)


def test_typed_arrays_are_arrays_and_bytes_stay_bytes():
    payload = MIXED_WRITE(
        {'doubles': [1, 2], 'data': [1, 2], 'few': [7], 'deep': [{'longs': [3]}], 'one': [0.5]}
    )
    value = MIXEDD(payload)
    assert value['doubles'] == array('d', [1, 2]) and value['doubles'].typecode == 'd'
    assert value['few'].typecode == 'H' and value['one'] == array('f', [0.5])
    assert value['fixed'] == array('d', [0, 0, 0])
    assert value['data'] == b'\1\2' and value['id'] == bytes(4)
    assert value['flags'] == [False, False]
    assert value['deep'][0]['longs'] == array('q', [3])
    empty = MIXEDD(MIXED_WRITE({}))
    assert empty['doubles'] == array('d') and empty['few'].typecode == 'H'


def test_big_endian_cdr_is_rejected_with_the_reason():
    payload = b'\0\0' + MIXED_WRITE({})[2:]
    for function in (MIXED_READ, MIXEDD, MIXED_CHECK):
        with pytest.raises(PayloadError, match='^big-endian CDR is not supported'):
            function(payload)


def test_bytearrays_and_views_are_read_too():
    payload = MIXED_WRITE({'doubles': [1.5], 'name': 'x'})
    for kind in (bytearray, memoryview):
        assert MIXED_READ(kind(payload)) == MIXED_READ(payload)
        MIXED_CHECK(kind(payload))
    for wrong in (None, 'text', 7, [1]):
        with pytest.raises(PayloadError, match='expected bytes'):
            MIXED_READ(wrong)


# Parts


def paths_of(value, prefix=''):
    for name, item in value.items():
        yield prefix + name
        if isinstance(item, dict):
            yield from paths_of(item, f'{prefix}{name}.')


def part_of(value, paths):
    part = {}
    for name, item in value.items():
        below = [path[len(name) + 1 :] for path in paths if path.startswith(f'{name}.')]
        if name in paths:
            part[name] = item
        elif below:
            part[name] = part_of(item, below)
    return part


@often
@given(plain_values(MIXED), st.data())
def test_some_fields_are_read_as_they_stand_in_the_whole(value, data):
    paths = data.draw(st.lists(st.sampled_from(sorted(paths_of(value))), min_size=1, max_size=4))
    read = cdr_read.reader(MIXED, paths)
    assert same(read(encode_cdr(MIXED, value)), part_of(value, paths))


def test_nested_fields_keep_their_nesting():
    payload = written(
        POSE_STAMPED, {'header': {'frame_id': 'odom'}, 'pose': {'position': {'y': 2}}}
    )
    read = cdr_read.reader(POSE_STAMPED, ['pose.position.y', 'header.stamp', 'pose.position.x'])
    assert read(payload) == {
        'header': {'stamp': {'sec': 0, 'nanosec': 0}},
        'pose': {'position': {'x': 0.0, 'y': 2.0}},
    }
    inner = cdr_read.reader(POSE_STAMPED, ['pose.position', 'pose.position.x'])
    assert inner(payload) == {'pose': {'position': {'x': 0.0, 'y': 2.0, 'z': 0.0}}}


def test_what_stands_behind_the_last_wanted_field_is_not_read():
    payload = written(POSE_STAMPED, {'header': {'frame_id': 'odom'}})
    assert cdr_read.reader(POSE_STAMPED, ['header.stamp.sec'])(payload[:8]) == {
        'header': {'stamp': {'sec': 0}}
    }
    with pytest.raises(PayloadError):
        cdr_read.reader(POSE_STAMPED, ['header.frame_id'])(payload[:18])


def test_an_unknown_field_is_named_with_what_there_is():
    with pytest.raises(InterfaceError, match=r"no field 'positon', did you mean 'position'\?"):
        cdr_read.reader(POSE_STAMPED, ['pose.positon'])


# Broken CDR


@pytest.mark.parametrize(
    'payload', [b'', b'\0', b'\0\1', b'\0\1\0', BODY, b'\0\0\0\0', b'\0\3\0\0' + bytes(90)]
)
def test_what_has_no_header_or_no_body_is_rejected(payload):
    for function in (MIXED_READ, MIXEDD, MIXED_CHECK):
        with pytest.raises(PayloadError):
            function(payload)


@settings(often, max_examples=8)
@given(plain_values(MIXED))
def test_cdr_cut_at_any_length_is_rejected(value):
    payload = encode_cdr(MIXED, value)
    for length in range(len(payload)):
        for function in (MIXED_READ, MIXEDD, MIXED_CHECK):
            with pytest.raises(PayloadError):
                function(payload[:length])


@settings(often, max_examples=80)
@given(plain_values(MIXED), st.randoms(use_true_random=False))
def test_mutated_cdr_is_rejected_or_gives_a_value_that_can_be_written(value, random):
    payload = bytearray(encode_cdr(MIXED, value))
    for _ in range(random.randint(1, 5)):
        payload[random.randrange(2, len(payload))] = random.choice((0, 1, 127, 255, 5))
    try:
        value = MIXED_READ(bytes(payload))
    except PayloadError:
        with pytest.raises(PayloadError):
            MIXED_CHECK(bytes(payload))
    else:
        MIXED_CHECK(bytes(payload))
        assert same(MIXED_READ(MIXED_WRITE(value)), value)


@settings(often, max_examples=80)
@given(st.binary(max_size=300), st.sampled_from([BODY, b'\0\0\0\0']))
def test_garbage_is_rejected_or_read_without_another_error(garbage, header):
    for function in (MIXED_READ, MIXEDD, MIXED_CHECK):
        try:
            function(header + garbage)
        except PayloadError as error:
            assert str(error)


@pytest.mark.parametrize(
    'line',
    [
        'float64[] a',
        'uint8[] a',
        'string a',
        'wstring a',
        'string[] a',
        'wstring[] a',
        'bool[] a',
        'int16[] a',
        'pkg/E[] a\n====\nMSG: pkg/E',
        'pkg/E[] a\n====\nMSG: pkg/E\nbyte[1] b',
        'pkg/E[] a\n====\nMSG: pkg/E\nfloat64 b\nint8 c',
        'pkg/E[] a\n====\nMSG: pkg/E\nfloat64[4] b',
        'pkg/E[] a\n====\nMSG: pkg/E\npkg/F[] b\n====\nMSG: pkg/F',
        'pkg/E[] a\n====\nMSG: pkg/E\nuint8[] b',
    ],
)
@pytest.mark.parametrize('forged', [b'\xff\xff\xff\xff', b'\xff\xff\xff\x7f', b'\0\0\0\x10'])
def test_a_forged_length_is_rejected_at_once(line, forged):
    message = one(line)
    payload = BODY + forged + os.urandom(16) + bytes(48)
    for function in (
        cdr_read.reader(message),
        cdr_read.reader(message, typed=True),
        cdr_read.checker(message),
        cdr_read.reader(one(line.replace(' a', ' a\nint8 z', 1)), ['z']),  # skips what is before
    ):
        started = time.monotonic()
        with pytest.raises(PayloadError, match='a'):
            function(payload)
        assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    ('line', 'body', 'error'),
    [
        ('string<=3 a', b'\5\0\0\0abcd\0', r'a: expected string<=3, got 4 characters'),
        ('wstring<=1 a', b'\2\0\0\0a\0\0\0b\0\0\0', r'a: expected wstring<=1, got 2 characters'),
        ('int8[<=2] a', b'\3\0\0\0\1\1\1', r'a: expected int8\[<=2\], got 3 items'),
        ('string[<=1] a', b'\2\0\0\0' + 2 * b'\1\0\0\0\0\0\0\0', r'a: .*got 2 items'),
        ('string a', b'\3\0\0\0\xff\xfe\0', r'a: the string is not UTF-8'),
        ('wstring a', b'\1\0\0\0\0\xd8\0\0', r'a: the string is not UTF-16'),
        ('wstring a', b'\1\0\0\0\0\0\1\0', r'a: the string is not UTF-16'),
        ('string[] a', b'\2\0\0\0\1\0\0\0\0\0\0\0\xff\0\0\0', r'a\[1\]: needs 255 bytes, but 0'),
        ('float64 a', b'\1\2\3', r'a: needs 8 bytes, but 3 are left'),
    ],
)
def test_errors_in_cdr_name_the_place(line, body, error):
    for function in (cdr_read.reader(one(line)), cdr_read.checker(one(line))):
        with pytest.raises(PayloadError, match='^' + error):
            function(BODY + body)


# InvalidSettings values

REJECTED = [
    ('int8 a', 128, 'a: expected int8 (-128 to 127), got 128'),
    ('int8 a', -129, 'a: expected int8 (-128 to 127), got -129'),
    ('uint8 a', -1, 'a: expected uint8 (0 to 255), got -1'),
    ('uint64 a', 1 << 64,
     'a: expected uint64 (0 to 18446744073709551615), got 18446744073709551616'),
    ('int64 a', 10**5000, 'a: expected int64 (-9223372036854775808 to 9223372036854775807), '
     'got an integer of 16610 bits'),
    ('int32 a', True, 'a: expected int32, got True'),
    ('int32 a', 1.0, 'a: expected int32, got 1.0'),
    ('int32 a', '1', "a: expected int32, got '1'"),
    ('int32 a', None, 'a: expected int32, got None'),
    ('float64 a', False, 'a: expected float64, got False'),
    ('float64 a', 'a', "a: expected float64, got 'a'"),
    ('float64 a', Decimal(1), 'a: expected float64, got a value of type Decimal'),
    ('float64 a', 10**400, 'a: an integer of 1329 bits is out of range of float64'),
    ('float32 a', 1e39, 'a: 1e+39 is out of range of float32'),
    ('bool a', 1, 'a: expected bool, got 1'),
    ('bool a', 'true', "a: expected bool, got 'true'"),
    ('byte a', b'a', 'a: expected byte, got 1 bytes'),
    ('string a', b'a', 'a: expected string, got 1 bytes'),
    ('string a', 5, 'a: expected string, got 5'),
    ('string a', 'a\0b', "a: 'a\\x00b' has a NUL character, where DDS would cut it"),
    ('string a', '\ud800', "a: '\\ud800' has half of a surrogate pair"),
    ('wstring a', '\udc00', "a: '\\udc00' has half of a surrogate pair"),
    ('string<=3 a', 'abcd', 'a: expected string<=3, got 4 characters'),
    ('wstring<=1 a', '😀', 'a: expected wstring<=1, got 2 characters'),
    ('float64[3] a', [1, 2], 'a: expected float64[3], got 2 items'),
    ('float64[3] a', 'abc', "a: expected float64[3], got 'abc'"),
    ('float64[3] a', {1.0, 2.0, 3.0}, 'a: expected float64[3], got a value of type set'),
    ('float64[3] a', [1, 2, True], 'a[2]: expected float64, got True'),
    ('float32[2] a', [1e39, 0], 'a[0]: 1e+39 is out of range of float32'),
    ('float32[] a', [0, 1e39], 'a[1]: 1e+39 is out of range of float32'),
    ('float32[] a', array('d', [0, 1e39]), 'a[1]: 1e+39 is out of range of float32'),
    ('float64[] a', [False], 'a[0]: expected float64, got False'),
    ('float64[] a', 5, 'a: expected float64[], got 5'),
    ('float64[] a', b'12345678', 'a: expected float64[], got 8 bytes'),
    ('float64[] a', {}, 'a: expected float64[], got an empty map'),
    ('int16[] a', array('f', [1]), 'a[0]: expected int16, got 1.0'),
    ('int16[] a', array('i', [1, 70000]), 'a[1]: expected int16 (-32768 to 32767), got 70000'),
    ('int16[<=1] a', [1, 2], 'a: expected int16[<=1], got 2 items'),
    ('bool[] a', [1], 'a[0]: expected bool, got 1'),
    ('bool[2] a', array('b', [1, 0]), 'a: expected bool[2], got a list of 2'),
    ('uint8[] a', [1, 256], 'a[1]: expected uint8 (0 to 255), got 256'),
    ('uint8[] a', [True], 'a[0]: expected uint8, got True'),
    ('uint8[] a', 'abc', "a: expected uint8[], got 'abc'"),
    ('uint8[] a', 3, 'a: expected uint8[], got 3'),
    ('byte[<=2] a', b'abc', 'a: expected byte[<=2], got 3 items'),
    ('char[4] a', b'abc', 'a: expected uint8[4], got 3 items'),
    ('string[] a', 'abc', "a: expected string[], got 'abc'"),
    ('string[] a', ['b', 1], 'a[1]: expected string, got 1'),
    ('string[<=1] a', ['b', 'c'], 'a: expected string[<=1], got 2 items'),
    ('string[2] a', ['b'], 'a: expected string[2], got 1 items'),
]  # fmt: skip


@pytest.mark.parametrize(('line', 'value', 'error'), REJECTED, ids=[case[2] for case in REJECTED])
def test_the_writer_refuses_what_does_not_fit(line, value, error):
    with pytest.raises(PayloadError) as raised:
        written(one(line), {'a': value})
    assert str(raised.value) == error


def test_the_writer_names_the_whole_path():
    message = one(
        'pkg/P[] points\n====\nMSG: pkg/P\nfloat32 x\npkg/Q q\n====\nMSG: pkg/Q\nint8[] y'
    )
    write = cdr_write.writer(message)
    points = [{}, {}, {}, {'x': 'a'}]
    with pytest.raises(PayloadError, match=r"^points\[3\]\.x: expected float32, got 'a'$"):
        write({'points': points})
    with pytest.raises(PayloadError, match=r'^points\[1\]\.q\.y\[1\]: expected int8 \(.*got 200$'):
        write({'points': [{}, {'q': {'y': [1, 200]}}]})
    with pytest.raises(
        PayloadError, match=r'^points\[0\]\.q: expected a map of pkg/Q, got a list of 0'
    ):
        write({'points': [{'q': []}]})


@pytest.mark.parametrize(
    ('value', 'error'),
    [
        ({'angluar': {}}, r"^angluar: no such field, did you mean 'angular'\?"),
        ({'linear': {'v': 1}}, r'^linear\.v: no such field \(pkg/V has x, y\)'),
        ({'linear': {'x': 1, 'v': 1}}, r'^linear\.v: no such field'),
        ({'linear': {}, 'angular': {}, 'third': {}}, r'^third: no such field'),
        ({5: 1}, r'^5: no such field'),
        ({None: 1, 'linear': {}}, r'^None: no such field'),
        ([], r'^expected a map of pkg/Twist, got a list of 0'),
        (None, r'^expected a map of pkg/Twist, got None'),
        ({'linear': None}, r'^linear: expected a map of pkg/V, got None'),
    ],
)
def test_unknown_fields_and_wrong_kinds_of_messages_are_rejected(value, error):
    vector = '====\nMSG: pkg/V\nfloat64 x\nfloat64 y'
    message = parse_definition('pkg/msg/Twist', f'pkg/V linear\npkg/V angular\n{vector}')
    with pytest.raises(PayloadError, match=error):
        written(message, value)


@pytest.mark.parametrize('line', ['', 'pkg/Empty a\n====\nMSG: pkg/Empty'])
def test_an_empty_message_takes_no_fields(line):
    for value in ({'a': 1}, {'a': {'b': 1}}, {'a': []}):
        with pytest.raises(PayloadError):
            written(one(line), value)


# Accepted values


@pytest.mark.parametrize(
    ('line', 'value', 'read'),
    [
        ('float64 a', 3, 3.0),
        ('float32 a', -7, -7.0),
        ('float32 a', math.inf, math.inf),
        ('float64[] a', (1, 2.5), [1.0, 2.5]),
        ('float64[] a', array('i', [1, 2]), [1.0, 2.0]),
        ('float64[2] a', array('f', [1, 2]), [1.0, 2.0]),
        ('int32[] a', array('h', [-1, 2]), [-1, 2]),
        ('int64[] a', array('l', [-1, 2]), [-1, 2]),
        ('uint8[] a', [1, 255], b'\1\xff'),
        ('uint8[2] a', bytearray(b'ab'), b'ab'),
        ('byte[] a', memoryview(b'ab'), b'ab'),
        ('char[] a', array('B', b'ab'), b'ab'),
        ('bool[] a', (True, False), [True, False]),
        ('string[] a', ('ä', ''), ['ä', '']),
        ('string<=2 a', 'äö', 'äö'),
    ],
)
def test_near_kinds_are_taken_where_nothing_is_lost(line, value, read):
    assert cdr_read.reader(one(line))(written(one(line), {'a': value})) == {'a': read}


def test_fields_left_out_get_their_defaults_and_the_value_is_not_changed():
    message = one(
        'int8 a 5\nstring b "x"\nint16[] c [1, 2]\npkg/E e\n====\nMSG: pkg/E\nfloat64 w 1.0'
    )
    value = {'b': 'y'}
    write, read = cdr_write.writer(message), cdr_read.reader(message)
    assert read(write(value)) == {'a': 5, 'b': 'y', 'c': [1, 2], 'e': {'w': 1.0}}
    assert value == {'b': 'y'}
    assert read(write({})) == message.default()


def test_field_names_that_are_no_identifiers_never_reach_the_source():
    for name in ('a b', "a'] or 1", '', 'ä', 'a\n'):
        message = Message('pkg/msg/Bad', (Field(name, Primitive('int8')),))
        for compiled in (cdr_read.reader, cdr_write.writer, cdr_read.checker):
            with pytest.raises(InterfaceError, match='is no name of a field'):
                compiled(message)


def test_names_of_python_are_fine_as_fields():
    message = one('int8 class\nint8 def\nint8 end\nstring buf\nint8[] read\nint8[] array')
    value = {'class': 1, 'def': 2, 'end': 3, 'buf': 'x', 'read': [1], 'array': [2]}
    assert cdr_read.reader(message)(written(message, value)) == value


def test_sequences_in_sequences_are_compiled_as_deep_as_a_definition_may_be():
    levels = [f'T{n + 1}[] a\n====\nMSG: pkg/T{n + 1}\n' for n in range(15)]
    message = parse_definition('pkg/msg/T0', ''.join(levels) + 'float64[] x\nstring s')
    value = {'x': [1.0], 's': 'text'}
    for _ in range(15):
        value = {'a': [value, value]} if len(str(value)) < 2000 else {'a': [value]}
    payload = written(message, value)
    assert payload == encode_cdr(message, value)
    assert cdr_read.reader(message)(payload) == value
    cdr_read.checker(message)(payload)
