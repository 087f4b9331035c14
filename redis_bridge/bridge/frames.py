# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Gives coordinate frames the names that they have in Redis, and those that they have in ROS.

A leading slash is dropped both ways, as tf2 does. An empty name stays empty.
"""

from __future__ import annotations

from redis_bridge.mapping.model import FramePrefix
from redis_bridge.messages.frames import Renamer, renamer
from redis_bridge.messages.types import Message


def to_redis(frames: FramePrefix | None, message: Message) -> Renamer | None:
    """Return what adds the prefix in serialized messages; None if nothing is to be done.

    Names that begin with the prefix stay, so that they never get it twice.
    """
    if frames is None:
        return None
    prefix = frames.text.encode()
    shared = {name.lstrip('/').encode() for name in frames.shared}

    def rename(name: bytes) -> bytes:
        name = name.lstrip(b'/')
        return name if not name or name in shared or name.startswith(prefix) else prefix + name

    return renamer(message, rename)


def to_ros(frames: FramePrefix | None, message: Message) -> Renamer | None:
    """Return what takes the prefix off in serialized messages; None if nothing is to be done.

    Names without the prefix stay: they are shared, or another robot's.
    """
    if frames is None:
        return None
    prefix = frames.text.encode()
    return renamer(message, lambda name: name.lstrip(b'/').removeprefix(prefix))
