# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The processes of the demo, each with the environment that it needs."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from redis_bridge.demo import link, server
from redis_bridge.demo.processes import Child, stop
from redis_bridge.demo.warehouse import robot_names
from redis_bridge.errors import BridgeError

MAPPING = Path(__file__).parent / 'demo.yaml'
STOP_S = 3.0
LAST_DOMAIN = 101  # the ports of higher ones may collide with ephemeral ports on Linux
RESTARTS = 3  # of the coordinator
# What would tie the graphs together, or change where they look for each other.
FOREIGN = (
    'ROS_LOCALHOST_ONLY', 'ROS_STATIC_PEERS', 'ROS_DISCOVERY_SERVER', 'ROS_SUPER_CLIENT',
    'ROS_NAMESPACE', 'REDIS_URL',
)  # fmt: skip
# What leads a Python process to ROS.
ROS = ('ROS_', 'RMW_', 'LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'AMENT_PREFIX_PATH')


class Fleet:
    """The processes that run. A robot is two of them, its node and its bridge: it lives with both.

    `children` are those that the demo cannot go on without, in the order of their start, so that
    the first dead one is the cause.
    """

    def __init__(self, robots: int, speed: float) -> None:
        self.port = 0  # of the server
        self.simulator_port = 0
        self.domains = dict(zip(robot_names(robots), free_domains(robots, robots * os.getpid())))
        self.killed: list[str] = []  # robots
        self.children: list[Child] = []
        self.robots: dict[str, tuple[Child, Child]] = {}
        self._speed = speed
        self._coordinators: list[Child] = []

    @property
    def url(self) -> str:
        """Where the demo's server listens."""
        return f'redis://{server.HOST}:{self.port}/0'

    def start(self) -> None:
        """Start all processes."""
        redis_server, self.port = server.start()
        self.children.append(redis_server)
        with socket.create_server((link.HOST, 0)) as listener:
            self.simulator_port = listener.getsockname()[1]
            self.children.append(
                Child(
                    'the simulator',
                    _python('-m', 'redis_bridge.demo.simulator', listener.fileno(), self._speed),
                    plain_environ(os.environ),
                    pass_fds=(listener.fileno(),),
                )
            )
        for robot, domain in self.domains.items():
            environ = ros_environ(os.environ, domain)
            node = _python('-m', 'redis_bridge.demo.robot', robot, self.simulator_port)
            bridge = _python(
                '-m', 'redis_bridge.node', '--ros-args', '--disable-external-lib-logs',
                '-p', f'mapping:={MAPPING}', '-p', f'robot:={robot}',
                '-p', f'redis_url:={self.url}',
            )  # fmt: skip
            self.robots[robot] = (
                Child(robot, node, environ),
                Child(f'the bridge of {robot}', bridge, environ),
            )
        self._start_coordinator()

    def _start_coordinator(self) -> None:
        command = _python('-m', 'redis_bridge.demo.coordinator', self.url)
        self._coordinators.append(Child('the coordinator', command, plain_environ(os.environ)))

    def kill(self, robot: str) -> None:
        """Kill a robot, its node and its bridge."""
        for child in self.robots.pop(robot):
            child.send_signal(signal.SIGKILL)
            child.wait_for_end(STOP_S)
        self.killed.append(robot)

    def look(self) -> tuple[list[str], str | None]:
        """Return what happened to processes, and why the demo cannot go on, or None.

        Of a robot that is dead by half the other half is killed. A coordinator that was killed
        is started again.
        """
        happened = []
        for robot, parts in list(self.robots.items()):
            if end := next(filter(None, (part.how_it_ended() for part in parts)), None):
                self.kill(robot)
                happened.append(end)
        if self._coordinators and (end := self._coordinators[-1].how_it_ended()):
            was_killed = self._coordinators[-1].returncode == -signal.SIGKILL
            if not was_killed or len(self._coordinators) > RESTARTS:
                return happened, end
            happened.append('the coordinator was killed, and is started again')
            self._start_coordinator()
        death = next(filter(None, (child.how_it_ended() for child in self.children)), None)
        if death is None and not self.robots:
            death = '\n'.join([*happened, 'no robot is left'])
        return happened, death

    def all(self) -> list[Child]:
        """Return all processes that were started and not given up, the server first."""
        parts = [part for robot in self.robots.values() for part in robot]
        return [*self.children, *parts, *self._coordinators]

    def close(self) -> None:
        """Stop all processes, the server last."""
        every = self.all()
        stop(every[1:], STOP_S)
        stop(every[:1], STOP_S)


@contextmanager
def started(robots: int, speed: float) -> Iterator[Fleet]:
    """Start server, simulator, robots and bridges; at the end stop them, the server last."""
    fleet = Fleet(robots, speed)
    try:
        fleet.start()
        yield fleet
    finally:
        fleet.close()


def _python(*arguments: object) -> list[str]:
    return [sys.executable, *map(str, arguments)]


def ros_environ(environ: Mapping[str, str], domain: int) -> dict[str, str]:
    """Return the environment of a process of one ROS graph."""
    return {
        **_without(environ, FOREIGN),
        **_python_environ(),
        'ROS_DOMAIN_ID': str(domain),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


def plain_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that has nothing to do with ROS."""
    return {**_without(environ, ROS), **_python_environ()}


def _python_environ() -> dict[str, str]:
    """Return what makes a Python process import what we do, and write its log at once."""
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    return {'PYTHONPATH': path, 'PYTHONUNBUFFERED': '1'}


def _without(environ: Mapping[str, str], starts: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(starts)}


def free_domains(count: int, first: int) -> tuple[int, ...]:
    """Return ROS domain ids that nothing on this machine uses, searched from one on."""
    ids = (1 + (first + i) % LAST_DOMAIN for i in range(LAST_DOMAIN))
    free = tuple(islice(filter(_is_free, ids), count))
    if len(free) < count:
        raise BridgeError(f'no {count} free ROS domain ids between 1 and {LAST_DOMAIN}')
    return free


def _is_free(domain: int) -> bool:
    """Return whether the discovery ports of a domain's first participant are free (DDSI-RTPS)."""
    base = 7400 + 250 * domain
    try:
        for port in (base, base + 10):  # multicast, unicast
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                probe.bind(('', port))
    except OSError:
        return False
    return True
