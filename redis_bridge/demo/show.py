# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs the demo: starts the fleet, shows what happens, judges it, ends it all."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import redis

from redis_bridge.demo.fleet import ROBOTS, Fleet
from redis_bridge.demo.monitor import Monitor
from redis_bridge.demo.screen import Screen, frame, line
from redis_bridge.demo.server import HOST
from redis_bridge.demo.verdict import judge
from redis_bridge.errors import BridgeError

START_S = 60.0  # a slow machine needs a few seconds; beyond this something is wrong
LIVE_S, LINE_S = 0.2, 1.0  # how often a terminal, or a log, gets the newest
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _EarlyEnd(Exception):
    """The run is over before its time; carries what to say and the exit status."""

    def __init__(self, text: str, status: int) -> None:
        super().__init__(text)
        self.status = status


def run(seconds: float | None) -> int:
    """Run the demo; see `redis_bridge.demo.main`."""
    try:
        with _signals() as received, Screen(sys.stdout) as screen:
            return _run(screen, received, seconds)
    except BrokenPipeError:
        # The reader of the output is gone: write nothing more, at the exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Collect the signals that end a run; the handlers from before come back afterwards."""
    received: list[int] = []
    before = [(number, signal.getsignal(number)) for number in ENDINGS]
    for number, handler in before:
        if number != signal.SIGHUP or handler is not signal.SIG_IGN:  # nohup stays nohup
            signal.signal(number, lambda number, _: received.append(number))
    try:
        yield received
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def _run(screen: Screen, received: list[int], seconds: float | None) -> int:
    with ExitStack() as opened:
        try:
            screen.say('starting a Redis server, two robots and their bridges...')
            fleet = opened.enter_context(Fleet())
            db = opened.enter_context(redis.Redis.from_url(fleet.url))
            monitor = opened.enter_context(closing(Monitor(db, ROBOTS)))
            show = _Show(screen, fleet, monitor, received, seconds)
            show.wait_until_all_run()
            return show.go()
        except _EarlyEnd as end:
            screen.say(str(end))
            return end.status
        except BridgeError as error:
            screen.say(f'the demo cannot run: {error}')
            return 1


class _Show:
    """One run, from the moment the processes are started."""

    def __init__(
        self,
        screen: Screen,
        fleet: Fleet,
        monitor: Monitor,
        received: list[int],
        seconds: float | None,
    ) -> None:
        self._screen = screen
        self._fleet = fleet
        self._monitor = monitor
        self._received = received
        self._seconds = seconds
        self._above = 0

    def wait_until_all_run(self) -> None:
        """Wait until everything that the demo shows has been seen in Redis."""
        deadline = time.monotonic() + START_S
        while self._monitor.missing():
            self._read(0.1)
            if time.monotonic() > deadline:
                logs = '\n'.join(
                    f'{child.name}:\n    ' + '\n    '.join(child.last_lines())
                    for child in self._fleet.children
                )
                missing = ', '.join(self._monitor.missing())
                raise _EarlyEnd(f'{logs}\nnot within {START_S:.0f} s: {missing}', 1)

    def go(self) -> int:
        """Show the run to its end; return the exit status."""
        self._monitor.start_over()
        introduction = self._introduction()
        self._screen.say(introduction)
        self._above = 1 + len(introduction.splitlines())  # lines above the first frame
        start = time.monotonic()
        while self._seconds is None or time.monotonic() < start + self._seconds:
            self._read(LIVE_S if self._screen.is_live else LINE_S)
            self._show(time.monotonic() - start)
        views = self._monitor.views
        driven = [views[robot].driven for robot in ROBOTS]
        monitor = self._monitor
        verdict = judge(monitor.gaps, monitor.first_gap, driven, start, time.monotonic())
        self._screen.say(str(verdict))
        return 1 if verdict.reasons else 0

    def _read(self, seconds: float) -> None:
        """Read for a time, and stay awake for signals and deaths."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                self._monitor.read(min(0.1, until - time.monotonic()))
            except redis.RedisError as error:
                raise _EarlyEnd(self._fleet.death_within(1.0) or f'Redis: {error}', 1) from error
            death = self._fleet.first_death()
            if death is not None:
                raise _EarlyEnd(death, 1)
            if self._received:
                number = signal.Signals(self._received[0])
                status = 0 if self._seconds is None else 128 + number
                raise _EarlyEnd(f'ended by {number.name}', status)

    def _show(self, elapsed: float) -> None:
        gaps = self._monitor.gaps
        gap = gaps[-1][1] if gaps else None
        if self._screen.is_live:
            size = shutil.get_terminal_size()
            space = (size.columns - 1, size.lines - 1, self._above)
            self._screen.draw(frame(self._monitor.views, gap, elapsed, self._fleet.port, *space))
        else:
            self._screen.say(line(self._monitor.views, gap, elapsed))

    def _introduction(self) -> str:
        domains = self._fleet.domains
        port = self._fleet.port
        return '\n'.join(
            (
                f'robot1: ROS domain {domains[0]}, robot2: domain {domains[1]}; '
                'only Redis connects them. Look inside:',
                f'  redis-cli -p {port} GET robot1:odom',
                f'  redis-cli -p {port} GET robot2:temperature',
                f"  redis-cli -p {port} PSUBSCRIBE '*:cmd_vel'",
                f'  {_command()} --url redis://{HOST}:{port} watch robot2:cmd_vel',
                f'  {_command()} --url redis://{HOST}:{port} status',
            )
        )


def _command() -> str:
    """Return how a shell here calls `redis-bridge`, which may be in a virtual environment only."""
    if shutil.which('redis-bridge'):
        return 'redis-bridge'
    return os.path.relpath(os.path.join(sys.prefix, 'bin', 'redis-bridge'))
