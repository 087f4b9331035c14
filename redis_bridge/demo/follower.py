# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Steers one robot after another through Redis: `python follower.py URL robot1 robot2`.

There is no ROS in this process. It reads the poses of both robots from the keys `robot1:odom` and
`robot2:odom` (JSON) and publishes velocity commands (JSON) on the channel `robot2:cmd_vel`. When a
pose goes missing (its key expires) it says nothing, and the bridge's dead-man stops the robot.
"""

import json
import math
import os
import sys
import time
import typing

import redis

GAP_M = 1.0  # how far behind the leader the follower wants to be
PERIOD_S = 0.05
MAX_LINEAR = 0.9
MAX_ANGULAR = 1.5

Odometry = dict[str, typing.Any]  # as JSON has it


def heading(odom: Odometry) -> float:
    """Return the heading of an odometry message, in radians."""
    q = odom['pose']['pose']['orientation']
    return 2 * math.atan2(q['z'], q['w'])


def pursue(leader: Odometry, follower: Odometry) -> tuple[float, float]:
    """Return the speeds (m/s, rad/s) that bring the follower to its gap behind the leader."""
    target, own = leader['pose']['pose']['position'], follower['pose']['pose']['position']
    dx, dy = target['x'] - own['x'], target['y'] - own['y']
    aside = math.remainder(math.atan2(dy, dx) - heading(follower), 2 * math.pi)
    wanted = leader['twist']['twist']['linear']['x'] + 1.5 * (math.hypot(dx, dy) - GAP_M)
    linear = wanted * max(0.0, math.cos(aside))  # turn first when the leader is not ahead
    return min(max(linear, 0.0), MAX_LINEAR), min(max(2.5 * aside, -MAX_ANGULAR), MAX_ANGULAR)


def main(url: str, leader: str, follower: str) -> None:
    """Steer until the process is ended."""
    db = redis.Redis.from_url(url)
    origin = f'follower/{os.getpid()}'
    seq = 0
    while True:
        target, own = db.mget(f'{leader}:odom', f'{follower}:odom')
        if target and own:
            linear, angular = pursue(json.loads(target), json.loads(own))
            seconds, microseconds = db.time()  # the bridge judges a command's age by this clock
            seq += 1
            command = {
                'linear': {'x': linear},
                'angular': {'z': angular},
                '_meta': {'origin': origin, 'seq': seq, 'stamp': seconds + microseconds / 1e6},
            }
            db.publish(f'{follower}:cmd_vel', json.dumps(command))
        time.sleep(PERIOD_S)


if __name__ == '__main__':
    main(*sys.argv[1:])
