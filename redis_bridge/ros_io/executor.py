# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs executors in threads of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node

SPIN_S = 0.25  # longest time until a stop is noticed; shorter costs idle CPU
JOIN_WITHIN_S = 2.0


class Spinner:
    """A thread that spins some nodes until it is closed.

    `kind` is 'events' (EventsExecutor, about ten times cheaper per message; it must carry neither
    actions nor event callbacks) or 'single_threaded'. `failed` is called once if an error ends the
    spinning.
    """

    def __init__(
        self,
        kind: str,
        nodes: list[Node],
        context: Context,
        log: logging.Logger,
        failed: Callable[[], None],
    ) -> None:
        self._executor = _executor(kind, context)
        self._nodes = nodes
        self._log = log
        self._failed = failed
        self._stop = threading.Event()
        for node in nodes:
            self._executor.add_node(node)
        self._thread = threading.Thread(target=self._run, name=f'spin {kind}', daemon=True)

    def __enter__(self) -> Spinner:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join(JOIN_WITHIN_S)
        for node in self._nodes:
            self._executor.remove_node(node)
        self._executor.shutdown()

    def _run(self) -> None:
        # spin_once in a loop, because the spin() of EventsExecutor burns a core and never ends.
        while not self._stop.is_set():
            try:
                self._executor.spin_once(timeout_sec=SPIN_S)
            except InvalidHandle:
                continue  # an entity was destroyed between its event and its turn
            except Exception:
                if not self._stop.is_set():
                    self._log.exception('spinning ended')
                    self._failed()
                return


def _executor(kind: str, context: Context) -> Executor:
    if kind == 'events':
        try:
            from rclpy.experimental.events_executor import EventsExecutor
        except ImportError:  # older than Jazzy's later releases
            return SingleThreadedExecutor(context=context)
        return EventsExecutor(context=context)
    return SingleThreadedExecutor(context=context)
