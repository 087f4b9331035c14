# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Bridges as users run them: processes with a mapping file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from servers import leave_claim
from support import eventually

# It shows soon how a bridge does. But one that needs its name confirmed every half second may lose
# it for a moment on a busy machine, and with it messages: tests that count them need PATIENT.
QUICK = 'presence: {every_ms: 200, ttl_ms: 1000}\n'
PATIENT = 'presence: {every_ms: 1000, ttl_ms: 6000}\n'


class BridgeProcess:
    """A `redis_bridge` process in one ROS domain; `output` is what it printed once it ended."""

    def __init__(
        self,
        directory: Path,
        mapping: str,
        server: Any,
        robot: str = 'robot1',
        domain: int = 0,
        ros_args: tuple[str, ...] = (),
        presence: str = QUICK,
    ) -> None:
        self.robot = robot
        self._presence = presence
        self.output = ''
        self._client = server.client()
        leave_claim(server.url, robot)
        self.path = directory / f'{robot}.yaml'
        self.write(mapping)
        self._log = (directory / f'{robot}.log').open('w+')
        parameters = {'mapping': self.path, 'robot': robot, 'redis_url': server.url}
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'redis_bridge.node', '--ros-args']
            + [part for name, value in parameters.items() for part in ('-p', f'{name}:={value}')]
            + list(ros_args),
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, 'ROS_DOMAIN_ID': str(domain)},
        )

    def write(self, mapping: str) -> None:
        """Write another mapping into the file, for a reload."""
        self.path.write_text('version: 1\n' + self._presence + textwrap.dedent(mapping))

    def hash(self) -> dict[str, Any]:
        """Return the robot's hash, with its JSON fields read."""
        fields = self._client.hgetall(f'redis_bridge:robot:{self.robot}')
        return {
            name.decode(): json.loads(value) if value[:1] in b'{[' else value.decode()
            for name, value in fields.items()
        }

    def routes(self) -> list[dict[str, Any]]:
        """Return the routes' reports of the last heartbeat, by id."""
        fields = self.hash()
        return [fields[name] for name in sorted(fields) if name.startswith('route:')]

    def ready(self, *, waiting: bool = False) -> BridgeProcess:
        """Wait until every route is open, or with `waiting` at least set up."""
        allowed = ('open', 'waiting for a publisher') if waiting else ('open',)

        def is_ready() -> bool:
            assert self.process.poll() is None, self.text()
            routes = self.routes()
            return bool(routes) and all(route['state'] in allowed for route in routes)

        try:
            eventually(is_ready, 20)
        except AssertionError:
            raise AssertionError(f'not ready: {self.hash()}') from None
        return self

    def text(self) -> str:
        """Return what the process has printed so far."""
        self._log.flush()
        return Path(self._log.name).read_text()

    def stop(self, number: int = signal.SIGTERM, within_s: float = 20.0) -> int:
        """Send a signal, and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f'the bridge did not end:\n{self.text()}') from None
        self.output = self.text()
        return status

    def __enter__(self) -> BridgeProcess:
        return self

    def __exit__(self, kind: object, *exc_info: object) -> None:
        try:
            self.stop()
            if kind is not None:
                print(f'--- {self.robot}\n{self.output}')
        finally:
            self._log.close()
            self._client.close()


def end_process(process: subprocess.Popen[str], *readers: threading.Thread) -> None:
    """End a helper's process in order, by closing its standard input, or by force."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
    for reader in readers:
        reader.join()
    process.stdout.close()
    process.stderr.close()


def end_all(made: Iterable[Any]) -> None:
    """End what a test started and did not end, also if it is stopped."""
    for one in made:
        if one.process.poll() is None:
            one.process.send_signal(signal.SIGCONT)
        if not one.process.stdin.closed:
            one.end()
