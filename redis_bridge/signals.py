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
    """Yield a queue that gets the exit status, 0, at each signal; only for the main thread.

    A queue, not an Event: `Event.set` takes a lock, and a signal handler that interrupts the
    lock's holder would deadlock. A process may be started with the signals blocked, such as by
    `env --block-signal=INT,TERM`; one that came before counts as well. From the end of the
    context on signals have no effect, because the exit of the interpreter cannot handle any.
    """
    stop: SimpleQueue[int] = SimpleQueue()
    for number in SIGNALS:
        signal.signal(number, lambda *_: stop.put(0))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    try:
        yield stop
    finally:
        # Blocked first: Python complains of a signal that comes while its handler changes.
        signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)
