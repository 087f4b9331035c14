# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Ends a process on SIGINT and SIGTERM, at whatever moment they come and however many."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals() -> Iterator[SimpleQueue[int]]:
    """Give a queue that gets the exit status, 0, at each signal; only for the main thread.

    Not an event: whoever sets one takes its lock, and a handler that interrupts a wait or another
    handler would wait for ever for what it has itself interrupted. From the end of the context on
    signals have no effect, since the interpreter's exit can take none.
    """
    stop: SimpleQueue[int] = SimpleQueue()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.put(0))
    try:
        yield stop
    finally:
        # Blocked first: Python complains of a signal that comes while its handler changes.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
