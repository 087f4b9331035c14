# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Drives a robot along a figure of eight through Redis: `python patrol.py URL robot1`.

There is no ROS in this process. It reads the robot's pose from the key `robot1:odom` (JSON) and
publishes velocity commands (JSON) on the channel `robot1:cmd_vel`.
"""

import json
import math
import os
import sys
import time

import redis

LENGTH_M, WIDTH_M = 6.8, 3.8  # of the figure of eight, around the middle of the room
AHEAD_M = 0.5  # the robot is steered to a point this far ahead of it on the figure
SPEED = 0.4
MAX_ANGULAR = 1.5
PERIOD_S = 0.05


def point(phase: float) -> tuple[float, float]:
    """Return the point of the figure of eight at a phase; 2 pi is once round."""
    return LENGTH_M / 2 * math.sin(phase), WIDTH_M / 2 * math.sin(2 * phase)


def main(url: str, robot: str) -> None:
    """Drive until the process is ended."""
    db = redis.Redis.from_url(url)
    origin = f'patrol/{os.getpid()}'
    seq = 0
    phase = 0.0
    while True:
        value = db.get(f'{robot}:odom')
        if value:
            pose = json.loads(value)['pose']['pose']
            x, y = pose['position']['x'], pose['position']['y']
            heading = 2 * math.atan2(pose['orientation']['z'], pose['orientation']['w'])
            while math.dist(point(phase), (x, y)) < AHEAD_M:
                phase += 0.01
            to_x, to_y = point(phase)
            aside = math.remainder(math.atan2(to_y - y, to_x - x) - heading, 2 * math.pi)
            seconds, microseconds = db.time()  # the bridge judges a command's age by this clock
            seq += 1
            command = {
                'linear': {'x': SPEED * max(0.0, math.cos(aside))},
                'angular': {'z': min(max(2.0 * aside, -MAX_ANGULAR), MAX_ANGULAR)},
                '_meta': {'origin': origin, 'seq': seq, 'stamp': seconds + microseconds / 1e6},
            }
            db.publish(f'{robot}:cmd_vel', json.dumps(command))
        time.sleep(PERIOD_S)


if __name__ == '__main__':
    main(*sys.argv[1:])
