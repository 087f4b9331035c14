# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A helper process of the benchmark: takes its tasks from Redis lists."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable
from inspect import signature
from typing import Any

import redis

from redis_bridge.demo.processes import Child

LOOK_EVERY_S = 1.0


def connect(port: int) -> redis.Redis:
    """Return a client of the benchmark's server: RESP2, and it waits for as long as it takes."""
    if 'protocol' in signature(redis.Redis).parameters:
        return redis.Redis('127.0.0.1', port, socket_timeout=None, protocol=2)
    return redis.Redis('127.0.0.1', port, socket_timeout=None)


def serve(name: str, db: redis.Redis, tasks: dict[str, Callable[..., Any]]) -> None:
    """Do tasks by their names as they are asked for, until SIGTERM ends the process."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        if order := db.blpop(f'bench:{name}:do', timeout=LOOK_EVERY_S):
            task, arguments = json.loads(order[1])
            db.rpush(f'bench:{name}:done', json.dumps(tasks[task](**arguments)))


class Agent:
    """The other end of `serve`, in the process that measures."""

    def __init__(self, name: str, child: Child, db: redis.Redis) -> None:
        self._name = name
        self._child = child
        self._db = db

    def ask(self, task: str, **arguments: Any) -> None:
        """Have a task begun."""
        self._db.rpush(f'bench:{self._name}:do', json.dumps([task, arguments]))

    def answer(self) -> Any:
        """Wait for the task's end, and return what it gave; RuntimeError if the process ended."""
        while True:
            reply = self._db.blpop(f'bench:{self._name}:done', timeout=LOOK_EVERY_S)
            if reply is not None:
                return json.loads(reply[1])
            if how_it_ended := self._child.how_it_ended():
                raise RuntimeError(how_it_ended)

    def do(self, task: str, **arguments: Any) -> Any:
        """Have a task done."""
        self.ask(task, **arguments)
        return self.answer()
