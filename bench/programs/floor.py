# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The floor: raw bytes from a topic to a key and a channel by redis-py, or from a channel to a topic.

No conversion, no features: what any bridge in Python has to do at the least.
"""

from __future__ import annotations

import sys
import threading

import rclpy
import redis

from bench.kinds import KINDS
from bench.ros import drain, node, profile, spin
from redis_bridge.ros_io import types


def out(kind_name: str, topic: str, name: str, port: str) -> None:
    """Write each message to a key and publish it to a channel."""
    kind = KINDS[kind_name]
    db = redis.Redis('127.0.0.1', int(port))

    def take(batch: list[bytes]) -> None:
        with db.pipeline(transaction=False) as pipe:
            for payload in batch:
                pipe.set(name, payload)
                pipe.publish(name, payload)
            pipe.execute()

    floor = node('bench_floor')
    drain(floor, types.load(kind.type), topic, profile(kind), take)
    spin(floor, threading.Event())


def inward(kind_name: str, topic: str, name: str, port: str) -> None:
    """Publish what comes on a channel."""
    kind = KINDS[kind_name]
    floor = node('bench_floor')
    publisher = floor.create_publisher(types.load(kind.type), topic, profile(kind))
    with redis.Redis('127.0.0.1', int(port), socket_timeout=None).pubsub() as pubsub:
        pubsub.subscribe(name)
        pubsub.parse_response()
        read = pubsub.connection.read_response
        while True:
            publisher.publish(read()[2])


if __name__ == '__main__':
    rclpy.init()
    {'out': out, 'in': inward}[sys.argv[1]](*sys.argv[2:])
