# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Descriptions in Redis of names and message types, for those who do not know the mapping."""

from __future__ import annotations

from typing import NamedTuple


class TypeDescription(NamedTuple):
    """A message type: enough to decode CDR without ROS."""

    name: str  # 'pkg/msg/Name'
    definition: str  # the concatenated .msg text that MCAP calls `ros2msg`
    type_hash: str  # RIHS01_...


class NameDescription(NamedTuple):
    """What a route writes to, or reads from, one Redis name."""

    name: str
    kind: str  # key | hash | stream | channel
    is_read: bool  # by the bridge; else the bridge writes it
    encoding: str
    field: str | None  # the payload is the bare value at this path
    type: TypeDescription
