# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs the world for all robots: `python -m redis_bridge.demo.simulator FD SPEED`.

FD is a listening socket, SPEED how many seconds are simulated in one. Robots and viewers connect.

| who | sends | receives, every 0.05 s of the simulation |
|---|---|---|
| robot | `{"robot": NAME}`, then a command per state | its state, every second one with a scan |
| viewer | `{"viewer": true}` | the truth: all bodies, what was delivered, what happened |

The time of the simulation waits for the commands of the robots, so that a slow machine makes it
slower and nothing else. A robot that does not answer is not waited for long: its body stops by its
own timeout. One whose connection ends is dead.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterable
from selectors import EVENT_READ, DefaultSelector

from redis_bridge.demo.link import Link, Message
from redis_bridge.demo.warehouse import dock_of
from redis_bridge.demo.world import STEP_S, Command, Tow, World
from redis_bridge.signals import stopped_by_signals

STEPS = 5  # between two states
TICK_S = STEPS * STEP_S
PATIENCE_S = 0.25  # for the command of a robot
SLOW_S = 5.0  # what does not answer for so long is not waited for until it does


class _Robot:
    """The connection of a robot; `answered` is the last state that it has sent a command for."""

    def __init__(self, name: str, tick: int) -> None:
        self.name = name
        self.answered = tick
        self.answered_at = time.monotonic()


class Simulator:
    """The world, and who is connected to it."""

    def __init__(self, listener: socket.socket) -> None:
        self._world = World()
        self._listener = listener
        self._selector = DefaultSelector()
        self._selector.register(listener, EVENT_READ, None)
        self._robots: dict[Link, _Robot] = {}
        self._viewers: set[Link] = set()
        self._tick = 0

    def run_until(self, moment: float) -> None:
        """Simulate one tick, and take what comes until a moment and until all robots answered."""
        self._tick += 1
        events = [event for _ in range(STEPS) for event in self._world.step()]
        for link, robot in list(self._robots.items()):
            self._send(link, self._state(robot.name))
        for link in list(self._viewers):
            self._send(link, self._truth(events))
        sent = time.monotonic()
        while True:
            now = time.monotonic()
            waits = now < sent + PATIENCE_S and any(
                robot.answered < self._tick and now < robot.answered_at + SLOW_S
                for robot in self._robots.values()
            )
            until = sent + PATIENCE_S if waits else moment
            if now >= until and not waits:
                return
            for key, _ in self._selector.select(max(0.0, until - now)):
                self._take(key.data)

    def close(self) -> None:
        """Close all connections."""
        for link in [*self._robots, *self._viewers]:
            link.close()
        self._selector.close()
        self._listener.close()

    def _take(self, link: Link | None) -> None:
        if link is None:
            link = Link(self._listener.accept()[0])
            self._selector.register(link, EVENT_READ, link)
            return
        try:
            for message in link.receive(0.0):
                self._obey(link, message)
        except ConnectionError:
            self._drop(link)

    def _obey(self, link: Link, message: Message) -> None:
        if 'viewer' in message:
            self._viewers.add(link)
        elif 'robot' in message:
            name = message['robot']
            dock_of(name)
            self._world.add(name)
            self._robots[link] = _Robot(name, self._tick)
        else:
            robot = self._robots[link]
            robot.answered, robot.answered_at = message['tick'], time.monotonic()
            command = Command(message['linear'], message['angular'], message['handle'])
            self._world.bodies[robot.name].command(command, self._world.time)

    def _send(self, link: Link, message: Message) -> None:
        try:
            link.send(message)
        except ConnectionError:
            self._drop(link)

    def _drop(self, link: Link) -> None:
        """Close a connection; a robot without one is dead."""
        self._selector.unregister(link)
        link.close()
        self._viewers.discard(link)
        robot = self._robots.pop(link, None)
        if robot is not None:
            self._world.die(robot.name)

    def _state(self, name: str) -> Message:
        body = self._world.bodies[name]
        state: Message = {
            'tick': self._tick,
            'time': self._world.time,
            'pose': body.pose,
            'linear': body.linear,
            'angular': body.angular,
            'box': body.box,
        }
        if self._tick % 2 == 0:
            state['scan'] = self._world.scan(name)
        return state

    def _truth(self, events: Iterable[object]) -> Message:
        world = self._world
        return {
            'time': world.time,
            'bodies': {
                name: {
                    'pose': body.pose, 'box': body.box, 'is_dead': body.dead_since is not None,
                }
                for name, body in world.bodies.items()
            },
            'delivered': [[*ends, boxes] for ends, boxes in world.delivered.items()],
            'passages': world.checker.passages,
            'closest': world.checker.closest,
            'towed': [event for event in events if isinstance(event, Tow)],
            'violations': [str(event) for event in events if not isinstance(event, Tow)],
        }  # fmt: skip


def main(fd: int, speed: float) -> None:
    """Simulate until SIGINT or SIGTERM."""
    with stopped_by_signals() as stop:
        simulator = Simulator(socket.socket(fileno=fd))
        moment = time.monotonic()
        while stop.empty():
            moment = max(time.monotonic(), moment + TICK_S / speed)  # what was late stays late
            simulator.run_until(moment)
        simulator.close()


if __name__ == '__main__':
    main(int(sys.argv[1]), float(sys.argv[2]))
