# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Signals end a process even where each one interrupts the handling of another."""

import os
import signal
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


HANGUPS = """
import os, signal, sys
from redis_bridge.signals import hold_hangups, reloaded_by_hangups, stopped_by_signals

hold_hangups()
with stopped_by_signals() as queue:
    if len(sys.argv) > 1:
        os.open(sys.argv[1], os.O_RDWR)  # a session's first terminal is its controlling terminal
    os.kill(os.getpid(), signal.SIGHUP)  # is held until now
    with reloaded_by_hangups(queue):
        print('ready', flush=True)
        for _ in range(2):
            print(queue.get(), flush=True)
os.kill(os.getpid(), signal.SIGHUP)
print('end')
"""


def hangups(*args, **options):
    return subprocess.Popen(
        [sys.executable, '-c', HANGUPS, *args],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def test_a_hangup_is_a_reload_also_one_that_came_before():
    with hangups() as process:
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines == ['ready\n', '-1\n']
        process.send_signal(signal.SIGHUP)
        assert process.communicate(timeout=30)[0] == '-1\nend\n'
    assert process.returncode == 0


def test_a_terminal_that_closes_ends_the_process():
    ours, theirs = os.openpty()
    with hangups(os.ttyname(theirs)) as process:
        lines = [process.stdout.readline() for _ in range(2)]
        assert lines == ['ready\n', '-1\n']
        os.close(theirs)
        os.close(ours)
        assert process.communicate(timeout=30)[0] == '0\nend\n'
    assert process.returncode == 0


def test_a_process_that_is_to_ignore_hangups_does():
    with hangups(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as process:
        assert process.stdout.readline() == 'ready\n'
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == '0\n'
        process.send_signal(signal.SIGHUP)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[0] == '0\nend\n'
    assert process.returncode == 0
