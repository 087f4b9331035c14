# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Checks the spans of time that callers give."""

from __future__ import annotations

from redis_bridge.errors import BridgeError, show

SHORTEST_MS = 100
LONGEST_MS = 24 * 3600 * 1000


def check_ms(option: str, value: object) -> None:
    """Raise BridgeError if an option is no whole number of milliseconds up to a day."""
    if type(value) is not int or not SHORTEST_MS <= value <= LONGEST_MS:
        raise BridgeError(
            f'{option}: expected a whole number of milliseconds from {SHORTEST_MS} to '
            f'{LONGEST_MS} (a day), got {show(value)}'
        )
