# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""The sources of one role: as many as there are servers that hold the names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic

import redis

from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.source import R, Source

LEAVE_S = 0.5  # for a source to end what it is handing on, before another one goes on


class Spread(Generic[R]):
    """Reads a set of names, which may change at any time, each from where it is.

    `make` returns a new source for a role at an address, `place_of` the address of a name.
    """

    def __init__(
        self,
        role: str,
        place_of: Callable[[str], Address],
        make: Callable[[str, Address], Source[R]],
    ) -> None:
        self._role = role
        self._place_of = place_of
        self._make = make
        self._lock = threading.Lock()  # over all below
        self._wanted: Mapping[str, Sequence[R]] = {}
        self._sources: dict[Address, Source[R]] = {}
        self._readers: dict[R, Source[R]] = {}

    def want(self, names: Mapping[str, Sequence[R]]) -> None:
        """See `Source`."""
        with self._lock:
            self._wanted = names
            self._apply()

    def spread_anew(self) -> None:
        """Read each name from where it is now."""
        with self._lock:
            self._apply()

    def on_gate_change(self) -> None:
        """See `Source`."""
        for source in self._all():
            source.on_gate_change()

    def wait_until_known(self, receivers: Iterable[R], deadline: float) -> bool:
        """See `Source`."""
        return all(
            reader is not None and reader.wait_until_known([receiver], deadline)
            for receiver in receivers
            for reader in [self._readers.get(receiver)]
        )

    def error_of(self, receiver: R) -> redis.ResponseError | None:
        """See `Source`."""
        reader = self._readers.get(receiver)
        return None if reader is None else reader.error_of(receiver)

    def state_of(self, receiver: R) -> str:
        """See `Source`."""
        reader = self._readers.get(receiver)
        return 'Redis: connecting' if reader is None else reader.state_of(receiver)

    def roles(self) -> list[str]:
        """Return the roles of all connections."""
        return [source.role for source in self._all()]

    def threads(self) -> list[ConnectionThread]:
        """Return the threads of all connections."""
        return [source.thread for source in self._all()]

    def _all(self) -> list[Source[R]]:
        with self._lock:
            return list(self._sources.values())

    def _apply(self) -> None:
        """Hand each source its names; what it has lost is left before another one reads it."""
        names: dict[Source[R], dict[str, Sequence[R]]] = {s: {} for s in self._sources.values()}
        readers: dict[R, Source[R]] = {}
        came: dict[Source[R], list[str]] = {}
        left: dict[Source[R], list[R]] = {}
        for name, receivers in self._wanted.items():
            source = self._source_at(self._place_of(name))
            names.setdefault(source, {})[name] = receivers
            for receiver in receivers:
                before = self._readers.get(receiver, source)
                readers[receiver] = source
                if before is not source and before.is_known(receiver):
                    came.setdefault(source, []).append(name)
                    left.setdefault(before, []).append(receiver)
        self._readers = readers
        for source, receivers in left.items():
            joining = came.get(source, ())
            source.want({name: r for name, r in names[source].items() if name not in joining})
            source.wait_until_left(receivers, time.monotonic() + LEAVE_S)
        for source, wanted in names.items():
            source.want(wanted, came.get(source, ()))

    def _source_at(self, address: Address) -> Source[R]:
        source = self._sources.get(address)
        if source is None:
            role = f'{self._role} ({address.label})' if address.label else self._role
            source = self._sources[address] = self._make(role, address)
        return source
