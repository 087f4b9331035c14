# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Replies are read as the protocol has them, however their bytes are cut."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from replies import REPLIES, message, pattern_message, written

from redis_bridge.redis_io.resp import CHUNK, Reader, as_message, code_of, raise_if_error


def read_all(reader: Reader) -> list[Any]:
    """Return all replies that are complete."""
    replies = []
    while (reply := reader.gets()) is not False:
        replies.append(reply)
    return replies


@given(st.lists(REPLIES, min_size=1, max_size=6), st.data())
def test_replies_are_the_same_however_they_are_cut(sent, data):
    whole = b''.join(map(written, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    reader, got = Reader(), []
    for start, end in zip([0, *cuts], [*cuts, len(whole)]):
        reader.feed(whole[start:end])
        got += read_all(reader)
    assert got == sent
    assert not reader.has_data()


def test_the_reader_says_how_many_bytes_a_large_value_still_needs():
    reader = Reader()
    reader.feed(b'$1000000\r\n')
    assert reader.gets() is False
    assert reader.missing == 1_000_002
    for _ in range(100):
        reader.feed(b'x' * 10_000)
        assert reader.gets() is False
    assert reader.missing == 2
    reader.feed(b'\r\n')
    assert reader.gets() == b'x' * 1_000_000


def test_messages_are_pairs_of_channel_and_payload():
    reader = Reader()
    last = message(b'c', b'3')
    reader.feed(message(b'c', b'1') + message(b'd', b'2') + last[:-1])
    assert reader.messages(1) == [(b'c', b'1')]
    assert reader.messages(10) == [(b'd', b'2')]
    assert reader.messages(10) == []
    assert reader.has_data()
    reader.feed(last[-1:])
    assert reader.messages(10) == [(b'c', b'3')]
    assert not reader.has_data()


def test_messages_of_a_pattern_name_it_and_the_channel():
    reader = Reader()
    last = pattern_message(b'*:c', b'b:c', b'4')
    reader.feed(
        message(b'a:c', b'1')
        + pattern_message(b'*:c', b'a:c', b'2')
        + pattern_message(b'a:*', b'a:c', b'')
        + last[:-1]
    )
    assert reader.messages(2) == [(b'a:c', b'1'), ((b'*:c', b'a:c'), b'2')]
    assert reader.messages(10) == [((b'a:*', b'a:c'), b'')]
    reader.feed(last[-1:] + b':1\r\n')
    assert reader.messages(10) == [((b'*:c', b'b:c'), b'4')]
    assert reader.messages(10) == []
    assert reader.gets() == 1


@pytest.mark.parametrize(
    ('reply', 'expected'),
    [
        ([b'message', b'c', b'1'], (b'c', b'1')),
        ([b'pmessage', b'*', b'c', b'1'], ((b'*', b'c'), b'1')),
        ([b'subscribe', b'c', 1], [b'subscribe', b'c', 1]),
        ([b'pong', b''], [b'pong', b'']),
        ([b'message'], [b'message']),
        (b'PONG', b'PONG'),
        (None, None),
    ],
)
def test_a_whole_reply_may_be_a_message(reply, expected):
    assert as_message(reply) == expected


def test_messages_inside_a_reply_are_part_of_it():
    reader = Reader()
    reader.feed(b'*2\r\n')
    assert reader.gets() is False
    reader.feed(message(b'c', b'1') * 2)
    assert reader.messages(10) == []
    assert reader.gets() == [[b'message', b'c', b'1']] * 2


def test_an_error_is_returned_and_raised_by_choice():
    reader = Reader()
    reader.feed(b'-WRONGTYPE another kind\r\n')
    error = reader.gets()
    assert code_of(error) == 'WRONGTYPE'
    with pytest.raises(redis.ResponseError, match='another kind'):
        raise_if_error(error)
    assert raise_if_error(b'OK') == b'OK'


@pytest.mark.parametrize('data', [b'x\r\n', b':1x\r\n', b'\r\n', b'+' + bytes(2 * CHUNK)])
def test_what_is_no_reply_is_rejected(data):
    reader = Reader()
    reader.feed(data)
    with pytest.raises(redis.InvalidResponse, match='not a reply'):
        reader.gets()
