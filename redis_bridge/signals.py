# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Ends a process on SIGINT and SIGTERM, and reloads on SIGHUP, whenever and however often."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue

SIGNALS = (signal.SIGINT, signal.SIGTERM)
RELOAD = -1  # in the queue, beside exit statuses


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
    release_signals()
    try:
        yield stop
    finally:
        # Blocked first: Python complains of a signal that comes while its handler changes.
        hold_signals()
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)


def hold_signals() -> None:
    """Have SIGINT and SIGTERM wait for `stopped_by_signals` or `release_signals`."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)


def release_signals() -> None:
    """Have SIGINT and SIGTERM count from now on, also one that was held."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)


def hold_hangups() -> None:
    """Have SIGHUP wait for `reloaded_by_hangups`; threads that start from now on never take it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGHUP])


@contextmanager
def reloaded_by_hangups(queue: SimpleQueue[int]) -> Iterator[None]:
    """Put RELOAD into the queue at each SIGHUP; one that was held counts as well.

    A terminal that is closed sends SIGHUP, too. Then 0 is put, so that the process ends in order
    and is not left behind. A process that was started to ignore SIGHUP (nohup) still ignores it.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        yield
        return
    had_terminal = _has_terminal()
    signal.signal(
        signal.SIGHUP,
        lambda *_: queue.put(0 if had_terminal and not _has_terminal() else RELOAD),
    )
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGHUP])
    try:
        yield
    finally:
        hold_hangups()


def _has_terminal() -> bool:
    """Return whether this process has a controlling terminal."""
    try:
        os.close(os.open('/dev/tty', os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
