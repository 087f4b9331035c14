# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What the server answers (RESP2), read from a socket.

The protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/. redis-py's own reading
takes two to three times as long, and up to eight times without hiredis, for which there is no
rosdep key.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import Any

import redis

CHUNK = 64 << 10  # bytes read at once, more for what is known to be larger
LARGEST_CHUNK = 1 << 20
NOTHING_YET = (TimeoutError, BlockingIOError, ssl.SSLWantReadError)

# A name with a line break in it does not match, and is read as other replies are.
MESSAGE = re.compile(rb'\*3\r\n\$7\r\nmessage\r\n\$\d+\r\n([^\r]*)\r\n\$(\d{1,12})\r\n')

# Where it matters to those who call us. redis-py has more, and cuts these codes off the text.
CLASSES = {
    'LOADING': redis.BusyLoadingError,
    'NOAUTH': redis.AuthenticationError,
    'NOPERM': redis.exceptions.NoPermissionError,  # alone among these a ResponseError
    'WRONGPASS': redis.AuthenticationError,
}


def code_of(error: Exception) -> str:
    """Return the code that a server's error begins with, such as WRONGTYPE."""
    return str(error).split(' ', 1)[0]


def raise_if_error(reply: Any) -> Any:
    """Return a reply; raises the ResponseError that it is where the server refused."""
    if isinstance(reply, redis.ResponseError):
        raise reply
    return reply


class Replies:
    """The replies that come over one connected socket, in order; used by one thread.

    Bulk and simple strings are bytes, arrays lists, null is None, and an error a ResponseError
    that is returned, not raised, wherever it stands. Raises redis.ConnectionError where the server
    left, wants a login or has yet to load its data, redis.TimeoutError where it is silent for
    `timeout_s` in the middle or instead of a reply, redis.InvalidResponse for what is none;
    nothing can be read after these.
    """

    def __init__(self, sock: socket.socket, timeout_s: float) -> None:
        self._sock = sock
        self._timeout_s = timeout_s
        self._data = b''
        self._at = 0  # of the first byte that was not taken yet
        self._is_drained = False  # the socket had no more, when it was read last

    def waits(self) -> bool:
        """Tell whether at least a part of a reply was read and not taken."""
        return self._at < len(self._data)

    def look(self, seconds: float) -> bool:
        """Tell whether at least a part of a reply is there, or comes within the time."""
        if self.waits():
            return True
        self._sock.settimeout(seconds)
        try:
            self._data, self._at = self._receive(CHUNK), 0
        except NOTHING_YET:
            return False
        finally:
            self._sock.settimeout(self._timeout_s)
        return True

    def take(self) -> Any:
        """Return the next reply, once it is there."""
        try:
            reply = self._reply()
        except NOTHING_YET:
            raise redis.TimeoutError(f'no answer within {self._timeout_s:g} s') from None
        except ValueError as error:
            raise redis.InvalidResponse(f'not a reply of a Redis server: {error}') from None
        if isinstance(reply, redis.ConnectionError):
            raise reply
        return reply

    def take_all(self, most: int) -> list[Any]:
        """Return the next reply and what came on channels right after it.

        It waits for no more than one reply, or for the rest of one of which a full chunk is there.
        """
        replies = self._messages(most)
        while not replies or (len(replies) < most and not self._is_drained and self.look(0)):
            replies.append(self.take())
            replies += self._messages(most - len(replies))
        return replies

    def _messages(self, most: int) -> list[Any]:
        """Return the messages of channels that come next and were read whole."""
        data, at = self._data, self._at
        messages: list[Any] = []
        while len(messages) < most:
            found = MESSAGE.match(data, at)
            if found is None:
                break
            start = found.end()
            end = start + int(found[2])
            if end + 2 > len(data):
                break
            messages.append([b'message', found[1], data[start:end]])
            at = end + 2
        self._at = at
        return messages

    def _reply(self) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b':':
            return int(rest)
        if kind == b'+':
            return rest
        if kind == b'$':
            size = int(rest)
            return self._bytes(size) if size >= 0 else None
        if kind == b'*':
            size = int(rest)
            return [self._reply() for _ in range(size)] if size >= 0 else None
        if kind == b'-':
            text = rest.decode(errors='replace')
            return CLASSES.get(text.split(' ', 1)[0], redis.ResponseError)(text)
        raise ValueError(f'{line[:40]!r}')

    def _line(self) -> bytes:
        while (end := self._data.find(b'\r\n', self._at)) < 0:
            waiting = len(self._data) - self._at
            if waiting > CHUNK:
                raise ValueError(f'{self._data[self._at :][:40]!r}, a line without an end')
            self._gather(waiting + 1)
        line = self._data[self._at : end]
        self._at = end + 2
        return line

    def _bytes(self, size: int) -> bytes:
        self._gather(size + 2)
        start = self._at
        self._at = start + size + 2
        return self._data[start : start + size]

    def _gather(self, count: int) -> None:
        """Read until so many bytes wait."""
        missing = count - (len(self._data) - self._at)
        if missing <= 0:
            return
        pieces = [self._data[self._at :]]
        while missing > 0:
            piece = self._receive(max(CHUNK, min(missing, LARGEST_CHUNK)))
            pieces.append(piece)
            missing -= len(piece)
        self._data, self._at = b''.join(pieces), 0

    def _receive(self, most: int) -> bytes:
        try:
            data = self._sock.recv(most)
        except NOTHING_YET:
            raise
        except OSError as error:
            raise redis.ConnectionError(f'the connection broke: {error}') from error
        if not data:
            raise redis.ConnectionError('the server closed the connection')
        # What comes over TLS comes in records, however much more there is.
        self._is_drained = len(data) < most and not isinstance(self._sock, ssl.SSLSocket)
        return data
