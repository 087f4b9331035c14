# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Gives tasks to robots, with redis_bridge.Client alone: `python -m ...coordinator URL`.

There is no ROS in this process. Tasks, such as `{"from": "P1", "to": "D2"}`, come from the queue
`tasks`. Robots come and go by the roster. A robot reports in `robot1:state`, `robot1:battery` and
`robot1:arrived`, and gets goals on the channel `robot1:goal`.

What happens is in the stream `task_log`. What each robot does is in `robot1:task`, so that a
coordinator that was killed and started again goes on: its tasks come back from the queue.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from redis_bridge.client.client import Client, Queue, Task, Watch
from redis_bridge.demo.warehouse import PLACES, dock_of
from redis_bridge.errors import NotFoundError
from redis_bridge.signals import stopped_by_signals

QUEUE, LOG = 'tasks', 'task_log'
RETURN_AFTER_MS = 3000  # when a coordinator died, its tasks come back after that time
LOW = 0.3  # of the battery: the robot charges before the next task
REPEAT_S = 1.0  # a goal is sent again until the robot has arrived
LOOK_S = 0.2  # between two looks for a task
RESERVED_S = 15.0  # for which a robot waits for the task that it had under another coordinator
PAUSE_S = 0.02


@dataclass
class Robot:
    """A robot that is online."""

    name: str
    watch: Watch
    reported: dict[str, Any] = field(default_factory=dict)  # by 'state', 'battery', 'arrived'
    task: Task | None = None
    leg: str = 'from'  # of the task: it drives there; then 'to'
    place: str | None = None  # of the last goal
    goal: dict[str, Any] | None = None  # until it has arrived
    send_at: float = 0.0
    reserved: str | None = None  # the id of the task that it had before
    reserved_until: float = 0.0

    def has_arrived(self) -> bool:
        """Return whether it reports that it has reached its goal."""
        arrived = self.reported.get('arrived')
        return (
            self.goal is not None
            and arrived is not None
            and arrived['header']['stamp'] == self.goal['header']['stamp']
        )

    def is_free(self) -> bool:
        """Return whether it can get a goal."""
        is_idle = self.reported.get('state') == 'idle' and 'battery' in self.reported
        return is_idle and self.task is None and self.goal is None

    def is_low(self) -> bool:
        """Return whether it has to charge first."""
        return self.charge() < LOW

    def charge(self) -> float:
        """Return the charge of the battery; 1.0 is full."""
        return float(self.reported['battery']['percentage'])


class Coordinator:
    """Follows the robots, and sends goals; call `step` again and again."""

    def __init__(self, client: Client, queue: Queue) -> None:
        self._client = client
        self._queue = queue
        self._roster = client.watch_robots()
        self._robots: dict[str, Robot] = {}
        self._look_at = 0.0
        self._waiting: list[Task] = []  # for robots
        self._last_delivered = self._find_last_delivered()

    def step(self) -> None:
        """Do what is due now; never waits."""
        while (event := self._roster.wait(0)) is not None:
            if event.event == 'online':
                self._add(event.robot)
            else:
                self._remove(event.robot, f'{event.robot} is {event.event}')
        for robot in self._robots.values():
            while (update := robot.watch.wait(0)) is not None:
                robot.reported[update.name.rpartition(':')[2]] = update.value
            if robot.has_arrived():
                robot.goal = None
                self._go_on(robot)
            if robot.goal is not None and time.monotonic() >= robot.send_at:
                robot.send_at = time.monotonic() + REPEAT_S
                self._client.publish(f'{robot.name}:goal', robot.goal)
        self._assign()

    def _add(self, name: str) -> None:
        try:
            dock_of(name)
        except ValueError:
            return  # a bridge of somebody else's
        if name in self._robots:
            return  # it came back, with the body and the task that it had
        names = (f'{name}:{what}' for what in ('state', 'battery', 'arrived'))
        robot = self._robots[name] = Robot(name, self._client.watch(*names, kind='key'))
        try:
            before = self._client.get(f'{name}:task')
        except NotFoundError:
            return
        if before['task'] is not None:
            robot.reserved, robot.leg = before['task'], before['leg']
            robot.reserved_until = time.monotonic() + RESERVED_S

    def _remove(self, name: str, why: str) -> None:
        robot = self._robots.pop(name, None)
        if robot is None:
            return
        robot.watch.close()
        if robot.task is not None:
            self._log('returned', robot.task, name)
            self._queue.fail(robot.task, why)
            robot.task = None
            self._remember(robot)

    def _go_on(self, robot: Robot) -> None:
        """Do what follows when a robot has arrived."""
        if robot.task is None:
            return
        if robot.leg == 'from':
            robot.leg = 'to'
            self._log('picked', robot.task, robot.name)
            self._send_to(robot, robot.task.value['to'])
        else:
            self._log('delivered', robot.task, robot.name)
            self._queue.done(robot.task)
            robot.task = None
        self._remember(robot)

    def _assign(self) -> None:
        now = time.monotonic()
        for robot in self._robots.values():
            if robot.reserved is not None and now > robot.reserved_until:
                robot.reserved = None
        reserved = any(robot.reserved is not None for robot in self._robots.values())
        free = [
            robot for robot in self._robots.values() if robot.is_free() and robot.reserved is None
        ]
        for robot in free:
            if robot.is_low():
                self._send_to(robot, dock_of(robot.name))
        able = [robot for robot in free if robot.goal is None]
        if able or reserved:
            self._take_task()
        for task in list(self._waiting):
            before = next((r for r in self._robots.values() if r.reserved == task.id), None)
            if before is not None:
                before.reserved, before.task = None, task
                self._waiting.remove(task)
                self._log('resumed', task, before.name)
                self._send_to(before, task.value[before.leg])
            elif able:
                robot = max(able, key=Robot.charge)
                able.remove(robot)
                self._waiting.remove(task)
                robot.task, robot.leg = task, 'from'
                self._log('assigned', task, robot.name)
                self._send_to(robot, task.value['from'])
                self._remember(robot)
        if self._look_at > now:  # there was no task
            for robot in able:
                if robot.place not in (None, dock_of(robot.name)):
                    self._send_to(robot, dock_of(robot.name))

    def _take_task(self) -> None:
        """Claim a task if there is one; look again at once if there was."""
        if time.monotonic() < self._look_at:
            return
        task = next(self._queue.claim(timeout_s=0), None)
        if task is None:
            self._look_at = time.monotonic() + LOOK_S
        elif task.id == self._last_delivered:  # the coordinator before died a moment too early
            self._queue.done(task)
        elif (problem := _problem(task)) is not None:
            self._queue.fail(task, problem)
        else:
            self._waiting.append(task)

    def _send_to(self, robot: Robot, name: str) -> None:
        place = PLACES[name]
        seconds = self._client.now()
        stamp = {'sec': int(seconds), 'nanosec': int(seconds % 1 * 1e9)}
        robot.place = name
        robot.goal = {
            'header': {'frame_id': 'map', 'stamp': stamp},
            'pose': {'position': {'x': place.x, 'y': place.y}, 'orientation': {'w': 1.0}},
        }
        robot.send_at = 0.0

    def _remember(self, robot: Robot) -> None:
        task = None if robot.task is None else robot.task.id
        value = {'task': task, 'leg': robot.leg}
        self._client.publish(f'{robot.name}:task', value, kind='key', encoding='json')

    def _log(self, event: str, task: Task, robot: str) -> None:
        entry = {'event': event, 'task': task.id, 'tries': task.tries, 'robot': robot}
        entry.update({end: task.value[end] for end in ('from', 'to')})
        self._client.publish(LOG, entry, kind='stream', encoding='json')

    def _find_last_delivered(self) -> str | None:
        try:
            entry = self._client.get(LOG)
        except NotFoundError:
            return None
        return entry['task'] if entry['event'] == 'delivered' else None


def _problem(task: Task) -> str | None:
    """Return why a task cannot be done; None if it can."""
    for end, kind in (('from', 'pick'), ('to', 'deliver')):
        name = task.value.get(end) if isinstance(task.value, dict) else None
        if not isinstance(name, str) or name not in PLACES or PLACES[name].kind != kind:
            known = ', '.join(each for each, place in PLACES.items() if place.kind == kind)
            return f'{end}: expected one of {known}, got {name!r}'
    return None


def main(url: str) -> None:
    """Coordinate until SIGINT or SIGTERM."""
    with (
        stopped_by_signals() as stop,
        Client(url, origin='coordinator') as client,
        client.queue(QUEUE, return_after_ms=RETURN_AFTER_MS) as queue,
    ):
        coordinator = Coordinator(client, queue)
        while stop.empty():
            coordinator.step()
            time.sleep(PAUSE_S)


if __name__ == '__main__':
    main(sys.argv[1])
