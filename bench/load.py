# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The load: a process that sends one kind of message to one contestant after the other.

Messages are serialized beforehand and sent in small bursts, so that the sender takes little of the
machine that the contestant runs on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from typing import Any

from bench.agent import connect, serve
from bench.kinds import KINDS, Kind, Stamped

BURST_S = 0.001  # up to 1000 Hz every message is sent by itself
CATCH_UP = 4  # how many times the usual burst may be sent by a sender that was held up

Send = Callable[[int], None]  # so many messages at once


def send_paced(send: Send, rate: float, seconds: float) -> dict[str, float]:
    """Send at a rate; return how many were sent, and how long it took in truth."""
    total = max(1, round(rate * seconds))
    most = max(4, round(CATCH_UP * rate * BURST_S))
    start = time.monotonic()
    sent = 0
    while sent < total:
        now = time.monotonic()
        due = min(total, int((now - start) * rate) + 1) - sent
        if due > 0:
            send(min(due, most))
            sent += min(due, most)
        wake = start + max(sent / rate, now - start + BURST_S)
        time.sleep(max(0.0, wake - time.monotonic()))
    return {'sent': sent, 'seconds': time.monotonic() - start}


@contextmanager
def _ros_senders(kind: Kind, targets: dict[str, dict[str, Any]]) -> Iterator[dict[str, Send]]:
    """Give, by contestant, what sends over ROS topics in turn."""
    from rclpy.impl.implementation_singleton import rclpy_implementation

    from bench.ros import profile, session
    from redis_bridge.ros_io import types

    stamped = Stamped(kind, 'cdr')

    def sender(topics: list[str]) -> Send:
        publishers = [
            node.create_publisher(types.load(kind.type), topic, profile(kind)) for topic in topics
        ]
        turns = cycle(publisher.publish for publisher in publishers)

        def send(count: int) -> None:
            for publish in islice(turns, count):
                with suppress(rclpy_implementation.RCLError):  # a full history: it is lost
                    publish(stamped.at(time.monotonic_ns()))

        return send

    with session('bench_load') as node:
        yield {name: sender(target['names']) for name, target in targets.items()}


@contextmanager
def _redis_senders(
    kind: Kind, targets: dict[str, dict[str, Any]], port: int
) -> Iterator[dict[str, Send]]:
    """Give, by contestant, what sends to Redis channels in turn."""
    db = connect(port)

    def sender(channels: list[str], encoding: str) -> Send:
        stamped = Stamped(kind, encoding)
        turns: Iterator[str] = cycle(channels)

        def send(count: int) -> None:
            with db.pipeline(transaction=False) as pipe:
                for channel in islice(turns, count):
                    pipe.publish(channel, stamped.at(time.monotonic_ns()))
                pipe.execute()

        return send

    with db:
        yield {
            name: sender(target['names'], target['encoding']) for name, target in targets.items()
        }


def main(name: str, side: str, kind_name: str, port: str, targets_text: str) -> None:
    """Serve as the load on one side ('ros' or 'redis')."""
    kind = KINDS[kind_name]
    targets = json.loads(targets_text)
    opened = (
        _ros_senders(kind, targets) if side == 'ros' else _redis_senders(kind, targets, int(port))
    )
    with opened as senders:

        def send(contestant: str, rate: float, seconds: float) -> dict[str, float]:
            return send_paced(senders[contestant], rate, seconds)

        serve(name, connect(int(port)), {'send': send})


if __name__ == '__main__':
    main(*sys.argv[1:])
