# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The newest state of all: who asks seldom gets it once."""

from __future__ import annotations

from redis_bridge.dashboard.board import MOST_EVENTS, Board


def test_who_asks_gets_what_changed_since_and_each_value_once():
    board = Board()
    for x in range(100):
        board.put('pose', 'r1', {'x': x})
    board.put('pose', 'r2', {'x': 5})
    version, changes = board.changes(0)
    assert changes == {'pose': {'r1': {'x': 99}, 'r2': {'x': 5}}}
    assert board.changes(version) == (version, {})
    board.put('pose', 'r2', {'x': 5})
    assert board.changes(version) == (version, {})
    board.put('pose', 'r2', {'x': 6})
    assert board.changes(version)[1] == {'pose': {'r2': {'x': 6}}}


def test_what_is_gone_is_told_to_those_who_may_have_it():
    board = Board()
    board.keep_only('robot', {'r1': {'a': 1}, 'r2': {'a': 2}})
    version, _ = board.changes(0)
    board.keep_only('robot', {'r2': {'a': 2}})
    assert board.changes(version)[1] == {'robot': {'r1': None}}
    assert board.changes(0)[1] == {'robot': {'r2': {'a': 2}}}
    assert board.keys('robot') == {'r2'}


def test_the_log_keeps_the_last_events():
    board = Board()
    for i in range(3 * MOST_EVENTS):
        board.log(str(i))
    texts = [event['text'] for event in board.changes(0)[1]['event'].values()]
    assert texts == [str(i) for i in range(2 * MOST_EVENTS, 3 * MOST_EVENTS)]


def test_the_clock_is_the_servers():
    board = Board()
    board.set_clock(1000.0)
    assert 1000.0 <= board.now() < 1001.0
