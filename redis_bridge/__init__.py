# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""redis_bridge: mirrors ROS 2 topics into Redis keys, channels and streams, and back.

Processes without ROS need only `redis_bridge.Client`. It is imported on first use, so that
`import redis_bridge` is quick and imports neither redis nor rclpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis_bridge.client.client import (
        Client,
        Lease,
        Notice,
        Queue,
        Robot,
        RobotEvent,
        Task,
        Update,
    )

__all__ = [
    'Client', 'Lease', 'Notice', 'Queue', 'Robot', 'RobotEvent', 'Task', 'Update', '__version__',
]  # fmt: skip
__version__ = '0.1.0'

if not TYPE_CHECKING:  # for type checkers there are no other names than these

    def __getattr__(name: str) -> type:
        """Import the client's names on first use."""
        if name in __all__:
            from redis_bridge.client import client

            return getattr(client, name)
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted({*globals(), *__all__})
