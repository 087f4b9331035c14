# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Runs the dashboard until a signal ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from queue import SimpleQueue

from redis_bridge.client.client import Client
from redis_bridge.dashboard.board import Board
from redis_bridge.dashboard.control import Control
from redis_bridge.dashboard.fleet import Fleet
from redis_bridge.dashboard.guard import Guard
from redis_bridge.dashboard.server import Dashboard, serve


def run(
    make_client: Callable[[], Client],
    host: str,
    port: int,
    token: str,
    stop: SimpleQueue[int],
    on_ready: Callable[[int], None],
) -> None:
    """Serve the page until something comes through `stop`.

    :param on_ready: is called with the port.
    :param make_client: goals and stops have a client of their own, so that nothing delays them.
    :raises BridgeError: the address cannot be bound.
    """
    board = Board()
    fleet = Fleet(make_client(), board)
    control = Control(make_client(), lambda: fleet.names)
    dashboard = Dashboard(board, fleet, control, Guard(host, token))

    async def main() -> None:
        runner = await serve(dashboard, host, port)
        try:
            fleet.start()
            control.start()
            on_ready(runner.addresses[0][1])
            await asyncio.to_thread(stop.get)
        finally:
            await runner.cleanup()

    try:
        asyncio.run(main())
    finally:
        control.close()
        fleet.close()
