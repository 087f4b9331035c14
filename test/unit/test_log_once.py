# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What is logged once, and at which level."""

import logging

import pytest
from fakes import FakeClock

from redis_bridge.log_once import LogOnChange, RateLimitedLog

LOG = logging.getLogger('test')


@pytest.fixture
def lines(caplog):
    caplog.set_level(logging.DEBUG, LOG.name)
    return lambda: [f'{record.levelname} {record.getMessage()}' for record in caplog.records]


def test_a_state_is_logged_when_it_changes(lines):
    log = LogOnChange(LOG, 'a')
    for state in ('open', 'open', 'waiting'):
        log.update(state)
        assert log.text == state
    assert lines() == ['DEBUG a: open', 'DEBUG a: waiting']


def test_a_problem_is_logged_at_its_level_and_its_end_at_info(lines):
    log = LogOnChange(LOG, 'a')
    log.update('error: x', logging.ERROR)
    log.update('error: x', logging.ERROR)
    log.update('error: y', logging.WARNING)
    log.update('open')
    log.update('waiting')
    assert lines() == [
        'ERROR a: error: x',
        'WARNING a: error: y',
        'INFO a: open',
        'DEBUG a: waiting',
    ]


def test_a_drop_is_warned_of_every_ten_seconds_for_each_reason(lines):
    clock = FakeClock()
    log = RateLimitedLog(LOG, '/a -> key k', clock)
    for _ in range(3):
        log.warn('bad_payload', 'no map')
        log.warn('too_old', '300 ms')
        clock.move(5.1)
    assert (
        lines()
        == [
            'WARNING /a -> key k: dropped a sample, bad_payload: no map',
            'WARNING /a -> key k: dropped a sample, too_old: 300 ms',
        ]
        * 2
    )
