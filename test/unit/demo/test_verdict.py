# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The verdict on a run."""

from __future__ import annotations

from collections import Counter

import pytest

from redis_bridge.demo.verdict import Record, problems, summary

TASKS = {'1-0': ('P1', 'D1'), '2-0': ('P1', 'D1'), '3-0': ('P2', 'D3')}


def record(**changes):
    good = {'tasks': TASKS, 'delivered': [*TASKS], 'boxes': Counter(TASKS.values())}
    return Record(**{**good, **changes})


def test_a_run_in_which_all_rules_held_has_no_problems():
    assert problems(record()) == []
    text = summary(record(), 6, 0.21, ['robot2'])
    assert text == (
        'All 3 tasks were delivered, each exactly once. The corridor was used 6 times, never by '
        'two robots at once. No collision: the closest two robots came was 0.21 m. Killed: robot2.'
    )


def test_a_single_robot_came_close_to_none():
    assert summary(record(), 6, float('inf'), []).endswith('No collision.')


@pytest.mark.parametrize(
    ('changes', 'problem'),
    [
        ({'violations': ['at 3.00 s: x']}, 'a rule was broken at 3.00 s: x'),
        ({'delivered': ['1-0', '2-0'], 'boxes': Counter({('P1', 'D1'): 2})},
         'task 3 (P2 to D3) was never delivered'),
        ({'delivered': [*TASKS, '2-0']}, 'task 2 (P1 to D1) was delivered 2 times'),
        ({'delivered': ['1-0', '2-0'], 'boxes': Counter({('P1', 'D1'): 2}),
          'dead': {'3-0': 'no way'}}, 'task 3 (P2 to D3) was given up: no way'),
        ({'boxes': Counter({('P1', 'D1'): 3, ('P2', 'D3'): 1})},
         '3 boxes came from P1 to D1, 2 were asked for'),
        ({'boxes': Counter({('P1', 'D1'): 1, ('P2', 'D3'): 1})},
         '2 tasks from P1 to D1 were logged, but 1 boxes came'),
        ({'boxes': Counter([*TASKS.values(), ('P3', 'D1')])},
         '1 boxes came from P3 to D1, 0 were asked for'),
    ],
)  # fmt: skip
def test_each_broken_rule_is_named(changes, problem):
    assert problems(record(**changes)) == [problem]
