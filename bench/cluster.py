# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A Redis Cluster of three primaries, as a server that is measured."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path

import redis

from bench.agent import connect
from redis_bridge.demo.processes import Child

NODES = 3
SLOTS = 16384
START_S = 20.0


class Cluster:
    """The nodes, which the environment's `start` starts; `close` leaves them to it."""

    def __init__(
        self, program: str, folder: Path, start: Callable[[str, Sequence[str]], Child]
    ) -> None:
        ports = _free_ports(2 * NODES)
        self._ports, self._bus_ports = ports[:NODES], ports[NODES:]
        self.servers = [
            start(f'cluster node {port}', [
                program, '--port', str(port), '--bind', '127.0.0.1', '--save', '',
                '--appendonly', 'no', '--dir', str(folder), '--cluster-enabled', 'yes',
                '--cluster-port', str(bus_port), '--cluster-config-file', f'nodes_{port}.conf',
            ])
            for port, bus_port in zip(self._ports, self._bus_ports)
        ]  # fmt: skip
        self._opened = ExitStack()
        self.dbs = [self._opened.enter_context(connect(port)) for port in self._ports]
        for number, db in enumerate(self.dbs):
            self._until(partial(_answers, db))
            first, end = (SLOTS * n // NODES for n in (number, number + 1))
            db.execute_command('CLUSTER', 'ADDSLOTSRANGE', first, end - 1)
        for port, bus_port in zip(self._ports[1:], self._bus_ports[1:]):
            self.dbs[0].execute_command('CLUSTER', 'MEET', '127.0.0.1', port, bus_port)
        self._until(lambda: all(map(_is_whole, self.dbs)))

    @property
    def url(self) -> str:
        """The URL of all nodes."""
        return f'redis+cluster://{",".join(f"127.0.0.1:{port}" for port in self._ports)}'

    def close(self) -> None:
        """Close the connections."""
        self._opened.close()

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + START_S
        while True:
            with suppress(redis.ConnectionError):
                if condition():
                    return
            for server in self.servers:
                if how_it_ended := server.how_it_ended():
                    raise RuntimeError(how_it_ended)
            if time.monotonic() > deadline:
                raise RuntimeError(f'no cluster within {START_S:.0f} s')
            time.sleep(0.02)


def _answers(db: redis.Redis) -> bool:
    return bool(db.ping())


def _is_whole(db: redis.Redis) -> bool:
    text = db.execute_command('CLUSTER', 'INFO')
    return b'cluster_state:ok' in text and b'cluster_known_nodes:%d' % NODES in text


def _free_ports(count: int) -> list[int]:
    """Return ports that are free now."""
    with ExitStack() as opened:
        probes = [opened.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(('127.0.0.1', 0))
        return [int(probe.getsockname()[1]) for probe in probes]
