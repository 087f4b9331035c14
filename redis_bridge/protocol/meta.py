# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The metadata of a payload: who sent it, its number, and when."""

from __future__ import annotations

from typing import NamedTuple


class Meta(NamedTuple):
    """What travels beside a payload in `_meta`, or as fields of a stream entry."""

    origin: str  # 'robot/boot' of the bridge or client that sent it
    seq: int  # counts up by one per route and origin; a jump is a gap
    stamp: float  # seconds, of the Redis server's clock
