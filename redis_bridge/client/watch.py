# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Watches names: an endless iterator of what arrives there."""

from __future__ import annotations

import contextlib
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

import redis

from redis_bridge.client.calls import Calls
from redis_bridge.client.decode import Decoder, Update, decoder_for
from redis_bridge.client.follow import Follower, Notice, Pair
from redis_bridge.client.lookup import KIND_OF_TYPE, Lookup
from redis_bridge.client.stored import Event
from redis_bridge.errors import BridgeError, InterfaceError, PayloadError, RedisError
from redis_bridge.mapping.model import SINKS
from redis_bridge.protocol.descriptions import NameInfo
from redis_bridge.protocol.meta import GapFinder

LOOK_UP_EVERY_S = 1.0
EVENTS = {kind for kind, sink in SINKS.items() if sink.is_event}  # each message counts


class Watch:
    """An endless iterator of updates, made by `Client.watch`; a context manager."""

    def __init__(
        self,
        calls: Calls,
        lookup: Lookup,
        watched: Iterable[str],
        kind: str | None,
        on_notice: Callable[[Notice], None],
        raw: bool,
        only_latest: bool,
        on_close: Callable[[Watch], None],
    ) -> None:
        self._calls = calls
        self._lookup = lookup
        self._adds_kinds = kind is None
        self._notify = on_notice
        self._raw = raw
        self._only_latest = only_latest
        self._on_close = on_close
        self._infos: dict[str, NameInfo] = {}
        self._decoders: dict[Pair, Decoder] = {}
        self._followed: set[Pair] = set()
        self._gaps: defaultdict[Pair, GapFinder] = defaultdict(GapFinder)
        self._next_look = 0.0
        self._unknown: set[str] = set()  # names that no bridge has described yet
        pairs = []
        for name, (redis_type, info) in lookup.names(dict.fromkeys(watched)).items():
            self._note(name, info)
            kinds = [kind] if kind else info.kinds or [KIND_OF_TYPE.get(redis_type, 'channel')]
            _check_kind(name, kind, redis_type)
            pairs += [(name, each) for each in kinds]
        self._source = Follower(calls.topology, only_latest, is_sharded=calls.is_sharded)
        self._follow(pairs)

    def __iter__(self) -> Watch:
        return self

    def __next__(self) -> Update:
        update = self.wait(None)
        if update is None:
            raise StopIteration
        return update

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """End the iteration and close its connections; closing twice is harmless."""
        self._source.close()
        self._on_close(self)

    def kinds(self, name: str) -> list[str]:
        """Return what a name is watched as; a bridge may add to it later."""
        return sorted(kind for followed, kind in self._followed if followed == name)

    def want(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Watch exactly these names from now on, each as one kind: (name, kind) pairs.

        Names that stay miss nothing. Call it in the thread that iterates; what already waits of a
        name that goes may still come.

        :raises RedisError: Redis cannot be reached, or answers with an error; what is new is not
            watched then.
        """
        wanted = dict.fromkeys(pairs)
        self._adds_kinds = False
        new = [pair for pair in wanted if pair not in self._followed]
        gone = self._followed - wanted.keys()
        infos = self._lookup.names(dict.fromkeys(name for name, _ in new))
        self._source.leave(gone)
        self._followed -= gone
        names = {name for name, _ in self._followed}
        self._infos = {name: info for name, info in self._infos.items() if name in names}
        self._unknown &= names
        for pair in gone:
            self._gaps.pop(pair, None)
            self._decoders.pop(pair, None)
        for name, (_, info) in infos.items():
            self._note(name, info)
            self._forget_decoders(name)
        self._follow(new)

    def wait(self, seconds: float | None) -> Update | None:
        """Return the next update; None if none comes in time, or the watch is closed."""
        end = None if seconds is None else time.monotonic() + seconds
        while True:
            if self._unknown and time.monotonic() >= self._next_look:
                self._look_again()
            left = None if end is None else max(0.0, end - time.monotonic())
            if self._unknown:
                left = LOOK_UP_EVERY_S if left is None else min(left, LOOK_UP_EVERY_S)
            item = self._source.get(left)
            if isinstance(item, Notice):
                if item.event == 'connected':
                    self._forget_decoders()
                self._notify(item)
            elif item is not None:
                update = self._take(item)
                if update is not None:
                    return update
            elif self._source.closed or (end is not None and time.monotonic() >= end):
                return None

    def _follow(self, pairs: list[Pair]) -> None:
        new = [pair for pair in pairs if pair not in self._followed]
        try:
            if new:
                self._source.follow(new)
                self._followed.update(new)
        except redis.RedisError as error:
            if not self._followed:
                self.close()
            raise self._calls.error(error) from error

    def _note(self, name: str, info: NameInfo) -> None:
        self._infos[name] = info
        (self._unknown.discard if info.kinds else self._unknown.add)(name)

    def _look_again(self) -> None:
        """Look up the names again that no bridge had described."""
        self._next_look = time.monotonic() + LOOK_UP_EVERY_S
        with contextlib.suppress(RedisError):  # the connections' threads report it
            for name in list(self._unknown):
                self._renew(name)

    def _renew(self, name: str) -> None:
        _, info = self._lookup.name(name)
        self._note(name, info)
        self._forget_decoders(name)
        if self._adds_kinds:
            self._follow([(name, kind) for kind in info.kinds])

    def _forget_decoders(self, name: str | None = None) -> None:
        self._decoders = {
            pair: decoder
            for pair, decoder in self._decoders.items()
            if name is not None and pair[0] != name
        }

    def _take(self, event: Event) -> Update | None:
        """Decode an event; None if that is not possible, or it is not watched any more."""
        if event.name not in self._infos:
            return None
        if self._raw:
            return Update(event.name, event.kind, event.payload, None, event.id)
        try:
            update = self._decode(event)
        except BridgeError as error:
            self._notify(Notice('bad_payload', event.name, f'cannot be decoded: {error}'))
            return None
        pair = (event.name, event.kind)
        if event.kind == 'channel' and self._gaps[pair].is_late(update.meta):
            self._notify(Notice('late', event.name, 'dropped: it or a newer one came before'))
            return None
        missed = self._gaps[pair].missed(update.meta) if event.kind in EVENTS else 0
        if missed and not self._only_latest:
            self._notify(Notice('gap', event.name, f'{missed} missed', missed))
        return update

    def _decode(self, event: Event) -> Update:
        try:
            return self._decoder(event).update(event)
        except (PayloadError, InterfaceError):
            # A bridge may have changed its mapping since.
            known = self._infos[event.name]
            if time.monotonic() < self._next_look:
                raise
            self._next_look = time.monotonic() + LOOK_UP_EVERY_S
            self._renew(event.name)
            if self._infos[event.name] == known:
                raise
            return self._decoder(event).update(event)

    def _decoder(self, event: Event) -> Decoder:
        pair = (event.name, event.kind)
        if pair not in self._decoders:
            self._decoders[pair] = decoder_for(self._lookup, event.kind, self._infos[event.name])
        return self._decoders[pair]


def _check_kind(name: str, kind: str | None, redis_type: str) -> None:
    """Raise PayloadError if the name is stored as another kind than it is to be watched as."""
    stored = KIND_OF_TYPE.get(redis_type, redis_type)
    if kind not in (None, 'channel', stored) and stored != 'none':
        raise PayloadError(f'{name!r} is a {stored}, not a {kind}')
