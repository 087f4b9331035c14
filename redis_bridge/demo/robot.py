# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The process of one simulated robot: `python -m redis_bridge.demo.robot robot1`."""

from __future__ import annotations

import sys

from redis_bridge.signals import stopped_by_signals


def main(name: str) -> int:
    """Run the robot's node until SIGINT or SIGTERM."""
    with stopped_by_signals() as stop:
        # Only now, so that a signal during this import ends the process cleanly, too.
        from redis_bridge.demo.robot_node import spin

        spin(name, stop)
    return 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1]))
