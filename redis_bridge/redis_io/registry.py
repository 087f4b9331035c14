# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""Follows which keys and streams senders have registered."""

from __future__ import annotations

import logging
import threading
import time

from redis_bridge.ports import TakeRegistered
from redis_bridge.protocol import keys, registry
from redis_bridge.redis_io.key_source import Value

# For which a name may be missing before it counts as gone: a server that has lost its data has
# the names of bridges again with their next heartbeats.
GONE_S = 6.0

_Names = frozenset[tuple[str, str]]


class Registry:
    """Hands on the registered names; a `key_source.KeyReceiver` of their hash."""

    is_hash = True
    max_bytes = None

    def __init__(self, take: TakeRegistered, log: logging.Logger) -> None:
        self.take = take
        self._log = log
        self._lock = threading.Lock()  # over the names; whoever calls `close` must not need it
        self._present: _Names = frozenset()
        self._known: _Names | None = None  # what was handed on last
        self._missing: dict[tuple[str, str], float] = {}  # of these, with the time they are gone
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def may_begin(self) -> bool:
        """See `key_source.KeyReceiver`."""
        return True

    def receive(self, value: Value | None, is_initial: bool) -> None:
        """See `key_source.KeyReceiver`."""
        with self._lock:
            self._present = registry.registered(value if isinstance(value, dict) else ())
            self._hand_on()

    def close(self) -> None:
        """Hand on nothing more; what is being handed on is not waited for."""
        self._is_closed = True
        timer = self._timer
        if timer is not None:
            timer.cancel()

    def _look_again(self) -> None:
        with self._lock:
            self._timer = None
            self._hand_on()

    def _hand_on(self) -> None:
        """Hand on the names that are present, and those that are missing for a short time only."""
        if self._is_closed:
            return
        now = time.monotonic()
        gone = (self._known or frozenset()) - self._present
        self._missing = {name: self._missing.get(name, now + GONE_S) for name in gone}
        waiting = [name for name in gone if self._missing[name] > now]
        names = self._present.union(waiting)
        if names != self._known:
            self._known = names
            self.take(names)
        if waiting and self._timer is None:
            due = min(self._missing[name] for name in waiting)
            self._timer = threading.Timer(due - now, self._look_again)
            self._timer.daemon = True
            self._timer.start()

    def gap(self, missed: int | None, why: str) -> None:
        """See `source.SourceReceiver`; a hash has no gaps."""

    def set_problem(self, text: str | None) -> None:
        """See `source.SourceReceiver`."""
        if text is None:
            self._log.info('hash %s: can be read', keys.NAMES)
        else:
            self._log.warning(
                'hash %s: cannot be read: %s; patterns find no keys and streams', keys.NAMES, text
            )

    def on_disconnect(self) -> None:
        """See `source.SourceReceiver`; what is known stays."""
