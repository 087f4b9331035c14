# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What is known of a server's start, also if its clock is set."""

from __future__ import annotations

import math

import pytest
import redis

from redis_bridge.redis_io import info
from redis_bridge.redis_io.info import Uptime


class Server:
    """A connection to a server that answers INFO."""

    def __init__(self) -> None:
        self.run = 'a'
        self.uptime = 0
        self.is_denied = False

    def pipe(self, commands):
        assert commands == [('INFO', 'server')]
        if self.is_denied:
            return [redis.exceptions.NoPermissionError('NOPERM')]
        text = f'# Server\r\nrun_id:{self.run}\r\nuptime_in_seconds:{self.uptime}\r\n'
        return [text.encode()]


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 100.0

        def monotonic(self) -> float:
            return self.now

    clock = Clock()
    monkeypatch.setattr(info, 'time', clock)
    return clock


def test_it_is_what_the_server_says_but_for_the_fractions(clock):
    server, uptime = Server(), Uptime()
    server.uptime = 8
    assert uptime.seconds(server) == 7


def test_a_clock_that_is_set_back_does_not_hide_how_long_the_run_is_known(clock):
    server, uptime = Server(), Uptime()
    server.uptime = -3600
    assert uptime.seconds(server) == 0
    clock.now += 5
    assert uptime.seconds(server) == 5
    server.run = 'b'  # it was restarted
    assert uptime.seconds(server) == 0
    clock.now += 2
    assert uptime.seconds(server) == 2


def test_without_the_right_to_ask_it_counts_as_long(clock):
    server, uptime = Server(), Uptime()
    server.is_denied = True
    assert uptime.seconds(server) == math.inf
