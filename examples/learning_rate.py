# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A training job that shares its learning rate and batch size with ROS through two keys.

    pip install redis
    python examples/learning_rate.py               # REDIS_URL says where Redis is

It fits routes that mirror each key in both directions, so that a ROS node sees what the job does
and can change it while the job runs. For the learning rate (the batch size is a
std_msgs/msg/Int32):
    ros_to_redis:
      - topic: /tuner/learning_rate
        encoding: text
        to: {key: learning_rate}
    redis_to_ros:
      - key: learning_rate
        topic: /tuner/learning_rate
        type: std_msgs/msg/Float64
        encoding: text

The job itself fits a straight line by stochastic gradient descent. Before each epoch it takes the
values from the keys, which others may have written; when the loss no longer falls, it writes half
the learning rate and twice the batch size.
"""

from __future__ import annotations

import os
import random
import sys

import redis

START = {'learning_rate': '0.1', 'batch_size': '4'}
SLOPE, OFFSET, NOISE = 2.0, -1.0, 0.1  # of the line to find, and of the noise around it


def train(db: redis.Redis, epochs: int) -> tuple[float, float]:
    """Train; return the slope and offset found."""
    for name, value in START.items():
        db.set(name, value, nx=True)  # a value that somebody has set stays
    chance = random.Random(1)
    data = [
        (x, SLOPE * x + OFFSET + chance.gauss(0, NOISE)) for x in (i / 100 for i in range(200))
    ]
    slope = offset = 0.0
    best = float('inf')
    for epoch in range(1, epochs + 1):
        rate, size = float(db.get('learning_rate')), int(db.get('batch_size'))
        chance.shuffle(data)
        for start in range(0, len(data), size):
            batch = data[start : start + size]
            errors = [(slope * x + offset - y, x) for x, y in batch]
            slope -= rate * 2 * sum(error * x for error, x in errors) / len(batch)
            offset -= rate * 2 * sum(error for error, _ in errors) / len(batch)
        loss = sum((slope * x + offset - y) ** 2 for x, y in data) / len(data)
        print(f'epoch {epoch}: learning_rate {rate:g}, batch_size {size}, loss {loss:.5f}')
        if loss > 0.999 * best:
            db.mset({'learning_rate': rate / 2, 'batch_size': min(2 * size, len(data))})
        best = min(best, loss)
    return slope, offset


def main(epochs: str = '20') -> None:
    """Train against the Redis at REDIS_URL."""
    with redis.Redis.from_url(os.environ.get('REDIS_URL', 'redis://localhost:6379/0')) as db:
        slope, offset = train(db, int(epochs))
    print(f'y = {slope:.2f} x {offset:+.2f}')


if __name__ == '__main__':
    main(*sys.argv[1:])
