# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The load: a process that sends one kind of message to one candidate after the other.

Messages are serialized beforehand and sent in small bursts, so that the sender takes little of the
machine that the candidate runs on.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import cycle, islice
from typing import Any

from bench.agent import connect, serve
from bench.kinds import KINDS, Kind, Stamped

BURST_S = 0.001  # up to 1000 Hz every message is sent by itself
RECEIVE_BYTES = 1 << 16
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
    """Give, by candidate, what sends over ROS topics in turn."""
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


class Publisher:
    """PUBLISH commands written by hand to a socket, a burst at once, to cost next to nothing."""

    def __init__(self, wire: socket.socket, stamped: Stamped, channels: list[str]) -> None:
        self._wire = wire
        self._stamped = stamped
        size = len(stamped.at(0))
        self._heads = cycle(
            b'*3\r\n$7\r\nPUBLISH\r\n$%d\r\n%b\r\n$%d\r\n' % (len(name), name, size)
            for name in (channel.encode() for channel in channels)
        )

    def send(self, count: int) -> None:
        """Send so many messages with the stamp of now, and wait until the server has them all."""
        rest = self._stamped.at(time.monotonic_ns()) + b'\r\n'
        self._wire.sendall(b''.join([head + rest for head in islice(self._heads, count)]))
        while count > 0:
            replies = self._wire.recv(RECEIVE_BYTES)  # :1\r\n for each: so many got it
            if not replies or b'-' in replies:
                raise RuntimeError(f'PUBLISH: expected numbers, got {replies[:200]!r}')
            count -= replies.count(b'\n')


@contextmanager
def _redis_senders(
    kind: Kind, targets: dict[str, dict[str, Any]], port: int
) -> Iterator[dict[str, Send]]:
    """Give, by candidate, what sends to Redis channels in turn."""
    with socket.create_connection(('127.0.0.1', port)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield {
            name: Publisher(wire, Stamped(kind, target['encoding']), target['names']).send
            for name, target in targets.items()
        }


def main(name: str, side: str, kind_name: str, port: str, targets_text: str) -> None:
    """Serve as the load on one side ('ros' or 'redis')."""
    kind = KINDS[kind_name]
    targets = json.loads(targets_text)
    opened = (
        _ros_senders(kind, targets) if side == 'ros' else _redis_senders(kind, targets, int(port))
    )
    with opened as senders:

        def send(candidate: str, rate: float, seconds: float) -> dict[str, float]:
            return send_paced(senders[candidate], rate, seconds)

        serve(name, connect(int(port)), {'send': send})


if __name__ == '__main__':
    main(*sys.argv[1:])
