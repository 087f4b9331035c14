# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Processes of `rival.py`, bridges that a test can stop and kill."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import redis
from processes import end_process
from servers import Server
from support import eventually

from redis_bridge.protocol.keys import robot_key

HELPERS = Path(__file__).parent
EVERY_MS = 300


class Rival:
    """One process of `rival.py`; `numbers` is what it published, by route, with the time."""

    def __init__(
        self, server: Server, folder: Path, robot: str = 'robot1', every_ms: int = EVERY_MS
    ) -> None:
        self.numbers: dict[str, list[tuple[float, int]]] = {'channel': [], 'key': [], 'stream': []}
        self.dropped: dict[str, dict[str, int]] = {}
        self.log = ''
        self.robot = robot
        self.process = subprocess.Popen(
            [
                sys.executable,
                str(HELPERS / 'rival.py'),
                server.url,
                str(folder),
                robot,
                str(every_ms),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, 'PYTHONPATH': os.pathsep.join([str(HELPERS), *sys.path])},
        )
        self._readers = [threading.Thread(target=read) for read in (self._read, self._read_log)]
        for reader in self._readers:
            reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            what, _, value = line.partition(' ')
            if what == 'report':
                self.dropped = json.loads(value)
            else:
                self.numbers[what].append((time.monotonic(), int(value)))

    def _read_log(self) -> None:
        for line in self.process.stderr:
            self.log += line

    def has_name(self, db: redis.Redis) -> bool:
        """Return whether the robot's hash names this process."""
        return db.hget(robot_key(self.robot), 'pid') == str(self.process.pid).encode()

    def counts(self) -> dict[str, int]:
        """Return how many numbers were published by each route."""
        return {route: len(numbers) for route, numbers in self.numbers.items()}

    def goes_on(self, route: str = 'channel') -> None:
        """Wait until it publishes more."""
        before = len(self.numbers[route])
        eventually(lambda: len(self.numbers[route]) > before)

    def end(self) -> None:
        """End it in order, or by force."""
        end_process(self.process, *self._readers)


def assert_never_at_once(first: Rival, second: Rival) -> None:
    """Check that no message was carried twice, and all of the first one before the second's."""
    numbers = [number for rival in (first, second) for _, number in rival.numbers['channel']]
    assert len(numbers) == len(set(numbers))
    assert max(first.numbers['channel']) < min(second.numbers['channel'])
