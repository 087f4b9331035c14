# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs executors in threads of their own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rclpy.context import Context
from rclpy.exceptions import InvalidHandle
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node

SPIN_S = 0.25  # shorter costs idle CPU
JOIN_WITHIN_S = 2.0


@contextmanager
def spinning(
    kind: str, nodes: list[Node], log: logging.Logger, failed: Callable[[], None]
) -> Iterator[None]:
    """Spin some nodes of one context in a thread while the `with` block runs.

    `kind` is 'events' (EventsExecutor, about ten times cheaper per message; it must carry neither
    actions nor event callbacks) or 'single_threaded'. `failed` is called once if an error ends the
    spinning.
    """
    executor = _executor(kind, nodes[0].context)
    stop = threading.Event()

    def spin() -> None:
        # spin_once in a loop, because the spin() of EventsExecutor burns a core and never ends.
        while not stop.is_set():
            try:
                executor.spin_once(timeout_sec=SPIN_S)
            except InvalidHandle:
                continue  # an entity was destroyed between its event and its turn
            except Exception:
                if not stop.is_set():
                    log.exception('spinning ended')
                    failed()
                return

    for node in nodes:
        executor.add_node(node)
    thread = threading.Thread(target=spin, name=f'spin {kind}', daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        executor.create_task(lambda: None)  # wakes it; `wake` does not wake every executor
        thread.join(JOIN_WITHIN_S)
        for node in nodes:
            executor.remove_node(node)
        executor.shutdown()


def _executor(kind: str, context: Context) -> Executor:
    if kind == 'events':
        with suppress(ImportError):  # older than Jazzy's later releases
            from rclpy.experimental.events_executor import EventsExecutor

            return EventsExecutor(context=context)
    return SingleThreadedExecutor(context=context)
