# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The processes of the demo, started and ended in order."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from types import TracebackType

from redis_bridge.demo import server
from redis_bridge.demo.processes import Child, stop, temporary_folder
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
# What leads a Python process to the libraries of ROS.
ROS_PATHS = ('LD_LIBRARY_PATH', '_ROS_WHEELS_BOOTSTRAP_COMPLETE', 'AMENT_PREFIX_PATH')


class Fleet:
    """Server, robots, bridges and steering scripts, all started on entering.

    `children` are in the order of their start, so the first dead one is the most likely cause.
    """

    def __init__(self) -> None:
        self.children: list[Child] = []
        self.port = 0
        self.domains = free_domains(len(ROBOTS), first=len(ROBOTS) * os.getpid())
        self._opened = ExitStack()

    @property
    def url(self) -> str:
        """Where the demo's server listens."""
        return f'redis://{server.HOST}:{self.port}/0'

    def __enter__(self) -> Fleet:
        with ExitStack() as opened:
            self.folder = opened.enter_context(temporary_folder('redis_bridge_demo_'))
            redis_server, self.port = server.start(self.folder)
            self._adopt(opened, [redis_server])
            domain_of = dict(zip(ROBOTS, self.domains, strict=True))
            python = sys.executable
            ros = {name: ros_environ(os.environ, domain_of[name], self.folder) for name in ROBOTS}
            self._start(
                opened,
                {name: [python, '-m', 'redis_bridge.demo.robot', name] for name in ROBOTS},
                ros,
            )
            self._start(
                opened,
                {f'bridge of {name}': self._bridge(name) for name in ROBOTS},
                {f'bridge of {name}': ros[name] for name in ROBOTS},
            )
            plain = plain_environ(os.environ)
            scripts = {
                'patrol': [python, str(HERE / 'patrol.py'), self.url, 'robot1'],
                'follower': [python, str(HERE / 'follower.py'), self.url, 'robot1', 'robot2'],
            }
            self._start(opened, scripts, dict.fromkeys(scripts, plain))
            self._opened = opened.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._opened.close()

    def _start(
        self,
        opened: ExitStack,
        commands: Mapping[str, list[str]],
        environs: Mapping[str, Mapping[str, str]],
    ) -> None:
        started: list[Child] = []
        self._adopt(opened, started)  # before the first starts: the second might fail to
        for name, command in commands.items():
            log = self.folder / f'{name.replace(" ", "_")}.log'
            started.append(Child(name, command, log, environs[name]))
            self.children.append(started[-1])

    def _adopt(self, opened: ExitStack, children: list[Child]) -> None:
        self.children += children
        opened.callback(stop, children, STOP_S)

    def _bridge(self, robot: str) -> list[str]:
        parameters = {'mapping': MAPPING, 'robot': robot, 'redis_url': self.url}
        command = [sys.executable, '-m', 'redis_bridge.node', '--ros-args']
        for name, value in parameters.items():
            command += ['-p', f'{name}:={value}']
        return command

    def death_within(self, seconds: float) -> str | None:
        """Return how a process ended that ends within the time; None if none does."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            death = self.first_death()
            if death is not None:
                return death
            time.sleep(0.01)
        return None

    def first_death(self) -> str | None:
        """Return how a process ended that should be running; None while all of them run."""
        deaths = (child.how_it_ended() for child in self.children)
        return next((death for death in deaths if death is not None), None)


def ros_environ(environ: Mapping[str, str], domain: int, folder: Path) -> dict[str, str]:
    """Return the environment of a process of one ROS graph."""
    ours = {name: value for name, value in environ.items() if name not in FOREIGN}
    home = HERE.parents[1]
    if home.name not in ('site-packages', 'dist-packages'):  # a checkout: importable by this only
        paths = [str(home), environ.get('PYTHONPATH')]
        ours['PYTHONPATH'] = os.pathsep.join(path for path in paths if path)
    return {
        **ours,
        'ROS_DOMAIN_ID': str(domain),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'ROS_LOG_DIR': str(folder / 'ros'),
        'PYTHONUNBUFFERED': '1',
    }


def plain_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that has nothing to do with ROS."""
    return {
        name: value
        for name, value in environ.items()
        if name not in ROS_PATHS and not name.startswith(('ROS_', 'RMW_'))
    }


def free_domains(count: int, first: int = 0) -> tuple[int, ...]:
    """Return ROS domain ids, searching from one on, that nothing on this machine uses now."""
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
