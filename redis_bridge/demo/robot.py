# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The process of one simulated robot: `python -m redis_bridge.demo.robot robot1`."""

from __future__ import annotations

import signal
import sys
import threading


def main(name: str) -> int:
    """Run the robot's node until SIGINT or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    # Only now, so that a signal during this import ends the process cleanly, too.
    from redis_bridge.demo.robot_node import spin

    spin(name, stop)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the interpreter's exit can take no signals
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
