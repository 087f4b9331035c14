# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""redis_bridge: mirrors ROS 2 topics into Redis keys, channels and streams, and back.

Processes without ROS need `redis_bridge.Client` only; it is imported when first asked for, so that
`import redis_bridge` costs nothing and pulls in neither redis nor rclpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from redis_bridge.client.client import Client, Notice, Robot, Update

__all__ = ['Client', 'Notice', 'Robot', 'Update', '__version__']
__version__ = '0.1.0'


def __getattr__(name: str) -> Any:
    """Import the client's names when they are first used."""
    if name in ('Client', 'Notice', 'Robot', 'Update'):
        from redis_bridge.client import client

        return getattr(client, name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    """List the lazy names too."""
    return sorted({*globals(), *__all__})
