# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Where it is measured: a server and processes of its own, and what the kernel says of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.agent import Agent, connect
from bench.candidates import Candidate
from bench.cluster import Cluster
from bench.kinds import Kind
from redis_bridge.demo import server
from redis_bridge.demo.processes import Child, stop

ROOT = Path(__file__).resolve().parent.parent
STOP_S = 5.0
CPUCLOCK_SCHED = 2  # linux/posix-timers.h


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has taken, all its threads and both modes, to the ns.

    The clock that clock_getcpuclockid(3) gives; /proc/PID/stat has the same in steps of 10 ms.
    """
    return time.clock_gettime((~pid << 3) | CPUCLOCK_SCHED)


def memory_mb(pid: int, which: str = 'VmRSS') -> float:
    """Return the resident memory of a process; VmHWM: the most there ever was."""
    for line in Path(f'/proc/{pid}/status').read_text().splitlines():
        if line.startswith(f'{which}:'):
            return int(line.split()[1]) / 1024
    raise ValueError(f'/proc/{pid}/status has no {which}')


class Environment:
    """A folder, a server and the processes; all are gone when it closes.

    While it is open, SIGINT and SIGTERM end what runs; no process is forgotten while it starts.
    """

    def __init__(self, domain: int) -> None:
        self._domain = domain
        self._opened = ExitStack()
        self._children: list[Child] = []
        self._is_starting = False
        self._signal: int | None = None

    def __enter__(self) -> Environment:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._opened.callback(signal.signal, number, signal.signal(number, self._interrupt))
        self.folder = Path(
            self._opened.enter_context(tempfile.TemporaryDirectory(prefix='redis_bridge_bench_'))
        )
        self.program = server.find_program()
        first, self.port = server.start()
        self.servers = [first]
        self._opened.callback(stop, [first], STOP_S)
        self.db = self._opened.enter_context(connect(self.port))
        self._dbs = [self.db]
        self._cluster: Cluster | None = None
        return self

    def __exit__(self, *exc_info: object) -> None:
        stop(self._children, STOP_S)
        self._opened.close()

    def _interrupt(self, number: int, frame: object) -> None:
        self._signal = number
        if not self._is_starting:
            self.go_on()

    def go_on(self) -> None:
        """Raise what a signal asked for, if one came, as it may have been swallowed then."""
        if self._signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self._signal is not None:
            sys.exit(128 + self._signal)

    def start(self, name: str, command: Sequence[str], *, large: bool = False) -> Child:
        """Start a process; `large`: with the DDS profile that large messages need."""
        environ = {
            **os.environ,
            'PYTHONPATH': str(ROOT),
            'ROS_DOMAIN_ID': str(self._domain),
            'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        }
        if large:
            profile = str(ROOT / 'config' / 'fastdds_large.xml')
            environ['FASTDDS_DEFAULT_PROFILES_FILE'] = profile
            environ['FASTRTPS_DEFAULT_PROFILES_FILE'] = profile
        self._is_starting = True
        try:
            child = Child(name, command, environ)
            self._children.append(child)
        finally:
            self._is_starting = False
        self.go_on()
        return child

    def agent(
        self,
        name: str,
        module: str,
        side: str,
        kind: Kind,
        candidates: Sequence[Candidate],
        *,
        large: bool = False,
    ) -> tuple[Agent, Child]:
        """Start `bench.load` or `bench.receiver` for some candidates."""
        targets: dict[str, Any] = {
            candidate.name: {
                'names': candidate.topics if side == 'ros' else candidate.redis_names,
                'encoding': 'cdr' if side == 'ros' else candidate.encoding,
            }
            for candidate in candidates
        }
        self.db.delete(f'bench:{name}:do', f'bench:{name}:done')
        command = [
            sys.executable, '-m', f'bench.{module}',
            name, side, kind.name, str(self.port), json.dumps(targets),
        ]  # fmt: skip
        child = self.start(name, command, large=large or kind.is_large)
        return Agent(name, child, self.db), child

    def start_cluster(self) -> None:
        """Start a cluster, for the candidates that ask for it."""
        self._cluster = Cluster(self.program, self.folder, self.start)
        self._opened.callback(self._cluster.close)
        self.servers += self._cluster.servers
        self._dbs += self._cluster.dbs

    def url_of(self, candidate: Candidate) -> str:
        """Return the URL of the server, or of the cluster."""
        if candidate.in_cluster and self._cluster is not None:
            return self._cluster.url
        return f'redis://127.0.0.1:{self.port}/0'

    def published(self) -> int:
        """Return how many messages the servers were given to publish so far."""
        stats = (db.info('commandstats') for db in self._dbs)
        return sum(int(each.get('cmdstat_publish', {}).get('calls', 0)) for each in stats)
