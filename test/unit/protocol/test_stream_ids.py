# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The ids of a stream: they grow, and no other writer's come between those given out at once."""

from __future__ import annotations

import random

import pytest

from redis_bridge.protocol.stream_ids import FIRST, IdSource, id_number, id_text


def test_an_id_is_read_as_it_is_written():
    assert id_text((12, 3)) == '12-3'
    assert id_number(b'12-3') == (12, 3)
    assert id_number(b'12') == (12, 0)


def test_ids_grow_whatever_the_clock_and_the_server_say():
    ids, last = IdSource(), FIRST
    choose = random.Random(1)
    for _ in range(2000):
        if choose.random() < 0.2:
            ids.advance((choose.randrange(2000), choose.randrange(1 << 40)))
        block = ids.next_ids(choose.randrange(2000), choose.randrange(1, 600))
        assert block == sorted(set(block))
        assert block[0] > last
        last = block[-1]


def test_ids_are_of_the_present_however_many_there_are_and_whoever_else_writes():
    ours, theirs = IdSource(), IdSource()
    for _ in range(1000):
        block = ours.next_ids(1000, 512)
        theirs.advance(block[-1])
        ours.advance(theirs.next_ids(1000, 512)[-1])
        assert block[-1][0] == 1000
    assert ours.next_ids(2000, 1)[0][0] == 2000


@pytest.mark.parametrize('offset', [-1, 0, 1])
def test_the_ids_of_two_writers_never_come_between_those_of_a_block(offset):
    ours, theirs, stream = IdSource(), IdSource(), FIRST
    for millis in range(1000, 1100):
        for ids, now in ((ours, millis), (theirs, millis + offset), (theirs, millis)):
            block = ids.next_ids(now, 5)
            assert (block[0] > stream) is (block[-1] > stream)  # all are taken, or none
            if block[0] > stream:
                stream = block[-1]
            else:
                ids.advance(stream)
        stream = (stream[0], stream[1] + 3)  # a plain client adds with *


def test_an_id_beyond_one_of_the_server_follows_it():
    ids = IdSource()
    ids.advance((5000, (1 << 64) - 1))
    [after] = ids.next_ids(1000, 1)
    assert after[0] == 5001
    ids.advance(after)  # our own
    assert ids.next_ids(1000, 1)[0][0] == 5001
