# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Prints where a robot is, once, from a key that its bridge writes: plain redis-py, no ROS.

    pip install redis
    python examples/read_pose.py robot1            # REDIS_URL says where Redis is

It fits config/teleop.yaml, or a route such as
    - topic: /odom
      to: {key: {name: "{robot}:odom", encoding: json, ttl_ms: 1000}}
"""

from __future__ import annotations

import json
import math
import os
import sys

import redis


def main(robot: str) -> str | None:
    """Print the pose; return an error text, for the exit status."""
    with redis.Redis.from_url(os.environ.get('REDIS_URL', 'redis://localhost:6379/0')) as db:
        value = db.get(f'{robot}:odom')
    if value is None:  # the key has a time to live: missing means stale, or never written
        return f'the pose of {robot} is not in Redis, or has expired'
    pose = json.loads(value)['pose']['pose']
    x, y = pose['position']['x'], pose['position']['y']
    heading = 2 * math.atan2(pose['orientation']['z'], pose['orientation']['w'])
    print(f'{robot} is at x {x:.2f} m, y {y:.2f} m, heading {math.degrees(heading):.0f} degrees')
    return None


if __name__ == '__main__':
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else 'robot1'))
