# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Channels, by name or by pattern: what is published while we are connected, in order."""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import redis

from redis_bridge.redis_io.connection import Connection, Pings
from redis_bridge.redis_io.resp import code_of
from redis_bridge.redis_io.source import RETRY_S, R, Setup, Source, SourceReceiver

BATCH = 1000  # messages read before they are handed on, if that many come

N = TypeVar('N')  # what a message is from: a channel, or a glob with a channel


class ChannelReceiver(SourceReceiver, Protocol):
    """What follows one channel."""

    def receive(self, batch: list[bytes]) -> None:
        """Take all messages that waited, oldest first."""

    def drop_unread(self, count: int) -> None:
        """Count messages that may not be handed on, because the gate has shut meanwhile."""


class PatternReceiver(SourceReceiver, Protocol):
    """What follows all channels that one glob matches."""

    def knows(self, channel: bytes) -> bool:
        """Return whether `readers` is all that may want to follow a channel."""

    def hear(self, channels: Sequence[bytes]) -> None:
        """Find out who wants to follow channels that it does not know."""

    def readers(self, channel: bytes) -> Sequence[ChannelReceiver]:
        """Return what follows a channel."""


P = TypeVar('P', bound=PatternReceiver)


class _Subscriber(Source[R], Generic[R, N]):
    """One connection that is subscribed to names."""

    subscribe: ClassVar[str]  # commands
    unsubscribe: ClassVar[str]

    def __init__(self, role: str, setup: Setup) -> None:
        super().__init__(role, setup)
        self._applied: Mapping[bytes, Sequence[R]] = {}
        self._sent: deque[tuple[str, bytes]] = deque()  # (command, name) without a reply so far
        self._asked: set[bytes] = set()  # subscribed in this session, or denied
        self._denied: dict[bytes, redis.ResponseError] = {}
        self._subscribed: set[bytes] = set()
        self._interrupted: set[bytes] = set()  # subscribed before the connection was lost

    def _session(self, connection: Connection) -> None:
        self._interrupted |= self._subscribed
        for state in (self._sent, self._asked, self._denied, self._subscribed):
            state.clear()
        retry_at = time.monotonic() + RETRY_S
        self._reconcile(connection)
        while self._sent:
            self._read(connection)
        self.thread.mark_connected()
        pings = Pings(connection, self._timing)
        while self._goes_on():
            if time.monotonic() >= retry_at:
                retry_at = time.monotonic() + RETRY_S
                self._asked -= self._denied.keys()
                self._applied = {}
            self._reconcile(connection)
            if pings.send_if_due():
                self._sent.append(('PING', b''))
            if pings.wait(self.thread.waker):
                self._read(connection)
        if not self._wanted:
            self._subscribed.clear()

    def _note_came(self, names: Iterable[bytes]) -> None:
        self._interrupted.update(names)

    def _reconcile(self, connection: Connection) -> None:
        """Issue the difference between the names wanted and those asked for."""
        wanted = self._wanted
        if wanted is self._applied and self._asked:
            return
        self._applied = wanted
        self._forget_unwanted()
        unwanted = self._asked - wanted.keys()
        commands = [
            *((self.subscribe, name) for name in wanted if name not in self._asked),
            *((self.unsubscribe, name) for name in unwanted),
        ]
        self._asked |= wanted.keys()
        for names in (self._asked, self._subscribed, self._interrupted):
            names.intersection_update(wanted)
        for name in unwanted:
            self._denied.pop(name, None)
        if commands:
            connection.send(commands)
            self._sent += commands
        for name in wanted:  # receivers that joined
            if name in self._subscribed or name in self._denied:
                self._report_all(name)

    def _read(self, connection: Connection) -> None:
        """Hand on what waits, each receiver's part in the order it came."""
        batches: defaultdict[N, list[bytes]] = defaultdict(list)
        for reply in connection.replies(BATCH):
            if isinstance(reply, tuple):
                name, payload = reply
                batches[name].append(payload)
            else:
                self._take_reply(reply)
        self._hand_on(batches)

    def _hand_on(self, batches: Mapping[N, list[bytes]]) -> None:
        for name, batch in batches.items():
            for receiver in self._readers(name):
                if self._goes_on():  # asked for each, because one may take long
                    receiver.receive(batch)
                elif not self.thread.closing.is_set():
                    receiver.drop_unread(len(batch))

    def _readers(self, name: N) -> Iterable[ChannelReceiver]:
        """Return what follows a channel."""
        raise NotImplementedError

    def _explained(self, name: bytes, error: redis.ResponseError) -> redis.ResponseError:
        """Return why a name is denied, with what to do if that is not plain."""
        return error

    def _take_reply(self, reply: Any) -> None:
        """Take the reply to the oldest command; an error in reply to a ping is an answer too."""
        command, name = self._sent.popleft()
        if command != self.subscribe or name not in self._asked:
            return
        if isinstance(reply, redis.ResponseError):
            self._denied[name] = self._explained(name, reply)
        else:
            self._denied.pop(name, None)
            self._subscribed.add(name)
            if name in self._interrupted:
                self._interrupted.discard(name)
                for receiver in self._wanted.get(name, ()):
                    receiver.gap(None, 'what was published while the connection was lost')
        self._report_all(name)

    def _report_all(self, name: bytes) -> None:
        for receiver in self._wanted.get(name, ()):
            self._report(receiver, self._denied.get(name))


class ChannelSource(_Subscriber[ChannelReceiver, bytes]):
    """One connection that is subscribed to channels."""

    subscribe, unsubscribe = 'SUBSCRIBE', 'UNSUBSCRIBE'

    def _readers(self, name: bytes) -> Sequence[ChannelReceiver]:
        return self._wanted.get(name, ())


class ShardedSource(ChannelSource):
    """One connection that is subscribed to sharded channels, at the node that holds them."""

    subscribe, unsubscribe = 'SSUBSCRIBE', 'SUNSUBSCRIBE'

    def _take_reply(self, reply: Any) -> None:
        match reply:
            case [b'sunsubscribe', name, _] if (self.unsubscribe, name) not in self._sent:
                # Its slot has moved. The server says where to if it is asked again.
                self._asked.discard(name)
                self._subscribed.discard(name)
                self._interrupted.add(name)
                self._applied = {}
            case _:
                super()._take_reply(reply)


class PatternSource(_Subscriber[P, tuple[bytes, bytes]]):
    """One connection that is subscribed to globs of channels, once to each."""

    subscribe, unsubscribe = 'PSUBSCRIBE', 'PUNSUBSCRIBE'

    def _hand_on(self, batches: Mapping[tuple[bytes, bytes], list[bytes]]) -> None:
        """Hand on what is from channels that are known, then what others turn out to follow.

        So a robot's command does not wait for the routes of robots that are new.
        """
        known: dict[tuple[bytes, bytes], list[bytes]] = {}
        new: dict[tuple[bytes, bytes], list[bytes]] = {}
        unknown: defaultdict[P, list[bytes]] = defaultdict(list)
        for name, batch in batches.items():
            glob, channel = name
            strangers = [r for r in self._wanted.get(glob, ()) if not r.knows(channel)]
            for receiver in strangers:
                unknown[receiver].append(channel)
            (new if strangers else known)[name] = batch
        super()._hand_on(known)
        for receiver, channels in unknown.items():
            if self._goes_on():
                receiver.hear(channels)
        super()._hand_on(new)

    def _readers(self, name: tuple[bytes, bytes]) -> Iterator[ChannelReceiver]:
        glob, channel = name
        for receiver in self._wanted.get(glob, ()):
            yield from receiver.readers(channel)

    def _explained(self, name: bytes, error: redis.ResponseError) -> redis.ResponseError:
        if code_of(error) != 'NOPERM':
            return error
        return redis.exceptions.NoPermissionError(
            f'{error}; grant the user PSUBSCRIBE, and the channel pattern '
            f'&{name.decode(errors="replace")} in exactly these characters'
        )
