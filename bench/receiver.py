# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The far end: a process that notes when each message came, on the side it was carried to."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from bench.agent import connect, serve
from bench.kinds import KINDS, Kind, stamp_reader


class Arrivals:
    """What came for one candidate: always counted, and kept with its time while timing."""

    def __init__(self) -> None:
        self.count = 0
        self._kept: list[tuple[int, bytes]] | None = None

    def take(self, payloads: list[bytes]) -> None:
        """Note what came just now."""
        self.count += len(payloads)
        if self._kept is not None:
            now = time.monotonic_ns()
            self._kept += [(now, payload) for payload in payloads]

    def begin(self) -> None:
        """Keep what comes from now on."""
        self._kept = []

    def end(self, kind: Kind, encoding: str) -> list[float]:
        """Keep nothing more; return the milliseconds each message took."""
        kept, self._kept = self._kept or [], None
        read = stamp_reader(kind, encoding)
        stamps = [(came, read(payload)) for came, payload in kept]
        # A dead-man's stop carries no stamp.
        return [(came - sent) / 1e6 for came, sent in stamps if sent > 0]


@contextmanager
def _ros_listener(
    kind: Kind, targets: dict[str, dict[str, Any]], arrivals: dict[str, Arrivals]
) -> Iterator[None]:
    """Listen to the topics of all candidates while open."""
    from bench.ros import drain, profile, session, spin
    from redis_bridge.ros_io import types

    stop = threading.Event()
    with session('bench_receiver') as node:
        for name, target in targets.items():
            for topic in target['names']:
                drain(node, types.load(kind.type), topic, profile(kind), arrivals[name].take)
        thread = threading.Thread(target=spin, args=(node, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


class RedisListener:
    """Subscribes to a candidate's channel only while it is timed, to cost nothing otherwise."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, channel: str, arrivals: Arrivals) -> None:
        """Subscribe; on return it is in force."""
        self._stop.clear()
        pubsub = connect(self._port).pubsub()
        pubsub.subscribe(channel)
        pubsub.parse_response()
        self._thread = threading.Thread(target=self._read, args=(pubsub, arrivals), daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Unsubscribe."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _read(self, pubsub: Any, arrivals: Arrivals) -> None:
        while not self._stop.is_set():
            reply = pubsub.parse_response(block=False, timeout=0.1)
            if reply is not None:
                arrivals.take([reply[2]])
        pubsub.close()


def main(name: str, side: str, kind_name: str, port: str, targets_text: str) -> None:
    """Serve as the receiver on one side ('ros' or 'redis')."""
    kind = KINDS[kind_name]
    targets = json.loads(targets_text)
    arrivals = {candidate: Arrivals() for candidate in targets}
    redis_listener = RedisListener(int(port))
    ros_listener = _ros_listener(kind, targets, arrivals) if side == 'ros' else nullcontext()

    def begin(candidate: str) -> None:
        arrivals[candidate].begin()
        if side == 'redis':
            redis_listener.begin(targets[candidate]['names'][0], arrivals[candidate])

    def end(candidate: str) -> list[float]:
        if side == 'redis':
            redis_listener.end()
        return arrivals[candidate].end(kind, targets[candidate]['encoding'])

    def count(candidate: str) -> int:
        return arrivals[candidate].count

    with ros_listener:
        serve(name, connect(int(port)), {'begin': begin, 'end': end, 'count': count})


if __name__ == '__main__':
    main(*sys.argv[1:])
