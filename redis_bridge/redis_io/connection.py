# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One connection to the server, used by one thread."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import redis

from redis_bridge.redis_io.address import Timing
from redis_bridge.redis_io.resp import CHUNK, Message, Reader, Reply, raise_if_error

Command = Sequence[object]  # of strings, numbers and bytes
LARGE_BYTES = 16 << 10  # a value beyond this is sent without a copy
LARGEST_CHUNK = 1 << 20
NOTHING_YET = (TimeoutError, BlockingIOError, ssl.SSLWantReadError)


class NoReply(redis.ConnectionError):
    """The server has not answered for too long."""


class Waker:
    """Lets one thread wake another that waits on a socket."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self._lock = threading.Lock()
        self._set = False
        self._closed = False

    def fileno(self) -> int:
        """Return what to wait on."""
        return self._read

    def set(self) -> None:
        """Wake the waiting thread, now or as soon as it waits."""
        with self._lock:
            if not self._set and not self._closed:
                self._set = True
                os.write(self._write, b'!')

    def clear(self) -> None:
        """Undo `set`."""
        with self._lock:
            if self._set and not self._closed:
                self._set = False
                os.read(self._read, 1)

    def close(self) -> None:
        """Give the descriptors back; `set` has no effect afterwards."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self._read)
                os.close(self._write)


class CommandPrefix(bytes):
    """The first words of commands, packed once for all of them; see `pack_prefix`."""


def pack_prefix(words: Command, count: int) -> CommandPrefix:
    """Return the first words of commands of `count` words."""
    return CommandPrefix(b''.join([b'*%d\r\n' % count, *map(_pack_word, words)]))


def _pack_word(word: object) -> bytes:
    data = word if isinstance(word, bytes) else str(word).encode()
    return b'$%d\r\n%b\r\n' % (len(data), data)


def pack(commands: Iterable[Command]) -> list[bytes]:
    """Return commands as the server reads them (RESP), in pieces to be sent one after the other.

    Large values are sent as they are. redis-py's own packing copies them, with hiredis byte by
    byte: milliseconds for an image.
    """
    pieces: list[bytes] = []
    small: list[bytes] = []
    for command in commands:
        if command[0].__class__ is not CommandPrefix:
            small.append(b'*%d\r\n' % len(command))
        for word in command:
            if isinstance(word, CommandPrefix):
                small.append(word)
            elif isinstance(word, bytes) and len(word) > LARGE_BYTES:
                small.append(b'$%d\r\n' % len(word))
                pieces += (b''.join(small), word)
                small = [b'\r\n']
            else:
                small.append(_pack_word(word))
    pieces.append(b''.join(small))
    return pieces


class Connection:
    """One connection to the server; used by one thread, but for `interrupt`.

    All methods raise redis.ConnectionError if the server closed the connection, wants a login or
    has yet to load its data, redis.TimeoutError if it is silent instead of a reply or within one,
    redis.InvalidResponse for what is no reply. The connection is useless afterwards.
    """

    def __init__(self, redis_py: Any) -> None:
        self._redis_py = redis_py
        self._reader = Reader()
        self._poll: select.poll | None = None
        self._is_drained = False  # the socket had no more, when it was read last

    def connect(self) -> None:
        """Connect, log in, select the database."""
        self._redis_py.connect()

    def send(self, commands: Iterable[Command]) -> None:
        """Send commands without waiting for their replies."""
        self._redis_py.send_packed_command(pack(commands), check_health=False)

    def reply(self) -> Reply:
        """Return the next reply; a rejected command's is a ResponseError, not raised."""
        while (reply := self._reader.gets()) is False:
            self._receive_reply()
        if isinstance(reply, redis.ConnectionError):
            raise reply
        return reply

    def reply_in_parts(self, size: int) -> Iterator[Reply]:
        """Yield the next reply, one to XREAD in parts: each time that `size` bytes came.

        All parts must be taken; an entry is never divided.
        """
        came = 0
        while (reply := self._reader.gets()) is False:
            if came >= size:
                came = 0
                if part := self._reader.take_entries():
                    yield part
            came += self._receive_reply()
        if isinstance(reply, redis.ConnectionError):
            raise reply
        yield reply

    def replies(self, most: int) -> list[Message | Reply]:
        """Return the next reply and what came right after it; messages of channels are tuples.

        It waits for no more than one reply, or for the rest of one of which a full chunk came.
        """
        replies: list[Message | Reply] = [*self._reader.messages(most)]
        while not replies or (len(replies) < most and not self._is_drained and self.has_reply()):
            reply = self.reply()
            if isinstance(reply, list) and reply[:1] == [b'message']:
                reply = (reply[1], reply[2])
            replies.append(reply)
            replies += self._reader.messages(most - len(replies))
        return replies

    def call(self, *command: object) -> Reply:
        """Send one command and return its reply; raises ResponseError."""
        self.send([command])
        return raise_if_error(self.reply())

    def pipe(self, commands: Sequence[Command]) -> list[Reply]:
        """Send commands at once and return their replies; errors are among them, not raised."""
        self.send(commands)
        return [self.reply() for _ in commands]

    def has_reply(self) -> bool:
        """Return whether something can be read now."""
        return self._reader.has_data() or self._receive_waiting()

    def wait(self, seconds: float, waker: Waker) -> bool:
        """Wait for a reply, or until woken; return whether there is something to read."""
        if self._reader.has_data():
            return True
        sock = self._socket()
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(sock, select.POLLIN)
            self._poll.register(waker, select.POLLIN)
        ready = [number for number, _ in self._poll.poll(max(0.0, seconds) * 1000)]
        if waker.fileno() in ready:
            waker.clear()
        return sock.fileno() in ready and self._receive_waiting()

    def _receive_waiting(self) -> bool:
        """Read once what waits in the socket; return whether there was anything."""
        sock = self._socket()
        try:
            if isinstance(sock, ssl.SSLSocket):
                sock.settimeout(0)
                try:
                    self._receive(sock.recv)
                finally:
                    sock.settimeout(self._redis_py.socket_timeout)
            else:  # the socket has a timeout: `recv` would ask the system twice
                self._receive(lambda most: os.read(sock.fileno(), most))
        except NOTHING_YET:
            return False
        return True

    def _receive_reply(self) -> int:
        """Wait for what comes next and read once; return how many bytes came."""
        try:
            return self._receive(self._socket().recv)
        except NOTHING_YET:
            seconds = self._redis_py.socket_timeout
            raise redis.TimeoutError(f'no answer within {seconds:g} s') from None

    def _receive(self, read: Callable[[int], bytes]) -> int:
        """Read once from the socket; return how many bytes came."""
        most = max(CHUNK, min(self._reader.missing, LARGEST_CHUNK))
        try:
            data = read(most)
        except NOTHING_YET:
            raise
        except OSError as error:
            raise redis.ConnectionError(f'the connection broke: {error}') from error
        if not data:
            raise redis.ConnectionError('the server closed the connection')
        # What comes over TLS comes in records, however much more there is.
        self._is_drained = len(data) < most and not isinstance(self._socket(), ssl.SSLSocket)
        self._reader.feed(data)
        return len(data)

    def _socket(self) -> socket.socket:
        sock: socket.socket | None = self._redis_py._sock  # no version has a public way to it
        if sock is None:
            raise redis.ConnectionError('the connection was closed')
        return sock

    def interrupt(self) -> None:
        """Make whatever reads or writes here fail at once; may be called from any thread."""
        with contextlib.suppress(OSError, redis.ConnectionError):
            # Not the method of SSLSocket, which is not made for another thread's reading.
            socket.socket.shutdown(self._socket(), socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; closing twice is harmless."""
        self._redis_py.disconnect()


class Pings:
    """Notices that a subscribed connection's peer no longer answers; redis-py's check never does.

    Its own thread calls all methods.
    """

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._open = 0
        self._next = time.monotonic() + timing.ping_s

    def wait_s(self) -> float:
        """Return how long until the next ping is due."""
        return max(0.0, self._next - time.monotonic())

    def heard(self) -> None:
        """Note that the peer sent something."""
        self._open = 0

    def tick(self, connection: Connection) -> None:
        """Send a ping if one is due; raises NoReply if too many went unanswered."""
        now = time.monotonic()
        if now < self._next:
            return
        if self._open >= self._timing.pings:
            raise NoReply(f'no answer to {self._open} pings')
        self._next = now + self._timing.ping_s
        self._open += 1
        connection.send([('PING',)])
