# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Receivers that connect a source with the route that reads it, one per kind of source."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence

from redis_bridge.mapping.model import KeySourceConfig, StreamSourceConfig
from redis_bridge.ports import Received, SourceRequest
from redis_bridge.protocol import names
from redis_bridge.protocol.meta import DATA, from_entry
from redis_bridge.redis_io.channel_source import ChannelReceiver
from redis_bridge.redis_io.group_source import Delivery
from redis_bridge.redis_io.key_source import Value
from redis_bridge.redis_io.stream_source import Entry

SUBSCRIBED_WITHIN_S = 10.0  # after the start, else a route goes on without subscribers


class _ForRoute:
    """What all kinds have in common: gaps and problems are logged, and reach the route."""

    def __init__(self, request: SourceRequest, log: logging.Logger) -> None:
        self._request = request
        self._receiver = request.receiver
        self._name = f'{request.config.kind} {request.config.name}'
        self._log = log
        self._begins_by: float | None = None

    def gap(self, missed: int | None, why: str) -> None:
        """See `source.SourceReceiver`."""
        if self._request.config.kind == 'stream':
            number = 'entries' if missed is None else f'{missed} entries'
            self._log.warning('%s: %s missed: %s', self._name, number, why)
        self._receiver.gap(missed)

    def set_problem(self, text: str | None) -> None:
        """See `source.SourceReceiver`."""
        _log_problem(self._log, self._name, text)

    def on_disconnect(self) -> None:
        """See `source.SourceReceiver`."""
        self._receiver.on_disconnect()

    def room(self) -> int:
        """See `ports.Receiver`."""
        return self._receiver.room()

    def _awaits_subscriber(self) -> bool:
        """Return whether somebody may still subscribe in time.

        What Redis has before the start would else be lost to subscribers that are not latched,
        because DDS has not matched them yet.
        """
        if self._receiver.room() > 0:
            return False
        if self._begins_by is None:
            self._begins_by = time.monotonic() + SUBSCRIBED_WITHIN_S
        return time.monotonic() < self._begins_by

    def _received(
        self, entry: Entry, acknowledge: Callable[[bool | None], None] | None = None
    ) -> Received | None:
        """Return what the route takes of an entry; None if there is no field `data`."""
        fields = entry.as_dict()
        if DATA in fields:
            return Received(fields[DATA], from_entry(fields), acknowledge)
        self._receiver.drop('bad_payload', f'entry {entry.id.decode()} has no field `data`')
        if acknowledge is not None:
            acknowledge(False)
        return None


class ChannelForRoute(_ForRoute):
    """Hands on the messages of a channel."""

    def receive(self, batch: list[bytes]) -> None:
        """See `channel_source.ChannelReceiver`."""
        self._receiver.receive([Received(payload) for payload in batch])

    def drop_unread(self, count: int) -> None:
        """See `channel_source.ChannelReceiver`."""
        for _ in range(count):
            self._receiver.drop('closed', '')


class PatternForRoutes:
    """Hands on the messages of all channels that one glob matches, each to its own routes.

    What `add` and `ask` are given is in force from the next `apply` on; all three are called under
    one lock.
    """

    def __init__(self, glob: str, log: logging.Logger) -> None:
        self._glob = glob
        self._log = log
        self._added: dict[bytes, list[ChannelReceiver]] = {}
        self._asked: list[Callable[[Sequence[str]], None]] = []
        self._readers: Mapping[bytes, Sequence[ChannelReceiver]] = {}  # replaced, never changed
        self._heard: list[Callable[[Sequence[str]], None]] = []
        self._known: set[bytes] = set()  # channels that were read after `heard` was called

    def add(self, channel: str, receiver: ChannelReceiver) -> None:
        """Hand on the messages of a channel."""
        self._added.setdefault(channel.encode(), []).append(receiver)

    def ask(self, heard: Callable[[Sequence[str]], None]) -> None:
        """Have this called with channels that may have to be added."""
        self._asked.append(heard)

    def apply(self) -> None:
        """Do exactly what was added and asked since the last time."""
        readers, self._added = self._added, {}
        heard, self._asked = self._asked, []
        # One who joins may want to read what others read already.
        self._known = self._known.intersection(readers) if heard == self._heard else set()
        self._readers, self._heard = readers, heard

    def knows(self, channel: bytes) -> bool:
        """See `channel_source.PatternReceiver`."""
        return channel in self._known

    def hear(self, channels: Sequence[bytes]) -> None:
        """Let those who want to read channels add them; of others nothing is remembered."""
        found = [name for name in map(names.redis_name, channels) if name is not None]
        for heard in self._heard if found else ():
            heard(found)
        self._known.update(channel for channel in channels if channel in self._readers)

    def readers(self, channel: bytes) -> Sequence[ChannelReceiver]:
        """See `channel_source.PatternReceiver`."""
        return self._readers.get(channel, ())

    def gap(self, missed: int | None, why: str) -> None:
        """See `source.SourceReceiver`."""
        for receiver in self._all():
            receiver.gap(missed, why)

    def set_problem(self, text: str | None) -> None:
        """See `source.SourceReceiver`."""
        _log_problem(self._log, f'channels {self._glob}', text)

    def on_disconnect(self) -> None:
        """See `source.SourceReceiver`."""
        for receiver in self._all():
            receiver.on_disconnect()

    def _all(self) -> list[ChannelReceiver]:
        return [receiver for readers in self._readers.values() for receiver in readers]


class KeyForRoute(_ForRoute):
    """Hands on each value of a key that differs from the one before."""

    is_hash = False

    def __init__(
        self, request: SourceRequest, config: KeySourceConfig, log: logging.Logger
    ) -> None:
        super().__init__(request, log)
        self.max_bytes = request.max_bytes
        self._takes_initial = config.initial == 'publish'
        self._last: bytes | None = None

    def may_begin(self) -> bool:
        """See `key_source.KeyReceiver`."""
        return not (self._takes_initial and self._awaits_subscriber())

    def receive(self, value: Value | None, is_initial: bool) -> None:
        """See `key_source.KeyReceiver`."""
        # A value that comes back after the key was missing, such as renamed away, is not new.
        if not isinstance(value, bytes) or value == self._last:
            return
        self._last = value
        if self._takes_initial or not is_initial:
            self._receiver.receive([Received(value)])


class StreamForRoute(_ForRoute):
    """Hands on the entries of a stream."""

    def __init__(
        self, request: SourceRequest, config: StreamSourceConfig, log: logging.Logger
    ) -> None:
        super().__init__(request, log)
        self.start = config.start

    def may_begin(self) -> bool:
        """See `stream_source.StreamReceiver`."""
        if self.start == 'new':
            return True
        if self._awaits_subscriber():
            return False
        if self._receiver.room() == 0:
            self._log.warning(
                '%s: nobody subscribes, so its entries from before the start reach nobody',
                self._name,
            )
        return True

    def receive(self, entries: list[Entry]) -> None:
        """See `stream_source.StreamReceiver`."""
        batch = [received for entry in entries if (received := self._received(entry))]
        if batch:
            self._receiver.receive(batch)


class GroupForRoute(_ForRoute):
    """Hands on the entries that a group gives us."""

    def receive(self, deliveries: list[Delivery]) -> None:
        """See `group_source.GroupReceiver`."""
        batch = [received for each in deliveries if (received := self._received(*each))]
        if batch:
            self._receiver.receive(batch)


def _log_problem(log: logging.Logger, name: str, text: str | None) -> None:
    if text is None:
        log.info('%s: can be read', name)
    else:
        log.warning('%s: cannot be read: %s', name, text)
