# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Signals end a process even where each one interrupts the handling of another."""

import subprocess
import sys

SIGNALS_EVERYWHERE = """
import signal, sys
from redis_bridge.signals import stopped_by_signals

def interrupt(frame, event, arg):
    signal.raise_signal(signal.SIGTERM)
    return interrupt

with stopped_by_signals() as stop:
    sys.settrace(interrupt)
    signal.raise_signal(signal.SIGINT)  # its handler is interrupted at each of its lines
    sys.settrace(None)
    status = stop.get()
    count = 1 + stop.qsize()
signal.raise_signal(signal.SIGINT)
print(status, count)
"""


def test_a_signal_within_the_handling_of_another_neither_hangs_nor_is_lost():
    done = subprocess.run(
        [sys.executable, '-c', SIGNALS_EVERYWHERE], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stderr) == (0, '')
    status, count = map(int, done.stdout.split())
    assert status == 0
    assert count > 2
