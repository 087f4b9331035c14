# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a server says about itself (INFO)."""

from __future__ import annotations

import math

from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.resp import Reply


def parse_info(reply: Reply) -> dict[bytes, bytes]:
    """Return a section of INFO; empty if the server does not let us ask."""
    lines = reply.splitlines() if isinstance(reply, bytes) else []
    return dict(line.partition(b':')[::2] for line in lines)


def serving_s(connection: Connection) -> float:
    """Return for how many seconds the server has run as the primary, at least.

    Infinite if it does not say so. One that was started or promoted since may lack what the one
    before had taken last.
    """
    (reply,) = connection.pipe([('INFO', 'server')])
    # It is the difference of two clocks without fractions.
    uptime_s = float(parse_info(reply).get(b'uptime_in_seconds', math.inf)) - 1
    return min(uptime_s, connection.primary_for_s())
