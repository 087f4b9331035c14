# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Channels: what is published while we are connected, handed on in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from redis_bridge.ports import Arrival, Listener
from redis_bridge.redis_io.connection import Connector, Health, Link, Pings, Timing, Wire
from redis_bridge.redis_io.resp import granted

BATCH = 1000  # messages read before they are handed on, if that many come


class ChannelReader:
    """One connection subscribed to channels, and the thread that reads it."""

    def __init__(
        self,
        duty: str,
        connector: Connector,
        *,
        health: Health,
        timing: Timing,
        gate: Callable[[], str | None],
    ) -> None:
        self._timing = timing
        self._gate = gate
        self._listeners: dict[bytes, list[Listener]] = {}
        self._was_connected = False
        self.link = Link(
            duty, connector, self._session,
            health=health, timing=timing, on_lost=self._lost, gate=gate, breaks=True,
        )  # fmt: skip

    def add(self, channel: str, listener: Listener) -> None:
        """Have a listener told what comes on a channel; before the start."""
        self._listeners.setdefault(channel.encode(), []).append(listener)

    def _session(self, wire: Wire) -> None:
        self._subscribe(wire)
        self.link.up()
        if self._was_connected:
            for listener in self._all():
                listener.gap(None)
        self._was_connected = True
        pings = Pings(self._timing)
        while not self.link.closing.is_set() and self._gate() is None:
            pings.tick(wire)
            if wire.has_reply(pings.wait_s()):
                self._read(wire)
                pings.heard()

    def _subscribe(self, wire: Wire) -> None:
        for reply in wire.pipe([('SUBSCRIBE', channel) for channel in self._listeners]):
            granted(reply)

    def _read(self, wire: Wire) -> None:
        """Hand on what waits, each listener's part in the order it came."""
        batches: defaultdict[bytes, list[Arrival]] = defaultdict(list)
        for reply in map(granted, wire.replies(BATCH)):
            if reply[0] == b'message':
                batches[reply[1]].append(Arrival(reply[2]))
        if self._gate() is not None:
            return  # the name was lost this moment
        for channel, batch in batches.items():
            for listener in self._listeners[channel]:
                listener.carry(batch)

    def _lost(self) -> None:
        for listener in self._all():
            listener.lost()

    def _all(self) -> list[Listener]:
        return [listener for group in self._listeners.values() for listener in group]
