# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The floor: raw bytes from a topic to a key and a channel by redis-py, or back to a topic.

No conversion, no features: what any bridge in Python has to do at the least.
"""

from __future__ import annotations

import sys
import threading

from bench.agent import connect
from bench.kinds import KINDS
from bench.ros import drain, profile, session, spin
from redis_bridge.ros_io import types


def outbound(kind_name: str, topic: str, name: str, port: str) -> None:
    """Write each message to a key and publish it to a channel."""
    kind = KINDS[kind_name]
    db = connect(int(port))

    def take(batch: list[bytes]) -> None:
        with db.pipeline(transaction=False) as pipe:
            for payload in batch:
                pipe.set(name, payload)
                pipe.publish(name, payload)
            pipe.execute()

    with session('bench_floor') as node:
        drain(node, types.load(kind.type), topic, profile(kind), take)
        spin(node, threading.Event())


def inbound(kind_name: str, topic: str, name: str, port: str) -> None:
    """Publish what comes on a channel."""
    kind = KINDS[kind_name]
    with session('bench_floor') as node, connect(int(port)).pubsub() as pubsub:
        publisher = node.create_publisher(types.load(kind.type), topic, profile(kind))
        pubsub.subscribe(name)
        pubsub.parse_response()
        read = pubsub.connection.read_response
        while True:
            publisher.publish(read()[2])


if __name__ == '__main__':
    {'out': outbound, 'in': inbound}[sys.argv[1]](*sys.argv[2:])
