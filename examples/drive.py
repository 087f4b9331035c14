# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Drives a robot for a few seconds with stamped velocity commands: plain redis-py, no ROS.

    pip install redis
    python examples/drive.py robot1 0.2 0.5 3      # m/s, rad/s, seconds; REDIS_URL as usual

It fits config/teleop.yaml, or a route such as
    - channel: "{robot}:cmd_vel"
      topic: /cmd_vel
      type: geometry_msgs/msg/Twist
      encoding: json
      max_age_ms: 500
      stop: {after_ms: 500, message: {}}

The bridge rejects commands that are older than `max_age_ms` by the Redis server's clock, so each
carries that clock's time. When no more commands arrive, the dead-man timeout of the bridge stops
the robot; this script sends a stop itself before it ends.
"""

from __future__ import annotations

import json
import os
import sys
import time

import redis

PERIOD_S = 0.1


class Driver:
    """Sends velocity commands to one robot."""

    def __init__(self, db: redis.Redis, robot: str) -> None:
        self._db = db
        self._channel = f'{robot}:cmd_vel'
        self._origin = f'drive.py/{os.getpid()}'
        self._seq = 0

    def send(self, linear: float, angular: float) -> int:
        """Send one command (m/s, rad/s); return the number of subscribers."""
        seconds, microseconds = self._db.time()
        self._seq += 1
        command = {
            'linear': {'x': linear},
            'angular': {'z': angular},
            '_meta': {
                'origin': self._origin,
                'seq': self._seq,
                'stamp': seconds + microseconds / 1e6,
            },
        }
        return self._db.publish(self._channel, json.dumps(command))


def main(
    robot: str = 'robot1', linear: str = '0.2', angular: str = '0', seconds: str = '2'
) -> str | None:
    """Drive, then stop; return an error text, for the exit status."""
    with redis.Redis.from_url(os.environ.get('REDIS_URL', 'redis://localhost:6379/0')) as db:
        driver = Driver(db, robot)
        end = time.monotonic() + float(seconds)
        try:
            while time.monotonic() < end:
                if not driver.send(float(linear), float(angular)):
                    return f'nobody subscribes to the commands for {robot}: does its bridge run?'
                time.sleep(PERIOD_S)
        finally:
            driver.send(0.0, 0.0)
    return None


if __name__ == '__main__':
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
