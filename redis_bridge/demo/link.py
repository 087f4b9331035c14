# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Connections to the simulator: JSON objects, one a line, over a socket of this machine.

Not over Redis, so that what the robots' bodies do, and what is checked, needs no bridge.
"""

from __future__ import annotations

import json
import select
import socket
from typing import Any

Message = dict[str, Any]
HOST = '127.0.0.1'


class Link:
    """One end of a connection. ConnectionError means that the other end is gone."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(5.0)  # of sending: the other end reads all the time
        self._socket = connection
        self._unread = b''

    def fileno(self) -> int:
        """Return the number of the socket, for `select`."""
        return self._socket.fileno()

    def send(self, message: Message) -> None:
        """Send one message."""
        try:
            self._socket.sendall(json.dumps(message).encode() + b'\n')
        except OSError as error:
            raise ConnectionError(f'the simulation does not answer: {error}') from None

    def receive(self, seconds: float) -> list[Message]:
        """Return the messages that have come, or that come within a time."""
        ready, _, _ = select.select([self._socket], [], [], seconds)
        if not ready:
            return []
        try:
            data = self._socket.recv(1 << 20)
        except OSError as error:
            raise ConnectionError(f'the simulation does not answer: {error}') from None
        if not data:
            raise ConnectionError('the simulation has ended')
        *lines, self._unread = (self._unread + data).split(b'\n')
        return [json.loads(line) for line in lines]

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def connect(port: int) -> Link:
    """Return a connection to the simulator on this machine."""
    return Link(socket.create_connection((HOST, port), timeout=5.0))
