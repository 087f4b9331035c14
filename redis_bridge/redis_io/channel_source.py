# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Channels: what is published while we are connected, handed on in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

from redis_bridge.ports import Received, Receiver
from redis_bridge.redis_io.address import Address, Timing
from redis_bridge.redis_io.connection import Connection, Pings
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import raise_if_error

BATCH = 1000  # messages read before they are handed on, if that many come


class ChannelReader:
    """One connection subscribed to channels, and the thread that reads it."""

    def __init__(
        self,
        role: str,
        address: Address,
        *,
        health: Health,
        timing: Timing,
        gate: Callable[[], str | None],
    ) -> None:
        self._timing = timing
        self._gate = gate
        self._receivers: dict[bytes, list[Receiver]] = {}
        self._was_connected = False
        self.thread = ConnectionThread(
            role,
            address,
            self._session,
            health=health,
            timing=timing,
            on_disconnect=self._disconnected,
            gate=gate,
            interrupt_to_stop=True,
        )

    def add(self, channel: str, receiver: Receiver) -> None:
        """Have a receiver told what comes on a channel; before the start."""
        self._receivers.setdefault(channel.encode(), []).append(receiver)

    def _session(self, connection: Connection) -> None:
        self._subscribe(connection)
        self.thread.mark_connected()
        if self._was_connected:
            for receiver in self._all():
                receiver.gap(None)
        self._was_connected = True
        pings = Pings(self._timing)
        while not self.thread.closing.is_set() and self._gate() is None:
            pings.tick(connection)
            if connection.has_reply(pings.wait_s()):
                self._read(connection)
                pings.heard()

    def _subscribe(self, connection: Connection) -> None:
        for reply in connection.pipe([('SUBSCRIBE', channel) for channel in self._receivers]):
            raise_if_error(reply)

    def _read(self, connection: Connection) -> None:
        """Hand on what waits, each receiver's part in the order it came."""
        batches: defaultdict[bytes, list[Received]] = defaultdict(list)
        for reply in map(raise_if_error, connection.replies(BATCH)):
            if isinstance(reply, tuple):
                channel, payload = reply
                batches[channel].append(Received(payload))
        if self._gate() is not None:
            return  # the name was lost this moment
        for channel, batch in batches.items():
            for receiver in self._receivers[channel]:
                receiver.receive(batch)

    def _disconnected(self) -> None:
        for receiver in self._all():
            receiver.on_disconnect()

    def _all(self) -> list[Receiver]:
        return [receiver for group in self._receivers.values() for receiver in group]
