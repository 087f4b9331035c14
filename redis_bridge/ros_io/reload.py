# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Asks for reloads: the service `~/reload`, and whatever else in this process wants one."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.node import Node
from std_srvs.srv import Trigger


class Reloads:
    """Calls `reload`, one call after the other, in the thread that spins the node.

    `reload` returns whether it succeeded, and a text for whoever asked; it must not raise. It may
    take a while: nothing that carries messages belongs on this node's executor.
    """

    def __init__(self, node: Node, reload: Callable[[], tuple[bool, str]]) -> None:
        self._reload = reload
        self._service = node.create_service(Trigger, '~/reload', self._answer)
        self._guard = node.create_guard_condition(self._run)

    def request(self) -> None:
        """Have it called soon, from any thread; requests that still wait are one."""
        self._guard.trigger()

    def _run(self) -> None:
        self._reload()

    def _answer(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success, response.message = self._reload()
        return response
