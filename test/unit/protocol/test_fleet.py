# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Changes of the roster as they are in Redis."""

from __future__ import annotations

import json

import pytest

from redis_bridge.protocol.fleet import RobotEvent, event_of, events_of, is_listed, stamp_after

EVENT = RobotEvent('online', 'robot1', 'pi4', '3f2a', 100.0)


def test_a_change_is_json_and_read_again():
    text = EVENT.to_json()
    assert json.loads(text) == {
        'event': 'online', 'robot': 'robot1', 'host': 'pi4', 'boot': '3f2a', 'stamp': 100.0,
    }  # fmt: skip
    assert event_of(text.encode()) == EVENT
    assert event_of(json.dumps({**json.loads(text), 'later': 1}).encode()) == EVENT


@pytest.mark.parametrize(
    'payload',
    [b'', b'7', b'[]', b'{}', b'\xff', b'[' * 9999]
    + [json.dumps({**EVENT._asdict(), **wrong}).encode()
       for wrong in ({'robot': 7}, {'stamp': '1'}, {'stamp': float('nan')}, {'stamp': 1e300})],
)  # fmt: skip
def test_what_is_no_change_is_none(payload):
    assert event_of(payload) is None


def test_an_entry_counts_for_its_own_robot_only():
    text = EVENT.to_json().encode()
    assert events_of({b'robot1': text, b'robot2': text, b'\xff': text, b'robot3': None}) == {
        'robot1': EVENT
    }


def test_the_stamps_of_a_robot_grow_though_the_clock_is_set_back():
    assert stamp_after(None, 5.0) == 5.0
    assert EVENT.then('lost', 50.0) == EVENT._replace(event='lost', stamp=100.001)
    assert EVENT.then('lost', 200.0).stamp == 200.0


def test_a_robot_that_is_gone_is_listed_for_a_day():
    assert is_listed(EVENT, 1e6)
    assert is_listed(EVENT.then('lost', 101.0), 86_000)
    assert not is_listed(EVENT.then('offline', 101.0), 87_000)
