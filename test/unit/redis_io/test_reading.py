# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""A connection reads replies however they are cut, and rejects what is none."""

from __future__ import annotations

import contextlib
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from replies import REPLIES, bulk, message, written
from support import eventually

from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.resp import CHUNK, code_of


class Ends:
    """A server's end of a connection, and our connection at the other."""

    def __init__(self, timeout_s: float = 5.0) -> None:
        self.server, self.sock = socket.socketpair()
        self.sock.settimeout(timeout_s)
        self.connection = Connection(SimpleNamespace(_sock=self.sock, socket_timeout=timeout_s))

    def __enter__(self) -> Ends:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.server.close()
        self.sock.close()

    def send(self, data: bytes) -> threading.Thread:
        """Send, in a thread, because what is not read yet fills the socket."""

        def send() -> None:
            with contextlib.suppress(OSError):  # a test may end before it has read all
                self.server.sendall(data)

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        return thread


@pytest.fixture
def ends():
    with Ends() as made:
        yield made


NAMES, PAYLOADS = st.binary(max_size=6), st.binary(max_size=40)
MESSAGES = st.tuples(st.just(b'message'), NAMES, PAYLOADS).map(list) | st.tuples(
    st.just(b'pmessage'), NAMES, NAMES, PAYLOADS
).map(list)


@given(st.lists(REPLIES | MESSAGES, min_size=1, max_size=6), st.data())
def test_replies_are_read_alike_however_they_are_cut(sent, data):
    whole = b''.join(map(written, sent))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=4)))
    in_batches = data.draw(st.booleans())
    with Ends() as ends:
        got: list[Any] = []
        for start, end in zip([0, *cuts], [*cuts, len(whole)]):
            ends.server.sendall(whole[start:end])
            while in_batches and len(got) < complete(sent, end):
                got += ends.connection.replies(1000)
        ends.server.shutdown(socket.SHUT_WR)
        while len(got) < len(sent):
            got += ends.connection.replies(1000) if in_batches else [ends.connection.reply()]
        sent = [as_message(reply) for reply in sent] if in_batches else sent
        assert got == sent
        with pytest.raises(redis.ConnectionError, match='closed the connection'):
            eventually(ends.connection.has_reply)


def as_message(reply: Any) -> Any:
    """Return what a reply is in a batch, where messages are pairs of channel and payload."""
    kind = reply[0] if isinstance(reply, list) and reply else None
    if kind == b'pmessage':
        return (reply[1], reply[2]), reply[3]
    return (reply[1], reply[2]) if kind == b'message' else reply


def complete(sent: list[Any], size: int) -> int:
    """Return how many replies are whole in the first so many bytes of what was sent."""
    count = 0
    for reply in sent:
        size -= len(written(reply))
        if size < 0:
            break
        count += 1
    return count


def test_simple_strings_are_bytes_and_null_arrays_none(ends):
    ends.server.sendall(b'+OK\r\n*-1\r\n*0\r\n')
    assert [ends.connection.reply() for _ in range(3)] == [b'OK', None, []]
    assert not ends.connection.has_reply()


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        (b'ERR unknown command', redis.ResponseError),
        (b'WRONGTYPE Operation against a key', redis.ResponseError),
        (b'NOPERM this user has no permissions', redis.exceptions.NoPermissionError),
        (b'ERR caf\xe9', redis.ResponseError),
    ],
)
def test_refusals_are_returned_with_their_code_wherever_they_stand(ends, line, expected):
    ends.server.sendall(b'*2\r\n:1\r\n-%b\r\n-%b\r\n' % (line, line))
    first, nested = ends.connection.reply()
    for error in (nested, ends.connection.reply()):
        assert type(error) is expected
        assert str(error) == line.decode(errors='replace')
        assert code_of(error) == line.split()[0].decode()
    assert first == 1


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        ('NOAUTH Authentication required.', redis.AuthenticationError),
        ('WRONGPASS invalid username-password pair', redis.AuthenticationError),
        ('LOADING Redis is loading the dataset in memory', redis.BusyLoadingError),
    ],
)
def test_what_makes_a_connection_useless_is_raised(ends, line, expected):
    ends.server.sendall(f'-{line}\r\n'.encode() * 2)
    with pytest.raises(expected, match=line):
        ends.connection.reply()
    with pytest.raises(expected, match=line):
        ends.connection.replies(1000)


@pytest.mark.parametrize('size', [CHUNK - 40, CHUNK, 3 * CHUNK, 5 << 20])
def test_what_is_larger_than_one_reading_comes_whole(ends, size):
    payload = bytes(range(256)) * (size // 256)
    sender = ends.send(bulk(payload) + message(b'c', payload) + message(b'c', b'next'))
    assert ends.connection.reply() == payload
    got: list[Any] = []
    while len(got) < 2:
        got += ends.connection.replies(1000)
    assert got == [(b'c', payload), (b'c', b'next')]
    sender.join(5)


def entry(number, size):
    return [b'%d-0' % number, [b'data', b'x' * size]]


def test_a_large_reply_to_xread_comes_in_parts_of_whole_entries(ends):
    streams = [
        [b'a', [entry(number, 50_000) for number in range(100)]],
        [b'b', [entry(number, 10) for number in range(100)]],
        [b'c', [entry(number, 3_000_000) for number in range(3)]],
    ]
    sender = ends.send(written(streams))
    got: dict[bytes, list[Any]] = {}
    largest = 0
    for part in ends.connection.reply_in_parts(1 << 20):
        for name, entries in part:
            got.setdefault(name, []).extend(entries)
        largest = max(largest, sum(len(e[1][1]) for _, entries in part for e in entries))
    assert [[name, entries] for name, entries in got.items()] == streams
    assert 1 << 20 < largest < 4_500_000
    sender.join(5)


@pytest.mark.parametrize('reply', [None, [], [[b'a', [entry(1, 10)]]], b'x' * 5_000_000])
def test_other_replies_come_in_one_part(ends, reply):
    ends.send(written(reply))
    assert list(ends.connection.reply_in_parts(1 << 20)) == [reply]


def test_messages_do_not_wait_for_the_rest_of_the_next_one(ends):
    first, second, third = (message(b'c', payload) for payload in (b'1', b'2', b'3' * 1000))
    ends.server.sendall(first + second + third[:-500])
    assert ends.connection.replies(1000) == [(b'c', b'1'), (b'c', b'2')]
    ends.server.sendall(third[-500:])
    eventually(ends.connection.has_reply)
    assert ends.connection.replies(1000) == [(b'c', b'3' * 1000)]


def test_no_more_is_taken_than_was_asked_for(ends):
    ends.server.sendall(b''.join(message(b'c', b'%d' % number) for number in range(5)))
    taken = [ends.connection.replies(2) for _ in range(3)]
    assert [len(batch) for batch in taken] == [2, 2, 1]
    assert [reply[1] for batch in taken for reply in batch] == [b'0', b'1', b'2', b'3', b'4']


def test_all_that_has_come_is_one_batch_even_if_it_takes_several_readings(ends):
    payload = bytes(CHUNK // 3)
    ends.server.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    ends.server.sendall(message(b'c', payload) * 6)
    assert ends.connection.replies(1000) == [(b'c', payload)] * 6


def test_other_replies_among_messages_keep_their_place(ends):
    pong = b'*2\r\n' + bulk(b'pong') + bulk(b'')
    ends.server.sendall(
        message(b'c', b'1') + pong + message(b'a\r\nb', b'2') + message(b'c', b'3')
    )
    got: list[Any] = []
    while len(got) < 4:
        got += ends.connection.replies(1000)
    assert got == [
        (b'c', b'1'),
        [b'pong', b''],
        (b'a\r\nb', b'2'),
        (b'c', b'3'),
    ]


@pytest.mark.parametrize(
    'data',
    [
        b'HTTP/1.1 400 Bad Request\r\n',
        b':1x\r\n',
        b'$ten\r\n',
        b'*\r\n',
        b'\r\n',
        b'+' + bytes(3 * CHUNK),
        b'*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$' + b'9' * 5000 + b'\r\n',
    ],
)
def test_what_is_no_reply_is_rejected(ends, data):
    ends.send(data)
    with pytest.raises(redis.InvalidResponse, match='not a reply of a Redis server'):
        ends.connection.replies(1000)


@pytest.mark.parametrize('data', [b'', b'*2\r\n:1\r\n', b'$5\r\nab', b'+O'])
def test_a_server_that_leaves_or_falls_silent_is_reported(data):
    with Ends(timeout_s=0.05) as ends:
        ends.server.sendall(data)
        with pytest.raises(redis.TimeoutError, match='no answer within 0.05 s'):
            ends.connection.reply()
    with Ends() as ends:
        ends.server.sendall(data)
        ends.server.close()
        with pytest.raises(redis.ConnectionError, match='closed the connection'):
            ends.connection.reply()


def test_a_connection_that_breaks_is_reported_as_such():
    with Ends() as ends:
        ends.sock.close()
        with pytest.raises(redis.ConnectionError, match='the connection broke'):
            ends.connection.reply()


def test_looking_leaves_the_time_for_replies_as_it_was(ends):
    assert not ends.connection.has_reply()
    assert ends.sock.gettimeout() == 5.0
