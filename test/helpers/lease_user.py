# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A process that holds a lease, for tests; run as a program.

It prints `begin TOKEN TIME`, `lost TOKEN TIME` and `end TOKEN TIME HELD`, by the monotonic clock
that all processes of a machine share. With `hold` it keeps the lease until standard input ends,
with `again` it takes it again and again, for a moment each.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from redis_bridge import Client, Lease


def say(*words: object) -> None:
    """Print a whole line, from any thread."""
    os.write(1, (' '.join(map(str, words)) + '\n').encode())


def main(url: str, name: str, ttl_ms: str, how: str, shift_s: str = '0') -> None:
    """Run until standard input ends.

    :param shift_s: by which the wall clock of this process is wrong, more with each lease.
    """
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    real, rounds = time.time, 0
    time.time = lambda: real() + float(shift_s) * rounds

    def on_lost(lease: Lease) -> None:
        say('lost', lease.token, time.monotonic())

    while not ended.is_set():
        with (
            Client(url, origin=f'user/{os.getpid()}') as client,
            client.lease(name, ttl_ms=int(ttl_ms), on_lost=on_lost) as lease,
        ):
            say('begin', lease.token, time.monotonic())
            if how == 'hold':
                ended.wait()
            else:
                time.sleep(0.02)
            say('end', lease.token, time.monotonic(), lease.held)
        rounds += 1


if __name__ == '__main__':
    main(*sys.argv[1:])
