# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Small helpers that several tests share."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar('T')

# Which of the processes that run tests side by side (pytest-xdist) this is, and how many there may
# be. Each has ports and ROS domains of its own: so many, beginning with DOMAIN.
WORKER = int(os.environ.get('PYTEST_XDIST_WORKER', 'gw0')[2:])
WORKERS = 5
DOMAINS = 4
DOMAIN = int(os.environ.get('ROS_DOMAIN_ID', '77')) + DOMAINS * WORKER


def eventually(condition: Callable[[], T], seconds: float = 20.0, every: float = 0.01) -> T:
    """Return the first true value of `condition`, or fail once the deadline has passed.

    A LookupError of the condition is as good as false: what it looks at has not come yet.
    """
    deadline = time.monotonic() + seconds
    while True:
        value: object
        try:
            found = condition()
            if found:
                return found
            value = found
        except LookupError as error:
            value = error
        if time.monotonic() > deadline:
            raise AssertionError(f'not within {seconds} s: {condition}, last value {value!r}')
        time.sleep(every)
