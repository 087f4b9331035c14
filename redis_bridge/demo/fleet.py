# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The processes of the demo, each with the environment that it needs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from redis_bridge.demo import server
from redis_bridge.demo.processes import Child, stop
from redis_bridge.errors import BridgeError

HERE = Path(__file__).parent
MAPPING = HERE / 'demo.yaml'
ROBOTS = ('robot1', 'robot2')
STOP_S = 3.0
LAST_DOMAIN = 101  # the ports of higher ones may collide with ephemeral ports on Linux
# What would tie the two graphs together, or change where they look for each other.
FOREIGN = (
    'ROS_LOCALHOST_ONLY', 'ROS_STATIC_PEERS', 'ROS_DISCOVERY_SERVER', 'ROS_SUPER_CLIENT',
    'ROS_NAMESPACE', 'REDIS_URL',
)  # fmt: skip
# What leads a Python process to ROS.
ROS = ('ROS_', 'RMW_', 'LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'AMENT_PREFIX_PATH')


@dataclass(frozen=True)
class Fleet:
    """What runs: `children` in the order of their start, so the first dead one is the cause."""

    port: int  # of the server
    domains: tuple[int, ...]
    children: list[Child]

    @property
    def url(self) -> str:
        """Where the demo's server listens."""
        return f'redis://{server.HOST}:{self.port}/0'

    def first_death(self) -> str | None:
        """Return how a process ended that should be running; None while all of them run."""
        return next(filter(None, (child.how_it_ended() for child in self.children)), None)


@contextmanager
def started() -> Iterator[Fleet]:
    """Start server, robots, bridges and the steering script; at the end stop them, server last."""
    domains = free_domains(first=len(ROBOTS) * os.getpid())
    environs = dict(zip(ROBOTS, (ros_environ(os.environ, domain) for domain in domains)))
    redis_server, port = server.start()
    fleet = Fleet(port, domains, [redis_server])

    def start(name: str, environ: Mapping[str, str], *arguments: str) -> None:
        fleet.children.append(Child(name, [sys.executable, *arguments], environ))

    try:
        for robot, environ in environs.items():
            start(robot, environ, '-m', 'redis_bridge.demo.robot', robot)
        for robot, environ in environs.items():
            start(
                f'bridge of {robot}', environ, '-m', 'redis_bridge.node', '--ros-args',
                '--disable-external-lib-logs', '-p', f'mapping:={MAPPING}',
                '-p', f'robot:={robot}', '-p', f'redis_url:={fleet.url}',
            )  # fmt: skip
        start('steering', plain_environ(os.environ), str(HERE / 'steering.py'), fleet.url)
        yield fleet
    finally:
        stop(fleet.children[1:], STOP_S)
        stop(fleet.children[:1], STOP_S)


def ros_environ(environ: Mapping[str, str], domain: int) -> dict[str, str]:
    """Return the environment of a process of one ROS graph."""
    return {
        **_without(environ, FOREIGN),
        'PYTHONPATH': os.pathsep.join(map(os.path.abspath, sys.path)),  # it imports what we do
        'PYTHONUNBUFFERED': '1',
        'ROS_DOMAIN_ID': str(domain),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
    }


def plain_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that has nothing to do with ROS."""
    return _without(environ, ROS)


def _without(environ: Mapping[str, str], starts: tuple[str, ...]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if not name.startswith(starts)}


def free_domains(first: int) -> tuple[int, ...]:
    """Return a ROS domain id per robot that nothing on this machine uses, searched from one on."""
    ids = (1 + (first + i) % LAST_DOMAIN for i in range(LAST_DOMAIN))
    free = tuple(islice(filter(_is_free, ids), len(ROBOTS)))
    if len(free) < len(ROBOTS):
        raise BridgeError(f'no {len(ROBOTS)} free ROS domain ids between 1 and {LAST_DOMAIN}')
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
