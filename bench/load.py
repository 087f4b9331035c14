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
from itertools import cycle, islice
from typing import Any, Callable, Iterator

from bench.agent import connect, serve
from bench.kinds import KINDS, Kind, Stamped

BURST_S = 0.002
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


def _ros_senders(kind: Kind, targets: dict[str, dict[str, Any]]) -> dict[str, Send]:
    """Return, by contestant, what sends over ROS topics in turn."""
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from bench.ros import node, profile
    from redis_bridge.ros_io import types

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    publisher_node = node('bench_load')
    stamped = Stamped(kind, 'cdr')

    def sender(topics: list[str]) -> Send:
        publishers = [
            publisher_node.create_publisher(types.load(kind.type), topic, profile(kind))
            for topic in topics
        ]
        turns = cycle(publisher.publish for publisher in publishers)

        def send(count: int) -> None:
            for publish in islice(turns, count):
                publish(stamped.at(time.monotonic_ns()))

        return send

    return {name: sender(target['names']) for name, target in targets.items()}


def _redis_senders(kind: Kind, targets: dict[str, dict[str, Any]], port: int) -> dict[str, Send]:
    """Return, by contestant, what sends to Redis channels in turn."""
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

    return {name: sender(target['names'], target['encoding']) for name, target in targets.items()}


def main(name: str, side: str, kind_name: str, port: str, targets_text: str) -> None:
    """Serve as the load on one side ('ros' or 'redis')."""
    kind = KINDS[kind_name]
    targets = json.loads(targets_text)
    if side == 'ros':
        senders = _ros_senders(kind, targets)
    else:
        senders = _redis_senders(kind, targets, int(port))

    def send(contestant: str, rate: float, seconds: float) -> dict[str, float]:
        return send_paced(senders[contestant], rate, seconds)

    serve(name, connect(int(port)), {'send': send})


if __name__ == '__main__':
    main(*sys.argv[1:])
