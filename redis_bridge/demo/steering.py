# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Steers both robots through Redis: `python steering.py URL`.

There is no ROS in this process. It reads the poses of the robots from the keys `robot1:odom` and
`robot2:odom` (JSON) and publishes velocity commands (JSON) on the channels `robot1:cmd_vel` and
`robot2:cmd_vel`: robot1 drives along a figure of eight, and robot2 follows it. When a pose goes
missing (its key expires), it sends nothing, and the bridges' dead-man timeouts stop the robots.
"""

import json
import math
import os
import sys
import time
import typing

import redis

LENGTH_M, WIDTH_M = 6.8, 3.8  # of the figure of eight, around the middle of the room
AHEAD_M = 0.5  # robot1 is steered to a point this far ahead of it on the figure
PATROL_SPEED = 0.4
GAP_M = 1.0  # how far behind robot1 robot2 is to be
PERIOD_S = 0.05
MAX_LINEAR = 0.9
MAX_ANGULAR = 1.5

Odometry = dict[str, typing.Any]  # as JSON has it


def place(odom: Odometry) -> tuple[float, float, float]:
    """Return the x and y (m) and the heading (rad) of an odometry message."""
    pose = odom['pose']['pose']
    position, q = pose['position'], pose['orientation']
    return position['x'], position['y'], 2 * math.atan2(q['z'], q['w'])


def steer(own: Odometry, x: float, y: float, speed: float) -> tuple[float, float]:
    """Return the speeds (m/s, rad/s) to a point; a robot that looks elsewhere turns first."""
    own_x, own_y, heading = place(own)
    aside = math.remainder(math.atan2(y - own_y, x - own_x) - heading, 2 * math.pi)
    linear = speed * max(0.0, math.cos(aside))
    return min(max(linear, 0.0), MAX_LINEAR), min(max(2.5 * aside, -MAX_ANGULAR), MAX_ANGULAR)


def point(phase: float) -> tuple[float, float]:
    """Return the point of the figure of eight at a phase; 2 pi is once round."""
    return LENGTH_M / 2 * math.sin(phase), WIDTH_M / 2 * math.sin(2 * phase)


def pursue(leader: Odometry, follower: Odometry) -> tuple[float, float]:
    """Return the speeds (m/s, rad/s) that bring the follower to its gap behind the leader."""
    x, y, _ = place(leader)
    gap = math.dist((x, y), place(follower)[:2])
    speed = leader['twist']['twist']['linear']['x'] + 1.5 * (gap - GAP_M)
    return steer(follower, x, y, speed)


def main(url: str) -> None:
    """Steer until the process is ended."""
    db = redis.Redis.from_url(url)
    origin = f'steering/{os.getpid()}'
    seq = 0
    phase = 0.0
    while True:
        leader, follower = db.mget('robot1:odom', 'robot2:odom')
        if leader and follower:
            first, second = json.loads(leader), json.loads(follower)
            while math.dist(point(phase), place(first)[:2]) < AHEAD_M:
                phase += 0.01
            seconds, microseconds = db.time()  # the bridge judges a command's age by this clock
            seq += 1
            meta = {'origin': origin, 'seq': seq, 'stamp': seconds + microseconds / 1e6}
            commands = {
                'robot1': steer(first, *point(phase), PATROL_SPEED),
                'robot2': pursue(first, second),
            }
            for robot, (linear, angular) in commands.items():
                command = {'linear': {'x': linear}, 'angular': {'z': angular}, '_meta': meta}
                db.publish(f'{robot}:cmd_vel', json.dumps(command))
        time.sleep(PERIOD_S)


if __name__ == '__main__':
    main(sys.argv[1])
