# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""How a robot's node gets the lease of the corridor: by the services of its own bridge."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from rclpy.node import Node
from rclpy.task import Future
from std_srvs.srv import Trigger

if TYPE_CHECKING:
    from rclpy.client import Client

    Caller = Client[Trigger.Request, Trigger.Response]

SERVICE = '/redis_bridge/lease/corridor'
ASK_S = 0.2  # between two calls; also while it is held, to hear of a loss
TRUST_S = 0.5  # of an answer; the bridge gives up so long before others can have the lease


class Corridor:
    """Asks for the lease as long as it is wanted, and gives it up once it is not."""

    def __init__(self, node: Node) -> None:
        self._acquire: Caller = node.create_client(Trigger, f'{SERVICE}/acquire')
        self._release: Caller = node.create_client(Trigger, f'{SERVICE}/release')
        self._answer: Future[Trigger.Response] | None = None  # while a call is under way
        self._asked_at = 0.0
        self._held_at: float | None = None  # when the call was made that was answered last
        self._is_wanted = False

    def is_ours(self) -> bool:
        """Return whether the bridge has said lately that it holds the lease."""
        return self._held_at is not None and time.monotonic() < self._held_at + TRUST_S

    def ask(self, is_wanted: bool) -> None:
        """Say whether the lease is wanted; call it often, it never waits."""
        now = time.monotonic()
        if self._answer is not None and self._answer.done():
            reply, self._answer = self._answer.result(), None
            is_held = reply is not None and reply.success and self._is_wanted
            self._held_at = self._asked_at if is_held else None
        if self._is_wanted and not is_wanted and self._release.service_is_ready():
            self._release.call_async(Trigger.Request())
            self._answer, self._held_at = None, None
            self._is_wanted = False
        elif is_wanted:
            self._is_wanted = True
            if now >= self._asked_at + (ASK_S if self._answer is None else TRUST_S):
                self._asked_at = now
                self._answer = None
                if self._acquire.service_is_ready():
                    self._answer = self._acquire.call_async(Trigger.Request())
