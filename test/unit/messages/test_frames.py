# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The compiled function that renames frames in CDR, against a slow walk over plain values."""

from __future__ import annotations

import random

import pytest
from frames_walk import rename_all
from hypothesis import given, settings
from hypothesis import strategies as st
from message_types import FRAMES, LINE, MESSAGE_TYPES, TF_MESSAGE
from random_types import random_message
from strategies import CHANGES, changed, encode_cdr, plain_values, same

from redis_bridge.errors import InterfaceError, PayloadError
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.definition import parse_definition
from redis_bridge.messages.frames import check_frames, has_frames, renamer

often = settings(derandomize=True, database=None, max_examples=25)
sometimes = settings(often, max_examples=10)
each_type = pytest.mark.parametrize('message', FRAMES, ids=str)
# Each changes the lengths of names in another way.
RENAMES = {
    'longer': lambda name: b'robot1/' + name if name else name,
    'shorter': lambda name: name[1:],
    'as long': lambda name: name[::-1] if name.isascii() else name,
    'aligned': lambda name: b'12345678' + name,
    'long': lambda name: b'x' * 100 + name,
}


def one(text: str, name: str = 'pkg/msg/One'):
    return parse_definition(name, text)


@each_type
def test_frames_are_renamed_as_a_walk_over_the_value_does_it(message):
    read, write = cdr_read.reader(message), cdr_write.writer(message)
    functions = {name: renamer(message, rename) for name, rename in RENAMES.items()}

    @often
    @given(plain_values(message), st.sampled_from([*RENAMES]))
    def agree(value, how):
        rename, renamed = RENAMES[how], functions[how]
        try:
            expected = write(rename_all(message, value, rename))
        except PayloadError:  # too long for the bound of its string, or half of a character
            with pytest.raises(PayloadError):
                read(renamed(write(value)))
            return
        assert renamed(write(value)) == expected
        padded = renamed(encode_cdr(message, value, b'\xaa'))
        assert write(read(padded)) == expected
        assert same(read(renamed(write(value) + b'tail')), read(expected))

    agree()


@settings(often, max_examples=60)
@given(st.integers(0, 1 << 32), st.sampled_from([*RENAMES]), st.data())
def test_types_made_by_chance_keep_all_but_the_names(seed, how, data):
    message, rename = random_message(random.Random(seed)), RENAMES[how]
    renamed, write = renamer(message, rename), cdr_write.writer(message)
    value = data.draw(plain_values(message))
    try:
        expected = write(rename_all(message, value, rename))
    except PayloadError:  # half of a character
        return
    assert (renamed is None) is not has_frames(message)
    if renamed is not None:
        assert renamed(write(value)) == expected
        assert write(cdr_read.reader(message)(renamed(encode_cdr(message, value, b'\xaa')))) == (
            expected
        )


@each_type
def test_what_is_cut_is_rejected_here_or_by_whatever_reads_it_next(message):
    renamed, check = renamer(message, RENAMES['longer']), cdr_read.checker(message)
    value = {'head': {'frame_id': 'map'}, 'frame_id': 'odom', 'child_frame_id': 'base'}
    known = {field.name for field in message.fields}
    whole = cdr_write.writer(message)({key: value[key] for key in value if key in known})
    for length in range(len(whole)):
        with pytest.raises(PayloadError):
            check(renamed(whole[:length]))


@each_type
def test_mutated_cdr_is_rejected_or_renamed_as_it_is_read(message):
    read, check = cdr_read.reader(message), cdr_read.checker(message)
    rename = RENAMES['longer']
    renamed = renamer(message, rename)

    @sometimes
    @given(plain_values(message), CHANGES)
    def survive(value, changes):
        payload = changed(encode_cdr(message, value), changes)
        try:
            value = read(payload)
        except PayloadError:
            with pytest.raises(PayloadError):
                check(renamed(payload))
            return
        try:
            got = renamed(payload)
        except PayloadError as error:
            assert 'is too long for a frame' in str(error)
        else:
            assert same(read(got), rename_all(message, value, rename))

    survive()


def test_a_transform_message_keeps_all_but_the_names():
    transform = {'translation': {'x': 1.5}, 'rotation': {'w': 0.5}}
    value = {
        'transforms': [
            {
                'header': {'stamp': {'sec': n}, 'frame_id': 'odom'},
                'child_frame_id': 'base_link',
                'transform': transform,
            }
            for n in range(3)
        ]
    }
    write, read = cdr_write.writer(TF_MESSAGE), cdr_read.reader(TF_MESSAGE)
    got = read(renamer(TF_MESSAGE, RENAMES['longer'])(write(value)))['transforms']
    assert [(t['header']['frame_id'], t['child_frame_id']) for t in got] == [
        ('robot1/odom', 'robot1/base_link')
    ] * 3
    assert [t['header']['stamp']['sec'] for t in got] == [0, 1, 2]
    assert {t['transform']['translation']['x'] for t in got} == {1.5}
    assert {t['transform']['rotation']['w'] for t in got} == {0.5}


def test_a_name_is_read_up_to_its_nul():
    message = one('string frame_id\nint32 a')
    body = b'\0\1\0\0\x06\0\0\0ab\0cd\0\0\0\7\0\0\0'
    assert renamer(message, lambda name: name + b'!')(body) == cdr_write.writer(message)(
        {'frame_id': 'ab!', 'a': 7}
    )


def test_the_error_in_broken_cdr_has_its_place():
    with pytest.raises(PayloadError, match=r'^transforms\[0\].child_frame_id: '):
        renamer(TF_MESSAGE, bytes)(
            cdr_write.writer(TF_MESSAGE)({'transforms': [{'child_frame_id': 'x' * 90}]})[:60]
            + b'\0' * 40
        )


def test_a_name_that_gets_too_long_for_its_string_is_an_error():
    message = one('string<=8 frame_id')
    renamed, write = renamer(message, RENAMES['longer']), cdr_write.writer(message)
    assert renamed(write({'frame_id': 'ä'})) == write({'frame_id': 'robot1/ä'})
    with pytest.raises(PayloadError, match="One: 'robot1/ab' is too long for a frame: at most 8"):
        renamed(write({'frame_id': 'ab'}))


@pytest.mark.parametrize('message', MESSAGE_TYPES, ids=str)
def test_a_type_without_frames_needs_no_function(message):
    assert not has_frames(message)
    assert renamer(message, bytes) is None
    with pytest.raises(InterfaceError, match=f'^{message.name} has no frame_id, child_frame_id'):
        check_frames(message)


@pytest.mark.parametrize(
    ('text', 'named'),
    [
        ('string frame_id', True),
        ('string<=20 child_frame_id', True),
        ('string body_frame_id', True),
        ('string frame', False),
        ('string frame_ids', False),
        ('string[] frame_id', False),
        ('wstring frame_id', False),
        ('int32 frame_id', False),
        (f'pkg/In[] a\n{LINE}\nMSG: pkg/In\nstring frame_id', True),
        (f'pkg/In[2] a\n{LINE}\nMSG: pkg/In\nuint8 frame_id', False),
    ],
)
def test_frames_are_found_by_the_type_and_the_end_of_the_name(text, named):
    assert has_frames(one(text)) is named


def test_what_is_not_utf8_behind_the_end_of_a_name_is_rejected():
    message = parse_definition('pkg/msg/Named', 'string frame_id\n')
    cdr = b'\0\1\0\0' + (9).to_bytes(4, 'little') + b'map\0\0\0\0\xff\0'
    with pytest.raises(PayloadError):
        cdr_read.reader(message)(cdr)
    with pytest.raises(PayloadError, match='the name of a frame is not UTF-8'):
        renamer(message, RENAMES['longer'])(cdr)
