# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Timers are called in the order of their times, whatever the order they were set in."""

import logging
import threading
import time

import pytest
from support import eventually

from redis_bridge.bridge.timers import Timers


@pytest.fixture
def timers():
    timers = Timers('test', logging.getLogger('test'))
    timers.start()
    yield timers
    timers.close()


def test_the_earlier_timer_is_called_first_even_if_set_later(timers):
    called = []
    now = time.monotonic()
    timers.call_at(now + 0.10, lambda: called.append('late'))
    timers.call_at(now + 0.05, lambda: called.append('early'))
    eventually(lambda: len(called) == 2)
    assert called == ['early', 'late']
    assert time.monotonic() >= now + 0.10


def test_a_timer_that_fails_does_not_stop_the_next(timers, caplog):
    called = threading.Event()
    timers.call_at(0, lambda: 1 / 0)
    timers.call_at(0, called.set)
    assert called.wait(5)
    assert 'ZeroDivisionError' in caplog.text


def test_a_timer_may_set_the_next_one(timers):
    called = threading.Event()
    timers.call_at(0, lambda: timers.call_at(0, called.set))
    assert called.wait(5)


def test_a_timer_in_the_far_future_does_not_end_the_thread(timers):
    called = threading.Event()
    timers.call_at(1e300, lambda: None)
    timers.call_at(0, called.set)
    assert called.wait(5)


def test_closing_forgets_what_is_not_due_and_ends_the_thread(timers):
    called = []
    timers.call_at(time.monotonic() + 60, lambda: called.append(1))
    timers.close()
    timers.close()
    assert called == []
    assert not any(thread.name == 'test' for thread in threading.enumerate())
