# Copyright 2026 The redis_bridge developers
# SPDX-License-Identifier: Apache-2.0

"""What all sources share: the names that are wanted, and the thread that reads them."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

import redis

from redis_bridge.redis_io.address import Address
from redis_bridge.redis_io.connection import Connection
from redis_bridge.redis_io.connection_thread import ConnectionThread
from redis_bridge.redis_io.health import Health
from redis_bridge.redis_io.resp import code_of, is_redirected

RETRY_S = 5.0  # after which a name that could not be read is tried again


class Gate(Protocol):
    """Decides whether names may be read now."""

    def why_closed(self) -> str | None:
        """Return why nothing may be read now, None if it may."""

    def term(self) -> int | None:
        """Return a number that is another one each time the gate opens; None while it is closed.

        What was read in one term may not be handed on in another.
        """


class Open:
    """A gate that is never closed."""

    def why_closed(self) -> str | None:
        return None

    def term(self) -> int | None:
        return 0


class Setup(NamedTuple):
    """What all sources of one owner share."""

    address: Address
    health: Health
    gate: Gate = Open()


class SourceReceiver(Protocol):
    """What a source calls, from its thread, for one name; each kind of source adds its own part.

    One receiver serves one name of one source.
    """

    def gap(self, missed: int | None, why: str) -> None:
        """Learn that messages were missed; None if their number is unknown."""

    def set_problem(self, text: str | None) -> None:
        """Learn why the name cannot be read, or with None that it can be read again."""

    def on_disconnect(self) -> None:
        """React to a lost connection; called once per outage."""


R = TypeVar('R', bound=SourceReceiver)


class Source(Generic[R]):
    """A connection, with its thread, that reads a set of names which may change at any time.

    Without names there is no connection.
    """

    def __init__(self, role: str, setup: Setup) -> None:
        address, health, gate = setup
        self.role = role
        self._timing = address.timing
        self._gate = gate
        self._term: int | None = None  # of the session
        self._health = health
        self._wanted: Mapping[bytes, Sequence[R]] = {}  # replaced, never changed
        self._lock = threading.Lock()  # over the start
        self._is_started = False
        self._known = threading.Condition()
        self._errors: dict[R, redis.ResponseError | None] = {}  # None: is read
        self.thread = ConnectionThread(
            role, address, self._run,
            health=health, gate=gate.why_closed,
            on_disconnect=self._on_disconnect, is_idle=lambda: not self._wanted,
        )  # fmt: skip

    def want(self, names: Mapping[str, Sequence[R]], came: Collection[str] = ()) -> None:
        """Read exactly these names from now on; receivers that stay miss nothing.

        A batch that is under way may still reach a receiver that is not wanted any more.

        :param came: those of the names that another source has read until now.
        """
        with self._lock:
            self._note_came(name.encode() for name in came)
            self._wanted = {
                name.encode(): tuple(receivers) for name, receivers in names.items() if receivers
            }
            if self._wanted and not self._is_started and not self.thread.closing.is_set():
                self._is_started = True
                self.thread.start()
        self.thread.waker.set()

    def on_gate_change(self) -> None:
        """End a session of an earlier term; wake a thread that waits for the gate."""
        if self._term == self._gate.term():
            self.thread.waker.set()
        else:
            self.thread.interrupt()

    def wait_until_known(self, receivers: Iterable[R], deadline: float) -> bool:
        """Return whether, by then (monotonic seconds), each of these is read or has a problem."""
        asked = set(receivers)
        with self._known:
            return self._known.wait_for(
                lambda: asked <= self._errors.keys(), max(0.0, deadline - time.monotonic())
            )

    def is_known(self, receiver: R) -> bool:
        """Return whether a receiver's name is read, or cannot be."""
        return receiver in self._errors

    def wait_until_left(self, receivers: Iterable[R], deadline: float) -> bool:
        """Return whether, by then, nothing more is handed on to these, which it does not read."""
        left = set(receivers)
        with self._known:
            return self._known.wait_for(
                lambda: left.isdisjoint(self._errors), max(0.0, deadline - time.monotonic())
            )

    def error_of(self, receiver: R) -> redis.ResponseError | None:
        """Return why a receiver's name cannot be read."""
        return self._errors.get(receiver)

    def state_of(self, receiver: R) -> str:
        """Return 'open', or why a receiver's name is not read."""
        connection = self._health.state(self.role)
        if connection != 'connected':
            return f'Redis: {connection}'
        error = self._errors.get(receiver)
        return 'open' if error is None else f'error: cannot be read: {self.thread.redact(error)}'

    def _run(self, connection: Connection) -> None:
        self._term = self._gate.term()
        try:
            self._session(connection)
        finally:
            self._forget_unwanted()

    def _session(self, connection: Connection) -> None:
        raise NotImplementedError

    def _goes_on(self) -> bool:
        """Return whether the session goes on, and what was read may be handed on."""
        return (
            bool(self._wanted)
            and not self.thread.closing.is_set()
            and self._term is not None
            and self._gate.term() == self._term
        )

    def _all(self) -> Iterator[R]:
        for receivers in self._wanted.values():
            yield from receivers

    def _report(self, receiver: R, error: redis.ResponseError | None) -> None:
        """Note whether a receiver's name can be read; it learns what changed."""
        if is_redirected(error):  # another source reads it in a moment
            return
        with self._known:
            old = self._errors.get(receiver)
            self._errors[receiver] = error
            self._known.notify_all()
        if error is None:
            if old is not None:
                receiver.set_problem(None)
        elif old is None or code_of(error) != code_of(old):
            receiver.set_problem(self.thread.redact(error))

    def _forget_unwanted(self) -> set[R]:
        """Drop what is known of receivers that are not wanted any more; return the wanted ones."""
        wanted = set(self._all())
        with self._known:
            self._errors = {r: error for r, error in self._errors.items() if r in wanted}
            self._known.notify_all()
        return wanted

    def _note_came(self, names: Iterable[bytes]) -> None:
        """Learn of names that another source has read until now."""

    def _on_disconnect(self) -> None:
        for receiver in self._all():
            receiver.on_disconnect()
