# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What can be seen of a run: in Redis what robots report, at the simulator what is true."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any

from redis_bridge.client.client import Client, Update
from redis_bridge.demo.coordinator import LOG, QUEUE, RETURN_AFTER_MS
from redis_bridge.demo.geometry import Pose
from redis_bridge.demo.link import Link, Message
from redis_bridge.demo.verdict import Record
from redis_bridge.errors import NotFoundError
from redis_bridge.protocol.leases import lease_keys

LEASE = lease_keys('corridor').holder
EVENTS = 200  # that are remembered
TRAIL = 40  # poses
LOOK_S = 0.1  # how often the lease is read
WAIT_S = 0.02  # the longest wait for the simulator


@dataclass
class RobotView:
    """One robot as Redis shows it, and whether it is there in truth."""

    pose: Pose | None = None
    speed: float = 0.0  # metres a second
    charge: float | None = None  # of the battery; 1.0 is full
    state: str = 'starts'
    doing: str = ''
    task: str | None = None  # its id
    has_box: bool = False
    is_online: bool = False
    is_dead: bool = False
    is_there: bool = True
    trail: deque[tuple[float, float]] = field(default_factory=lambda: deque(maxlen=TRAIL))


@dataclass(frozen=True)
class Event:
    """Something that happened: seconds since the start, text, and whether it is bad."""

    time: float
    text: str
    is_bad: bool = False


class Monitor:
    """Follows robots, tasks and the corridor; `read` takes what has come."""

    def __init__(self, client: Client, link: Link, robots: tuple[str, ...]) -> None:
        self.robots = {robot: RobotView() for robot in robots}
        self.record = Record()
        self.events: deque[Event] = deque(maxlen=EVENTS)
        self.holder: str | None = None  # of the lease of the corridor
        self.passages = 0
        self.closest = math.inf
        self.simulated_s = 0.0
        self.started_at = time.monotonic()
        self._client = client
        self._link = link
        self._queue = client.queue(QUEUE, return_after_ms=RETURN_AFTER_MS)
        self._log = client.watch(LOG, kind='stream')
        self._odometry = client.watch(*(f'{robot}:odom' for robot in robots), kind='channel')
        names = [f'{robot}:{what}' for robot in robots for what in ('state', 'doing', 'battery')]
        self._reports = client.watch(*names, kind='key')
        self._roster = client.watch_robots()
        self._look_at = 0.0
        link.send({'viewer': True})

    def put(self, start: str, end: str) -> None:
        """Put a task into the queue."""
        self.record.tasks[self._queue.put({'from': start, 'to': end})] = (start, end)

    def say(self, text: str, is_bad: bool = False) -> None:
        """Add an event."""
        self.events.append(Event(time.monotonic() - self.started_at, text, is_bad))

    def missing(self) -> list[str]:
        """Return which robots are not ready, in words."""
        return [
            f'{robot}: {what}'
            for robot, view in self.robots.items()
            for what, is_there in (
                ('its bridge online', view.is_online),
                ('odometry', view.pose is not None),
                ('state', view.state != 'starts'),
                ('battery', view.charge is not None),
            )
            if not is_there
        ]

    def number(self, task: str) -> str:
        """Return how people call a task: by the number in which it was put, and its ends."""
        number = [*self.record.tasks].index(task) + 1
        return f'task {number} ({" → ".join(self.record.tasks[task])})'

    def is_done(self) -> bool:
        """Return whether nothing is left to do: all tasks are delivered or given up."""
        record = self.record
        if not record.tasks.keys() <= {*record.delivered, *record.dead}:
            return False
        status = self._queue.status()
        return not status.waiting and not status.claimed

    def look_at_dead_tasks(self) -> None:
        """Take from the queue which tasks were given up."""
        self.record.dead = {dead.task: dead.reason for dead in self._queue.status().dead}

    def read(self, seconds: float) -> None:
        """Take what comes within a time."""
        until = time.monotonic() + seconds
        while True:
            for truth in self._link.receive(WAIT_S):
                self._see_truth(truth)
            while (update := self._odometry.wait(0)) is not None:
                self._see_odometry(update)
            while (update := self._reports.wait(0)) is not None:
                self._see_report(update)
            while (entry := self._log.wait(0)) is not None:
                self._see_task(entry.value)
            while (event := self._roster.wait(0)) is not None:
                if event.robot in self.robots:
                    view = self.robots[event.robot]
                    view.is_online = event.event == 'online'
                    if not view.is_online:
                        view.state, view.doing, view.speed = event.event, '', 0.0
                    text = 'is online' if view.is_online else f'is {event.event} by the roster'
                    self.say(f'{event.robot} {text}', is_bad=not view.is_online)
            if time.monotonic() >= self._look_at:
                self._look_at = time.monotonic() + LOOK_S
                self._see_lease()
            if time.monotonic() >= until:
                return

    def _see_truth(self, truth: Message) -> None:
        self.simulated_s = truth['time']
        self.passages = truth['passages']
        self.closest = truth['closest']
        self.record.boxes = Counter({(a, b): boxes for a, b, boxes in truth['delivered']})
        for name, view in self.robots.items():
            body = truth['bodies'].get(name)
            view.is_there = body is not None
            view.is_dead = body is None or body['is_dead']
            view.has_box = body is not None and body['box'] is not None
            if body is not None and body['is_dead']:
                view.pose = Pose(*body['pose'])  # where the wreck is, Redis does not know
        for robot, x, y in truth['towed']:
            self.say(f'{robot} is towed away from ({x:.1f}, {y:.1f})')
        for violation in truth['violations']:
            self.record.violations.append(violation)
            self.say(f'RULE BROKEN {violation}', is_bad=True)

    def _see_odometry(self, update: Update) -> None:
        view = self.robots[update.name.partition(':')[0]]
        pose = update.value['pose']['pose']
        heading = 2 * math.atan2(pose['orientation']['z'], pose['orientation']['w'])
        view.pose = Pose(pose['position']['x'], pose['position']['y'], heading)
        view.speed = update.value['twist']['twist']['linear']['x']
        view.trail.append(view.pose[:2])

    def _see_report(self, update: Update) -> None:
        robot, _, what = update.name.partition(':')
        view = self.robots[robot]
        if update.value is None or view.is_dead:
            return
        if what == 'battery':
            view.charge = update.value['percentage']
        elif what == 'doing':
            view.doing = update.value
        else:
            if 'charging' in (update.value, view.state) and view.state != update.value:
                self.say(f'{robot} {"charges" if update.value == "charging" else "is charged"}')
            view.state = update.value

    def _see_task(self, entry: dict[str, Any]) -> None:
        id_, event, robot = entry['task'], entry['event'], entry['robot']
        self.record.tasks.setdefault(id_, (entry['from'], entry['to']))  # of somebody else's
        view = self.robots.get(robot, RobotView())
        view.task = id_ if event in ('assigned', 'picked', 'resumed') else None
        task = self.number(id_)
        if event == 'delivered':
            self.record.delivered.append(id_)
            done = len({*self.record.delivered})
            self.say(f'{robot} has delivered {task}: {done} of {len(self.record.tasks)}')
        elif event == 'returned':
            self.say(f'{task} of {robot} goes back to the queue', is_bad=True)
        elif event == 'picked':
            self.say(f'{robot} has picked up {task}')
        elif event == 'resumed':
            self.say(f'{robot} goes on with {task}')
        else:
            tries = '' if entry['tries'] == 1 else f', try {entry["tries"]}'
            self.say(f'{robot} gets {task}{tries}')

    def _see_lease(self) -> None:
        try:
            fields = self._client.get(LEASE)
        except NotFoundError:
            fields = {}
        origin = str(fields.get('origin', ''))
        holder = origin.partition('/')[0] if fields.get('owner') else None
        if holder != self.holder and holder is not None:
            self.say(f'{holder} has the lease of the corridor')
        self.holder = holder
