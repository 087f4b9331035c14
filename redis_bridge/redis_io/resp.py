# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Reads the replies of a server (RESP2) from bytes.

The protocol: https://redis.io/docs/latest/develop/reference/protocol-spec/. `feed` and `gets` are
those of hiredis.Reader, which would save about 0.5 µs of a message or reply. It is not used: it
has no rosdep key, so that there would be two ways to maintain. redis-py's own reader takes two to
eight times as long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

import redis

CHUNK = 64 << 10  # bytes read at once, more for what is known to be larger

Reply: TypeAlias = Any  # an integer, bytes, None, an error (returned, not raised), a list of these
# What is subscribed, and the payload: a channel, or a glob with the channel that it matches.
Message = tuple[bytes | tuple[bytes, bytes], bytes]

# A name with a line break in it does not match, and is read as other replies are.
NAME, SIZE = rb'\$\d+\r\n([^\r]*)\r\n', rb'\$(\d{1,12})\r\n'
MESSAGE = re.compile(rb'\*3\r\n\$(?:7\r\n|8\r\ns)message\r\n' + NAME + SIZE)
PATTERN_MESSAGE = re.compile(rb'\*4\r\n\$8\r\npmessage\r\n' + NAME + NAME + SIZE)
STRING, INTEGER, BULK, ARRAY, ERROR = b'+:$*-'


# Those that matter to callers. redis-py has more, and cuts these codes off the text.
class Redirected(redis.ResponseError):
    """A node of a cluster does not carry out the command now, or not itself."""


class Moved(Redirected):
    """Another server holds the name: `MOVED 3999 10.0.0.5:6379`; also ASK, which holds once."""

    @property
    def host(self) -> tuple[str, int]:
        """Where to ask; the name is '' for that of the server that answered."""
        name, _, port = str(self).split(' ')[2].rpartition(':')
        return name.strip('[]'), int(port)


class Ask(Moved):
    """Another server has the name already, while its slot is being moved there."""


ERRORS: dict[str, type[redis.RedisError]] = {
    'MOVED': Moved,
    'ASK': Ask,
    'CLUSTERDOWN': Redirected,
    'TRYAGAIN': Redirected,
    'LOADING': redis.BusyLoadingError,
    'NOAUTH': redis.AuthenticationError,
    'NOPERM': redis.exceptions.NoPermissionError,  # alone among these a ResponseError
    'WRONGPASS': redis.AuthenticationError,
}


def code_of(error: Exception) -> str:
    """Return the code that a server's error begins with, such as WRONGTYPE."""
    return str(error).split(' ', 1)[0]


def is_redirected(reply: Reply) -> bool:
    """Return whether a node of a cluster does not, or not now, carry out the command itself."""
    return isinstance(reply, Redirected)


def is_readonly(reply: Reply) -> bool:
    """Return whether the server rejected a write because it is a replica, perhaps since now."""
    return isinstance(reply, redis.ResponseError) and code_of(reply) == 'READONLY'


def raise_if_error(reply: Reply) -> Reply:
    """Return a reply; raises the ResponseError that it is if the server rejected the command."""
    if isinstance(reply, redis.ResponseError):
        raise reply
    return reply


def as_message(reply: Reply) -> Message | Reply:
    """Return the message that a whole reply is, or the reply if it is something else."""
    match reply:
        case [b'message' | b'smessage', channel, payload]:
            return channel, payload
        case [b'pmessage', glob, channel, payload]:
            return (glob, channel), payload
    return reply


def pairs(reply: Sequence[bytes]) -> dict[bytes, Any]:
    """Return a dict of a flat list of names and values."""
    return dict(zip(reply[::2], reply[1::2], strict=True))


class Reader:
    """Turns bytes, however they are cut, into replies.

    Strings are bytes, arrays lists, null is None, and an error is an exception that is returned,
    not raised, also inside an array. `gets` raises redis.InvalidResponse for what is no reply;
    nothing can be read afterwards.
    """

    def __init__(self) -> None:
        self._data = b''
        self._at = 0  # of the first byte that was not taken yet
        self._later: list[bytes] = []  # fed, but not yet enough to go on
        self._arrays: list[tuple[list[Reply], int]] = []  # being read, with their full lengths
        self.missing = 0  # bytes to feed before `gets` gets any further

    def has_data(self) -> bool:
        """Return whether at least a part of a reply was fed and not taken."""
        return self._at < len(self._data) or bool(self._later or self._arrays)

    def feed(self, data: bytes) -> None:
        """Take bytes as they came."""
        self.missing -= len(data)
        if self.missing > 0:  # joined once, however many pieces a large value comes in
            if data:
                self._later.append(data)
            return
        if self._later or self._at < len(self._data):
            data = b''.join([self._data[self._at :], *self._later, data])
            self._later.clear()
        self._data, self._at, self.missing = data, 0, 0

    def gets(self) -> Reply:
        """Return the next reply, or False if it is not yet complete."""
        if self.missing > 0:
            return False
        data = self._data
        while True:
            at = self._at
            end = data.find(b'\r\n', at)
            if end < 0:
                if len(data) - at > CHUNK:
                    raise _invalid(data[at:])
                self.missing = 1
                return False
            kind, rest = data[at], data[at + 1 : end]
            reply: Reply = None
            try:
                if kind == STRING:
                    reply = rest
                elif kind == INTEGER:
                    reply = int(rest)
                elif kind == BULK:
                    start, size = end + 2, int(rest)
                    if size >= 0:
                        end = start + size
                        if end + 2 > len(data):
                            self.missing = end + 2 - len(data)
                            return False
                        reply = data[start:end]
                elif kind == ARRAY:
                    size = int(rest)
                    if size > 0:
                        self._arrays.append(([], size))
                        self._at = end + 2
                        continue
                    reply = [] if size == 0 else None
                elif kind == ERROR:
                    text = rest.decode(errors='replace')
                    reply = ERRORS.get(text.split(' ', 1)[0], redis.ResponseError)(text)
                else:
                    raise _invalid(data[at:end])
            except ValueError:
                raise _invalid(data[at:end]) from None
            self._at = end + 2
            while self._arrays:
                array, length = self._arrays[-1]
                array.append(reply)
                if len(array) < length:
                    break
                reply = array
                self._arrays.pop()
            else:
                return reply

    def take_entries(self) -> Reply:
        """Return what came of an incomplete reply to XREAD; later replies have the rest.

        Such a reply is an array of pairs of a stream's name and an array of entries.
        """
        if len(self._arrays) < 3:
            return []
        (streams, stream_count), (pair, _), (entries, entry_count) = self._arrays[:3]
        self._arrays[0] = ([], stream_count - len(streams))
        self._arrays[2] = ([], entry_count - len(entries))
        return [*streams, [pair[0], entries]] if entries else streams

    def messages(self, most: int) -> list[Message]:
        """Return the messages of channels that come next and were fed whole."""
        messages: list[Message] = []
        if self._arrays:
            return messages
        data, at = self._data, self._at
        last = len(data) - 2
        while len(messages) < most:
            found = MESSAGE.match(data, at)
            if found is not None:
                name, size = found.groups()
            else:
                found = PATTERN_MESSAGE.match(data, at)
                if found is None:
                    break
                glob, channel, size = found.groups()
                name = (glob, channel)
            start = found.end()
            end = start + int(size)
            if end > last:
                break
            messages.append((name, data[start:end]))
            at = end + 2
        self._at = at
        return messages


def _invalid(data: bytes) -> redis.InvalidResponse:
    return redis.InvalidResponse(f'not a reply of a Redis server: {data[:40]!r}')
