# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The value on which both sides of a mirrored key last agreed, so that it does not loop."""

from __future__ import annotations

import threading

from redis_bridge.ports import Payload


class LastValue:
    """The last value that one direction of a mirrored key passed to the other."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._body: Payload | None = None

    def update(self, body: Payload) -> bool:
        """Note `body`, the value encoded without metadata; return whether it is new."""
        with self._lock:
            if body == self._body:
                return False
            self._body = body
            return True

    def forget(self) -> None:
        """Let every value count as new, because Redis may have lost the last one."""
        with self._lock:
            self._body = None
