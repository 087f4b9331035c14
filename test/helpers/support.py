# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Small helpers that several tests share."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')


def eventually(condition: Callable[[], T], seconds: float = 10.0, every: float = 0.01) -> T:
    """Return the first true value of `condition`, or fail once the deadline has passed."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {seconds} s: {condition}, last value {value!r}')
        time.sleep(every)
