# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Lists of messages that are split and joined in CDR, against whole readers and writers."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from message_types import LINE, TF_MESSAGE
from strategies import encode_cdr, plain_values, same

from redis_bridge.errors import PayloadError
from redis_bridge.messages import cdr_read, cdr_write
from redis_bridge.messages.definition import parse_definition
from redis_bridge.messages.elements import elements

often = settings(derandomize=True, database=None, max_examples=40)


def list_of(fields: str, more: str = ''):
    return parse_definition(
        'pkg/msg/List', f'pkg/Item[] items\n{LINE}\nMSG: pkg/Item\n{fields}{more}'
    )


_VECTOR = f'\n{LINE}\nMSG: pkg/Vector\nfloat64 x\nuint8 y'
# Items that begin and end at every alignment.
LISTS = (
    TF_MESSAGE,
    list_of('string key'),
    list_of('uint8 a\nstring key\nuint8 b'),
    list_of('float64 a\nstring key'),
    list_of('string key\nint16 a\nfloat64 b\nuint8 c'),
    list_of('uint8 a\npkg/Vector[] b\nstring<=8 key\npkg/Vector c\nwstring d', _VECTOR),
    list_of('string key\npkg/Shift[] a', f'\n{LINE}\nMSG: pkg/Shift\nint32 a\nint16 b\nint64 c'),
    list_of('int16 a\nstring[] b\nfloat64[] c\nstring key\nfloat32[2] d', _VECTOR),
)
each_list = pytest.mark.parametrize('message', LISTS, ids=range(len(LISTS)))


def item_of(message):
    return message.fields[0].type.item


def key_of(message):
    return 'child_frame_id' if message is TF_MESSAGE else 'key'


@each_list
def test_elements_are_messages_of_their_own_and_join_in_any_order(message):
    (name,) = [field.name for field in message.fields]
    split, join = elements(message, key_of(message))
    read_item = cdr_read.reader(item_of(message))
    write_item, write = cdr_write.writer(item_of(message)), cdr_write.writer(message)

    @often
    @given(plain_values(message, longest=5), st.randoms())
    def agree(value, chance: random.Random):
        for cdr in (write(value), write(value) + b'tail'):
            found = split(cdr)
            assert [part for _, part in found] == [write_item(item) for item in value[name]]
            keys = [key.partition(b'\0')[0].decode() for key, _ in found]
            assert keys == [item[key_of(message)] for item in value[name]]
        padded = split(encode_cdr(message, value, b'\xaa'))
        assert same([read_item(part) for _, part in padded], value[name])
        parts = [*zip(value[name], (part for _, part in found))] * 2
        chance.shuffle(parts)
        assert join([part for _, part in parts]) == write({name: [item for item, _ in parts]})
        assert same(
            cdr_read.reader(message)(join([part for _, part in padded])), {name: value[name]}
        )

    agree()


@each_list
def test_what_is_cut_is_rejected(message):
    (name,) = [field.name for field in message.fields]
    split, _ = elements(message, key_of(message))
    whole = cdr_write.writer(message)({name: [{}, {}]})
    for length in range(len(whole)):
        with pytest.raises(PayloadError):
            split(whole[:length])


@pytest.mark.parametrize(
    'text',
    [
        '',
        'string key',
        'string[] key',
        f'pkg/Item item\n{LINE}\nMSG: pkg/Item\nstring key',
        f'pkg/Item[2] items\n{LINE}\nMSG: pkg/Item\nstring key',
        f'pkg/Item[<=9] items\n{LINE}\nMSG: pkg/Item\nstring key',
        f'pkg/Item[] items\nuint8 a\n{LINE}\nMSG: pkg/Item\nstring key',
        f'pkg/Item[] items\n{LINE}\nMSG: pkg/Item\nwstring key',
        f'pkg/Item[] items\n{LINE}\nMSG: pkg/Item\nstring[] key',
        f'pkg/Item[] items\n{LINE}\nMSG: pkg/Item\nstring keys',
        f'pkg/Item[] items\n{LINE}\nMSG: pkg/Item\npkg/In in\n{LINE}\nMSG: pkg/In\nstring key',
    ],
)
def test_other_types_are_no_such_list(text):
    assert elements(parse_definition('pkg/msg/Other', text), 'key') is None
