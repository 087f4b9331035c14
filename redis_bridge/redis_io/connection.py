# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""One connection to the server, used by one thread."""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import redis

from redis_bridge.redis_io.resp import (
    CHUNK,
    Message,
    Reader,
    Redirected,
    Reply,
    as_message,
    raise_if_error,
)

if TYPE_CHECKING:
    from redis_bridge.redis_io.address import Timing

Command = Sequence[object]  # of strings, numbers and bytes
LARGE_BYTES = 16 << 10  # a value beyond this is sent without a copy
LARGEST_CHUNK = 1 << 20
NOTHING_YET = (TimeoutError, BlockingIOError, ssl.SSLWantReadError)


class Waker:
    """Lets other threads wake one that waits, on a connection or only for them."""

    def __init__(self) -> None:
        read, write = os.pipe()
        self._read = os.fdopen(read, 'rb', buffering=0)
        self._write = os.fdopen(write, 'wb', buffering=0)
        self._lock = threading.Lock()
        self._is_set = False

    def fileno(self) -> int:
        """Return what becomes readable when it is set."""
        return self._read.fileno()

    def set(self) -> None:
        """Wake the waiting thread, now or as soon as it waits."""
        with self._lock:
            if not self._is_set:
                self._is_set = True
                self._write.write(b'!')

    def wait(self) -> None:
        """Wait until it is set, and undo that; what others changed before is visible then."""
        self._read.read(1)
        self._is_set = False

    def close(self) -> None:
        """Give the descriptors back; `set` has no effect afterwards. Nobody may wait."""
        with self._lock:
            self._is_set = True
            self._read.close()
            self._write.close()


class CommandPrefix(bytes):
    """The first words of commands, packed once for all of them; see `pack_prefix`."""

    name: object  # the Redis name in it


def pack_prefix(words: Command, count: int) -> CommandPrefix:
    """Return the first words of commands of `count` words, the second of which is the name."""
    prefix = CommandPrefix(b''.join([b'*%d\r\n' % count, *map(_pack_word, words)]))
    prefix.name = words[1]
    return prefix


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


class Standing(Protocol):
    """How far a server may be relied upon as the primary, which alone has the data."""

    def why_unsure(self) -> str | None:
        """Return why another server may have become the primary unnoticed; None if it has not."""

    def primary_for_s(self) -> float:
        """Return for how many seconds it has been the primary, at least."""

    def note_redirected(self, error: Redirected) -> None:
        """Learn that another server may hold a name; raises ConnectionError without a cluster."""


class Connection:
    """One connection to the server; used by one thread, but for `interrupt`.

    All methods raise redis.ConnectionError if the server closed the connection, wants a login or
    has yet to load its data, redis.TimeoutError if it is silent instead of a reply or within one,
    redis.InvalidResponse for what is no reply. The connection is useless afterwards.

    `cluster.ClusterConnection` is one that leads to many servers.
    """

    def __init__(self, redis_py: Any, standing: Standing | None = None) -> None:
        self._redis_py = redis_py
        self._standing = standing
        self._reader = Reader()
        self._poll: select.poll | None = None
        self._is_drained = False  # the socket had no more, when it was read last
        self.is_broken = False  # and useless
        self.is_silent = False  # broken because no answer came

    def connect(self) -> None:
        """Connect, log in, select the database."""
        self._redis_py.connect()

    def at(self, name: str) -> Connection:
        """Return the connection to the server that holds a name: for transactions, for reading.

        It lives as long as this one.
        """
        return self

    def watchable(self, name: str, others: Sequence[bytes]) -> list[bytes]:
        """Return those of other names that a transaction on a name can watch."""
        return list(others)

    def parts(self) -> list[Connection]:
        """Return a connection to each server; together they hold all names."""
        return [self]

    def lose_broken(self) -> bool:
        """Go on without the servers that failed; return whether there are others."""
        return False

    def primary_for_s(self) -> float:
        """See `Standing`; infinite for a server that no other can replace."""
        return math.inf if self._standing is None else self._standing.primary_for_s()

    def require_primary(self) -> None:
        """Raise ConnectionError if another server may have become the primary unnoticed."""
        reason = None if self._standing is None else self._standing.why_unsure()
        if reason is not None:
            raise redis.ConnectionError(reason)

    def send(self, commands: Iterable[Command]) -> None:
        """Send commands without waiting for their replies."""
        try:
            self._redis_py.send_packed_command(pack(commands), check_health=False)
        except (redis.RedisError, OSError):
            self.is_broken = True
            raise

    def reply(self) -> Reply:
        """Return the next reply; a rejected command's is a ResponseError, not raised."""
        while (reply := self._reader.gets()) is False:
            self._receive_reply()
        if isinstance(reply, redis.RedisError):
            self._take_error(reply)
        return reply

    def _take_error(self, error: redis.RedisError) -> None:
        """Raise what concerns the connection; let others know which server holds a name."""
        if isinstance(error, redis.ConnectionError):
            self.is_broken = True
            raise error
        if isinstance(error, Redirected) and self._standing is not None:
            self._standing.note_redirected(error)

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
        if isinstance(reply, redis.RedisError):
            self._take_error(reply)
        yield reply

    def replies(self, most: int) -> list[Message | Reply]:
        """Return the next reply and what came right after it; messages of channels are tuples.

        It waits for no more than one reply, or for the rest of one of which a full chunk came.
        """
        replies: list[Message | Reply] = [*self._reader.messages(most)]
        while not replies or (len(replies) < most and not self._is_drained and self.has_reply()):
            replies.append(as_message(self.reply()))
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
            waker.wait()
        return sock.fileno() in ready and self._receive_waiting()

    def pause(self, seconds: float, waker: Waker) -> None:
        """Wait until woken while no reply is due; raises ConnectionError if one comes."""
        if self.wait(seconds, waker):
            raise redis.ConnectionError(f'unexpected reply {self.reply()!r:.60}')

    def _receive_waiting(self) -> bool:
        """Read once what waits in the socket; return whether there was anything."""
        sock = self._socket()
        if not isinstance(sock, ssl.SSLSocket):
            # The socket has a timeout: `recv` would ask the system twice.
            return self._receive(lambda most: os.read(sock.fileno(), most)) > 0
        sock.settimeout(0)
        try:
            return self._receive(sock.recv) > 0
        finally:
            sock.settimeout(self._redis_py.socket_timeout)

    def _receive_reply(self) -> int:
        """Wait for what comes next and read once; return how many bytes came."""
        if came := self._receive(self._socket().recv):
            return came
        seconds = self._redis_py.socket_timeout
        self.is_broken = self.is_silent = True
        raise redis.TimeoutError(f'no answer within {seconds:g} s')

    def _receive(self, read: Callable[[int], bytes]) -> int:
        """Read once from the socket; return how many bytes came in time."""
        most = max(CHUNK, min(self._reader.missing, LARGEST_CHUNK))
        try:
            data = read(most)
        except NOTHING_YET:
            return 0
        except OSError as error:
            self.is_broken = True
            raise redis.ConnectionError(f'the connection broke: {error}') from error
        if not data:
            self.is_broken = True
            raise redis.ConnectionError('the server closed the connection')
        # What comes over TLS comes in records, however much more there is.
        self._is_drained = len(data) < most and not isinstance(self._socket(), ssl.SSLSocket)
        self._reader.feed(data)
        return len(data)

    def _socket(self) -> socket.socket:
        sock: socket.socket | None = self._redis_py._sock  # no version has a public way to it
        if sock is None:
            self.is_broken = True
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
    """Notices that a subscribed connection's peer no longer answers, as redis-py cannot."""

    def __init__(self, connection: Connection, timing: Timing) -> None:
        self._connection = connection
        self._timing = timing
        self._open = 0
        self._next = time.monotonic() + timing.ping_s

    def send_if_due(self) -> bool:
        """Return whether a ping was sent; raises ConnectionError if too many went unanswered."""
        now = time.monotonic()
        if now < self._next:
            return False
        if self._open >= self._timing.pings:
            raise redis.ConnectionError(f'no answer to {self._open} pings')
        self._next = now + self._timing.ping_s
        self._open += 1
        self._connection.send([('PING',)])
        return True

    def wait(self, waker: Waker, seconds: float = math.inf) -> bool:
        """Wait until the next ping is due, or for `seconds`; otherwise as `Connection.wait`."""
        has_reply = self._connection.wait(min(seconds, self._next - time.monotonic()), waker)
        if has_reply:
            self._open = 0
        return has_reply
