# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The compiled functions against rclpy's own, on every message of the common packages."""

from __future__ import annotations

import importlib
from array import array
from typing import Any

import msgpack
import pytest
from frames_walk import rename_all
from hypothesis import HealthCheck, Phase, given, settings
from strategies import CHANGES, changed, encode_cdr, plain_values, same

from redis_bridge.errors import PayloadError
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.frames import has_frames, renamer
from redis_bridge.messages.types import PRIMITIVES, FieldType, Message, Primitive, Sequence, String
from redis_bridge.payloads import msgpack_direct

pytest.importorskip('rclpy')
numpy = pytest.importorskip('numpy')

from rclpy.serialization import deserialize_message, serialize_message  # noqa: E402

from redis_bridge.ros_io import types  # noqa: E402

PACKAGES = (
    'test_msgs',
    'std_msgs',
    'geometry_msgs',
    'sensor_msgs',
    'nav_msgs',
    'diagnostic_msgs',
    'visualization_msgs',
    'trajectory_msgs',
)


def names_of(package: str, kind: str = 'msg') -> list[str]:
    module = importlib.import_module(f'{package}.{kind}')
    return [
        f'{package}/{kind}/{word}'
        for word in sorted(vars(module))
        if hasattr(getattr(module, word), 'SLOT_TYPES')
    ]


NAMES = [name for package in PACKAGES for name in names_of(package)]
NAMES += ['test_msgs/srv/BasicTypes_Request', 'test_msgs/srv/Arrays_Response']
NAMES += ['test_msgs/action/NestedMessage_Goal', 'test_msgs/action/Fibonacci_FeedbackMessage']
NAMES += ['test_msgs/action/Fibonacci_SendGoal_Request', 'test_msgs/srv/Empty_Request']

lasting = settings(
    derandomize=True,
    database=None,
    max_examples=20,
    phases=[Phase.generate],  # shrinking the biggest types takes minutes
    suppress_health_check=list(HealthCheck),
)


def to_ros(type_: FieldType, value: Any) -> Any:
    """Return a plain value as rclpy's objects; their setters check nothing, so kinds must fit."""
    if isinstance(type_, Message):
        message = types.load(type_.name)()
        for field in type_.fields:
            setattr(message, field.name, to_ros(field.type, value[field.name]))
        return message
    if isinstance(type_, Primitive):
        if type_.name == 'octet':
            return bytes([value])
        return float(value) if type_.name in ('float', 'double') else value
    if isinstance(type_, String):
        return value
    items = [to_ros(type_.item, item) for item in value]
    if not isinstance(type_.item, Primitive) or type_.item.name in ('octet', 'boolean'):
        return items
    code = PRIMITIVES[type_.item.name][0]
    return array(code, items) if isinstance(type_, Sequence) else numpy.array(items, code)


def to_plain(type_: FieldType, value: Any) -> Any:
    """Return rclpy's objects as a plain value."""
    if isinstance(type_, Message):
        return {
            field.name: to_plain(field.type, getattr(value, field.name)) for field in type_.fields
        }
    if isinstance(type_, Primitive):
        return value[0] if type_.name == 'octet' else value
    if isinstance(type_, String):
        return value
    items = value.tolist() if hasattr(value, 'tolist') else value
    items = [to_plain(type_.item, item) for item in items]
    numbers = isinstance(type_.item, Primitive)
    return bytes(items) if numbers and type_.item.name in ('octet', 'uint8') else items


@pytest.mark.parametrize('name', NAMES)
def test_values_are_those_of_rclpy_both_ways(name):
    cls = types.load(name)
    message = types.describe(cls)
    read, write, check = (
        cdr_read.reader(message),
        cdr_write.writer(message),
        cdr_read.checker(message),
    )
    read_typed = cdr_read.reader(message, typed=True)
    pack = msgpack_direct.to_msgpack(message)

    @lasting
    @given(plain_values(message))
    def agree(value):
        theirs = bytes(serialize_message(to_ros(message, value)))
        assert same(read(theirs), value)
        check(theirs)
        packed = pack(theirs, b'')
        assert same(msgpack.unpackb(packed), value)
        ours = write(value)
        assert same(to_plain(message, deserialize_message(ours, cls)), value)
        assert ours == encode_cdr(message, value)  # exact, and padding is zero
        assert write(read_typed(ours)) == ours
        padded = encode_cdr(message, value, b'\xaa')
        assert same(to_plain(message, deserialize_message(padded, cls)), value)
        assert same(read(padded), value)
        assert write(read_typed(padded)) == ours
        check(padded)

    agree()


def with_prefix(name: bytes) -> bytes:
    return b'robot1/' + name if name else name


@pytest.mark.parametrize('name', [name for name in NAMES if has_frames(types.message(name))])
def test_frames_that_are_renamed_are_so_for_rclpy_and_all_else_stays(name):
    cls = types.load(name)
    message = types.describe(cls)
    renamed, write = renamer(message, with_prefix), cdr_write.writer(message)

    @lasting
    @given(plain_values(message))
    def agree(value):
        theirs = renamed(bytes(serialize_message(to_ros(message, value))))
        expected = rename_all(message, value, with_prefix)
        assert same(to_plain(message, deserialize_message(theirs, cls)), expected)
        assert renamed(write(value)) == write(expected)

    agree()


@pytest.mark.parametrize('name', NAMES)
def test_mutated_cdr_is_rejected_or_read_as_rclpy_reads_it(name):
    cls = types.load(name)
    message = types.describe(cls)
    read, check = cdr_read.reader(message), cdr_read.checker(message)

    @lasting
    @given(plain_values(message), CHANGES)
    def survive(value, changes):
        payload = changed(encode_cdr(message, value), changes)
        try:
            ours = read(payload)
        except PayloadError:
            with pytest.raises(PayloadError):
                check(payload)
            return
        check(payload)
        assert same(to_plain(message, deserialize_message(payload, cls)), ours)

    survive()


@pytest.mark.parametrize('name', NAMES)
def test_fields_left_out_have_the_defaults_of_rclpy(name):
    cls = types.load(name)
    message = types.describe(cls)
    defaults = to_plain(message, cls())
    # rclpy holds defaults of fixed float32 arrays as float32 already.
    assert cdr_write.writer(message)(message.default()) == cdr_write.writer(message)(defaults)
    assert same(
        to_plain(message, deserialize_message(cdr_write.writer(message)({}), cls)), defaults
    )


@pytest.mark.parametrize('name', NAMES)
def test_what_rclpy_refuses_when_cut_is_rejected_here_at_every_length(name):
    cls = types.load(name)
    message = types.describe(cls)
    read, check = cdr_read.reader(message), cdr_read.checker(message)
    whole = cdr_write.writer(message)({})
    # The longest are cut at some lengths only: every one of the first and the last, else each 7th.
    lengths = [n for n in range(len(whole)) if n < 100 or n > len(whole) - 100 or n % 7 == 0]
    for length in lengths[:: max(1, len(lengths) // 300)]:
        for function in (read, check):
            with pytest.raises(PayloadError):
                function(whole[:length])


@pytest.mark.parametrize('text', ['', 'a\0b', '\0', 'ä😀\0', '\U0010ffff'])
def test_wide_strings_are_read_as_rclpy_reads_them(text):
    message = types.describe(types.load('test_msgs/msg/WStrings'))
    value = {**message.default(), 'wstring_value': text}
    theirs = bytes(serialize_message(to_ros(message, value)))
    assert cdr_read.reader(message)(theirs)['wstring_value'] == text
    back = deserialize_message(
        cdr_write.writer(message)(value), types.load('test_msgs/msg/WStrings')
    )
    assert back.wstring_value == text


STRING = 'std_msgs/msg/String'


@pytest.mark.parametrize(
    'body',
    [
        b'\0\0\0\0',  # no NUL and no length
        b'\x03\0\0\0abc',  # no NUL
        b'\x06\0\0\0ab\0cd\0',  # cut at the first NUL
        b'\x04\0\0\0abc\0tail',
        b'\x01\0\0\0\0',
    ],
)
def test_odd_strings_are_read_as_rclpy_reads_them(body):
    cls = types.load(STRING)
    theirs = deserialize_message(b'\0\1\0\0' + body, cls).data
    assert cdr_read.reader(types.describe(cls))(b'\0\1\0\0' + body) == {'data': theirs}


def test_a_bool_is_true_when_it_is_not_zero():
    cls = types.load('std_msgs/msg/Bool')
    for byte in (0, 1, 2, 7, 255):
        payload = bytes([0, 1, 0, 0, byte])
        assert cdr_read.reader(types.describe(cls))(payload)['data'] is bool(byte)
        assert deserialize_message(payload, cls).data is bool(byte)
