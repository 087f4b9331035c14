# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Metadata in stream entries, and the gaps that its numbers show."""

from __future__ import annotations

import math

import pytest

from redis_bridge.errors import PayloadError
from redis_bridge.protocol.meta import (
    LARGEST_GAP,
    ORIGINS_REMEMBERED,
    GapFinder,
    Meta,
    checked,
    entry_fields,
    from_entry,
)

META = Meta('robot1/ab12', 7, 1234.5)


def as_dict(fields):
    return dict(zip(fields[::2], fields[1::2]))


def test_an_entry_carries_payload_and_metadata():
    fields = as_dict(entry_fields(b'x', META))
    assert fields == {
        b'data': b'x', b'origin': b'robot1/ab12', b'seq': b'7', b'stamp': b'1234.5',
    }  # fmt: skip
    assert from_entry(fields) == META
    assert entry_fields(b'x', None) == [b'data', b'x']


@pytest.mark.parametrize(
    ('fields', 'meta'),
    [
        ({b'stamp': b'12.5'}, Meta('', 0, 12.5)),
        ({b'stamp': b'12.5', b'origin': b'a', b'seq': b'3'}, Meta('a', 3, 12.5)),
        ({b'origin': b'a', b'seq': b'3'}, None),
        ({}, None),
        ({b'stamp': b'nan'}, None),
        ({b'stamp': b'inf'}, None),
        ({b'stamp': b'now'}, None),
        ({b'stamp': b'1795628772164449'}, Meta('', 0, 1795628772164449.0)),
        ({b'stamp': b'1e999'}, None),
        ({b'stamp': b'1', b'seq': b'x'}, None),
        ({b'stamp': b'1', b'seq': b'-1'}, None),
        ({b'stamp': b'1', b'seq': b'%d' % (1 << 64)}, None),
        ({b'stamp': b'1', b'origin': b'\xff'}, None),
        ({b'stamp': b'1', b'seq': b'9' * 5000}, None),
    ],
)
def test_metadata_of_an_entry_is_optional_and_checked(fields, meta):
    assert from_entry(fields) == meta


@pytest.mark.parametrize(
    ('values', 'text'),
    [
        ((5, 0, 1.0), '_meta.origin: expected a string, got 5'),
        (('a', True, 1.0), '_meta.seq: expected a count, got True'),
        (('a', -1, 1.0), '_meta.seq: expected a count, got -1'),
        (('a', 10**5000, 1.0), '_meta.seq: expected a count, got an integer of 16610 bits'),
        (('a', 0, math.nan), '_meta.stamp: expected seconds, got nan'),
        (
            ('a', 0, 10**5000),
            '_meta.stamp: expected seconds, got an integer of 16610 bits: in '
            'nanoseconds, as it looks: it must be in seconds',
        ),
        (
            ('a', 0, 1795628772164449),
            '_meta.stamp: expected seconds, got 1795628772164449: in microseconds, as it looks: '
            'it must be in seconds',
        ),
        (('a', 0, None), '_meta.stamp: expected seconds, got None'),
        (('a', 0, [1]), '_meta.stamp: expected seconds, got a list of 1'),
    ],
)
def test_an_error_says_which_value_is_invalid(values, text):
    with pytest.raises(PayloadError) as error:
        checked(*values)
    assert str(error.value) == text


def missed(*pairs):
    gaps = GapFinder()
    return [gaps.missed(Meta(origin, seq, 0.0)) for origin, seq in pairs]


def test_gaps_are_counted_per_sender():
    pairs = ('a', 1), ('b', 10), ('a', 2), ('a', 5), ('b', 11), ('a', 3), ('a', 4)
    assert missed(*pairs) == [0, 0, 0, 2, 0, 0, 0]


def test_a_sender_without_a_name_has_no_gaps():
    assert missed(('', 1), ('', 9)) == [0, 0]
    assert GapFinder().missed(None) == 0


def test_a_huge_jump_is_a_new_count():
    assert missed(('a', 1), ('a', LARGEST_GAP + 1)) == [0, LARGEST_GAP - 1]
    assert missed(('a', 1), ('a', (1 << 64) - 1), ('a', 2), ('a', 4)) == [0, 0, 0, 1]


def test_only_the_latest_senders_are_remembered():
    gaps = GapFinder()
    for number in range(ORIGINS_REMEMBERED + 1):
        gaps.missed(Meta(f'{number}', 1, 0.0))
    assert gaps.missed(Meta('0', 5, 0.0)) == 0
    assert gaps.missed(Meta(f'{ORIGINS_REMEMBERED}', 5, 0.0)) == 3


def test_a_message_is_late_if_it_or_a_newer_one_of_its_sender_came_before():
    gaps = GapFinder()
    gaps.missed(Meta('a', 5, 100.0))
    assert gaps.is_late(Meta('a', 4, 99.0))
    assert gaps.is_late(Meta('a', 5, 100.0))
    assert not gaps.is_late(Meta('a', 6, 99.0))  # a clock was set back
    assert not gaps.is_late(Meta('a', 1, 101.0))  # the sender was started anew
    assert not gaps.is_late(Meta('b', 4, 99.0))
    assert not gaps.is_late(None)
    gaps.missed(Meta('c', 0, 100.0))
    assert not gaps.is_late(Meta('c', 0, 100.0))  # it does not count
