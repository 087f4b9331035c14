# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What a server says about itself (INFO)."""

from __future__ import annotations

import math
import time

from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.resp import Reply


def parse_info(reply: Reply) -> dict[bytes, bytes]:
    """Return a section of INFO; empty if the server does not let us ask."""
    lines = reply.splitlines() if isinstance(reply, bytes) else []
    return dict(line.partition(b':')[::2] for line in lines)


class Uptime:
    """For how long the server has run since its last start.

    What it says is a difference of its wall clock, which may be set back. Therefore it counts,
    too, for how long we have known this run.
    """

    def __init__(self) -> None:
        self._run: bytes | None = None
        self._known_since = 0.0  # monotonic

    def seconds(self, connection: Connection) -> float:
        """Return for how many seconds, at least; infinite if the server does not say so."""
        (reply,) = connection.pipe([('INFO', 'server')])
        info = parse_info(reply)
        now, run = time.monotonic(), info.get(b'run_id')
        if run != self._run:
            self._run, self._known_since = run, now
        said_s = float(info.get(b'uptime_in_seconds', math.inf))
        return max(said_s - 1, now - self._known_since)  # both its times are without fractions
