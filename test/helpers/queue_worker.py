# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A worker at the queue `tasks`, for tests; run as a program.

It prints `took VALUE TRIES` for each task and, with `done`, marks it so after some time; with
`keep` it keeps the tasks.
"""

from __future__ import annotations

import os
import sys
import threading
import time

from redis_bridge import Client


def main(url: str, return_after_ms: str, how: str, work_s: str = '0') -> None:
    """Run until standard input ends."""
    with Client(url, origin='worker') as client:
        queue = client.queue('tasks', return_after_ms=int(return_after_ms))
        threading.Thread(target=lambda: (sys.stdin.read(), queue.close()), daemon=True).start()
        for task in queue.claim():
            os.write(1, f'took {task.value["n"]} {task.tries}\n'.encode())
            if how == 'done':
                time.sleep(float(work_s))
                was_there = queue.done(task)
                os.write(1, f'done {task.value["n"]} {int(was_there)}\n'.encode())


if __name__ == '__main__':
    main(*sys.argv[1:])
